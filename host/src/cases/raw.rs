//! A case as it is written. The comments here are the descriptions in its JSON Schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::expected::EndingKind;
use crate::document::Data;
use crate::message::{ErrorKind, ToolError};
use crate::model::ScriptedReply;

/// A case for `host test`. Paths are relative to this file. The model's side is one of `reply`, `script` and
/// `recorded`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a case of host test")]
pub(super) struct CaseFile {
    /// What to ask; by default what the recorded run was asked, or else what agent.toml asks.
    pub(super) prompt: Option<String>,
    /// Values of the agent's parameters; by default those of the recorded run, or the defaults of agent.toml.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, String>,
    /// What the model replies, turn by turn.
    #[serde(default)]
    #[schemars(with = "Vec<ScriptedReply>")]
    pub(super) reply: Vec<Spanned<ScriptedReply>>,
    /// A file of [[reply]] tables.
    #[schemars(with = "Option<PathBuf>", example = &"../script.toml")]
    pub(super) script: Option<Spanned<PathBuf>>,
    /// A run that ended, as `host journal export` writes it or as it is kept: the model replies as it did
    /// then, and the tools are called again.
    #[schemars(with = "Option<PathBuf>", example = &"run.jsonl.gz")]
    pub(super) recorded: Option<Spanned<PathBuf>>,
    /// Calls that are not made but answered here; of several that fit, the first counts.
    #[serde(default)]
    #[schemars(with = "Vec<Stub>")]
    pub(super) tool: Vec<Spanned<Stub>>,
    /// What has to come of it; by default an answer, and of a recorded run all that is recorded.
    pub(super) expect: Option<Expect>,
}

/// Calls that are not made but answered here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stub {
    /// The tool, by the name that the model calls.
    #[schemars(with = "String", example = &"get_weather")]
    pub(super) name: Spanned<String>,
    /// Only calls whose input has these values.
    pub(super) input_contains: Option<Data>,
    /// What they give.
    pub(super) output: Option<Data>,
    /// How they fail, instead.
    pub(super) error: Option<ToolError>,
}

/// What has to come of a case.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// How the run ends; with an answer by default.
    pub(super) ending: Option<EndingKind>,
    /// The whole answer, or the text of another ending.
    pub(super) answer: Option<String>,
    /// Texts that occur in it.
    #[serde(default)]
    pub(super) answer_contains: Vec<String>,
    /// A regular expression that matches a part of it.
    #[schemars(with = "Option<String>", example = &"(?i)sunny")]
    pub(super) answer_matches: Option<Spanned<String>>,
    /// All calls that the model makes, turn by turn, those of one turn in the order of the reply.
    #[schemars(with = "Option<Vec<ExpectCall>>")]
    pub(super) calls: Option<Vec<Spanned<ExpectCall>>>,
}

/// A call that has to be made, and what has to come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectCall {
    /// The tool, by the name that the model calls.
    #[schemars(example = &"get_weather")]
    pub(super) tool: String,
    /// The whole input.
    pub(super) input: Option<Data>,
    /// Values that the input has: of a table some of its keys.
    pub(super) input_contains: Option<Data>,
    /// The whole output.
    pub(super) output: Option<Data>,
    /// Values that the output has: of a table some of its keys.
    pub(super) output_contains: Option<Data>,
    /// How the call fails.
    pub(super) error: Option<ErrorKind>,
    /// The calls that the tool itself makes, in their order.
    #[schemars(with = "Option<Vec<ExpectCall>>")]
    pub(super) calls: Option<Vec<Spanned<ExpectCall>>>,
}
