use regex::RegexBuilder;

use super::raw;
use super::validate::Check;
pub use raw::{OnDivergence, OtherRequests, ProgramCalls, ProgramResults};

/// How large a pattern may be once it is compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// By what rules programs use the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// The models that they may ask for beside that of `[model]`; `*` for any.
    pub models: Vec<String>,
    /// Which of their calls are made.
    pub calls: ProgramCalls,
    /// Which results they may tell their models.
    pub results: ProgramResults,
    /// What happens when one goes on otherwise than before.
    pub on_divergence: OnDivergence,
    /// What requests may differ in: regular expressions.
    pub ignore: Vec<String>,
    /// What becomes of requests that are for no reply.
    pub other: OtherRequests,
}

impl Check<'_> {
    pub(super) fn gateway(&mut self, raw: raw::Gateway) -> Gateway {
        let raw::Gateway { models, calls, results, on_divergence, ignore, other } = raw;
        for pattern in &ignore {
            let built = RegexBuilder::new(pattern.get_ref()).size_limit(PATTERN_BYTES_MAX).build();
            match built {
                Err(error) => self.problem(
                    pattern.span(),
                    format!("this is no pattern: {error}"),
                    "write a regular expression, as in `\\d{4}-\\d\\d-\\d\\d`",
                ),
                Ok(built) if built.is_match("") => self.problem(
                    pattern.span(),
                    "this pattern fits no text at all, so it says nothing of what to ignore",
                    "write a pattern that fits at least one character",
                ),
                Ok(_) => {}
            }
        }
        let ignore = ignore.into_iter().map(toml::Spanned::into_inner).collect();
        Gateway { models, calls, results, on_divergence, ignore, other }
    }
}
