use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// That programs may use the agent: an agent of any SDK has its requests passed on to `[model]`, and calls the tools here.
/// Both are recorded, so that a program that crashed is started again and goes on where it was.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Gateway {
    /// The models that programs may ask for beside that of `[model]`; `"*"` for any.
    #[serde(default)]
    #[schemars(extend("examples" = [["gpt-5-mini"]]))]
    pub(in crate::config) models: Vec<String>,
    /// Which calls of tools are made. `"any"` by default.
    #[serde(default)]
    pub(in crate::config) calls: ProgramCalls,
    /// Which results of tools a program may tell its model. `"given"` by default.
    #[serde(default)]
    pub(in crate::config) results: ProgramResults,
    /// What happens when a program that was started again asks for something else than before. `"refuse"` by default.
    #[serde(default)]
    pub(in crate::config) on_divergence: OnDivergence,
    /// What requests may differ in and still be the same: regular expressions for texts such as times.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d"]]))]
    pub(in crate::config) ignore: Vec<Spanned<String>>,
    /// What becomes of requests that are for no reply, such as for embeddings. `"refuse"` by default.
    #[serde(default)]
    pub(in crate::config) other: OtherRequests,
}

/// Which calls of a program are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgramCalls {
    /// Calls that a reply asked for, and others.
    #[default]
    Any,
    /// Only calls that a reply asked for.
    Asked,
}

/// Which results of tools a program may tell its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgramResults {
    /// Those that it was given. A program whose call broke off with the server would tell its model that the tool failed.
    #[default]
    Given,
    /// Any.
    Any,
}

/// What happens when a program goes on otherwise than it did before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDivergence {
    /// Its request is refused, and it is told what differs.
    #[default]
    Refuse,
    /// Its request is passed on, and recorded after what is recorded already.
    Continue,
}

/// What becomes of requests that are for no reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtherRequests {
    /// They are refused.
    #[default]
    Refuse,
    /// They are passed on with the key of `[model]`, and not recorded.
    Pass,
}
