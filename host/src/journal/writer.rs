//! The thread that writes: it takes what is queued, makes one commit of it, and tells those who wait.
//!
//! The one place where the journal's segments are begun, written, ended and removed while their process lives.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::end::{self, End};
use super::format::KeyValue;
use super::note::{self, Note};
use super::places::{self, Lock};
use super::segment::{Reached, Segment};
use super::sled::Shared;
use super::{Durability, JournalError, crash_point, setting};
use crate::message::RunId;

/// A commit waits for company for half of the time that a commit takes, and no longer than this: what comes in meanwhile
/// saves a whole commit.
const LINGER_MAX: Duration = Duration::from_millis(1);

/// What a commit is taken to need before there was one.
const COMMIT: Duration = Duration::from_micros(200);

/// How long the writer stays awake after a commit.
const AWAKE: Duration = Duration::from_micros(100);

/// A segment that has this size is ended, and another one begun: so that what nobody needs any more goes bit by bit,
/// and a process that was killed leaves no more than this to be read.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Message {
    /// To write something.
    Write(Write),
    /// To give a run back when everything is on disk that was handed over of it.
    Leave {
        run: RunId,
        /// Whether it has ended, and is one file.
        ended: bool,
    },
    /// To say when every run is given back that was to be by now.
    Left(oneshot::Sender<()>),
    /// To remove what nobody needs any more.
    Tidy(Sender<Result<(), JournalError>>),
}

/// What is to be written of a run, all of it or nothing.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) run: RunId,
    pub(super) pairs: Vec<KeyValue>,
    /// How many events it holds.
    pub(super) events: u64,
    pub(super) when: Durability,
    pub(super) reply: Reply,
}

/// Who waits for a write.
#[derive(Debug)]
pub(super) enum Reply {
    Ack(oneshot::Sender<Result<(), JournalError>>),
    Wait(Sender<Result<(), JournalError>>),
    Nobody,
}

impl Reply {
    fn send(self, result: Result<(), JournalError>) {
        match self {
            // Whoever does not wait any more has dropped the receiver.
            Self::Ack(ack) => drop(ack.send(result)),
            Self::Wait(sender) => drop(sender.send(result)),
            Self::Nobody => {}
        }
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// The segment that is written; it begins with what is written first.
    pub(super) segment: Option<Segment>,
    /// The runs whose last claim stands in it.
    current: HashSet<RunId>,
    waiting: Vec<Write>,
    /// Runs that are to be given back after the next commit.
    leaving: Vec<RunId>,
    tidying: Vec<Sender<Result<(), JournalError>>>,
    /// Who waits for runs to be given back.
    left: Vec<oneshot::Sender<()>>,
    /// What a commit has taken lately.
    usual: Duration,
    failed: Option<JournalError>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (waiting, leaving, tidying) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            shared,
            segment: None,
            current: HashSet::new(),
            waiting,
            leaving,
            tidying,
            left: Vec::new(),
            usual: COMMIT,
            failed: None,
        }
    }

    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        while let Some(message) = next(inbox) {
            self.take(message);
            self.take_all(inbox);
            if self.waiting.iter().any(|write| write.when == Durability::Now) {
                self.linger(inbox);
                self.commit();
            } else if self.waiting.iter().any(|write| self.leaving.contains(&write.run)) {
                self.commit();
            }
            for run in std::mem::take(&mut self.leaving) {
                self.current.remove(&run);
                self.shared.holder.give_back(run);
                self.shared.readers.wake(run);
            }
            for reply in std::mem::take(&mut self.left) {
                // Who asked may have gone away.
                let _ = reply.send(());
            }
            for reply in std::mem::take(&mut self.tidying) {
                drop(reply.send(self.tidy()));
            }
        }
        self.finish();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Write(write) => self.waiting.push(write),
            Message::Leave { run, ended } => {
                if ended {
                    // What was still to be noted of it is in its file.
                    self.waiting.retain(|write| write.run != run || write.events > 0);
                    self.shared.survey().go(run);
                }
                self.leaving.push(run);
            }
            Message::Left(reply) => self.left.push(reply),
            Message::Tidy(reply) => self.tidying.push(reply),
        }
    }

    fn take_all(&mut self, inbox: &Receiver<Message>) {
        for message in inbox.try_iter() {
            self.take(message);
        }
    }

    /// Waits a moment for the ends of effects that have just begun: the calls of one turn end within
    /// microseconds of each other, and then one sync serves them all.
    fn linger(&mut self, inbox: &Receiver<Message>) {
        let deadline = Instant::now() + LINGER_MAX.min(self.usual / 2);
        loop {
            let events = self.waiting.iter().filter(|write| write.events > 0);
            let (begun, ended): (Vec<&Write>, Vec<&Write>) =
                events.partition(|write| write.when == Durability::WithNext);
            if ended.len() >= begun.len() {
                return;
            }
            match poll_until(inbox, deadline) {
                Some(message) => self.take(message),
                None => return,
            }
            self.take_all(inbox);
        }
    }

    /// Writes what waits as one commit and acknowledges it.
    fn commit(&mut self) {
        if self.failed.is_none() {
            self.failed = self.write_and_sync().err();
            self.note_failure();
        }
        let result = self.failed.clone().map_or(Ok(()), Err);
        for write in self.waiting.drain(..) {
            write.reply.send(result.clone());
            self.shared.readers.wake(write.run);
        }
    }

    /// Lets others know of a failure: a journal that failed is opened anew when nobody has it any more.
    fn note_failure(&self) {
        if let Some(error) = &self.failed {
            // Only the first failure is kept.
            let _ = self.shared.failed.set(error.clone());
        }
    }

    fn write_and_sync(&mut self) -> Result<(), JournalError> {
        let began = Instant::now();
        crash_point("journal-before-write");
        self.make_room()?;
        let claims = self.claims()?;
        let pairs = claims.iter().map(|(_, pair)| pair);
        let pairs = pairs.chain(self.waiting.iter().flat_map(|write| &write.pairs));
        let Some(segment) = &mut self.segment else { return Err(JournalError::writer_gone()) };
        let extent = segment.commit(pairs.clone(), || crash_point("journal-before-sync"))?;
        if self.shared.holder.is_fenced().map_err(|error| self.shared.failed(&error))? {
            return Err(JournalError::Fenced);
        }
        let events = self.waiting.iter().map(|write| write.events).sum();
        let took = began.elapsed();
        self.usual = (self.usual * 7 + took) / 8;
        self.shared.commits.count(events, took);
        crash_point("journal-before-insert");
        self.shared.survey().committed(segment.number, extent, pairs)?;
        self.shared.commits.reached(segment.number, extent.end());
        self.current.extend(claims.iter().map(|(run, _)| *run));
        crash_point("journal-before-ack");
        Ok(())
    }

    /// The claims of those runs that go on in this segment by what waits.
    fn claims(&self) -> Result<Vec<(RunId, KeyValue)>, JournalError> {
        let Some(segment) = &self.segment else { return Ok(Vec::new()) };
        let runs: HashSet<RunId> = self.waiting.iter().map(|write| write.run).collect();
        let survey = self.shared.survey();
        let claim = |run: &RunId| {
            let head = survey.head(*run)?.unwrap_or_default();
            Ok((*run, note::encode(*run, &Note::Claimed(head.next(segment.number)))?))
        };
        runs.difference(&self.current).map(claim).collect()
    }

    /// Sees to it that there is a segment that can be written to.
    fn make_room(&mut self) -> Result<(), JournalError> {
        let bytes_max = setting("journal-segment-bytes", SEGMENT_BYTES);
        if self.segment.as_ref().is_some_and(|segment| segment.reached.end >= bytes_max) {
            self.end_segment(&self.shared.lock()?)?;
            // What nobody needs any more can go later, too.
            let _ = self.tidy();
        }
        if self.segment.is_none() {
            self.begin_segment(&self.shared.lock()?)?;
        }
        Ok(())
    }

    pub(super) fn begin_segment(&mut self, lock: &Lock) -> Result<(), JournalError> {
        let directory: &Path = &self.shared.directory;
        let drawn = lock.draw(directory);
        let made = drawn.and_then(|number| {
            self.shared.commits.reached(number, Reached::START.end);
            Segment::begin(directory, number, self.shared.holder.number)
        });
        let segment = made.map_err(|error| JournalError::Stopped { reason: error.to_string() })?;
        self.shared.survey().begun(segment.number);
        self.segment = Some(segment);
        self.current.clear();
        Ok(())
    }

    fn take_segment(&mut self) -> Option<Segment> {
        self.segment.take().inspect(|segment| self.shared.commits.left(segment.number))
    }

    /// Ends the segment that was written, or removes it if nobody needs it.
    fn end_segment(&mut self, lock: &Lock) -> Result<(), JournalError> {
        let Some(segment) = self.take_segment() else { return Ok(()) };
        self.current.clear();
        if segment.is_fenced().map_err(|error| self.shared.failed(&error))? {
            return Err(JournalError::Fenced);
        }
        // A run that another process has go on once more stands in the segments of that process alone.
        if !self.is_needed(segment.number, &[]) {
            return self.remove_segment(segment.number, lock);
        }
        let parts = self.shared.survey().parts(segment.number).cloned().unwrap_or_default();
        segment.shrink().map_err(|error| self.shared.failed(&error))?;
        End::new(segment.number, segment.reached.end, parts)
            .write(&self.shared.directory, self.shared.holder.number)?;
        self.shared.survey().ended(segment.number, segment.reached);
        Ok(())
    }

    pub(super) fn remove_segment(&self, segment: u32, _lock: &Lock) -> Result<(), JournalError> {
        end::remove(&self.shared.directory, segment).map_err(|error| self.shared.failed(&error))?;
        self.shared.survey().forget(segment)
    }

    /// Leaves the journal as this process has to: what it cannot finish, the next one finds.
    fn finish(mut self) {
        if self.failed.is_none() && !self.waiting.is_empty() {
            self.commit();
        }
        if self.failed.is_none() {
            let finished = self.tidy().and_then(|()| {
                // Nobody looks anything up any more.
                self.shared.survey().close();
                self.end_segment(&self.shared.lock()?)
            });
            self.failed = finished.err();
            self.note_failure();
        }
        // A segment that is not ended is one whose process died.
        self.take_segment();
        self.shared.survey().close();
        // sled removes its files itself, but in a thread that the end of the process may cut short. What is left goes
        // when somebody else comes.
        let _ = std::fs::remove_dir_all(places::index(&self.shared.directory, self.shared.holder.number));
        let _ = self.shared.holder.part();
    }
}

/// The next message; none when the store is closed. Waking a thread takes as long as a third of a sync, so
/// the one that has just committed stays awake a little for what follows.
fn next(inbox: &Receiver<Message>) -> Option<Message> {
    poll_until(inbox, Instant::now() + AWAKE).or_else(|| inbox.recv().ok())
}

fn poll_until(inbox: &Receiver<Message>, deadline: Instant) -> Option<Message> {
    loop {
        match inbox.try_recv() {
            Ok(message) => return Some(message),
            Err(TryRecvError::Empty) if Instant::now() < deadline => std::thread::yield_now(),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
        }
    }
}
