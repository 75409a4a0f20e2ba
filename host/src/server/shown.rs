//! What the API says of a run.
//!
//! Owns the JSON form of runs, of what they wait for, and of how they ended. Derives nothing: how a run stands, the
//! engine says.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::{Outcome, RunWaits};
use crate::journal::{RunState, RunSummary};
use crate::message::{Arguments, Ending, Json, Manifest, Moment, Request, RunId, SessionKey, Used};
use crate::session::{Waiting, Wants};

/// A run.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "it is JSON, of which readers see the names of members alone")]
pub(super) struct Run {
    /// Its id: 26 letters and digits.
    #[schema(value_type = String)]
    pub(super) run: RunId,
    /// The agent's name.
    pub(super) agent: String,
    /// How it stands: `queued`, `running`, `interrupted`, `suspended`, `failed`; or, when it has ended: `answered`,
    /// `refused`, `limited`, `unfit`, `empty`, `cancelled`.
    #[schema(value_type = String)]
    pub(super) state: RunState,
    /// What it was asked. A list has the beginning of it.
    pub(super) prompt: String,
    /// When it was accepted (RFC 3339).
    pub(super) started: String,
    /// Its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) session: Option<SessionKey>,
    /// The model's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<String>,
    /// Why there is no answer, or no useful one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// What it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(super) used: Option<Used>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) waiting: Vec<Waits>,
}

/// Something that a run waits for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Waits {
    /// The call, as in `tool(0,1)`.
    pub(super) slot: String,
    /// What it wants.
    pub(super) wants: Want,
    /// Since when it waits (RFC 3339).
    pub(super) since: String,
    /// The moment that it waits for (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<String>,
    /// The tool.
    pub(super) tool: String,
    /// The input of the call.
    #[schema(value_type = Value)]
    pub(super) input: Json,
}

/// What somebody, or time, has to give.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Want {
    /// That a person says whether the call may be made.
    Approval,
    /// A person's answer to a question.
    Answer,
    /// That a person says whether the call took effect: the host died in the middle of it.
    Settlement,
    /// That a moment comes.
    Moment,
}

impl Run {
    /// A run of which nothing but the summary is known.
    pub(super) fn listed(summary: RunSummary) -> Self {
        let RunSummary { run, agent, prompt, started_ms, state, session, order: _, before: _, outside: _ } =
            summary;
        let started = Moment(started_ms).to_the_millisecond();
        let (answer, reason, used, waiting) = (None, None, None, Vec::new());
        Self { run, agent, state, prompt, started, session, answer, reason, used, waiting }
    }

    /// A run that waits.
    pub(super) fn waiting(waits: RunWaits) -> Self {
        let RunWaits { run, waiting } = waits;
        Self::listed(run).waits_for(&waiting)
    }

    /// The same, and what it waits for.
    #[must_use]
    pub(super) fn waits_for(self, waiting: &[Waiting]) -> Self {
        Self { waiting: waiting.iter().map(Waits::of).collect(), ..self }
    }

    /// The same, and what its manifest says.
    #[must_use]
    pub(super) fn of_manifest(self, manifest: &Manifest) -> Self {
        Self { prompt: manifest.prompt.clone(), session: manifest.session.clone(), ..self }
    }

    /// The same after it stopped.
    #[must_use]
    pub(super) fn stopped(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Ended { ending, used } => self.ended(ending, *used),
            Outcome::Suspended(waiting) => {
                let waiting = waiting.iter().map(Waits::of).collect();
                Self { state: RunState::Suspended, waiting, ..self }
            }
            Outcome::Interrupted => Self { state: RunState::Interrupted, ..self },
            Outcome::Failed(error) => {
                Self { state: RunState::Failed, reason: Some(super::problem::chain(error)), ..self }
            }
        }
    }

    /// The same after it ended.
    #[must_use]
    pub(super) fn ended(self, ending: &Ending, used: Option<Used>) -> Self {
        let (answer, reason) = match ending {
            Ending::Answer(text) => (Some(text.clone()), None),
            Ending::Unfit { answer, why } => (Some(answer.clone()), Some(why.clone())),
            Ending::Refused(text) | Ending::Limit(text) | Ending::Empty(text) => (None, Some(text.clone())),
            Ending::Cancelled(cancelled) => (None, Some(cancelled.to_string())),
        };
        Self { state: ending.into(), answer, reason, used, waiting: Vec::new(), ..self }
    }
}

impl Waits {
    pub(super) fn of(waiting: &Waiting) -> Self {
        let Waiting { slot, request, at_ms, wants } = waiting;
        let (wants, until) = match wants {
            Wants::Approval => (Want::Approval, None),
            Wants::Answer => (Want::Answer, None),
            Wants::Settlement => (Want::Settlement, None),
            Wants::Moment(moment_ms) => (Want::Moment, Some(Moment(*moment_ms).to_the_millisecond())),
        };
        let (tool, input) = match request {
            Request::Tool(ask) | Request::Approval(ask) => {
                let input = match &ask.arguments {
                    Arguments::Json(json) => json.clone(),
                    Arguments::Malformed(text) => Json::canonical(&Value::String(text.clone())),
                };
                (ask.name.clone(), input)
            }
            Request::Run(_) | Request::Model(_) | Request::Api(_) => {
                (String::new(), Json::canonical(&Value::Null))
            }
        };
        let slot = slot.approved().unwrap_or_else(|| slot.clone()).to_string();
        Self { slot, wants, since: Moment(*at_ms).to_the_millisecond(), until, tool, input }
    }
}
