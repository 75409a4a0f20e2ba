//! One run's choke point: every model request and every tool call goes through an [`Execution`], which records it or
//! substitutes what is recorded. [`Session`] is the one over a journal.
//!
//! The only place that knows about replay. Owns the cursor over what is recorded and the order of
//! recording: start, effect, end, each durable where it has to be. Does not know what a model or a tool
//! is. Invariant: an effect whose end is recorded is never carried out again, and the caller never sees a
//! result that is not durable. It fails with a [`SessionError`]; a divergence changes nothing.

mod clock;
mod conduct;
mod divergence;
mod effect;
mod error;
mod execution;
mod fan_out;
mod journaled;
mod notice;
mod outcome;
mod recorder;

pub use clock::{Clock, Held};
pub use conduct::{Attempt, Conduct, Decisions, Doubt, Reach, Room, Seat, Settlement, Settlements};
pub use divergence::{DIFF_TIME_MAX, Divergence, DivergenceKind, diff};
pub use error::{SessionError, Waiting, Wants};
pub use execution::{
    Answered, Ask, CarryOut, CarryOutChild, ChildEnded, Effect, End, Execution, Facts, Performed,
};
pub use fan_out::{CALL_DEPTH_MAX, CalledAll, FanOut, NoCalls, Stopped};
pub use notice::{Notice, SpanAt, Watch};
pub use outcome::{Done, Recorded};

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::journal::{
    Change, Claim, Cursor, Durability, Entry, Event, Finished, JournalStore, Started, Status, statuses,
};
use crate::message::{By, Ending, Manifest, Moment, Request, RunId, Slot, Trace, Usage, Used};

/// A run being carried out, resumed or replayed.
pub struct Session {
    facts: Facts,
    seed: u64,
    mode: Mode,
    settlements: Mutex<Settlements>,
    /// Who settled, and accepted changes.
    by: Option<By>,
    cursor: Mutex<Cursor>,
    watch: Watch,
    spans: SpanAt,
    root: Root,
    /// The time that the run has taken, but for that in which a person or a moment was waited for.
    clock: Clock,
}

/// What happens where no result is recorded.
#[derive(Clone)]
pub enum Mode {
    /// It is obtained, and recorded in this store.
    Live(Arc<dyn JournalStore>),
    /// Nothing is obtained: the recording ends there.
    Replay,
}

/// The run itself, as an effect.
enum Root {
    /// This attempt of it is going on.
    Attempt(AtomicU32),
    /// It ended before, like this; what it used is recorded with that, but for a run of before there was this.
    Ended(Ending, Option<Used>),
}

impl Session {
    /// Opens a run: a new one, where `entries` is empty, or one that is recorded up to some point. The
    /// manifest is durable when this returns; one that differs from the recorded manifest is a divergence, unless
    /// the change is accepted: then results that are recorded are kept, and the rest is carried out as it is now.
    pub async fn open(
        run: RunId,
        mode: Mode,
        entries: Vec<Entry>,
        manifest: &Manifest,
        decisions: Decisions,
        watch: Watch,
    ) -> Result<Self, SessionError> {
        let mut cursor =
            Cursor::load(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
        let request = Request::Run(Box::new(manifest.clone()));
        let digest = request.digest();
        let Decisions { settlements, change, again, by } = decisions;
        let mut kept = None;
        let is_revived = again && cursor.revive();
        let root = match cursor.claim(&Slot::RUN, digest) {
            // A run that broke off goes on: that is what the slots below it are for.
            Claim::Attempt(due) | Claim::InDoubt(_, due) => Root::Attempt(due.attempt.into()),
            Claim::Substitute(finished) => match Ending::from_outcome(finished.outcome) {
                Some(ending) => Root::Ended(ending, finished.usage.used),
                None => return Err(diverged(Slot::RUN, DivergenceKind::OtherOutcome)),
            },
            Claim::Diverged(_, Some(due)) if change == Change::Accepted => {
                kept = Some(cursor.accept_changes());
                Root::Attempt(due.attempt.into())
            }
            Claim::Diverged(recorded, _) => {
                return Err(diverged(Slot::RUN, DivergenceKind::other_request(recorded, request)));
            }
            Claim::Taken => return Err(SessionError::Taken { slot: Slot::RUN }),
        };
        let Manifest { seed, rules, .. } = *manifest;
        let (words, is_live) = (manifest.words.clone(), matches!(mode, Mode::Live(_)));
        let facts = Facts { run, rules, words, is_live };
        let (cursor, clock) = (Mutex::new(cursor), Clock::default());
        let spans: SpanAt = Box::new(|_| None);
        let settlements = Mutex::new(settlements);
        let session = Self { facts, seed, mode, settlements, by, cursor, watch, spans, root, clock };
        if let (Mode::Live(store), Root::Attempt(number)) = (&session.mode, &session.root) {
            let by = session.by.clone().filter(|_| is_revived);
            let attempt = number.load(Ordering::Relaxed);
            let started = Started { attempt, at_ms: now_ms(), digest, request, kept, by };
            let entry = Entry::new(run, Slot::RUN, Event::Started(started));
            store.append(&entry, Durability::Now).durable().await?;
        }
        Ok(session)
    }

    /// The same, and this tells which span an effect that goes on has.
    #[must_use]
    pub fn traced_by(self, spans: SpanAt) -> Self {
        Self { spans, ..self }
    }

    /// The same, and an effect can be asked for again once it is [released](Self::release).
    #[must_use]
    pub fn asked_again(self) -> Self {
        self.cursor().let_ask_again();
        self
    }

    /// Lets an effect be asked for again that was [asked for](Execution::perform), and of which that is over.
    pub fn release(&self, slot: &Slot) {
        self.cursor().release(slot);
    }

    /// Takes in what somebody else recorded of an effect, and of the decision on it, and lets both be asked for again.
    pub fn take_in(&self, slot: &Slot, entries: Vec<Entry>) -> Result<(), SessionError> {
        let mut slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
        let mut cursor = self.cursor();
        for slot in [slot.clone(), slot.approval()] {
            if let Some(status) = slots.remove(&slot) {
                cursor.renew(&slot, status);
            }
            cursor.release(&slot);
        }
        Ok(())
    }

    /// Takes in what a person says of an effect that is in doubt.
    pub fn take_word(&self, slot: Slot, settlement: Settlement) {
        self.settlements.lock().insert(slot, settlement);
    }

    /// Gives what is recorded, slot by slot, to somebody.
    pub fn recorded(&self, mut to: impl FnMut(&Slot, &Status)) {
        self.cursor().recorded().for_each(|(slot, status)| to(slot, status));
    }

    /// Records that the run goes on anew, and says which attempt of it that is: its number is higher than any before.
    /// A run that has ended does not.
    pub async fn go_on_anew(&self, manifest: &Manifest, by: By) -> Result<Option<u32>, SessionError> {
        let (Mode::Live(store), Root::Attempt(number)) = (&self.mode, &self.root) else { return Ok(None) };
        let attempt = number.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let request = Request::Run(Box::new(manifest.clone()));
        let (at_ms, digest, by) = (now_ms(), request.digest(), Some(by));
        let started = Started { attempt, at_ms, digest, request, kept: None, by };
        let entry = Entry::new(self.facts.run, Slot::RUN, Event::Started(started));
        store.append(&entry, Durability::Now).durable().await?;
        Ok(Some(attempt))
    }

    /// Ends the run at a slot: `ending` is durable when this returns, if it is the run itself. Where an ending is
    /// recorded it has to be the same, and every slot recorded below has to have been asked for. How an agent ended
    /// that was called at a slot is recorded as what the call came to, by who called it.
    async fn finish(&self, run: &Slot, ending: Ending, used: Used) -> Result<Ending, SessionError> {
        let left_over = self.cursor().left_over(run);
        if let Some(first) = left_over.first().cloned() {
            return Err(diverged(first, DivergenceKind::LeftOver(left_over)));
        }
        self.stop(run, ending, used).await
    }

    /// Ends the run at a slot where it stands, as a limit from outside does: recorded slots may be left over. Such a
    /// limit may be recorded although a replay comes further.
    pub async fn stop(&self, run: &Slot, ending: Ending, used: Used) -> Result<Ending, SessionError> {
        if *run != Slot::RUN {
            return Ok(ending);
        }
        match (&self.root, &self.mode) {
            (Root::Ended(recorded, _), _) if recorded.is_alike(&ending) || recorded.is_from_outside() => {
                Ok(recorded.clone())
            }
            (Root::Ended(recorded, _), _) => {
                let kind = DivergenceKind::OtherEnding { recorded: recorded.clone(), attempted: ending };
                Err(diverged(Slot::RUN, kind))
            }
            (Root::Attempt(_), Mode::Replay) => Ok(ending),
            (Root::Attempt(number), Mode::Live(store)) => {
                let outcome = ending.clone().into_outcome();
                let finished = Finished {
                    attempt: number.load(Ordering::Relaxed),
                    at_ms: now_ms(),
                    outcome,
                    usage: Usage { used: Some(used), ..Usage::default() },
                    trace: Trace::default(),
                    settled: false,
                    by: None,
                };
                let entry = Entry::new(self.facts.run, Slot::RUN, Event::Finished(finished));
                store.append(&entry, Durability::Now).durable().await?;
                Ok(ending)
            }
        }
    }

    /// How the run ended before this session, if it did.
    #[must_use]
    pub fn recorded_ending(&self) -> Option<&Ending> {
        match &self.root {
            Root::Ended(ending, _) => Some(ending),
            Root::Attempt(_) => None,
        }
    }

    /// What the run had used when it ended before this session, if it did and that is recorded.
    #[must_use]
    pub fn recorded_used(&self) -> Option<Used> {
        match self.root {
            Root::Ended(_, used) => used,
            Root::Attempt(_) => None,
        }
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock()
    }
}

fn diverged(slot: Slot, kind: DivergenceKind) -> SessionError {
    SessionError::Diverged(Box::new(Divergence { slot, kind }))
}

/// Milliseconds since 1970-01-01T00:00:00Z.
fn now_ms() -> u64 {
    Moment::now().0
}
