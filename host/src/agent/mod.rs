//! The loop: ask the model, record, stop or dispatch, append, repeat.
//!
//! Owns what is said to the model and when a run ends. Does no I/O of its own: every effect goes through
//! the [`Execution`], so that a replay takes this very path. Invariant: every call of a reply gets exactly
//! one result, in call order, before the model is asked again. It fails only with the host's own failures
//! ([`RunError`]); a tool's failure is data for the model.

mod answer;
mod called;
mod compact;
mod recorded;
mod repeats;
mod shortened;
mod spending;
mod transcript;

pub use called::{CalledAgent, CalledAgents};
pub use recorded::Recorded;
pub(crate) use spending::Spending;
pub use transcript::Transcript;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::dispatch::Dispatcher;
use crate::message::{
    Cancelled, Ending, ErrorKind, Manifest, ModelFailure, Reply, Request, SHOWN_BYTES_MAX, Slot, Stop,
    ToolCall, ToolOutcome, ToolResult, Topic, Used,
};
use crate::model::{ModelRequest, Models, Purpose, WhoseTurn};
use crate::session::{Attempt, Conduct, Done, Doubt, End, Execution, Facts, Reach, SessionError};
use answer::{Answer, LastWord};

/// Everything one run needs.
pub struct Agent {
    /// What to do.
    pub manifest: Arc<Manifest>,
    /// What carries its effects out, and records them.
    pub session: Arc<dyn Execution>,
    /// Who replies.
    pub models: Models,
    /// Who calls the tools.
    pub dispatcher: Arc<Dispatcher>,
    /// Below which its effects are recorded: that of the run itself, or that of the call of another agent's.
    pub slot: Slot,
}

/// How a run ended, and what it had used by then.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// What it used, the agents that it called included.
    pub used: Used,
}

/// Why a run ended without an ending: it can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The model gave no reply.
    #[error("turn {turn}: {error}")]
    Model {
        /// From 0.
        turn: u32,
        /// What happened.
        error: ModelFailure,
    },
    /// The journal failed, or the run is not the recorded one.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Agent {
    /// Carries the run out to its end, which is durable when this returns. Dropping the future cancels
    /// every call and request in flight; the run can then be resumed.
    pub async fn run(&self, wall_time: Option<Duration>) -> Result<Ended, RunError> {
        self.run_until(wall_time, std::future::pending()).await
    }

    /// The same, unless somebody cancels the run: then it ends where it stands, and that is durable, too.
    pub async fn run_until(
        &self,
        wall_time: Option<Duration>,
        cancelled: impl Future<Output = Cancelled>,
    ) -> Result<Ended, RunError> {
        let mut spending = Spending::new(&self.manifest, self.facts().rules);
        let ending = self.carry_out(wall_time, cancelled, &mut spending).await?;
        Ok(Ended { ending, used: spending.used() })
    }

    /// The same, for whoever wants to know what it used even if it did not end.
    async fn carry_out(
        &self,
        wall_time: Option<Duration>,
        cancelled: impl Future<Output = Cancelled>,
        spending: &mut Spending,
    ) -> Result<Ending, RunError> {
        let mut talk = Transcript::begin(&self.manifest, &self.slot);
        let ended = {
            // It is large, and would be copied into whatever waits for it.
            let turns = Box::pin(self.turns(&mut talk, spending));
            let time_is_up = async {
                match wall_time {
                    Some(wall_time) => self.session.time_is_up(wall_time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                ended = turns => Ok(ended),
                () = time_is_up => Err(None),
                cancelled = cancelled => Err(Some(cancelled)),
            }
        };
        let (end, ending) = match ended {
            Ok(ended) => (End::Reached, ended?),
            Err(Some(cancelled)) => (End::Stopped, Ending::Cancelled(cancelled)),
            Err(None) => {
                let seconds = wall_time.unwrap_or_default().as_secs_f64();
                (End::Stopped, spending.stop(&Ending::out_of_time(seconds)))
            }
        };
        // From here on nobody stops the run: an end that is being recorded would be recorded twice, and the record damaged.
        Ok(self.session.end(&self.slot, end, ending, spending.used()).await?)
    }

    /// Goes through the turns and to their end, which nobody stops.
    async fn to_the_end(&self, talk: &mut Transcript, spending: &mut Spending) -> Result<Ending, RunError> {
        let ending = self.turns(talk, spending).await?;
        Ok(self.session.end(&self.slot, End::Reached, ending, spending.used()).await?)
    }

    /// Goes through the turns, to the end that they come to. It is not recorded yet, and not compared with what is.
    async fn turns(&self, talk: &mut Transcript, spending: &mut Spending) -> Result<Ending, RunError> {
        let mut answer = Answer::new(self.manifest.output_schema.as_ref(), self.facts().rules);
        let max_turns = self.manifest.max_turns;
        // A turn whose request was too long takes a number, and is none of those that the run may take.
        let mut end = max_turns;
        for turn in 0..u32::MAX {
            if turn >= end {
                break;
            }
            if let Some(limit) = self.shorten_if_due(turn, talk, spending).await? {
                return Ok(limit);
            }
            talk.push_said(&self.manifest, turn);
            if self.says(turn) {
                spending.interrupted();
            }
            let Some(reply) = self.ask(turn, Purpose::Reply, talk).await? else {
                talk.push_too_long();
                end = end.saturating_add(1);
                continue;
            };
            if turn + 1 < end && self.lacks_room(&reply, talk) {
                spending.count(&reply);
                talk.note_answered(&reply);
                talk.push_too_long();
                match spending.judge_tokens(&reply) {
                    Some(limit) => return Ok(limit),
                    None => continue,
                }
            }
            // The last word is not the model's where the person has one more, and it is none where it only pauses.
            let is_last = reply.stop != Stop::Paused && !self.says(turn + 1);
            let mut told = None;
            if !reply.calls.is_empty() {
                answer.goes_on();
            }
            // What is refused is over, whatever calls came before the refusal.
            let refused = reply.stop == Stop::Refusal && self.facts().rules.refusal_is_final();
            if is_last && (reply.calls.is_empty() || refused) {
                match answer.judge(&reply).await {
                    LastWord::Ends(ending) => {
                        spending.count(&reply);
                        talk.push_reply(turn, reply);
                        self.exhausted(turn + 1)?;
                        return Ok(ending);
                    }
                    LastWord::Told(note) => told = Some(note),
                }
            }
            spending.count(&reply);
            let limit = spending.judge(&reply);
            let Reply { calls, stop, .. } = reply.clone();
            talk.push_reply(turn, reply);
            if let Some(limit) = limit {
                return Ok(limit);
            }
            if let Some(told) = told {
                talk.push_word(told);
            } else if refused {
                talk.push_not_made(Topic::RefusedCall, calls.iter().map(|call| not_made(call, REFUSED)));
            } else if matches!(stop, Stop::MaxTokens | Stop::ContextWindow) {
                talk.push_not_made(Topic::CutOffCall, calls.iter().map(|call| not_made(call, CUT_OFF)));
            } else if let Some(limit) = self.call(turn, &calls, talk, spending).await? {
                return Ok(limit);
            }
        }
        Ok(spending.stop(&format!("the run took max_turns = {max_turns} turns without a final answer")))
    }

    /// Makes the calls of a turn; the end, if they end the run.
    async fn call(
        &self,
        turn: u32,
        calls: &[ToolCall],
        talk: &mut Transcript,
        spending: &mut Spending,
    ) -> Result<Option<Ending>, RunError> {
        let refused = match spending.refuse(calls) {
            Ok(refused) => refused,
            Err(limit) => return Ok(Some(limit)),
        };
        let placed = calls.iter().cloned().zip(refused.iter().cloned()).collect();
        let results = self.dispatcher.dispatch(&self.session, &self.slot, turn, placed).await?;
        spending.count_called(results.iter().filter_map(|called| called.used));
        let results: Vec<ToolResult> = results.into_iter().map(|called| called.result).collect();
        let limit = spending.results(&refused, &results).or_else(|| spending.judge_called());
        talk.push_results(turn, results);
        Ok(limit)
    }

    /// Whether the person says something before a turn.
    fn says(&self, turn: u32) -> bool {
        self.manifest.said.iter().any(|said| said.turn == turn)
    }

    /// What the model replies; nothing, if what was said is too long for it, and the run goes on from that.
    async fn ask(
        &self,
        turn: u32,
        purpose: Purpose,
        talk: &mut Transcript,
    ) -> Result<Option<Reply>, RunError> {
        let slot = match purpose {
            Purpose::Reply => self.slot.model_of(turn),
            Purpose::Summary => self.slot.summary_of(turn),
        };
        // What asks for a summary is in the recorded words already.
        if purpose == Purpose::Reply {
            talk.take_over(&self.session.said_at(&slot));
        }
        let request = Request::Model(talk.ask());
        let reach = if self.models.reach_outside() { Reach::Outside } else { Reach::Pure };
        // A reply that was lost is asked for again: it may cost twice, and does no other harm.
        let conduct = Conduct { reach, doubt: Doubt::Repeat, retry: self.models.retry, room: None };
        let heard = |text: &str| self.session.heard(&slot, text);
        // A summary has no form.
        let form = self.manifest.output_schema.as_ref().filter(|_| purpose == Purpose::Reply);
        let talk = &*talk;
        let (rules, last) = (self.facts().rules, talk.last_reply());
        let (first, goes_on) = match purpose {
            Purpose::Reply => (self.manifest.asked_first(rules, last), talk.can_be_shortened()),
            Purpose::Summary => (self.manifest.summary_asked_first(rules, last), true),
        };
        let goes_on = goes_on && rules.goes_on_when_too_long();
        let (messages, tools, heard) = (talk.messages(), talk.tools(), &heard);
        let ask = async move |attempt: Attempt| {
            let request = ModelRequest {
                turn,
                purpose,
                attempt: attempt.number,
                instructions: talk.instructions(),
                messages,
                tools,
                form,
                temperature: None,
                max_tokens: None,
                span: attempt.span.as_ref(),
                heard,
            };
            let given_up = usize::try_from(attempt.fallbacks).unwrap_or(usize::MAX);
            let turn = WhoseTurn { first, given_up, failures: attempt.failures };
            let reply = self.models.ask(&request, &self.manifest, turn).await;
            let reply = reply.map_err(|failure| {
                // What one of the models finds too long may be what keeps the run from going on, whatever the others lack.
                let shortens = goes_on && (failure.too_long || attempt.too_long) && !failure.fall_back;
                ModelFailure { shortens, ..failure }
            });
            Ok(Done::from(reply).recorded())
        };
        let carry_out = |attempt| -> BoxFuture<'_, _> { Box::pin(ask(attempt)) };
        let reply = self.session.effect(slot.clone(), request, conduct, &carry_out).await?;
        match reply {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if error.shortens => Ok(None),
            Err(error) => Err(RunError::Model { turn, error }),
        }
    }

    /// Checks that a script has nothing left over after so many turns. That of a called agent may have: what the call
    /// came to is recorded, and a replay, which has no script, has to come to the same.
    fn exhausted(&self, turns: u32) -> Result<(), RunError> {
        if !self.facts().is_live || self.slot != Slot::RUN {
            return Ok(());
        }
        self.models.finish(turns).map_err(|error| RunError::Model { turn: turns, error: error.into() })
    }

    fn facts(&self) -> &Facts {
        self.session.facts()
    }
}

/// What a call comes to that is not made, because of the reply that it came in.
fn not_made(call: &ToolCall, why: &str) -> ToolResult {
    ToolResult {
        call_id: call.id.clone(),
        name: call.name.clone(),
        outcome: ToolOutcome::error(ErrorKind::NotCalled, why),
        shown_bytes_max: SHOWN_BYTES_MAX,
        note: None,
        shown: None,
        is_whole: false,
    }
}

// What the model is told of such calls. It is recorded with each request that it comes with.
const REFUSED: &str = "your reply ended in a refusal, so none of its calls was made";

const CUT_OFF: &str = "your reply was cut off at its token limit (max_tokens), so none of its calls was made: \
                       make fewer or shorter calls";
