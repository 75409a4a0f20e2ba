//! Runs that go on from each other, by the key of their session: whose turn it is, and what was said before.
//!
//! One run of a session works at a time. Within the process, runs queue by a lock per key, which is fair. Between
//! processes, they queue where the sessions are kept ([`Sessions::turn`]). A run that waits costs no thread.

use std::path::PathBuf;
use std::sync::{Arc, Once};

use tokio::sync::OwnedMutexGuard;

use super::locks::Locks;
use super::reading::recorded;
use super::watch::{Told, Watcher};
use crate::agent::{Agent, RunError};
use crate::journal::{Entry, JournalError, OpenSession, Runs, Sessions, ending, manifest};
use crate::message::{Before, Ending, Manifest, Message, RunId, SessionKey, Slot};
use crate::session::{Decisions, Mode, Notice, Session, SessionError};

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConversationError {
    /// Its last run is not there any more.
    #[error("the last run of the session {session}, {run}, is not in {}", path.display())]
    RunGone {
        /// The session.
        session: SessionKey,
        /// Its last run.
        run: RunId,
        /// Where the runs are.
        path: PathBuf,
    },
    /// Its last run is one of another agent, or of another session.
    #[error("the session {session} is with another agent than {agent}: its last run, {run}, is one of {other}{}", in_session(.of.as_ref()))]
    OtherAgent {
        /// The session.
        session: SessionKey,
        /// The agent that is to go on with it.
        agent: String,
        /// Its last run.
        run: RunId,
        /// The agent of that run.
        other: String,
        /// The session that is recorded in that run.
        of: Option<SessionKey>,
    },
    /// Its last run has not ended.
    #[error("the last run of the session {session} has not ended")]
    Unfinished {
        /// The session.
        session: SessionKey,
        /// Its last run.
        run: RunId,
    },
    /// What was said before cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was said before cannot be replayed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What was said before cannot be replayed.
    #[error(transparent)]
    Replay(#[from] RunError),
}

fn in_session(key: Option<&SessionKey>) -> String {
    key.map_or_else(String::new, |key| format!(" in the session {key}"))
}

/// The sessions of an engine, and who waits for them in this process.
#[derive(Debug)]
pub(super) struct Conversations {
    sessions: Box<dyn Sessions>,
    locks: Locks<SessionKey>,
}

/// What was said in a session before a run of it.
#[derive(Debug, Default)]
pub(super) struct SaidBefore {
    /// All of it.
    pub(super) messages: Vec<Message>,
    /// The run whose record holds the beginning of it.
    pub(super) before: Option<Before>,
}

impl SaidBefore {
    /// What was said by the end of a run.
    fn after(run: RunId, its: &[Message], messages: Vec<Message>) -> Self {
        // Where a summary took the place of what was said, the next run holds all that there is now.
        let goes_on = !its.is_empty() && messages.starts_with(its);
        let held = u32::try_from(its.len()).ok().filter(|_| goes_on);
        let before =
            held.map(|held| Before { run, messages: held, conversation: Before::digest_of(&messages) });
        Self { messages, before }
    }

    /// The same for a run of another session, which may be removed without this one.
    pub(super) fn held_whole(self) -> Self {
        Self { before: None, ..self }
    }
}

/// The right to add a run to a session, held until it is dropped.
#[derive(Debug)]
pub struct Turn {
    /// The session's runs.
    pub(crate) session: OpenSession,
    _here: OwnedMutexGuard<()>,
}

impl Conversations {
    pub(super) fn new(sessions: Box<dyn Sessions>) -> Self {
        Self { sessions, locks: Locks::default() }
    }

    pub(super) fn sessions(&self) -> &dyn Sessions {
        &*self.sessions
    }

    /// Waits until it is this run's turn. Tells the watcher if it has to wait.
    pub(super) async fn take_turn(
        &self,
        key: &SessionKey,
        watcher: &dyn Watcher,
    ) -> Result<Turn, JournalError> {
        let told = Once::new();
        let queued = || told.call_once(|| watcher.tell(Told::Queued(key)));
        let here = self.locks.lock(key, queued).await;
        Ok(Turn { session: self.sessions.turn(key, &queued).await?, _here: here })
    }
}

impl Turn {
    /// What was said in the session with an agent before a run that is to be its last one, wherever it stands in it now;
    /// `None` if nothing was.
    pub(super) async fn said_before(
        &self,
        new: RunId,
        key: &SessionKey,
        runs: &Arc<dyn Runs>,
        agent: &str,
    ) -> Result<Option<SaidBefore>, ConversationError> {
        for run in self.session.runs().iter().rev().copied().filter(|run| *run != new) {
            if let Some(said) = said_after(run, key, runs, agent).await? {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }
}

/// What was said in a session by the end of one of its runs; `None` if that run was killed before it began.
pub(super) async fn said_after(
    run: RunId,
    key: &SessionKey,
    runs: &Arc<dyn Runs>,
    agent: &str,
) -> Result<Option<SaidBefore>, ConversationError> {
    let session = || key.clone();
    let entries = match recorded(run, runs).await {
        Err(JournalError::UnknownRun { .. }) => {
            let path = runs.place();
            return Err(ConversationError::RunGone { session: session(), run, path });
        }
        entries => entries?,
    };
    let Some(manifest) = manifest(&entries).cloned() else { return Ok(None) };
    if manifest.session.as_ref() != Some(key) || manifest.agent != agent {
        let (agent, other) = (agent.to_owned(), manifest.agent);
        let of = manifest.session;
        return Err(ConversationError::OtherAgent { session: session(), agent, run, other, of });
    }
    match ending(&entries) {
        // It never asked for anything, so nothing was said in it.
        Some(Ending::Cancelled(_)) if entries.iter().all(|entry| entry.slot == Slot::RUN) => Ok(None),
        None => Err(ConversationError::Unfinished { session: session(), run }),
        // What a model refused to speak about is not brought up again.
        Some(Ending::Refused(_)) => {
            Ok(Some(SaidBefore { messages: manifest.earlier, before: manifest.before }))
        }
        Some(
            Ending::Answer(_)
            | Ending::Limit(_)
            | Ending::Unfit { .. }
            | Ending::Empty(_)
            | Ending::Cancelled(_),
        ) => {
            let its = manifest.earlier.clone();
            Ok(Some(SaidBefore::after(run, &its, said_by(run, entries, manifest).await?)))
        }
    }
}

/// What was said by the end of a run, gathered by a replay of it.
async fn said_by(
    run: RunId,
    entries: Vec<Entry>,
    manifest: Manifest,
) -> Result<Vec<Message>, ConversationError> {
    let unwatched = Box::new(|_: &Notice<'_>| {});
    let session =
        Session::open(run, Mode::Replay, entries, &manifest, Decisions::default(), unwatched).await?;
    let (_, talk) = Agent::recorded(manifest, session).again().await?;
    Ok(talk.into_earlier())
}
