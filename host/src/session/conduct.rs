use std::collections::HashMap;

use futures::future::BoxFuture;

use crate::journal::Change;
use crate::message::{By, Caller, Digest, Hasher, Json, Retry, RunId, Slot};

/// How an effect may be carried out.
#[derive(Clone, Copy)]
pub struct Conduct<'a> {
    /// Whether it can be noticed outside of this process.
    pub reach: Reach,
    /// What happens when it began and its end was never recorded.
    pub doubt: Doubt,
    /// When a failure that may pass is followed by another attempt; for effects that may be repeated.
    pub retry: Retry,
    /// What each attempt waits for before it begins.
    pub room: Option<&'a dyn Room>,
}

/// Room for attempts of which only so many may go on at once. An attempt that waits for room has not begun: whatever
/// happens to the process then, nobody has to ask whether the attempt took effect.
pub trait Room: Send + Sync {
    /// Waits for room for one attempt.
    fn seat(&self) -> BoxFuture<'_, Seat<'_>>;
}

/// Room that an attempt has until it drops this.
pub type Seat<'a> = Box<dyn Send + 'a>;

/// Whether an effect can be noticed outside of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It cannot: carried out twice, it is as if carried out once.
    Pure,
    /// It can, so its start is durable before it begins.
    Outside,
}

/// What to do about an effect that is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Carry it out again: twice is as good as once.
    Repeat,
    /// Ask a person: twice may do harm, and so may not at all.
    Ask,
    /// Go on with it: it is a person, or a moment, that it waits for, or what it did so far is recorded below it.
    GoOn,
}

/// What a person decided before a run goes on. By default: nothing.
#[derive(Clone, Debug)]
pub struct Decisions {
    /// What becomes of effects that are in doubt.
    pub settlements: Settlements,
    /// Whether the run may be carried on as another one than it was begun as.
    pub change: Change,
    /// Whether the run goes on if it was cancelled.
    pub again: bool,
    /// Who decided that.
    pub by: Option<By>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self { settlements: Settlements::new(), change: Change::Refused, again: false, by: None }
    }
}

/// What a person says of effects that are in doubt.
pub type Settlements = HashMap<Slot, Settlement>;

/// What a person says of an effect that is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It did not take place, or may take place twice: carry it out again.
    Retry,
    /// It counts as failed.
    Failed,
    /// It took place, and this is what it gave.
    Result(Json),
}

/// One attempt of an effect, as the effect sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where in the run.
    pub slot: Slot,
    /// From 1.
    pub number: u32,
    /// When it began, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// The same for every attempt of this slot of this run.
    pub idempotency_key: Digest,
    /// How many attempts failed before it, since the last time that the run broke off or another model stood in.
    pub failures: u32,
    /// How many models were given up at this slot before it, since the run broke off.
    pub fallbacks: u32,
    /// Whether an attempt before it found the request too long, since the run broke off.
    pub too_long: bool,
    /// The run's seed: with the key it decides on the random numbers that a guest sees.
    pub seed: u64,
    /// The span of the effect, if it is exported.
    pub span: Option<Caller>,
}

impl Attempt {
    /// An attempt at a slot of a run.
    #[must_use]
    pub fn new(run: RunId, seed: u64, slot: &Slot, number: u32, at_ms: u64) -> Self {
        let idempotency_key =
            Hasher::default().part(&run.to_bytes()).part(slot.to_string().as_bytes()).finish();
        let (slot, failures, fallbacks, too_long, span) = (slot.clone(), 0, 0, false, None);
        Self { slot, number, at_ms, idempotency_key, failures, fallbacks, too_long, seed, span }
    }
}
