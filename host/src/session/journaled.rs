//! A [`Session`] as the loop knows it: effects by slot, over a journal.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::effect::{Came, Issued};
use super::execution::of_kind;
use super::{
    Answered, Ask, Attempt, CarryOut, CarryOutChild, ChildEnded, Conduct, DivergenceKind, Doubt, Effect, End,
    Execution, Facts, Mode, Notice, Performed, Reach, Session, SessionError, Waiting, Wants, diverged,
};
use crate::journal::Claim;
use crate::message::{Ending, MessageRef, Moment, Outcome, Request, Retry, Slot, ToolOutcome, Used};

/// How somebody is asked, and a moment is waited for: in any process, until there is an answer.
const WAITING: Conduct<'static> =
    Conduct { reach: Reach::Outside, doubt: Doubt::GoOn, retry: Retry::NEVER, room: None };

/// A wait that is no longer than this is waited for in this process.
const WAITED_FOR: Duration = Duration::from_mins(1);

impl Session {
    /// Takes an effect in, and says what the journal has of it.
    fn issue(&self, effect: Effect) -> (Issued, Claim) {
        let Effect { slot, request } = effect;
        let effect = Issued { digest: request.digest(), slot, request };
        let claim = self.cursor().claim(&effect.slot, effect.digest);
        (effect, claim)
    }

    /// Asks, and says that the run waits if there is no answer now.
    async fn asked(
        &self,
        attempt: Attempt,
        request: &Request,
        ask: Ask<'_>,
    ) -> Result<super::Done<Outcome>, SessionError> {
        let _still = self.clock.hold();
        loop {
            let wants = match ask(attempt.clone()).await {
                Answered::Now(done) => return Ok(done),
                Answered::Later(wants) => wants,
            };
            if let Wants::Moment(until_ms) = wants {
                let left = Moment(until_ms).since(Moment::now());
                if left <= WAITED_FOR {
                    tokio::time::sleep(left).await;
                    continue;
                }
            }
            let Attempt { slot, at_ms, .. } = attempt;
            return Err(SessionError::Waits(vec![Waiting { slot, request: request.clone(), at_ms, wants }]));
        }
    }

    /// A replay goes through what is below the call of a child, and holds what that comes to against the recorded
    /// result: unless a person said what it came to, or had the run go on with something changed.
    async fn gone_through(
        &self,
        effect: &Issued,
        claim: &Claim,
        carry_out: CarryOut<'_>,
    ) -> Result<(), SessionError> {
        let (Claim::Substitute(recorded), Mode::Replay) = (claim, &self.mode) else { return Ok(()) };
        if recorded.settled || self.cursor().is_kept(&effect.slot) {
            return Ok(());
        }
        let attempt = Attempt::new(self.facts.run, self.seed, &effect.slot, recorded.attempt, recorded.at_ms);
        let attempted = match carry_out(attempt).await {
            Ok(done) => done.value,
            // It was stopped in the middle of things: as far as it went, it is the recorded one.
            Err(SessionError::Unfinished { .. })
                if matches!(recorded.outcome, Outcome::Tool(ToolOutcome::Error(_))) =>
            {
                recorded.outcome.clone()
            }
            Err(error) => return Err(error),
        };
        if are_alike(&attempted, &recorded.outcome) || is_out_of_time(&recorded.outcome) {
            return Ok(());
        }
        let (recorded, attempted) = (Box::new(recorded.outcome.clone()), Box::new(attempted));
        Err(diverged(effect.slot.clone(), DivergenceKind::OtherResult { recorded, attempted }))
    }
}

impl Execution for Session {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn perform<'a>(&'a self, effect: Effect, conduct: Conduct<'a>, carry_out: CarryOut<'a>) -> Performed<'a> {
        let (effect, claim) = self.issue(effect);
        Box::pin(async move { Ok(self.claimed(effect, claim, conduct, carry_out).await?.outcome) })
    }

    fn wait<'a>(&'a self, effect: Effect, ask: Ask<'a>) -> Performed<'a> {
        let (effect, claim) = self.issue(effect);
        Box::pin(async move {
            let request = effect.request.clone();
            let carry_out = |attempt| -> BoxFuture<'_, _> { Box::pin(self.asked(attempt, &request, ask)) };
            Ok(self.claimed(effect, claim, WAITING, &carry_out).await?.outcome)
        })
    }

    fn child<'a>(
        self: Arc<Self>,
        effect: Effect,
        conduct: Conduct<'a>,
        carry_out: CarryOutChild<'a>,
    ) -> BoxFuture<'a, Result<ChildEnded, SessionError>> {
        let (effect, claim) = self.issue(effect);
        Box::pin(async move {
            let slot = effect.slot.clone();
            // What a child does is recorded below the slot of its call, in the same journal.
            let carry_out = |attempt| -> BoxFuture<'_, _> {
                let child = carry_out(attempt, Arc::clone(&self) as Arc<dyn Execution>);
                Box::pin(async { Ok(child.await?.recorded()) })
            };
            self.gone_through(&effect, &claim, &carry_out).await?;
            let Came { outcome, used } = self.claimed(effect, claim, conduct, &carry_out).await?;
            Ok(ChildEnded { outcome: of_kind(slot, outcome)?, used })
        })
    }

    fn end<'a>(
        &'a self,
        run: &'a Slot,
        end: End,
        ending: Ending,
        used: Used,
    ) -> BoxFuture<'a, Result<Ending, SessionError>> {
        match end {
            End::Reached => Box::pin(self.finish(run, ending, used)),
            End::Stopped => Box::pin(self.stop(run, ending, used)),
        }
    }

    fn time_is_up(&self, limit: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.clock.over(limit))
    }

    fn ended_at(&self, slot: &Slot) -> Option<Outcome> {
        self.cursor().ended(slot).map(|finished| finished.outcome.clone())
    }

    fn end_of(&self, slot: &Slot) -> Option<Moment> {
        self.cursor().ended(slot).map(|finished| Moment(finished.at_ms))
    }

    fn said_at(&self, slot: &Slot) -> Vec<MessageRef> {
        match self.cursor().asked(slot) {
            Some(Request::Model(ask)) => ask.appended.clone(),
            Some(Request::Run(_) | Request::Api(_) | Request::Tool(_) | Request::Approval(_)) | None => {
                Vec::new()
            }
        }
    }

    fn heard(&self, slot: &Slot, text: &str) {
        (self.watch)(&Notice::Heard { slot, text });
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
