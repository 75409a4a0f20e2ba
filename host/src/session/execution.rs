use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::{Attempt, Conduct, DivergenceKind, Done, Recorded, SessionError, Wants, diverged};
use crate::message::{
    Ending, Manifest, MessageRef, Moment, Outcome, Request, Rules, RunId, Slot, ToolOutcome, Used, Words,
};

/// The seam between the loop and whatever carries a run out and records it. The loop asks for effects; whether one is
/// carried out, or what is recorded of it stands in, it does not know.
///
/// Effects are issued in program order: a caller calls [`perform`](Self::perform), [`wait`](Self::wait) and
/// [`child`](Self::child) in an order that follows from the run's manifest and from what effects came to, and an effect
/// counts as issued by the call, before the future is polled. They come to their ends in any order. Between two effects
/// the loop looks at no clock and draws no random number, so that a journal may go by slots, as that of [`Session`]
/// does, or by the order in which effects were issued and ended.
///
/// [`Session`]: super::Session
pub trait Execution: Send + Sync {
    /// What holds for the whole run.
    fn facts(&self) -> &Facts;

    /// What an effect comes to: what is recorded, or what `carry_out` obtains, attempt by attempt. It is durable before
    /// the caller sees it.
    fn perform<'a>(&'a self, effect: Effect, conduct: Conduct<'a>, carry_out: CarryOut<'a>) -> Performed<'a>;

    /// What somebody says, or a moment comes to, at a slot: for as long as it takes, and in whatever process. While
    /// this waits the run's time stands still. It fails with [`SessionError::Waits`] if the run is left meanwhile.
    fn wait<'a>(&'a self, effect: Effect, ask: Ask<'a>) -> Performed<'a>;

    /// What a call comes to that is made up of the effects of a child: the run of an agent. The child may have a journal
    /// of its own, so `carry_out` is given what the child's effects are to go through.
    fn child<'a>(
        self: Arc<Self>,
        effect: Effect,
        conduct: Conduct<'a>,
        carry_out: CarryOutChild<'a>,
    ) -> BoxFuture<'a, Result<ChildEnded, SessionError>>;

    /// Ends the run at a slot, or that of a child, and says how it ended: durably, if it is the run itself.
    fn end<'a>(
        &'a self,
        run: &'a Slot,
        end: End,
        ending: Ending,
        used: Used,
    ) -> BoxFuture<'a, Result<Ending, SessionError>>;

    /// Comes when so much of the run's time is over, from the call on. The time in which the run waits does not count.
    fn time_is_up(&self, limit: Duration) -> BoxFuture<'_, ()>;

    /// What an effect came to that has ended before it is asked for; `None` if that cannot be told.
    fn ended_at(&self, slot: &Slot) -> Option<Outcome>;

    /// When an effect ended that a tool asked for, as long as the call of the tool goes on; `None` if that cannot be told.
    fn end_of(&self, slot: &Slot) -> Option<Moment>;

    /// What a model was told when it was asked at a slot, and not in the request before: so that it is told the same in
    /// the same words. Empty if it was not asked yet, or if that cannot be told.
    fn said_at(&self, slot: &Slot) -> Vec<MessageRef>;

    /// Takes in what is heard of a reply that is on its way. It is not recorded.
    fn heard(&self, slot: &Slot, text: &str);
}

/// What holds for a whole run.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The run.
    pub run: RunId,
    /// What the run goes by.
    pub rules: Rules,
    /// In which words the host speaks, as it is recorded.
    pub words: Option<Arc<Words>>,
    /// Whether missing results are obtained.
    pub is_live: bool,
}

/// What is to be carried out.
#[derive(Debug)]
pub struct Effect {
    /// Where in the run. No two effects of a run have the same slot.
    pub slot: Slot,
    /// What is asked for.
    pub request: Request,
}

/// What an effect comes to.
pub type Performed<'a> = BoxFuture<'a, Result<Outcome, SessionError>>;

/// Makes one attempt.
pub type CarryOut<'a> =
    &'a (dyn Fn(Attempt) -> BoxFuture<'a, Result<Done<Outcome>, SessionError>> + Send + Sync + 'a);

/// Asks whoever is there at this moment. It is asked again when the moment comes that it waits for.
pub type Ask<'a> = &'a (dyn Fn(Attempt) -> BoxFuture<'a, Answered> + Send + Sync + 'a);

/// Carries a child out, or the rest of it.
pub type CarryOutChild<'a> = &'a (
        dyn Fn(Attempt, Arc<dyn Execution>) -> BoxFuture<'a, Result<Done<ToolOutcome>, SessionError>>
            + Send
            + Sync
            + 'a
    );

/// What came of asking.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each wait, and it is taken apart at once")]
pub enum Answered {
    /// This was said, or the moment has come.
    Now(Done<Outcome>),
    /// This is waited for.
    Later(Wants),
}

/// What a call came to that was a child.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildEnded {
    /// What the call came to.
    pub outcome: ToolOutcome,
    /// What the child used, if that is recorded.
    pub used: Option<Used>,
}

/// Why a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has come to its end: everything that is recorded was asked for.
    Reached,
    /// It is stopped from outside, where it stands. Such an end may be recorded although a replay comes further.
    Stopped,
}

impl Facts {
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
}

impl dyn Execution + '_ {
    /// The same as [`Execution::perform`], for a result of one kind.
    pub async fn effect<'a, T: Recorded>(
        &'a self,
        slot: Slot,
        request: Request,
        conduct: Conduct<'a>,
        carry_out: CarryOut<'a>,
    ) -> Result<T, SessionError> {
        let effect = Effect { slot: slot.clone(), request };
        of_kind(slot, self.perform(effect, conduct, carry_out).await?)
    }

    /// The same as [`Execution::wait`], for a result of one kind.
    pub async fn word<'a, T: Recorded>(
        &'a self,
        slot: Slot,
        request: Request,
        ask: Ask<'a>,
    ) -> Result<T, SessionError> {
        let effect = Effect { slot: slot.clone(), request };
        of_kind(slot, self.wait(effect, ask).await?)
    }
}

/// The result of one kind; an outcome of another kind is recorded for something else.
pub(super) fn of_kind<T: Recorded>(slot: Slot, outcome: Outcome) -> Result<T, SessionError> {
    T::from_outcome(outcome).ok_or_else(|| diverged(slot, DivergenceKind::OtherOutcome))
}
