use crate::journal::Change;
use crate::message::{Manifest, RunId, SessionKey};
use crate::session::Notice;
use crate::toolbox::Progress;

/// Who looks on while the engine works: a screen, a log, a test. It is told on the thread that does the work, so it must
/// not wait for anything.
pub trait Watcher: Send + Sync {
    /// Something happened.
    fn tell(&self, told: Told<'_>);
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn tell(&self, _told: Told<'_>) {}
}

/// What a watcher is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Told<'a> {
    /// A tool is built or compiled.
    Loading(Progress<'a>),
    /// Another run of the session goes on, and this one waits for its end.
    Queued(&'a SessionKey),
    /// The agent of a recorded run has changed since.
    Changed(&'a Changed),
    /// A run begins, or goes on.
    Began {
        /// The run.
        run: RunId,
        /// What it is.
        manifest: &'a Manifest,
    },
    /// An effect of the run.
    Effect(&'a Notice<'a>),
    /// Something went wrong beside the run that somebody should know: the run goes on, or has ended, all the same.
    Trouble(&'a str),
}

/// What has changed since a run was recorded, and what follows from that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The run that goes on.
    pub run: RunId,
    /// A line for each thing that changed.
    pub changes: Vec<String>,
    /// Whether the run goes on all the same.
    pub change: Change,
    /// Whether a model has replied in it.
    pub has_replied: bool,
}
