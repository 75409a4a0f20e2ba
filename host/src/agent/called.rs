use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::spending::Spending;
use super::{Agent, RunError};
use crate::dispatch::{AgentRunner, Dispatcher, NoAgents, NoRunner, agent_prompt};
use crate::message::{Ending, ErrorKind, Json, Manifest, Rules, ToolEntry, ToolOutcome, Trace, Usage};
use crate::model::Models;
use crate::session::{Attempt, Done, Execution, SessionError};

/// An agent that can be called like a tool, with all of its own that its runs share.
pub struct CalledAgent {
    /// What each of its runs does, but for the prompt.
    pub manifest: Manifest,
    /// Who replies.
    pub models: Models,
    /// Who calls its tools.
    pub dispatcher: Arc<Dispatcher>,
    /// How long one of its runs may take.
    pub wall_time: Option<Duration>,
}

/// The agents that an agent can call, by the names it calls them by.
#[derive(Default)]
pub struct CalledAgents(HashMap<String, CalledAgent>);

impl CalledAgents {
    /// These agents.
    pub fn new(agents: impl IntoIterator<Item = (String, CalledAgent)>) -> Self {
        Self(agents.into_iter().collect())
    }

    /// Those that are recorded with a run, to go through it again: they ask no model and call no tool.
    #[must_use]
    pub fn recorded(manifest: &Manifest) -> Self {
        Self::new(manifest.tools.iter().filter_map(|tool| {
            let agent = tool.agent.as_deref()?;
            let dispatcher = Dispatcher::new(agent, Arc::new(NoRunner), agent.max_calls_per_turn);
            let dispatcher = Arc::new(dispatcher.calling(Arc::new(Self::recorded(agent))));
            let (manifest, models) = (agent.clone(), Models::absent());
            Some((tool.spec.name.clone(), CalledAgent { manifest, models, dispatcher, wall_time: None }))
        }))
    }
}

impl AgentRunner for CalledAgents {
    fn call<'a>(
        &'a self,
        agent: &'a ToolEntry,
        input: &'a Json,
        attempt: &'a Attempt,
        session: &'a Arc<dyn Execution>,
    ) -> BoxFuture<'a, Result<Done<ToolOutcome>, SessionError>> {
        let Some(called) = self.0.get(&agent.spec.name) else {
            return NoAgents.call(agent, input, attempt, session);
        };
        Box::pin(async move {
            let prompt = match agent_prompt(input) {
                Ok(prompt) => prompt,
                Err(refusal) => return Ok(refusal.into()),
            };
            let CalledAgent { manifest, models, dispatcher, wall_time } = called;
            let agent = Agent {
                manifest: Arc::new(Manifest {
                    prompt,
                    seed: attempt.seed,
                    ..session.facts().called_in(manifest)
                }),
                session: Arc::clone(session),
                models: models.clone(),
                dispatcher: Arc::clone(dispatcher),
                slot: attempt.slot.clone(),
            };
            let mut spending = Spending::new(&agent.manifest, session.facts().rules);
            let value = match agent.carry_out(*wall_time, std::future::pending(), &mut spending).await {
                Ok(ending) => outcome(ending, manifest.output_schema.is_some(), session.facts().rules),
                Err(RunError::Model { turn, error }) => {
                    failed(&format!("has no reply from its model in its turn {turn}: {error}"))
                }
                Err(RunError::Session(error)) => return Err(error),
            };
            let usage = Usage { used: Some(spending.used()), ..Usage::default() };
            Ok(Done { value, usage, trace: Trace::default(), by: None })
        })
    }
}

/// What the call of an agent comes to whose run ended.
fn outcome(ending: Ending, is_json: bool, rules: Rules) -> ToolOutcome {
    let answered = |answer: Value| ToolOutcome::Output(Json::canonical(&json!({ "answer": answer })));
    match ending {
        // It was held to its schema, which text that is no JSON does not fit.
        Ending::Answer(answer) if is_json && rules.numbers_are_exact() => {
            match Json::verbatim(format!(r#"{{"answer":{answer}}}"#)) {
                Ok(json) => ToolOutcome::Output(json),
                Err(_) => answered(answer.into()),
            }
        }
        Ending::Answer(answer) if is_json => answered(serde_json::from_str(&answer).unwrap_or(Value::Null)),
        Ending::Answer(answer) => answered(answer.into()),
        Ending::Unfit { answer, why } => ToolOutcome::agent_unfit(&answer, &why),
        Ending::Empty(why) => ToolOutcome::agent_empty(&why),
        Ending::Cancelled(cancelled) => failed(&format!("was {cancelled}")),
        Ending::Refused(text) => failed(&format!("refused: {text}")),
        Ending::Limit(why) => ToolOutcome::agent_stopped(&why),
    }
}

fn failed(why: &str) -> ToolOutcome {
    ToolOutcome::error(ErrorKind::Failed, format!("the agent {why}"))
}
