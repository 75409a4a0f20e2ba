//! One effect that is not recorded to its end: what the journal says to it, its attempts, and the end that is recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::recorder::Recorder;
use super::{
    Attempt, CarryOut, Conduct, DivergenceKind, Done, Doubt, Mode, Notice, Session, SessionError, Settlement,
    Waiting, Wants, diverged, now_ms,
};
use crate::journal::{Claim, Due, Failed, Finished, JournalStore, Started, Ticket};
use crate::message::{Digest, ErrorKind, Outcome, Request, Slot, ToolOutcome, Trace, Usage, Used};

/// What is to be carried out, and what it is known by.
pub(super) struct Issued {
    pub(super) slot: Slot,
    pub(super) request: Request,
    pub(super) digest: Digest,
}

/// What an effect came to.
pub(super) struct Came {
    pub(super) outcome: Outcome,
    /// What the agent used that was called, if it was one.
    pub(super) used: Option<Used>,
}

/// What becomes of an attempt that is in doubt.
enum Decided {
    /// Another one is made.
    Again,
    /// This attempt came to this.
    Ended(u32, ToolOutcome),
}

impl Session {
    /// The result of an effect, by what the journal says to it.
    pub(super) async fn claimed(
        &self,
        effect: Issued,
        claim: Claim,
        conduct: Conduct<'_>,
        carry_out: CarryOut<'_>,
    ) -> Result<Came, SessionError> {
        let (store, due, begun) = match (claim, &self.mode) {
            (Claim::Substitute(finished), Mode::Live(_) | Mode::Replay) => {
                self.cursor().forget_below(&effect.slot);
                return Ok(self.ended(&effect, *finished, true));
            }
            (Claim::Attempt(due), Mode::Live(store)) => (store, due, None),
            (Claim::InDoubt(_, due), Mode::Live(store)) if conduct.doubt == Doubt::Repeat => {
                (store, due, None)
            }
            (Claim::InDoubt(started, due), Mode::Live(store)) if conduct.doubt == Doubt::GoOn => {
                (store, Due { attempt: started.attempt, ..due }, Some(started.at_ms))
            }
            (Claim::InDoubt(started, due), Mode::Live(store)) => {
                match self.decision(&effect.slot, *started)? {
                    Decided::Again => (store, due, None),
                    Decided::Ended(attempt, outcome) => {
                        return self.settle(store, &effect, due.ticket, attempt, outcome).await;
                    }
                }
            }
            (Claim::Attempt(_) | Claim::InDoubt(..), Mode::Replay) => {
                return Err(SessionError::Unfinished { slot: effect.slot });
            }
            (Claim::Diverged(recorded, _), Mode::Live(_) | Mode::Replay) => {
                let kind = DivergenceKind::other_request(recorded, effect.request);
                return Err(diverged(effect.slot, kind));
            }
            (Claim::Taken, Mode::Live(_) | Mode::Replay) => {
                return Err(SessionError::Taken { slot: effect.slot });
            }
        };
        self.attempts(&**store, effect, (due, begun), conduct, carry_out).await
    }

    /// Carries an effect out, attempt by attempt, until one of them is its end or there is nothing more to try. The
    /// first attempt may have begun already.
    async fn attempts(
        &self,
        store: &dyn JournalStore,
        effect: Issued,
        (mut due, mut begun): (Due, Option<u64>),
        conduct: Conduct<'_>,
        carry_out: CarryOut<'_>,
    ) -> Result<Came, SessionError> {
        let slot = &effect.slot;
        let recorder = Recorder { session: self, store, slot, ticket: due.ticket };
        loop {
            wait(due.at_ms, conduct.retry.longest_ms()).await;
            let seat = match conduct.room {
                Some(room) => Some(room.seat().await),
                None => None,
            };
            let mut attempt = Attempt {
                failures: due.failures,
                fallbacks: due.fallbacks,
                too_long: due.too_long,
                ..Attempt::new(self.facts.run, self.seed, slot, due.attempt, begun.unwrap_or_else(now_ms))
            };
            let idempotency_key = attempt.idempotency_key;
            match begun.take() {
                None => recorder.begin(&effect, &attempt, conduct.reach).await?,
                Some(_) => recorder.go_on(&effect, &attempt).await,
            }
            attempt.span = (self.spans)(slot);
            let clock = Instant::now();
            let Done { value: outcome, usage, trace, by } = carry_out(attempt).await?;
            let wall_us = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
            drop(seat);
            let (attempt, at_ms, usage) = (due.attempt, now_ms(), Usage { wall_us, ..usage });
            let failures = due.failures.saturating_add(1);
            let falls_back = outcome.falls_back();
            let retry = match conduct.doubt {
                Doubt::Repeat if falls_back => Some(0),
                Doubt::Repeat if outcome.may_pass() => {
                    conduct.retry.delay_ms(failures, &idempotency_key, outcome.asked_ms())
                }
                Doubt::Repeat | Doubt::Ask | Doubt::GoOn => None,
            };
            if retry.is_none() && outcome.is_end() {
                let finished = Finished { attempt, at_ms, outcome, usage, trace, settled: false, by };
                let finished = recorder.end(finished).await?;
                return Ok(self.ended(&effect, finished, false));
            }
            let (retry_ms, gave_up) = (retry.unwrap_or_default(), retry.is_none());
            let failed = Failed { attempt, at_ms, retry_ms, gave_up, outcome, usage, trace };
            let failed = recorder.fail(&effect, failed).await?;
            let too_long = due.too_long || failed.was_too_long();
            if gave_up {
                return Ok(Came { outcome: failed.outcome, used: None });
            }
            due = Due {
                attempt: attempt.saturating_add(1),
                failures: if falls_back { 0 } else { failures },
                fallbacks: due.fallbacks.saturating_add(u32::from(falls_back)),
                too_long,
                at_ms: at_ms.saturating_add(retry_ms),
                ..due
            };
        }
    }

    /// What a person said of an attempt that is in doubt.
    fn decision(&self, slot: &Slot, started: Started) -> Result<Decided, SessionError> {
        let Started { attempt, at_ms, request, .. } = started;
        match self.settlements.lock().get(slot) {
            Some(Settlement::Retry) => Ok(Decided::Again),
            Some(Settlement::Failed) => {
                Ok(Decided::Ended(attempt, ToolOutcome::error(ErrorKind::InDoubt, SETTLED_FAILED)))
            }
            Some(Settlement::Result(json)) => Ok(Decided::Ended(attempt, ToolOutcome::Output(json.clone()))),
            None => {
                let waiting = Waiting { slot: slot.clone(), request, at_ms, wants: Wants::Settlement };
                Err(SessionError::Waits(vec![waiting]))
            }
        }
    }

    /// Records what a person says that an attempt came to.
    async fn settle(
        &self,
        store: &Arc<dyn JournalStore>,
        effect: &Issued,
        ticket: Ticket,
        attempt: u32,
        outcome: ToolOutcome,
    ) -> Result<Came, SessionError> {
        let (usage, trace) = (Usage::default(), Trace::default());
        let outcome = Outcome::Tool(outcome);
        let by = self.by.clone();
        let finished = Finished { attempt, at_ms: now_ms(), outcome, usage, trace, settled: true, by };
        let recorder = Recorder { session: self, store: &**store, slot: &effect.slot, ticket };
        let finished = recorder.end(finished).await?;
        Ok(self.ended(effect, finished, false))
    }

    /// What is recorded as the end of an effect.
    fn ended(&self, effect: &Issued, finished: Finished, substituted: bool) -> Came {
        let Issued { slot, request, .. } = effect;
        (self.watch)(&Notice::Finished { slot, request, finished: &finished, substituted });
        Came { used: finished.usage.used, outcome: finished.outcome }
    }
}

/// What the model is told of a call that a person settled as failed.
const SETTLED_FAILED: &str =
    "the host stopped while the call went on; whether it took effect is not known, and it counts as failed";

/// Waits until a moment, but no longer than `ms_max`: the clock may have been set back meanwhile.
async fn wait(at_ms: u64, ms_max: u64) {
    let left = at_ms.saturating_sub(now_ms()).min(ms_max);
    if left > 0 {
        tokio::time::sleep(Duration::from_millis(left)).await;
    }
}
