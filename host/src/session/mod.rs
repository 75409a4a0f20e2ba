//! One run's choke point: every model request and every tool call goes through [`Session::effect`], which
//! records it or substitutes what is recorded.
//!
//! The only place that knows about replay. Owns the cursor over what is recorded and the order of
//! recording: start, effect, end, each durable where it has to be. Does not know what a model or a tool
//! is. Invariant: an effect whose end is recorded is never carried out again, and the caller never sees a
//! result that is not durable. It fails with a [`SessionError`]; a divergence changes nothing.

mod divergence;
mod outcome;

pub use divergence::{Divergence, DivergenceKind};
pub use outcome::{Done, Recorded};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::journal::{
    Claim, Cursor, Durability, Entry, Event, Finished, JournalError, JournalStore, OrderError, Started,
};
use crate::message::{Digest, Ending, Hasher, Manifest, Request, RunId, Slot, Trace, Usage};

/// A run being carried out, resumed or replayed.
pub struct Session {
    run: RunId,
    mode: Mode,
    cursor: Mutex<Cursor>,
    watch: Watch,
    root: Root,
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
    /// It ended before, like this.
    Ended(Ending),
}

/// Who is told of each effect as it goes on: the screen, or a test.
pub type Watch = Box<dyn Fn(&Notice<'_>) + Send + Sync>;

/// Something a watcher may show.
#[derive(Debug)]
pub enum Notice<'a> {
    /// An attempt begins.
    Started {
        /// Where.
        slot: &'a Slot,
        /// From 1.
        attempt: u32,
        /// What is asked for.
        request: &'a Request,
    },
    /// The result is there, and durable.
    Finished {
        /// Where.
        slot: &'a Slot,
        /// What was asked for.
        request: &'a Request,
        /// What is recorded of the end.
        finished: &'a Finished,
        /// Whether the result was recorded before, and nothing was carried out now.
        substituted: bool,
    },
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
}

/// Whether an effect can be noticed outside of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It cannot: carried out twice, it is as if carried out once.
    Pure,
    /// It can, so its start is durable before it begins.
    Outside,
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run asks for something else than what is recorded.
    #[error(transparent)]
    Diverged(Box<Divergence>),
    /// Replay came to a request whose result was never recorded.
    #[error(
        "the recording ends at {slot}: its result was never recorded\n  `host resume` carries the run on from there"
    )]
    Unfinished {
        /// Where.
        slot: Slot,
    },
    /// Events of a slot contradict each other.
    #[error("the journal is damaged at {slot}: {error}")]
    Order {
        /// Where.
        slot: Slot,
        /// The contradiction.
        error: OrderError,
    },
    /// The same slot was asked for twice: a bug of this program.
    #[error("{slot} was asked for twice; please report this as a bug")]
    Taken {
        /// Where.
        slot: Slot,
    },
}

impl Session {
    /// Opens a run: a new one, where `entries` is empty, or one that is recorded up to some point. The
    /// manifest is durable when this returns; one that differs from the recorded manifest is a divergence.
    pub async fn open(
        run: RunId,
        mode: Mode,
        entries: Vec<Entry>,
        manifest: &Manifest,
        watch: Watch,
    ) -> Result<Self, SessionError> {
        let mut cursor =
            Cursor::load(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
        let request = Request::Run(manifest.clone());
        let digest = request.digest();
        let root = match cursor.claim(&Slot::RUN, digest) {
            Claim::Attempt(number) => Root::Attempt(number),
            Claim::Substitute(finished) => match Ending::from_outcome(finished.outcome) {
                Some(ending) => Root::Ended(ending),
                None => return Err(diverged(Slot::RUN, DivergenceKind::OtherOutcome)),
            },
            Claim::Diverged(recorded) => {
                return Err(diverged(Slot::RUN, DivergenceKind::other_request(recorded, request)));
            }
            Claim::Taken => return Err(SessionError::Taken { slot: Slot::RUN }),
        };
        let session = Self { run, mode, cursor: Mutex::new(cursor), watch, root };
        if let (Mode::Live(store), Root::Attempt(number)) = (&session.mode, &session.root) {
            let started = Started { attempt: *number, at_ms: now_ms(), digest, request };
            session.record_start(store, &Slot::RUN, started, Durability::Now).await?;
        }
        Ok(session)
    }

    /// The result of `request` at `slot`: the recorded one, or the one that `carry_out` obtains, which is
    /// durable when this returns. On replay `carry_out` is not even called.
    pub async fn effect<T, E>(
        &self,
        slot: Slot,
        request: Request,
        reach: Reach,
        carry_out: impl AsyncFnOnce(&Attempt) -> Result<Done<T>, E>,
    ) -> Result<T, E>
    where
        T: Recorded,
        E: From<SessionError>,
    {
        let digest = request.digest();
        let claim = self.cursor().claim(&slot, digest);
        match (claim, &self.mode) {
            (Claim::Substitute(finished), Mode::Live(_) | Mode::Replay) => {
                (self.watch)(&Notice::Finished {
                    slot: &slot,
                    request: &request,
                    finished: &finished,
                    substituted: true,
                });
                T::from_outcome(finished.outcome)
                    .ok_or_else(|| diverged(slot, DivergenceKind::OtherOutcome).into())
            }
            (Claim::Attempt(number), Mode::Live(store)) => {
                let when = match reach {
                    Reach::Pure => Durability::WithNext,
                    Reach::Outside => Durability::Now,
                };
                let at_ms = now_ms();
                let started = Started { attempt: number, at_ms, digest, request: request.clone() };
                self.record_start(store, &slot, started, when).await?;
                let idempotency_key = self.idempotency_key(&slot);
                let attempt = Attempt { slot, number, at_ms, idempotency_key };
                // So a caller that polls once can tell what is recorded, and ready, from what takes a task.
                tokio::task::yield_now().await;
                self.attempt(store, attempt, &request, carry_out).await
            }
            (Claim::Attempt(_), Mode::Replay) => Err(SessionError::Unfinished { slot }.into()),
            (Claim::Diverged(recorded), Mode::Live(_) | Mode::Replay) => {
                Err(diverged(slot, DivergenceKind::other_request(recorded, request)).into())
            }
            (Claim::Taken, Mode::Live(_) | Mode::Replay) => Err(SessionError::Taken { slot }.into()),
        }
    }

    async fn attempt<T, E>(
        &self,
        store: &Arc<dyn JournalStore>,
        attempt: Attempt,
        request: &Request,
        carry_out: impl AsyncFnOnce(&Attempt) -> Result<Done<T>, E>,
    ) -> Result<T, E>
    where
        T: Recorded,
        E: From<SessionError>,
    {
        let Attempt { number, .. } = attempt;
        (self.watch)(&Notice::Started { slot: &attempt.slot, attempt: number, request });
        let clock = Instant::now();
        let Done { value, usage, trace } = carry_out(&attempt).await?;
        let wall_us = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        let usage = Usage { wall_us, ..usage };
        let finished =
            Finished { attempt: number, at_ms: now_ms(), outcome: value.into_outcome(), usage, trace };
        let slot = attempt.slot;
        let finished = self.record_end(store, &slot, finished).await?;
        (self.watch)(&Notice::Finished { slot: &slot, request, finished: &finished, substituted: false });
        T::from_outcome(finished.outcome).ok_or_else(|| diverged(slot, DivergenceKind::OtherOutcome).into())
    }

    /// Ends the run: `ending` is durable when this returns. Where an ending is recorded it has to be the
    /// same, and every recorded slot has to have been asked for.
    pub async fn finish(&self, ending: Ending) -> Result<Ending, SessionError> {
        let left_over = self.cursor().left_over();
        if let Some(first) = left_over.first().cloned() {
            return Err(diverged(first, DivergenceKind::LeftOver(left_over)));
        }
        self.stop(ending).await
    }

    /// Ends the run where it stands, as a limit from outside does: recorded slots may be left over.
    pub async fn stop(&self, ending: Ending) -> Result<Ending, SessionError> {
        match (&self.root, &self.mode) {
            (Root::Ended(recorded), _) if *recorded == ending => Ok(ending),
            (Root::Ended(recorded), _) => {
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
                    usage: Usage::default(),
                    trace: Trace::default(),
                };
                self.record_end(store, &Slot::RUN, finished).await?;
                Ok(ending)
            }
        }
    }

    /// How the run ended before this session, if it did.
    #[must_use]
    pub fn recorded_ending(&self) -> Option<&Ending> {
        match &self.root {
            Root::Ended(ending) => Some(ending),
            Root::Attempt(_) => None,
        }
    }

    /// Whether missing results are obtained.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live(_))
    }

    async fn record_start(
        &self,
        store: &Arc<dyn JournalStore>,
        slot: &Slot,
        started: Started,
        when: Durability,
    ) -> Result<(), SessionError> {
        let ack = store.append(&self.entry(slot, Event::Started(started)), when);
        if when == Durability::Now {
            ack.durable().await?;
        }
        Ok(())
    }

    async fn record_end(
        &self,
        store: &Arc<dyn JournalStore>,
        slot: &Slot,
        finished: Finished,
    ) -> Result<Finished, SessionError> {
        let entry = self.entry(slot, Event::Finished(finished));
        store.append(&entry, Durability::Now).durable().await?;
        match entry.event {
            Event::Finished(finished) => Ok(finished),
            Event::Started(_) => Err(SessionError::Taken { slot: slot.clone() }),
        }
    }

    fn entry(&self, slot: &Slot, event: Event) -> Entry {
        Entry { run: self.run, slot: slot.clone(), event }
    }

    fn idempotency_key(&self, slot: &Slot) -> Digest {
        Hasher::default().part(&self.run.to_bytes()).part(slot.to_string().as_bytes()).finish()
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        // A claim is one step, so a panic elsewhere leaves nothing half done.
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn diverged(slot: Slot, kind: DivergenceKind) -> SessionError {
    SessionError::Diverged(Box::new(Divergence { slot, kind }))
}

/// Milliseconds since 1970-01-01T00:00:00Z; a clock before that counts as standing there.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
