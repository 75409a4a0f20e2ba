use serde::{Deserialize, Serialize};

use super::Tokens;

/// What stops a run before its answer, besides the number of its turns. By default nothing does: that is what
/// holds for a run that was recorded before there were budgets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budgets {
    /// Tool calls that the model makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tool_calls: Option<u32>,
    /// Tokens of all requests and replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_total_tokens: Option<u64>,
    /// What the tokens may cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// What tokens cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Turns in a row that may make the same call with the same result; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_repeats: Option<u32>,
    /// Globs over tool names: the run ends with the turn that calls one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_on_tools: Vec<String>,
}

impl Budgets {
    /// Whether nothing is bounded.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a model's tokens cost, in US dollars per million.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Tokens of requests.
    pub input: f64,
    /// Tokens of replies.
    pub output: f64,
}

impl Prices {
    /// What tokens cost, in US dollars.
    #[must_use]
    pub fn cost_usd(&self, tokens: Tokens) -> f64 {
        // A run has far fewer than 2^53 tokens.
        #[allow(clippy::cast_precision_loss, reason = "counts of tokens are small")]
        let cost = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
        cost(tokens.input, self.input) + cost(tokens.output, self.output)
    }
}
