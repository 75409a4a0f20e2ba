use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Json;

/// Which calls a person has to approve. By default none: that is what holds for a run that was recorded before there
/// were approvals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// What holds for a call that no rule is about.
    #[serde(default)]
    pub default: Verdict,
    /// Calls that are made unasked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auto: Vec<CallRule>,
    /// Calls that a person is asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<CallRule>,
    /// Calls that are never made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<CallRule>,
}

impl Approvals {
    /// Whether every call is made unasked.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a call before it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is made.
    #[default]
    Auto,
    /// A person is asked.
    Ask,
    /// It is not made.
    Deny,
}

/// Calls, by globs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRule {
    /// Over the tool's name.
    pub tool: String,
    /// Over the texts of members of the input, all of which have to fit; a member that is no text counts as its JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input: BTreeMap<String, String>,
}

/// What a person said of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may be made.
    Approved {
        /// With this input instead of the one that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Json>,
    },
    /// It may not.
    Denied {
        /// Why, for the model to read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// A tool that the host itself gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builtin {
    /// Asks the person something and waits for the answer.
    AskHuman,
    /// Waits for a moment.
    SleepUntil,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::AskHuman, Self::SleepUntil];

    /// The name it is called by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AskHuman => "ask_human",
            Self::SleepUntil => "sleep_until",
        }
    }
}
