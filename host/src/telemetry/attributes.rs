//! The names and values of attributes. Those that begin with `gen_ai.` are of OpenTelemetry's conventions for
//! generative AI (github.com/open-telemetry/semantic-conventions-genai), `error.type` and `server.*` of its general
//! ones, and those that begin with `host.` are ours.

use opentelemetry::trace::SpanKind;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use url::Url;

use super::Stand;
use crate::message::{
    Ending, ErrorKind, Manifest, ModelFailure, ModelIdentity, Outcome, Reply, RunId, Slot, Step, Stop,
    ToolOutcome,
};
use crate::model::Api;

const OPERATION: &str = "gen_ai.operation.name";
const TOOL_NAME: &str = "gen_ai.tool.name";
pub(super) const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const ERROR_MESSAGE: &str = "error.message";
pub(super) const ATTEMPT: &str = "host.attempt";
pub(super) const RETRY_MS: &str = "host.retry_ms";
pub(super) const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
pub(super) const INPUT_MESSAGES: &str = "gen_ai.input.messages";
pub(super) const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
pub(super) const TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
pub(super) const TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";

/// An attempt that failed, as an event of its effect's span. It is no `exception`, which would show the span as
/// failed although a later attempt mended it.
pub(super) const ATTEMPT_FAILED: &str = "host.attempt_failed";

/// The kind of error of a span whose effect was stopped before it came to anything.
pub(super) const CUT_OFF: &str = "cancelled";

/// The kind of error of an attempt that ended with the process.
pub(super) const KILLED: &str = "killed";

/// The kind of error for which there is no other word.
const OTHER: &str = "_OTHER";

/// A span as it begins.
pub(super) struct Opening {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) attributes: Vec<KeyValue>,
}

/// What the spans of a run have in common.
pub(super) struct About {
    agent: String,
    /// On every span.
    all: Vec<KeyValue>,
    /// The model that is asked for replies.
    model: Asked,
    /// The one that is asked for summaries, if that is another one.
    summary: Option<Asked>,
}

/// A model as the spans of requests to it have it.
struct Asked {
    name: String,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
}

impl Asked {
    fn new(model: &ModelIdentity) -> Self {
        // A script is read in this process; every other model is a client's.
        let kind =
            if model.provider == ModelIdentity::SCRIPTED { SpanKind::Internal } else { SpanKind::Client };
        Self { name: model.name.clone(), kind, attributes: asking(model) }
    }
}

impl About {
    pub(super) fn new(run: RunId, manifest: &Manifest) -> Self {
        let agent = manifest.agent.clone();
        let conversation = manifest.session.as_ref().map_or_else(|| run.to_string(), ToString::to_string);
        let all = vec![
            KeyValue::new("gen_ai.agent.name", agent.clone()),
            KeyValue::new("gen_ai.conversation.id", conversation),
            KeyValue::new("host.run.id", run.to_string()),
        ];
        let summary = manifest.summary.as_ref().map(|summary| Asked::new(&summary.model));
        Self { agent, all, model: Asked::new(&manifest.model), summary }
    }

    /// The span of the run.
    pub(super) fn run(&self) -> Opening {
        let attributes =
            self.attributes(&Slot::RUN, "invoke_agent").chain(self.model.attributes.clone()).collect();
        Opening { name: format!("invoke_agent {}", self.agent), kind: SpanKind::Internal, attributes }
    }

    /// The span of a model request.
    pub(super) fn chat(&self, slot: &Slot) -> Opening {
        let is_summary = matches!(slot.steps(), [.., Step::Summary { .. }]);
        let Asked { name, kind, attributes } =
            self.summary.as_ref().filter(|_| is_summary).unwrap_or(&self.model);
        let attributes = self.attributes(slot, "chat").chain(attributes.clone()).collect();
        Opening { name: format!("chat {name}"), kind: kind.clone(), attributes }
    }

    /// The span of a tool call.
    pub(super) fn tool(&self, slot: &Slot, tool: &str) -> Opening {
        let own = [KeyValue::new(TOOL_NAME, tool.to_owned()), KeyValue::new("gen_ai.tool.type", "function")];
        let attributes = self.attributes(slot, "execute_tool").chain(own).collect();
        Opening { name: format!("execute_tool {tool}"), kind: SpanKind::Internal, attributes }
    }

    fn attributes(&self, slot: &Slot, operation: &'static str) -> impl Iterator<Item = KeyValue> {
        let own = [KeyValue::new(OPERATION, operation), KeyValue::new("host.slot", slot.to_string())];
        own.into_iter().chain(self.all.clone())
    }
}

/// What is asked of which model, and where.
fn asking(model: &ModelIdentity) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("gen_ai.provider.name", provider(&model.provider)),
        KeyValue::new("gen_ai.request.model", model.name.clone()),
    ];
    attributes.extend(model.temperature.map(|it| KeyValue::new("gen_ai.request.temperature", it)));
    attributes.extend(model.max_tokens.map(|it| KeyValue::new("gen_ai.request.max_tokens", int(it))));
    if let Some(url) = model.base_url.as_deref().and_then(|url| Url::parse(url).ok()) {
        attributes.extend(url.host_str().map(|it| KeyValue::new("server.address", it.to_owned())));
        attributes.extend(url.port_or_known_default().map(|it| KeyValue::new("server.port", i64::from(it))));
    }
    attributes
}

/// The conventions' name of a provider, where they have one.
fn provider(name: &str) -> String {
    Api::named(name).map_or(name, |api| api.traced_as()).to_owned()
}

/// What a reply says of itself.
pub(super) fn reply(reply: &Reply) -> Vec<KeyValue> {
    let reason = StringValue::from(finish_reason(&reply.stop).to_owned());
    let reasons = Value::Array(Array::String(vec![reason]));
    let mut attributes = vec![KeyValue::new("gen_ai.response.finish_reasons", reasons)];
    // With fallbacks it need not be the one that was asked first.
    attributes
        .extend(reply.origin.as_ref().map(|it| KeyValue::new("gen_ai.response.model", it.name.clone())));
    // Zero of both is what a provider that does not count is recorded with.
    if reply.tokens.input > 0 || reply.tokens.output > 0 {
        attributes.push(KeyValue::new("gen_ai.usage.input_tokens", int(reply.tokens.input)));
        attributes.push(KeyValue::new("gen_ai.usage.output_tokens", int(reply.tokens.output)));
    }
    attributes
}

/// Which attempt failed, and how.
pub(super) fn attempt(number: u32, error: Option<&str>) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(ATTEMPT, i64::from(number))];
    attributes.extend(error.map(|error| KeyValue::new(ERROR_TYPE, error.to_owned())));
    attributes
}

/// Why a model stopped, in the conventions' words.
pub(super) fn finish_reason(stop: &Stop) -> &str {
    match stop {
        Stop::End => "stop",
        Stop::ToolCalls => "tool_call",
        Stop::MaxTokens | Stop::ContextWindow => "length",
        Stop::Paused => "pause",
        Stop::Refusal => "content_filter",
        Stop::Other(reason) => reason,
    }
}

/// What kind of error an effect came to, if it is one.
pub(super) fn error_type(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Model(_) | Outcome::Tool(ToolOutcome::Output(_)) | Outcome::Decision(_) => None,
        Outcome::NoReply(failure) => Some(model_error(failure)),
        Outcome::Tool(ToolOutcome::Error(error)) => Some(tool_error(error.kind)),
        Outcome::Run(ending) => ending_error(ending).map(str::to_owned),
    }
}

fn model_error(failure: &ModelFailure) -> String {
    match (failure.status, failure.may_pass) {
        (Some(status), _) => status.to_string(),
        // Without a status, only a connection may be better the next time.
        (None, true) => "unreachable".to_owned(),
        (None, false) => OTHER.to_owned(),
    }
}

/// The kind as it is recorded, such as `timeout`.
fn tool_error(kind: ErrorKind) -> String {
    let name = serde_json::to_value(kind).ok();
    name.as_ref().and_then(serde_json::Value::as_str).unwrap_or(OTHER).to_owned()
}

fn ending_error(ending: &Ending) -> Option<&'static str> {
    match ending {
        Ending::Answer(_) => None,
        Ending::Refused(_) => Some("refused"),
        Ending::Limit(_) => Some("limit"),
        Ending::Unfit { .. } => Some("unfit"),
        Ending::Empty(_) => Some("empty"),
        Ending::Cancelled(_) => Some("cancelled"),
    }
}

/// How a run stands, and what kind of error that is, if it is one. A run that waits for a person is none.
pub(super) fn stand(stand: Stand<'_>) -> (KeyValue, Option<String>) {
    let (state, error) = match stand {
        Stand::Ended(ending @ Ending::Answer(_)) => ("answered", ending_error(ending).map(str::to_owned)),
        Stand::Ended(ending @ Ending::Refused(_)) => ("refused", ending_error(ending).map(str::to_owned)),
        Stand::Ended(ending @ Ending::Limit(_)) => ("limited", ending_error(ending).map(str::to_owned)),
        Stand::Ended(ending @ Ending::Unfit { .. }) => ("unfit", ending_error(ending).map(str::to_owned)),
        Stand::Ended(ending @ Ending::Empty(_)) => ("empty", ending_error(ending).map(str::to_owned)),
        Stand::Ended(ending @ Ending::Cancelled(_)) => ("cancelled", ending_error(ending).map(str::to_owned)),
        Stand::Suspended => ("suspended", None),
        Stand::Interrupted => ("interrupted", Some("interrupted".to_owned())),
        Stand::Failed(failure) => ("failed", Some(failure.map_or_else(|| OTHER.to_owned(), model_error))),
    };
    (KeyValue::new("host.run.state", state), error)
}

pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
