//! What happened, durably: the events of every slot of every run.
//!
//! Owns the order of events within a slot ([`Status`]), their byte layout ([`mod@format`]), the stores that
//! keep them ([`SledStore`], [`MemoryStore`]), the runs of an engine ([`Runs`]), the file that an ended run becomes
//! ([`RunFile`]), and which runs are one conversation ([`Sessions`]). Runs and sessions are kept in a state directory
//! ([`RunsDir`], [`SessionsDir`]) or in memory. Knows nothing of models, tools or replay: [`crate::session`] decides
//! what an event means.
//!
//! Invariant: an acknowledged event survives the process, and no event is ever overwritten. It fails with
//! a [`JournalError`]; after a failed write or sync nothing more is acknowledged.
//!
//! All runs of a state directory, and all processes that work on them, share one journal. From the bytes up:
//!
//! - [`Seq`]: the number of an event among those of its run.
//! - [`mod@format`]: an event as keys and values. `note`: what else is said of a run. `frame`: a commit.
//! - `segment`: the file that one process writes. `end`: what says that it is over. `parts`: what it holds of whom.
//! - `holder`: which process works on which runs. `places`: names, numbers, and the lock for moments.
//! - `survey`: what all segments say of a run. `index`: sled, where its commits stand; `moved`: what is not in it yet.
//!   `extent`: what stands there.
//! - `writer`: the thread that writes. `tidy`: how space comes back. [`SledStore`]: all of it together.
//! - `news`: who waits for more to be recorded. `trail`: whether anything has changed of a run. `tail`: what has come.
//! - `run`: one run that a process works on. `runs`: all of them. `reopen`: one that ended goes on. `removal`: how one goes.
//!   `compact`: what processes left that died. `listing`: how they stand, with `catalogue` as its cache. `earlier`: what was said before a run, kept by the runs
//!   before. `legacy`: runs as older hosts left them.
//! - `store`: what the engine asks of the place where its runs are. `keeper`: what an open run asks of it. `memory`: the
//!   place that is no directory.

mod catalogue;
mod commits;
mod compact;
mod cursor;
mod earlier;
mod end;
mod event;
mod extent;
pub mod format;
mod frame;
mod holder;
mod index;
mod keeper;
mod legacy;
mod listing;
mod memory;
mod moved;
mod news;
mod note;
mod number;
mod parts;
mod places;
mod portable;
mod removal;
mod reopen;
mod run;
mod runs;
mod segment;
mod sessions;
mod sled;
mod status;
mod store;
mod summary;
mod survey;
mod tail;
mod tidy;
mod trail;
mod work;
mod writer;

pub use commits::{COMMIT_BOUNDS, Commits};
pub use compact::Compacted;
pub use cursor::{Claim, Cursor, Due, Ticket};
pub(crate) use event::end;
pub use event::{Entry, Event, Failed, Finished, Started, ending, given_up, has_replied, manifest, used};
pub use listing::{Listing, Outline};
pub use memory::MemoryStore;
pub(crate) use memory::{MemoryRuns, MemorySessions};
pub use news::News;
pub use number::{Seq, number};
pub use portable::RunFile;
pub use removal::Removal;
pub use run::{OpenRun, RunStore};
pub use runs::RunsDir;
use sessions::SessionList;
pub use sessions::{OpenSession, Place, SessionsDir};
pub use sled::SledStore;
pub use status::{Change, OrderError, Status, is_over, kept, statuses};
#[cfg(feature = "server")]
pub(crate) use store::find;
pub use store::{Runs, Sessions};
pub use summary::{RunState, RunSummary};
pub use tail::Tail;
pub use trail::Trail;
pub use work::{CutOff, Revival, Stint, broke_off, cut_off, revivals, stints};

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use crate::message::{RunId, SessionKey};

/// Keeps events. One process writes a run at a time.
pub trait JournalStore: Send + Sync {
    /// Hands one event over. Events become durable in the order in which they were handed over: when the
    /// returned [`Ack`] resolves, this event and every one before it are on disk.
    fn append(&self, entry: &Entry, when: Durability) -> Ack;

    /// Every event of a run, in key order: by slot, then by attempt.
    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError>;

    /// The runs that have events, oldest first.
    fn runs(&self) -> Result<Vec<RunId>, JournalError>;
}

/// When an event has to be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As soon as possible: somebody waits for the [`Ack`].
    Now,
    /// Together with the next event that is needed at once. A crash may lose it, but never an event that
    /// came after it without losing it too.
    WithNext,
}

/// The promise that an event is durable.
#[must_use = "an event is durable only once its acknowledgement resolved"]
#[derive(Debug)]
pub struct Ack(AckState);

#[derive(Debug)]
enum AckState {
    Ready(Result<(), JournalError>),
    Waiting(oneshot::Receiver<Result<(), JournalError>>),
}

impl Ack {
    /// A promise that is kept, or broken, already.
    pub fn ready(result: Result<(), JournalError>) -> Self {
        Self(AckState::Ready(result))
    }

    fn waiting(receiver: oneshot::Receiver<Result<(), JournalError>>) -> Self {
        Self(AckState::Waiting(receiver))
    }

    /// Whether the event was not even handed over.
    fn is_refused(&self) -> bool {
        matches!(self.0, AckState::Ready(Err(_)))
    }

    /// Waits until the event is on disk.
    pub async fn durable(self) -> Result<(), JournalError> {
        match self.0 {
            AckState::Ready(result) => result,
            AckState::Waiting(receiver) => {
                receiver.await.unwrap_or_else(|_| Err(JournalError::writer_gone()))
            }
        }
    }
}

/// Why the journal could not do its work. What to do about it stands in a line of its own, in words of no front end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process works on the run.
    #[error(
        "run {run} is in use by {holder}\n  wait until it ends, or end it; one process works on a run at a time"
    )]
    Locked {
        /// The run.
        run: RunId,
        /// Who holds it, as far as it can be told.
        holder: String,
    },
    /// The directory cannot be created or written.
    #[error(
        "cannot write the journal in {path}: {reason}\n  make the directory writable, or choose another one"
    )]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file is where the directory should be, or one above it.
    #[error("there can be no runs in {path}: {file} is a file\n  choose another directory")]
    InTheWay {
        /// The directory.
        path: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// The journal cannot be opened or read.
    #[error("cannot read the journal in {path}: {reason}")]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Bytes in the journal are not what was written.
    #[error(
        "the journal is damaged at {place}: {reason}\n  nothing was substituted from it; restore it from a copy, or start the run anew"
    )]
    Corrupt {
        /// The slot, or the key in hexadecimal where no slot can be read from it.
        place: String,
        /// What does not fit.
        reason: String,
    },
    /// A record of a version this host does not know.
    #[error(
        "the record at {place} has format version {version}; this host reads up to {}\n  use a newer host",
        format::VERSION
    )]
    Version {
        /// The slot, or the key in hexadecimal.
        place: String,
        /// The version it has.
        version: u8,
    },
    /// A write or sync failed: from then on nothing is acknowledged.
    #[error(
        "the journal stopped: {reason}\n  everything recorded before is safe; free space or mend the disk, then resume the run"
    )]
    Stopped {
        /// The first failure.
        reason: String,
    },
    /// Another process has begun to write the journal: it took this one for dead.
    #[error(
        "the journal stopped: another process has taken the run over\n  what it records counts; this process ends without having changed anything since"
    )]
    Fenced,
    /// A run is missing from which another one goes on.
    #[error(
        "what was said before run {run} is not there: run {after} goes on from run {before}, which is not in {}\n  put the file of run {before} back; to carry a run elsewhere, export it where both are: the export holds all of it",
        path.display()
    )]
    EarlierGone {
        /// The run that is read.
        run: RunId,
        /// The run that goes on from the one that is missing.
        after: RunId,
        /// The one that is missing.
        before: RunId,
        /// The directory of runs.
        path: PathBuf,
    },
    /// What was said before a run is not what the runs hold from which it goes on.
    #[error(
        "what was said before run {run} is damaged: run {after} goes on from run {before}, and what is recorded there is not what was said\n  nothing was substituted from it; restore both runs from a copy"
    )]
    EarlierDiffers {
        /// The run that is read.
        run: RunId,
        /// The first run that does not fit what it goes on from.
        after: RunId,
        /// The run that it goes on from.
        before: RunId,
    },
    /// Runs go on from each other in a circle.
    #[error(
        "what was said before run {run} is damaged: run {after} goes on from run {before}, which goes on from it\n  nothing was substituted from it; restore both runs from a copy"
    )]
    EarlierCircle {
        /// The run that is read.
        run: RunId,
        /// The run with which the circle closes.
        after: RunId,
        /// The run that it goes on from.
        before: RunId,
    },
    /// A run cannot be removed, because another one goes on from it that cannot be written anew.
    #[error(
        "run {run} cannot be removed: run {after} goes on from it, and has not ended\n  resume run {after} to its end, or cancel it, and remove run {run} then"
    )]
    GoneOnFrom {
        /// The run.
        run: RunId,
        /// The run that needs it.
        after: RunId,
    },
    /// A run cannot be removed while a run of its session goes on.
    #[error(
        "run {run} cannot be removed: somebody works on its session, {session}\n  wait until that has come to an end"
    )]
    SessionInUse {
        /// The run.
        run: RunId,
        /// Its session.
        session: SessionKey,
    },
    /// A run with this id is already there.
    #[error("run {run} is already in {}\n  remove that one first, or import into another directory", path.display())]
    Exists {
        /// The run.
        run: RunId,
        /// The directory of runs.
        path: PathBuf,
    },
    /// There is no such run.
    #[error("no run `{name}` in {path}")]
    UnknownRun {
        /// What was asked for.
        name: String,
        /// The directory of runs.
        path: PathBuf,
    },
    /// The process died before the run's manifest was on disk.
    #[error("run {run} was interrupted before it began: nothing of it is recorded\n  start it anew")]
    NotBegun {
        /// The run.
        run: RunId,
    },
    /// A prefix that several runs begin with.
    #[error("`{name}` begins {count} runs in {path}\n  give more of the id")]
    AmbiguousRun {
        /// What was asked for.
        name: String,
        /// How many runs it fits.
        count: usize,
        /// The directory of runs.
        path: PathBuf,
    },
}

impl JournalError {
    fn writer_gone() -> Self {
        Self::Stopped { reason: "its writer thread ended".to_owned() }
    }
}

/// What went wrong with a file or directory of the journal.
fn io_error(path: &Path, error: &std::io::Error) -> JournalError {
    use std::io::ErrorKind;
    let no_directory = matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::AlreadyExists);
    if let Some(file) = path.ancestors().find(|above| above.is_file()).filter(|_| no_directory) {
        return JournalError::InTheWay { path: path.to_owned(), file: file.to_owned() };
    }
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::NotADirectory
        | ErrorKind::AlreadyExists => JournalError::Unwritable { path, reason },
        _ => JournalError::Unreadable { path, reason },
    }
}

/// Makes a directory that only this user can look into, and what is missing above it, each with its name on disk.
pub(crate) fn make_directory(path: &Path) -> std::io::Result<()> {
    let Some(above) = path.parent().filter(|_| !path.is_dir()) else { return Ok(()) };
    make_directory(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        // Somebody else was faster.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_directory(above)
}

/// Writes a file that only this user can read, whole or not at all: under another name first.
pub(crate) fn write_whole(
    path: &Path,
    by: &Path,
    write: impl FnOnce(&File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(by)?;
    write(&file)?;
    std::fs::rename(by, path)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Where the tests kill the process: the `fail` crate compiles to nothing unless the feature
/// `failpoints` is on.
pub(crate) fn crash_point(name: &str) {
    fail::fail_point!(name, |_| rustix::process::kill_process(
        rustix::process::getpid(),
        rustix::process::Signal::KILL
    )
    .unwrap_or_default());
    let _ = name;
}

/// A number that the tests may set to another one.
fn setting(name: &str, value: u64) -> u64 {
    fail::fail_point!(name, |set| set.and_then(|set| set.parse().ok()).unwrap_or(value));
    let _ = name;
    value
}

/// Where the tests let the disk fail.
#[allow(clippy::unnecessary_wraps, reason = "it fails in the tests alone")]
fn fault(name: &str) -> std::io::Result<()> {
    fail::fail_point!(name, |_| Err(std::io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())));
    let _ = name;
    Ok(())
}
