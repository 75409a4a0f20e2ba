//! One run's choke point: every model request and every tool call goes through [`Session::effect`], which
//! records it or substitutes what is recorded.
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
mod fan_out;
mod notice;
mod outcome;
mod recorder;

pub use clock::{Clock, Held};
pub use conduct::{Attempt, Conduct, Decisions, Doubt, Reach, Room, Seat, Settlement, Settlements};
pub use divergence::{DIFF_TIME_MAX, Divergence, DivergenceKind, diff};
use effect::Effect;
pub use error::{SessionError, Waiting, Wants};
pub use fan_out::{CALL_DEPTH_MAX, FanOut, NoCalls, Stopped};
pub use notice::{Notice, SpanAt, Watch};
pub use outcome::{Done, Recorded};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::{Change, Claim, Cursor, Durability, Entry, Event, Finished, JournalStore, Started};
use crate::message::{
    By, Caller, Ending, Manifest, MessageRef, Moment, Outcome, Request, Rules, RunId, Slot, ToolOutcome,
    Trace, Usage, Used, Words,
};

/// A run being carried out, resumed or replayed.
pub struct Session {
    run: RunId,
    seed: u64,
    rules: Rules,
    /// In which words the host speaks, as it is recorded.
    words: Option<Arc<Words>>,
    mode: Mode,
    settlements: Settlements,
    /// Who settled, and accepted changes.
    by: Option<By>,
    cursor: Mutex<Cursor>,
    watch: Watch,
    spans: SpanAt,
    root: Root,
    clock: Clock,
    /// What the agents used whose calls have ended, by slot.
    used: Mutex<HashMap<Slot, Used>>,
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
    Attempt(u32),
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
            Claim::Attempt(due) | Claim::InDoubt(_, due) => Root::Attempt(due.attempt),
            Claim::Substitute(finished) => match Ending::from_outcome(finished.outcome) {
                Some(ending) => Root::Ended(ending, finished.usage.used),
                None => return Err(diverged(Slot::RUN, DivergenceKind::OtherOutcome)),
            },
            Claim::Diverged(_, Some(due)) if change == Change::Accepted => {
                kept = Some(cursor.accept_changes());
                Root::Attempt(due.attempt)
            }
            Claim::Diverged(recorded, _) => {
                return Err(diverged(Slot::RUN, DivergenceKind::other_request(recorded, request)));
            }
            Claim::Taken => return Err(SessionError::Taken { slot: Slot::RUN }),
        };
        let Manifest { seed, rules, .. } = *manifest;
        let words = manifest.words.clone();
        let (cursor, used, clock) = (Mutex::new(cursor), Mutex::default(), Clock::default());
        let spans: SpanAt = Box::new(|_| None);
        let session =
            Self { run, seed, rules, words, mode, settlements, by, cursor, watch, spans, root, clock, used };
        if let (Mode::Live(store), Root::Attempt(number)) = (&session.mode, &session.root) {
            let by = session.by.clone().filter(|_| is_revived);
            let started = Started { attempt: *number, at_ms: now_ms(), digest, request, kept, by };
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

    /// The span that an effect has that goes on at a slot, if it is exported.
    #[must_use]
    pub fn span_at(&self, slot: &Slot) -> Option<Caller> {
        (self.spans)(slot)
    }

    /// The result of `request` at `slot`: the recorded one, or the one that `carry_out` obtains, attempt by
    /// attempt, which is durable when this returns. On replay `carry_out` is not even called.
    pub async fn effect<T, E, F>(
        &self,
        slot: Slot,
        request: Request,
        conduct: Conduct<'_>,
        carry_out: impl Fn(Attempt) -> F,
    ) -> Result<T, E>
    where
        T: Recorded,
        E: From<SessionError>,
        F: Future<Output = Result<Done<T>, E>>,
    {
        let effect = Effect { digest: request.digest(), slot, request };
        let claim = self.cursor().claim(&effect.slot, effect.digest);
        self.claimed(effect, claim, conduct, carry_out).await
    }

    /// The result of a call that is made up of the effects below it, as that of an agent is: the same as
    /// [`Session::effect`], but a replay goes through what is below it, and holds what that comes to against the
    /// recorded result: unless a person said what it came to, or had the run go on with something changed.
    pub async fn composite<F>(
        &self,
        slot: Slot,
        request: Request,
        conduct: Conduct<'_>,
        carry_out: impl Fn(Attempt) -> F,
    ) -> Result<ToolOutcome, SessionError>
    where
        F: Future<Output = Result<Done<ToolOutcome>, SessionError>>,
    {
        let effect = Effect { digest: request.digest(), slot, request };
        let claim = self.cursor().claim(&effect.slot, effect.digest);
        if let (Claim::Substitute(recorded), Mode::Replay) = (&claim, &self.mode)
            && !recorded.settled
            && !self.cursor().is_kept(&effect.slot)
        {
            let attempt = Attempt::new(self.run, self.seed, &effect.slot, recorded.attempt, recorded.at_ms);
            let attempted = match carry_out(attempt).await {
                Ok(done) => done.value.into_outcome(),
                // It was stopped in the middle of things: as far as it went, it is the recorded one.
                Err(SessionError::Unfinished { .. })
                    if matches!(recorded.outcome, Outcome::Tool(ToolOutcome::Error(_))) =>
                {
                    recorded.outcome.clone()
                }
                Err(error) => return Err(error),
            };
            if !are_alike(&attempted, &recorded.outcome) && !is_out_of_time(&recorded.outcome) {
                let (recorded, attempted) = (Box::new(recorded.outcome.clone()), Box::new(attempted));
                let kind = DivergenceKind::OtherResult { recorded, attempted };
                return Err(diverged(effect.slot, kind));
            }
        }
        self.claimed(effect, claim, conduct, carry_out).await
    }

    /// Ends the run at a slot: `ending` is durable when this returns, if it is the run itself. Where an ending is
    /// recorded it has to be the same, and every slot recorded below has to have been asked for. How an agent ended
    /// that was called at a slot is recorded as what the call came to, by who called it.
    pub async fn finish(&self, run: &Slot, ending: Ending, used: Used) -> Result<Ending, SessionError> {
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
                    attempt: *number,
                    at_ms: now_ms(),
                    outcome,
                    usage: Usage { used: Some(used), ..Usage::default() },
                    trace: Trace::default(),
                    settled: false,
                    by: None,
                };
                let entry = Entry::new(self.run, Slot::RUN, Event::Finished(finished));
                store.append(&entry, Durability::Now).durable().await?;
                Ok(ending)
            }
        }
    }

    /// Whether the effect at a slot has ended, so that nothing is to be decided about it any more.
    #[must_use]
    pub fn has_ended(&self, slot: &Slot) -> bool {
        self.cursor().ended(slot).is_some()
    }

    /// What was decided at a slot, whatever it was asked about.
    #[must_use]
    pub fn decided<T: Recorded>(&self, slot: &Slot) -> Option<T> {
        let outcome = self.cursor().ended(slot)?.outcome.clone();
        T::from_outcome(outcome)
    }

    /// Tells the watcher what is heard of a reply that is on its way.
    pub fn heard(&self, slot: &Slot, text: &str) {
        (self.watch)(&Notice::Heard { slot, text });
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// How the run ended before this session, if it did.
    #[must_use]
    pub fn recorded_ending(&self) -> Option<&Ending> {
        match &self.root {
            Root::Ended(ending, _) => Some(ending),
            Root::Attempt(_) => None,
        }
    }

    /// What the run goes by.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// In which words the host says what it says around other texts.
    #[must_use]
    pub fn words(&self) -> &Words {
        self.words.as_deref().unwrap_or_else(|| Words::first())
    }

    /// The manifest of an agent as it is called in this run: by its rules, and in its words.
    #[must_use]
    pub fn called_in(&self, agent: &Manifest) -> Manifest {
        Manifest { rules: self.rules, words: self.words.clone(), ..agent.clone() }
    }

    /// What a model was told when it was asked at a slot, and not in the request before; nothing if it was not asked yet.
    #[must_use]
    pub fn said_at(&self, slot: &Slot) -> Vec<MessageRef> {
        match self.cursor().asked(slot) {
            Some(Request::Model(ask)) => ask.appended.clone(),
            Some(Request::Run(_) | Request::Tool(_) | Request::Approval(_)) | None => Vec::new(),
        }
    }

    /// The time that the run has taken, but for that in which a person or a moment was waited for.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the run had used when it ended before this session, if it did and that is recorded.
    #[must_use]
    pub fn recorded_used(&self) -> Option<Used> {
        match self.root {
            Root::Ended(_, used) => used,
            Root::Attempt(_) => None,
        }
    }

    /// What the agent used that was called at a slot, by what is recorded as the end of the call.
    #[must_use]
    pub fn used_at(&self, slot: &Slot) -> Option<Used> {
        self.used().get(slot).copied()
    }

    /// Whether missing results are obtained.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live(_))
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Slot, Used>> {
        // It is only ever added to.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        // A claim is one step, so a panic elsewhere leaves nothing half done.
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the call of an agent came to the same twice.
fn are_alike(attempted: &Outcome, recorded: &Outcome) -> bool {
    match (attempted, recorded) {
        (Outcome::Tool(attempted), Outcome::Tool(recorded)) => attempted.is_alike(recorded),
        (
            Outcome::Tool(_)
            | Outcome::Run(_)
            | Outcome::Model(_)
            | Outcome::NoReply(_)
            | Outcome::Decision(_),
            _,
        ) => attempted == recorded,
    }
}

/// Whether it was time that ended an agent's run: what is recorded of it may come to something else.
fn is_out_of_time(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Tool(outcome) if outcome.is_agent_out_of_time())
}

fn diverged(slot: Slot, kind: DivergenceKind) -> SessionError {
    SessionError::Diverged(Box::new(Divergence { slot, kind }))
}

/// Milliseconds since 1970-01-01T00:00:00Z.
fn now_ms() -> u64 {
    Moment::now().0
}
