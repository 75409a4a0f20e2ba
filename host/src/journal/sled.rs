use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::commits::Commits;
use super::end;
use super::extent::fetch;
use super::format::{self, KeyValue};
use super::holder::{self, Holder, Living};
use super::index::Index;
use super::news::Readers;
use super::note::{self, Claimed, Note};
use super::places::{self, Lock, Names};
use super::survey::{Head, Survey};
use super::tail::Tail;
use super::writer::{Message, Reply, Write, Writer};
use super::{Ack, Durability, Entry, JournalError, JournalStore, crash_point, io_error, make_directory};
use crate::message::RunId;

/// How often a run is asked for that somebody has, [`RETRY`] apart: who has just ended gives it back in a moment.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(10);

/// How often, if who has it says that it is giving it back: what is to be on disk before that may be much.
const LEAVING_TRIES: u32 = 1_000;

/// The journal of a state directory, as one process writes it: segments that make commits durable, and sled as the
/// index over them: which commits hold something of which run.
///
/// All writes of the process, of however many runs, go through one thread and one file. It takes whatever is queued,
/// writes it as one commit, calls `fdatasync` once, tells sled, and then acknowledges every event of it: group commit
/// across all runs. Nothing that was acknowledged depends on sled's own files: its `flush` ends in
/// `sync_file_range`, which leaves the disk's cache and the file's metadata as they are (sled issue 1452), and
/// its values above 128 KiB are never synced. So each process makes an index of its own, from what the ends of the
/// segments say.
///
/// Whoever appends by this type itself is not asked whether another process works on the run.
#[derive(Debug)]
pub struct SledStore {
    pub(super) shared: Arc<Shared>,
    queue: Option<Sender<Message>>,
    writer: Option<JoinHandle<()>>,
}

/// Who has a run that was asked for.
enum Held {
    /// This process. Where the run is, if anything is recorded of it.
    Here(Option<Box<Head>>),
    /// Somebody else.
    Elsewhere(String),
    /// Somebody else, who is giving it back.
    Leaving(String),
}

/// What the thread that writes shares with those that read and claim.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    /// Where runs are that have ended and are one file.
    pub(super) runs: Option<PathBuf>,
    /// Who waits for more to be recorded.
    pub(super) readers: Readers,
    pub(super) holder: Holder,
    survey: Mutex<Survey>,
    pub(super) commits: Arc<Commits>,
    /// Why nothing more is acknowledged: the first write or sync that failed.
    pub(super) failed: OnceLock<JournalError>,
}

impl SledStore {
    /// Opens the journal in a directory, making it if there is none, beside the processes that have it open.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Self::beside(path, None, Readers::default(), Arc::default())
    }

    /// The same, where a run that is one file in `runs` needs nothing here any more, somebody waits for news of runs, and
    /// commits are counted together with others.
    pub(super) fn beside(
        path: &Path,
        runs: Option<&Path>,
        readers: Readers,
        commits: Arc<Commits>,
    ) -> Result<Self, JournalError> {
        let failed = |error: std::io::Error| io_error(path, &error);
        make_directory(path).map_err(failed)?;
        let holder = {
            let lock = Lock::take(path).map_err(failed)?;
            let number = lock.draw(path).map_err(failed)?;
            Holder::join(path, number).map_err(failed)?
        };
        crash_point("journal-before-index");
        let index = Index::new(places::index(path, holder.number))?;
        let survey = Mutex::new(Survey::new(path, Some(index), Arc::clone(&commits)));
        let (directory, runs) = (path.to_owned(), runs.map(Path::to_owned));
        let failed_with = OnceLock::new();
        let shared =
            Arc::new(Shared { directory, runs, readers, holder, survey, commits, failed: failed_with });
        shared.recover(&Lock::take(path).map_err(failed)?, &mut shared.survey())?;
        let (queue, inbox) = channel();
        let writer = Writer::new(Arc::clone(&shared));
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(failed)?;
        Ok(Self { shared, queue: Some(queue), writer: Some(writer) })
    }

    /// Why nothing more is acknowledged: the first write or sync that failed. `None` while all is well.
    pub(super) fn failed_with(&self) -> Option<&JournalError> {
        self.shared.failed.get()
    }

    /// How many events were made durable since the journal was opened, and how many syncs that took.
    #[must_use]
    pub fn events_and_syncs(&self) -> (u64, u64) {
        (self.shared.commits.events(), self.shared.commits.commits())
    }

    /// Claims a run: until it is given back nobody else works on it. Says where it is, if anything is recorded of it.
    pub(super) fn hold(&self, run: RunId) -> Result<Option<Head>, JournalError> {
        for tries in 1.. {
            match self.shared.try_hold(run)? {
                Held::Here(head) => return Ok(head.map(|head| *head)),
                Held::Leaving(_) if tries < LEAVING_TRIES => std::thread::sleep(RETRY),
                Held::Elsewhere(_) if tries < TRIES => std::thread::sleep(RETRY),
                Held::Leaving(holder) | Held::Elsewhere(holder) => {
                    return Err(JournalError::Locked { run, holder });
                }
            }
        }
        Ok(None)
    }

    /// Gives a run back when everything is on disk that was handed over of it. One that has ended is needed no more.
    pub(super) fn give_back(&self, run: RunId, ended: bool) {
        self.shared.holder.leave(run);
        self.send(Message::Leave { run, ended });
    }

    /// Waits until every run is given back that was to be by now: until then others see it as it stood.
    pub(super) async fn left(&self) {
        let (reply, receiver) = oneshot::channel();
        self.send(Message::Left(reply));
        // When the thread is gone, so are its runs.
        let _ = receiver.await;
    }

    /// Hands over what belongs together: all of it is recorded, or nothing.
    pub(super) fn append_all(&self, run: RunId, entries: &[Entry], notes: &[Note], when: Durability) -> Ack {
        let pairs = match encode(run, entries, notes) {
            Ok(pairs) => pairs,
            Err(error) => return Ack::ready(Err(error)),
        };
        let (ack, receiver) = oneshot::channel();
        self.write(run, pairs, entries.len(), when, Reply::Ack(ack));
        Ack::waiting(receiver)
    }

    /// Hands over all of a run, of whose claims the last one has the number `term`: whatever else is recorded of it does
    /// not count any more.
    pub(super) fn renew(&self, run: RunId, term: u32, entries: &[Entry], summary: Note) -> Ack {
        // The thread that writes claims the run by the next number first.
        let claimed = Claimed { term: term.saturating_add(2), from: Vec::new() };
        let pairs = encode(run, &[], &[Note::Gone]).and_then(|mut pairs| {
            pairs.extend(encode(run, entries, &[Note::Claimed(claimed), summary])?);
            Ok(pairs)
        });
        let pairs = match pairs {
            Ok(pairs) => pairs,
            Err(error) => return Ack::ready(Err(error)),
        };
        let (ack, receiver) = oneshot::channel();
        self.write(run, pairs, entries.len(), Durability::Now, Reply::Ack(ack));
        Ack::waiting(receiver)
    }

    /// Hands over a note, to be written with what comes next.
    pub(super) fn note(&self, run: RunId, note: Note) -> Result<(), JournalError> {
        self.write(run, encode(run, &[], &[note])?, 0, Durability::WithNext, Reply::Nobody);
        Ok(())
    }

    /// Records that a run goes on here, and what belongs together besides, and waits until that is on disk.
    pub(super) fn claim(&self, run: RunId, entries: &[Entry], notes: &[Note]) -> Result<(), JournalError> {
        let pairs = encode(run, entries, notes)?;
        let (reply, receiver) = channel();
        self.write(run, pairs, entries.len(), Durability::Now, Reply::Wait(reply));
        receiver.recv().unwrap_or_else(|_| Err(JournalError::writer_gone()))
    }

    fn write(&self, run: RunId, pairs: Vec<KeyValue>, events: usize, when: Durability, reply: Reply) {
        self.send(Message::Write(Write { run, pairs, events: events as u64, when, reply }));
    }

    /// What is on disk of a run, as it is kept, without what was read before with a tail.
    pub(super) fn read_on(&self, run: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
        let places = {
            let survey = self.shared.survey();
            match survey.head(run)? {
                Some(head) => survey.places(run, &head.needed, tail)?,
                None => Vec::new(),
            }
        };
        let entries = format::decode(fetch(&self.shared.directory, run, &places)?.into_iter().map(Ok))?;
        tail.read(&places);
        Ok(entries)
    }

    /// Removes what nobody needs any more, and waits until that is done.
    pub(super) fn tidy(&self) -> Result<(), JournalError> {
        let (reply, receiver) = channel();
        self.send(Message::Tidy(reply));
        receiver.recv().unwrap_or_else(|_| Err(JournalError::writer_gone()))
    }

    fn send(&self, message: Message) {
        if let Some(queue) = &self.queue {
            // When the thread is gone the receiver sees its end of the channel dropped, and says so.
            drop(queue.send(message));
        }
    }
}

impl JournalStore for SledStore {
    fn append(&self, entry: &Entry, when: Durability) -> Ack {
        self.append_all(entry.run, std::slice::from_ref(entry), &[], when)
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        self.read_on(run, &mut Tail::default())
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        let survey = self.shared.survey();
        let mut runs = Vec::new();
        for run in survey.runs() {
            if survey.head(run)?.is_some_and(|head| head.has_begun) {
                runs.push(run);
            }
        }
        Ok(runs)
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Closing the queue lets the thread write what is left, and end.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    pub(super) fn survey(&self) -> MutexGuard<'_, Survey> {
        self.survey.lock()
    }

    pub(super) fn lock(&self) -> Result<Lock, JournalError> {
        Lock::take(&self.directory).map_err(|error| self.failed(&error))
    }

    pub(super) fn failed(&self, error: &std::io::Error) -> JournalError {
        io_error(&self.directory, error)
    }

    fn try_hold(&self, run: RunId) -> Result<Held, JournalError> {
        // One that this process is about to give back is waited for.
        self.holder.wait_until_left(run);
        let lock = self.lock()?;
        if self.holder.has(run) {
            return Ok(Held::Elsewhere(format!("process {}", std::process::id())));
        }
        let mut survey = self.survey();
        let living = self.recover(&lock, &mut survey)?;
        if let Some(other) = living.iter().find(|other| other.runs.contains(&run)) {
            let held = if other.leaving.contains(&run) { Held::Leaving } else { Held::Elsewhere };
            return Ok(held(other.name()));
        }
        let head = survey.head(run)?;
        // Who writes the segment in which the run stands has to be known, or it cannot be told what it works on.
        for segment in head.iter().flat_map(|head| &head.needed).filter(|it| survey.is_open(**it)) {
            let writer = end::writer(&self.directory, *segment);
            if !living.iter().any(|living| Some(living.number) == writer) {
                return Ok(Held::Elsewhere("another process".to_owned()));
            }
        }
        drop(survey);
        self.holder.take(run).map_err(|error| self.failed(&error))?;
        crash_point("journal-after-hold");
        Ok(Held::Here(head.map(Box::new)))
    }

    /// Ends what processes that died have left, and reads what has changed. Says which other processes live.
    pub(super) fn recover(&self, _lock: &Lock, survey: &mut Survey) -> Result<Vec<Living>, JournalError> {
        let failed = |error: std::io::Error| self.failed(&error);
        let names = Names::read(&self.directory).map_err(failed)?;
        let mut living = holder::living(&self.directory, &names).map_err(failed)?;
        let lives = |number: &u32| living.iter().any(|it| it.number == *number);
        // Whoever of them still writes notices by that that it was taken for dead.
        for number in names.held.iter().filter(|number| !lives(number)) {
            remove(&places::held(&self.directory, *number)).map_err(failed)?;
        }
        for (_, path) in names.own.iter().filter(|(number, _)| !lives(number)) {
            remove(path).map_err(failed)?;
        }
        living.retain(|it| it.number != self.holder.number);
        for segment in names.logs {
            if !survey.is_closed(segment) {
                self.fence(segment, survey)?;
            }
        }
        survey.refresh()?;
        Ok(living)
    }

    /// Ends a segment if its process died.
    fn fence(&self, segment: u32, survey: &mut Survey) -> Result<(), JournalError> {
        let is_written =
            std::fs::metadata(places::end(&self.directory, segment)).is_ok_and(|it| it.len() > 0);
        let lives = places::is_locked(&places::log(&self.directory, segment));
        if is_written || lives.map_err(|error| self.failed(&error))? {
            return Ok(());
        }
        match end::fence(&self.directory, segment, self.holder.number) {
            Ok(Some(end)) => survey.over(segment, end),
            Ok(None) => survey.forget(segment),
            // Other segments are good all the same.
            Err(error @ (JournalError::Corrupt { .. } | JournalError::Version { .. })) => {
                survey.damaged(segment, error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a run has ended and is one file.
    pub(super) fn is_sealed(&self, run: RunId) -> bool {
        self.runs.as_ref().is_some_and(|runs| super::runs::sealed_path(runs, run).is_file())
    }
}

/// The bytes of what belongs together.
fn encode(run: RunId, entries: &[Entry], notes: &[Note]) -> Result<Vec<KeyValue>, JournalError> {
    let mut pairs = Vec::new();
    for entry in entries {
        pairs.extend(format::encode(entry)?);
    }
    for note in notes {
        pairs.push(note::encode(run, note)?);
    }
    Ok(pairs)
}

/// Removes a file or a directory that somebody left, if nobody else did.
fn remove(path: &Path) -> std::io::Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
