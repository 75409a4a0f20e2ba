use std::fmt;

use serde::{Deserialize, Serialize};

use super::{By, ErrorKind, ToolOutcome};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The model gave its final answer.
    Answer(String),
    /// The model, or its provider's filter, refused.
    Refused(String),
    /// A limit stopped the run; the text names it, its value and how to raise it.
    Limit(String),
    /// The model gave an answer of another form than the run was to give, and once more when it was told.
    Unfit {
        /// What it said.
        answer: String,
        /// What is wrong with it.
        why: String,
    },
    /// The model said nothing, and nothing again when it was asked once more; the text says how it ended.
    Empty(String),
    /// Somebody cancelled the run.
    Cancelled(Cancelled),
}

/// Who cancelled a run, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Why, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some(by) => write!(f, "cancelled by {by}")?,
            None => f.write_str("cancelled")?,
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// How the reason of the limit begins that stops a run wherever it stands. No other limit's reason does: each begins
/// with words of the host's.
const OUT_OF_TIME: &str = "the run took longer than wall_time";

/// What is said of an agent, before the reason, that a limit stopped.
const AGENT_STOPPED: &str = "the agent was stopped by a limit: ";

/// What is said of an agent, before the reason, whose answer is of another form than it was to give.
const AGENT_UNFIT: &str = "the agent gave an answer that is of no use, ";

/// What is said of an agent, before the reason, that said nothing.
const AGENT_EMPTY: &str = "the agent gave no answer: ";

impl Ending {
    /// Why a run is stopped that takes longer than so many seconds.
    #[must_use]
    pub fn out_of_time(wall_time_s: f64) -> String {
        format!("{OUT_OF_TIME} = \"{wall_time_s}s\"")
    }

    /// Whether time ran out. That can happen between a record and what the run makes of it, so it says nothing of
    /// what the rest of the run would come to.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        matches!(self, Self::Limit(why) if why.starts_with(OUT_OF_TIME))
    }

    /// Whether it is this end, whatever words of the host's come with it: those of the checker of schemas, for one, may
    /// have been others when the end was recorded.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unfit { answer, .. }, Self::Unfit { answer: other, .. }) => answer == other,
            (Self::Empty(_), Self::Empty(_)) => true,
            (
                Self::Answer(_)
                | Self::Refused(_)
                | Self::Limit(_)
                | Self::Unfit { .. }
                | Self::Empty(_)
                | Self::Cancelled(_),
                _,
            ) => self == other,
        }
    }

    /// Whether it came from outside of the run, wherever the run stood: it says nothing of what the rest of the run would
    /// come to.
    #[must_use]
    pub fn is_from_outside(&self) -> bool {
        self.is_out_of_time() || matches!(self, Self::Cancelled(_))
    }
}

impl ToolOutcome {
    /// What the call of an agent comes to that a limit stopped.
    #[must_use]
    pub fn agent_stopped(why: &str) -> Self {
        Self::error(ErrorKind::Failed, format!("{AGENT_STOPPED}{why}"))
    }

    /// What the call of an agent comes to that gave an answer of another form than it was to give.
    #[must_use]
    pub fn agent_unfit(answer: &str, why: &str) -> Self {
        Self::error(ErrorKind::Failed, format!("{AGENT_UNFIT}{why}: {answer}"))
    }

    /// What the call of an agent comes to that said nothing.
    #[must_use]
    pub fn agent_empty(why: &str) -> Self {
        Self::error(ErrorKind::Failed, format!("{AGENT_EMPTY}{why}"))
    }

    /// Whether the call of an agent came to this, whatever words of the host's come with it; see [`Ending::is_alike`].
    /// What the agent said is compared where it was said.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        let (Self::Error(error), Self::Error(other_error)) = (self, other) else { return self == other };
        let both = |said: &str| error.message.starts_with(said) && other_error.message.starts_with(said);
        error == other_error
            || error.kind == ErrorKind::Failed
                && other_error.kind == error.kind
                && (both(AGENT_UNFIT) || both(AGENT_EMPTY))
    }

    /// Whether it is that of an agent whose time ran out.
    #[must_use]
    pub fn is_agent_out_of_time(&self) -> bool {
        let Self::Error(error) = self else { return false };
        error.kind == ErrorKind::Failed
            && error.message.strip_prefix(AGENT_STOPPED).is_some_and(|why| why.starts_with(OUT_OF_TIME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_failed_alike_failed_alike_in_other_words() {
        let of = [
            [
                ToolOutcome::agent_unfit("[]", "it is a list"),
                ToolOutcome::agent_unfit("[]", "it has to be an object"),
            ],
            [ToolOutcome::agent_empty("it was empty"), ToolOutcome::agent_empty("it said nothing")],
            [ToolOutcome::agent_stopped("the first limit"), ToolOutcome::agent_stopped("the first limit")],
        ];
        for (place, [one, other]) in of.iter().enumerate() {
            assert!(one.is_alike(other), "{one:?}");
            for (_, [another, _]) in of.iter().enumerate().filter(|(at, _)| *at != place) {
                assert!(!one.is_alike(another), "{one:?}, {another:?}");
            }
        }
        assert!(!of[2][0].is_alike(&ToolOutcome::agent_stopped("another limit")));
        let timeout = ToolOutcome::error(ErrorKind::Timeout, of[1][0].text());
        assert!(!timeout.is_alike(&of[1][0]));
    }
}
