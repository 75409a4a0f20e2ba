//! What a person says to a run that waits: it is recorded at once, and the run goes on with it when it is resumed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::live::{Live, Stop};
use super::reading::{entries, recorded};
use super::records::recorded_manifest;
use super::view::{OpenEffect, open_effects};
use super::{ApprovalsError, Engine};
use crate::agent::{Agent, RunError};
use crate::blocking::blocking;
use crate::dispatch::answered;
use crate::journal::{
    Durability, Entry, Event, Finished, JournalError, JournalStore, RunStore, RunSummary, Status, ending,
    statuses,
};
use crate::message::{
    By, Cancelled, Decision, Ending, Json, Manifest, Moment, Outcome, RunId, Slot, ToolAsk, Trace, Usage,
};
use crate::schema::{About, Schema};
use crate::session::{Decisions, Mode, Notice, Session, SessionError, Wants};

/// What a person says.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// The call may be made.
    Approve {
        /// With this input instead of its own.
        input: Option<Json>,
        /// Whether the very same call, of the same component with the same grants, is made unasked from now on.
        always: bool,
    },
    /// The call must not be made.
    Deny {
        /// Why, for the model to read.
        reason: Option<String>,
    },
    /// The answer to a question.
    Answer(String),
}

/// A call that waits for a person's word.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// The call.
    pub slot: Slot,
    /// What is to be called.
    pub ask: ToolAsk,
    /// Since when, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// Whether it is a question that wants an answer, or a call that wants to be approved.
    pub is_question: bool,
    /// The agent whose model makes the call.
    pub agent: Manifest,
    attempt: u32,
}

/// Why a person's word does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// The run has ended.
    #[error("run {run} has ended: nothing in it waits")]
    Ended {
        /// The run.
        run: RunId,
    },
    /// The call does not wait for such a word.
    #[error("{slot} does not wait for this")]
    NotWaiting {
        /// The call.
        slot: Slot,
    },
    /// Somebody was quicker.
    #[error("{slot} does not wait for this any more")]
    NoLonger {
        /// The call.
        slot: Slot,
    },
    /// The tool does not take this input.
    #[error("this is not an input of {tool}: {why}")]
    Unfit {
        /// The tool.
        tool: String,
        /// The rule that the input breaks.
        why: String,
    },
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is recorded cannot be read.
    #[error(transparent)]
    Recorded(#[from] SessionError),
    /// The approval cannot be remembered.
    #[error(transparent)]
    Approvals(#[from] ApprovalsError),
}

/// Why a run is not cancelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// It has ended.
    #[error("run {run} has ended: there is nothing to cancel")]
    Ended {
        /// The run.
        run: RunId,
    },
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is recorded cannot be read, or the end cannot be recorded.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What the run used cannot be told.
    #[error(transparent)]
    Replay(#[from] RunError),
}

impl Word {
    fn is_answer(&self) -> bool {
        match self {
            Self::Answer(_) => true,
            Self::Approve { .. } | Self::Deny { .. } => false,
        }
    }
}

impl Engine {
    /// The calls of a run that wait for a person's word, by slot.
    pub async fn pending(&self, run: RunId) -> Result<BTreeMap<Slot, Pending>, DecideError> {
        if self.is_sealed(run).await {
            return Err(DecideError::Ended { run });
        }
        pending(run, recorded(run, &self.0.runs).await?)
    }

    /// Records what somebody says of calls of a run. Every word has to fit before the first one is recorded. A run that
    /// goes on in this engine goes on with the words; any other run waits to be resumed.
    pub async fn decide(
        &self,
        run: RunId,
        words: Vec<(Slot, Word)>,
        by: Option<By>,
    ) -> Result<(), DecideError> {
        // Who takes the run up at this moment has done so, or given up, before this goes on.
        let _door = self.0.live.door(run).await;
        if self.is_sealed(run).await {
            return Err(DecideError::Ended { run });
        }
        if let Some(live) = self.0.live.get(run) {
            let mut said = live.words.lock().await;
            if let Some(store) = live.store().filter(|_| !said.is_over) {
                // Of several words, one may be recorded and the next one not.
                said.came_in = true;
                return self.record(run, &store, words, by, Some(&live)).await;
            }
            drop(said);
            live.left().await;
        }
        let open = match self.claim(run).await {
            // It has ended meanwhile.
            Err(_) if self.is_sealed(run).await => return Err(DecideError::Ended { run }),
            open => open?,
        };
        let recorded = self.record(run, &open.store, words, by, None).await;
        open.leave().await;
        recorded
    }

    /// Records words, each unless somebody who is asked while the run goes on was quicker.
    async fn record(
        &self,
        run: RunId,
        store: &Arc<RunStore>,
        words: Vec<(Slot, Word)>,
        by: Option<By>,
        live: Option<&Arc<Live>>,
    ) -> Result<(), DecideError> {
        let mut pending = pending(run, entries(run, store).await?)?;
        let mut decided = Vec::new();
        for (slot, word) in words {
            let call = pending.remove(&slot).filter(|call| call.is_question == word.is_answer());
            let call = call.ok_or(DecideError::NotWaiting { slot })?;
            if let Word::Approve { input: Some(input), .. } = &word {
                call.takes(input)?;
            }
            decided.push((call, word));
        }
        // What goes for other runs, too, is remembered once it counts in this one; that it cannot be remembered keeps no
        // other word from being recorded.
        let mut remembered = Ok(());
        for (call, word) in decided {
            let asked_at = call.asked_at();
            if live.is_some_and(|live| !live.decide(&asked_at)) {
                return Err(DecideError::NoLonger { slot: call.slot });
            }
            if let Err(error) = call.record(run, store, &word, by.clone()).await {
                if let Some(live) = live {
                    live.is_undecided(&asked_at);
                }
                return Err(error);
            }
            if let Word::Approve { input, always } = word {
                let Pending { agent, ask, .. } = call;
                let remember =
                    move |engine: &Self| engine.approvals().add(&agent.config, &ask, input.as_ref(), always);
                remembered = remembered.and(self.blocking(remember).await);
            }
        }
        Ok(remembered?)
    }
}

impl Engine {
    /// Ends a run where it stands: nothing goes on from it but a fork, unless somebody revives it. A run that goes on in
    /// this engine is stopped first; one that another process works on is not cancelled.
    pub async fn cancel(&self, run: RunId, cancelled: Cancelled) -> Result<(), CancelError> {
        let _door = self.0.live.door(run).await;
        if self.is_sealed(run).await {
            return Err(CancelError::Ended { run });
        }
        if let Some(live) = self.0.live.get(run) {
            live.stop(Stop::Cancel(cancelled.clone()));
            live.left().await;
            match ending(&recorded(run, &self.0.runs).await?) {
                Some(Ending::Cancelled(_)) => return Ok(()),
                Some(_) => return Err(CancelError::Ended { run }),
                // It stopped otherwise just before.
                None => {}
            }
        }
        let open = match self.claim(run).await {
            Err(_) if self.is_sealed(run).await => return Err(CancelError::Ended { run }),
            open => open?,
        };
        let entries = entries(run, &open.store).await?;
        let summary = RunSummary::of(run, &entries).ok_or(JournalError::NotBegun { run })?;
        if summary.state.has_ended() {
            blocking(move || open.seal(&summary)).await?;
            return Err(CancelError::Ended { run });
        }
        // So that the end is recorded with how the run stands then.
        open.write_summary(&summary)?;
        let manifest = recorded_manifest(run, &entries)?.clone();
        let used = if manifest.outside {
            crate::gateway::used_so_far(run, entries.clone(), &manifest).await?
        } else {
            Agent::used_so_far(run, entries.clone(), &manifest).await?
        };
        let store: Arc<dyn JournalStore> = Arc::clone(&open.store) as _;
        let unwatched = Box::new(|_: &Notice<'_>| {});
        let session =
            Session::open(run, Mode::Live(store), entries, &manifest, Decisions::default(), unwatched);
        let ending = session.await?.stop(&Slot::RUN, Ending::Cancelled(cancelled), used).await?;
        let summary = RunSummary { state: (&ending).into(), ..summary };
        open.write_summary(&summary)?;
        let (open, sealed) = blocking(move || {
            let sealed = open.seal(&summary);
            (open, sealed)
        })
        .await;
        sealed?;
        open.leave().await;
        Ok(())
    }
}

/// The calls that wait, by what is recorded.
fn pending(run: RunId, entries: Vec<Entry>) -> Result<BTreeMap<Slot, Pending>, DecideError> {
    let manifest = recorded_manifest(run, &entries)?.clone();
    if ending(&entries).is_some() {
        return Err(DecideError::Ended { run });
    }
    let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let pending = open_effects(&manifest, &slots).into_iter().filter_map(|open| {
        let OpenEffect { call, ask, attempt, at_ms, wants, agent, .. } = open;
        let is_question = match wants {
            Wants::Approval => false,
            Wants::Answer => true,
            Wants::Settlement | Wants::Moment(_) => return None,
        };
        let (slot, ask, agent) = (call.clone(), ask.clone(), agent.clone());
        Some((call, Pending { slot, ask, at_ms, is_question, agent, attempt }))
    });
    Ok(pending.collect())
}

impl Pending {
    /// Where the word is recorded.
    fn asked_at(&self) -> Slot {
        if self.is_question { self.slot.clone() } else { self.slot.approval() }
    }

    /// Whether the tool takes this input; what becomes of a call of a tool that is not there, the call itself says.
    pub fn takes(&self, input: &Json) -> Result<(), DecideError> {
        let Some(tool) = self.agent.tool(&self.ask.name) else { return Ok(()) };
        let checked = Schema::new(&tool.spec.input_schema).check_now(About::INPUT, input);
        checked.map_err(|why| DecideError::Unfit { tool: self.ask.name.clone(), why })
    }

    async fn record(
        &self,
        run: RunId,
        store: &Arc<RunStore>,
        word: &Word,
        by: Option<By>,
    ) -> Result<(), DecideError> {
        let (slot, attempt) = (self.asked_at(), self.attempt);
        let outcome = match word.clone() {
            Word::Approve { input, .. } => Outcome::Decision(Decision::Approved { input }),
            Word::Deny { reason } => Outcome::Decision(Decision::Denied { reason }),
            Word::Answer(text) => Outcome::Tool(answered(&text)),
        };
        // Nothing may follow the end of an attempt: the run could not be read any more.
        if !still_waits(run, store, &slot, attempt).await? {
            return Err(DecideError::NoLonger { slot });
        }
        let at_ms = Moment::now().0;
        let (usage, trace) = (Usage::default(), Trace::default());
        let finished = Finished { attempt, at_ms, outcome, usage, trace, settled: true, by };
        let entry = Entry::new(run, slot, Event::Finished(finished));
        Ok(store.append(&entry, Durability::Now).durable().await?)
    }
}

/// Whether an attempt at a slot still waits for its end, by what is recorded now.
async fn still_waits(
    run: RunId,
    store: &Arc<RunStore>,
    slot: &Slot,
    attempt: u32,
) -> Result<bool, DecideError> {
    let entries = entries(run, store).await?;
    let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let waits =
        |status: &Status| matches!(status, Status::Started { started, .. } if started.attempt == attempt);
    Ok(slots.get(slot).is_some_and(waits))
}
