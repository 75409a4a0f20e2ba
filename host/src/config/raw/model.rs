use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use toml::Spanned;

use crate::config::Api;
use crate::config::bounds::ATTEMPTS_LIMIT;

/// The model that replies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Model {
    /// The interface that the model has, or `scripted` for a file of replies.
    #[schemars(with = "ProviderName", example = &"openai")]
    pub(in crate::config) provider: Spanned<ProviderName>,
    /// The file of replies, for the provider `scripted`.
    #[schemars(with = "Option<PathBuf>", example = &"script.toml")]
    pub(in crate::config) script: Option<Spanned<PathBuf>>,
    /// The model's name at the provider.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) name: Option<Spanned<String>>,
    /// The endpoint, such as `http://localhost:8000/v1`; by default the provider's own.
    #[schemars(with = "Option<String>", example = &"http://localhost:11434/v1")]
    pub(in crate::config) base_url: Option<Spanned<String>>,
    /// The environment variable that holds the API key. With the default `base_url` it is `OPENAI_API_KEY`,
    /// `ANTHROPIC_API_KEY` or `GEMINI_API_KEY` by default. With another `base_url` no key is sent by default.
    #[schemars(with = "Option<String>", example = &"OPENAI_API_KEY")]
    pub(in crate::config) api_key_env: Option<Spanned<String>>,
    /// The file that holds the API key, instead of `api_key_env`.
    #[schemars(with = "Option<PathBuf>", example = &"/run/secrets/openai")]
    pub(in crate::config) api_key_file: Option<Spanned<PathBuf>>,
    /// The sampling temperature, from 0 to 2; by default the provider decides.
    #[schemars(with = "Option<f64>", range(min = 0, max = 2))]
    pub(in crate::config) temperature: Option<Spanned<f64>>,
    /// The longest reply, in tokens; by default the provider decides.
    #[schemars(with = "Option<u64>", range(min = 1))]
    pub(in crate::config) max_tokens: Option<Spanned<u64>>,
    /// Whether replies are streamed. Then their text is shown as it comes, and a long reply may take as long as its
    /// pieces keep coming. False by default.
    #[schemars(with = "Option<bool>")]
    pub(in crate::config) stream: Option<Spanned<bool>>,
    /// What `structured_output` in `[agent]` says, for this model alone: of use in `[[model.fallback]]`. In `[model]` it is
    /// the older place of that key, and says nothing of the fallbacks.
    #[schemars(with = "Option<bool>")]
    pub(in crate::config) structured_output: Option<Spanned<bool>>,
    /// Members that are added to every request, in the provider's own words, such as
    /// `reasoning = { effort = "high" }`. They replace members of the same name that the host writes.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub(in crate::config) extra: Option<Spanned<toml::Table>>,
    /// The two tags around the model's reasoning, for servers that leave it in the text of the reply, such as
    /// `<think>` and `</think>`. The text between them is not part of what the model says. Leave the first tag empty
    /// if each reply begins in the middle of the reasoning. By default nothing is taken out.
    #[schemars(with = "Option<Vec<String>>", extend("examples" = [["<think>", "</think>"]]))]
    pub(in crate::config) reasoning_tags: Option<Spanned<Vec<String>>>,
    /// How the model writes its tool calls, for servers that leave them in the text of the reply. By default no call
    /// is read from a text.
    #[schemars(with = "Option<TextCallsForm>", example = &"hermes")]
    pub(in crate::config) text_calls: Option<Spanned<TextCallsForm>>,
    /// Members to leave out of every request, because the server does not accept them. Write the path of each member,
    /// through tables and the items of lists, such as `tools.function.strict`.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["tools.function.strict"]]))]
    pub(in crate::config) omit: Vec<Spanned<String>>,
    /// Headers that are added to every request, each with its value, or with the place of a secret value, as in
    /// `{ env = "AZURE_API_KEY" }`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, HeaderText>")]
    pub(in crate::config) headers: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    /// The proxy that requests go through, such as `http://localhost:3128`, or `none`. By default the variables
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` decide.
    #[schemars(with = "Option<String>", example = &"http://localhost:3128")]
    pub(in crate::config) proxy: Option<Spanned<String>>,
    /// The longest wait for an answer, or for the beginning of a streamed answer, such as `"10m"` (the default); 24
    /// hours at most.
    #[schemars(with = "Option<String>", example = &"10m")]
    pub(in crate::config) timeout: Option<Spanned<String>>,
    /// The longest wait between two pieces of a streamed answer, such as `"5m"` (the default); 24 hours at most.
    #[schemars(with = "Option<String>", example = &"5m")]
    pub(in crate::config) idle_timeout: Option<Spanned<String>>,
    /// What its tokens cost, for `max_cost_usd` in `[limits]`.
    pub(in crate::config) prices: Option<Prices>,
    /// When a request that failed is sent again.
    #[schemars(with = "Option<ModelRetry>")]
    pub(in crate::config) retry: Option<Spanned<ModelRetry>>,
    /// The models to ask when this one fails for good, in this order, each with the keys of `[model]`.
    #[serde(default)]
    pub(in crate::config) fallback: Vec<Model>,
    /// The model that writes summaries of conversations, such as a cheaper one, with the keys of `[model]`. By default
    /// the model itself writes them. If the model for summaries fails, the model itself is asked, and then the
    /// fallbacks.
    pub(in crate::config) summary: Option<Box<Model>>,
}

/// When a model request that failed is sent again: after a connection that failed, after HTTP 408, 409 and 429, and
/// after any 5xx.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ModelRetry {
    /// Attempts that may fail before the run breaks off; 3 by default, 1 for no retry.
    #[schemars(range(min = 1, max = ATTEMPTS_LIMIT))]
    pub(in crate::config) max_attempts: Option<u32>,
    /// The wait after the first failure, such as `"500ms"` (the default). It doubles with each further failure.
    #[schemars(with = "Option<String>", example = &"500ms")]
    pub(in crate::config) initial_delay: Option<Spanned<String>>,
    /// The longest wait, such as `"8s"` (the default); 1 hour at most.
    #[schemars(with = "Option<String>", example = &"8s")]
    pub(in crate::config) max_delay: Option<Spanned<String>>,
    /// The longest wait that the provider may ask for in `retry-after`, such as `"60s"` (the default); 1 hour at most.
    #[schemars(with = "Option<String>", example = &"60s")]
    pub(in crate::config) max_retry_after: Option<Spanned<String>>,
}

/// What a model's tokens cost, in US dollars per million.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Prices {
    /// Tokens of requests.
    #[schemars(range(min = 0), example = 1.25)]
    pub(in crate::config) input: f64,
    /// Tokens of replies, reasoning included.
    #[schemars(range(min = 0), example = 10.0)]
    pub(in crate::config) output: f64,
}

/// The value of a header. It is read by the checks, which know what to say of one that is wrong.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the form")]
pub(in crate::config) enum HeaderText {
    /// The value itself.
    Plain(String),
    /// Where it is.
    Secret(HeaderSecret),
}

/// The value of a header that is never written into this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HeaderSecret {
    /// The environment variable that holds the value.
    pub(in crate::config) env: Option<String>,
    /// The file that holds the value.
    pub(in crate::config) file: Option<PathBuf>,
    /// The text before the value, such as `"Bearer "`.
    pub(in crate::config) prefix: Option<String>,
}

/// How calls are written in a text, by the names that vLLM has for it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum TextCallsForm {
    /// `<tool_call>{"name": "…", "arguments": {…}}</tool_call>`.
    Hermes,
    /// `{"name": "…", "parameters": {…}}` and no other text.
    #[serde(rename = "llama3_json")]
    Llama3Json,
    /// `[TOOL_CALLS]` and a list of calls, or each call's name and arguments.
    Mistral,
}

/// The interface that the model has, or `scripted` for a file of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum ProviderName {
    /// In a file of replies.
    Scripted,
    /// Behind a provider's interface.
    Remote(Api),
}

const SCRIPTED: (&str, &str) = ("scripted", "In a file of replies: no network, no key.");

impl<'de> Deserialize<'de> for ProviderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == SCRIPTED.0 {
            return Ok(Self::Scripted);
        }
        let unknown = || D::Error::custom(format!("unknown provider `{name}`"));
        Api::named(&name).map(Self::Remote).ok_or_else(unknown)
    }
}

impl JsonSchema for ProviderName {
    fn schema_name() -> Cow<'static, str> {
        "ProviderName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let apis = Api::all().map(|api| (api.as_str(), api.description()));
        let name =
            |(name, description)| json!({ "type": "string", "const": name, "description": description });
        let names: Vec<Value> = std::iter::once(SCRIPTED).chain(apis).map(name).collect();
        json_schema!({ "oneOf": names, "description": "Where the model is." })
    }
}
