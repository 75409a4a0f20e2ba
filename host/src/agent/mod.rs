//! The loop: ask the model, record, stop or dispatch, append, repeat.
//!
//! Owns what is said to the model and when a run ends. Does no I/O of its own: every effect goes through
//! the [`Session`], so that a replay takes this very path. Invariant: every call of a reply gets exactly
//! one result, in call order, before the model is asked again. It fails only with the host's own failures
//! ([`RunError`]); a tool's failure is data for the model.

mod spending;
mod transcript;

pub use transcript::Transcript;

use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::Dispatcher;
use crate::message::{
    Ending, ErrorKind, Manifest, ModelFailure, Reply, Request, Retry, SHOWN_BYTES_MAX, Said, Slot, Stop,
    ToolOutcome, ToolResult,
};
use crate::model::{Model, ModelRequest};
use crate::session::{Attempt, Conduct, Done, Doubt, Reach, Session, SessionError};
use spending::Spending;

/// Everything one run needs.
pub struct Agent {
    /// What to do.
    pub manifest: Arc<Manifest>,
    /// Where it is recorded.
    pub session: Arc<Session>,
    /// Who replies.
    pub model: Arc<dyn Model>,
    /// When a request that failed is sent again.
    pub retry: Retry,
    /// Who calls the tools.
    pub dispatcher: Arc<Dispatcher>,
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
    pub async fn run(&self, wall_time: Option<Duration>) -> Result<Ending, RunError> {
        let mut spending = Spending::new(&self.manifest.budgets);
        let Some(wall_time) = wall_time else { return self.turns(&mut spending).await };
        if let Ok(ended) = tokio::time::timeout(wall_time, self.turns(&mut spending)).await {
            return ended;
        }
        let limit = format!("the run took longer than wall_time = \"{}s\"", wall_time.as_secs_f64());
        Ok(self.session.stop(spending.stop(&limit)).await?)
    }

    async fn turns(&self, spending: &mut Spending) -> Result<Ending, RunError> {
        let mut talk = Transcript::begin(&self.manifest);
        for turn in 0..self.manifest.max_turns {
            for said in self.said(turn) {
                talk.push_said(said);
            }
            let reply = self.ask(turn, &mut talk).await?;
            let cut_off = reply.stop == Stop::MaxTokens;
            // The last word is not the model's where the person has one more.
            if reply.calls.is_empty() && self.said(turn + 1).next().is_none() {
                return self.finish(turn + 1, last_words(reply)).await;
            }
            if let Some(limit) = spending.reply(&reply) {
                return Ok(self.session.finish(limit).await?);
            }
            let calls = reply.calls.clone();
            talk.push_reply(turn, reply);
            if cut_off {
                talk.push_notes(calls.iter().map(|call| ToolResult {
                    call_id: call.id.clone(),
                    name: call.name.clone(),
                    outcome: ToolOutcome::error(ErrorKind::NotCalled, CUT_OFF),
                    shown_bytes_max: SHOWN_BYTES_MAX,
                }));
            } else {
                let refused = match spending.refuse(&calls) {
                    Ok(refused) => refused,
                    Err(limit) => return Ok(self.session.finish(limit).await?),
                };
                let placed = calls.iter().cloned().zip(refused.iter().cloned()).collect();
                let results = self.dispatcher.dispatch(&self.session, turn, placed).await?;
                if let Some(limit) = spending.results(&calls, &refused, &results) {
                    return Ok(self.session.finish(limit).await?);
                }
                talk.push_results(turn, results);
            }
        }
        let max_turns = self.manifest.max_turns;
        let limit =
            spending.stop(&format!("the run took max_turns = {max_turns} turns without a final answer"));
        Ok(self.session.finish(limit).await?)
    }

    /// What the person says before a turn.
    fn said(&self, turn: u32) -> impl Iterator<Item = &Said> {
        self.manifest.said.iter().filter(move |said| said.turn == turn)
    }

    async fn ask(&self, turn: u32, talk: &mut Transcript) -> Result<Reply, RunError> {
        let request = Request::Model(talk.ask());
        let reach = if self.model.reaches_outside() { Reach::Outside } else { Reach::Pure };
        // A reply that was lost is asked for again: it may cost twice, and does no other harm.
        let conduct = Conduct { reach, doubt: Doubt::Repeat, retry: self.retry, gate: None };
        let Manifest { instructions, model, .. } = &*self.manifest;
        let (messages, tools) = (talk.messages(), talk.tools());
        let carry_out = async |attempt: Attempt| {
            let request = ModelRequest {
                turn,
                attempt: attempt.number,
                instructions,
                messages,
                tools,
                temperature: model.temperature,
                max_tokens: model.max_tokens,
            };
            let reply = self.model.ask(&request).await.map_err(ModelFailure::from);
            Ok::<_, RunError>(Done::from(reply))
        };
        let reply = self.session.effect(Slot::model(turn), request, conduct, carry_out).await?;
        reply.map_err(|error| RunError::Model { turn, error })
    }

    async fn finish(&self, turns: u32, ending: Ending) -> Result<Ending, RunError> {
        if self.session.is_live() {
            self.model.finish(turns).map_err(|error| RunError::Model { turn: turns, error: error.into() })?;
        }
        Ok(self.session.finish(ending).await?)
    }
}

const CUT_OFF: &str = "your reply was cut off at its token limit (max_tokens), so none of its calls was made: \
                       make fewer or shorter calls";

/// How a reply without calls ends the run.
fn last_words(reply: Reply) -> Ending {
    match reply.stop {
        Stop::Refusal => Ending::Refused(reply.text),
        Stop::MaxTokens => Ending::Limit(format!(
            "the answer was cut off at the model's token limit (max_tokens in [model]); it begins: {}",
            reply.text
        )),
        Stop::End | Stop::ToolCalls | Stop::Other(_) => Ending::Answer(reply.text),
    }
}
