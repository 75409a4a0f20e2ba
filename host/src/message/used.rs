use std::fmt;

use serde::{Deserialize, Serialize};

use super::Tokens;

/// What a run used, with the agents that it called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    /// Replies of its own model, but for summaries.
    pub turns: u32,
    /// Tool calls that its own model made.
    pub tool_calls: u32,
    /// Tokens of all requests and replies, those of called agents included.
    pub tokens: Tokens,
    /// What was spent, in US dollars, if all of it has a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Whether some of the replies, of called agents too, came without a word on their tokens: more was used then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
}

impl Used {
    /// The same with a cost that comes back from its text as it was: a billionth of a dollar is exact enough.
    #[must_use]
    pub fn to_record(self) -> Self {
        Self { cost_usd: self.cost_usd.map(|cost| (cost * 1e9).round() / 1e9), ..self }
    }
}

/// As the ends of runs have it that limits stopped: recorded, so that it has to stay as it is.
impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { turns, tool_calls, tokens: Tokens { input, output }, cost_usd, untold: _ } = self;
        write!(
            f,
            "{turns} turns, {tool_calls} tool calls, {} tokens ({input} in, {output} out)",
            input.saturating_add(*output)
        )?;
        cost_usd.map_or(Ok(()), |cost| write!(f, ", {cost:.6} USD"))
    }
}
