//! What a run used, in a person's words.

use super::screen::counted;
use crate::message::{Tokens, Used};

/// In one line. Tokens and cost are left out where nobody said how many tokens there were.
pub(super) fn in_words(used: &Used) -> String {
    let Used { turns, tool_calls, tokens, cost_usd } = used;
    let mut words = vec![counted(*turns as usize, "turn"), counted(*tool_calls as usize, "tool call")];
    if *tokens != Tokens::default() {
        let Tokens { input, output } = tokens;
        words.push(format!("{} tokens ({input} in, {output} out)", input.saturating_add(*output)));
        words.extend(cost_usd.map(|cost| format!("{cost:.6} USD")));
    }
    words.join(", ")
}
