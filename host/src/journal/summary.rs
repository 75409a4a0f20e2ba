use serde::{Deserialize, Serialize};

use super::{Entry, broke_off, ending, manifest, statuses};
use crate::message::{Ending, Manifest, Order, RunId, SessionKey};

/// What a listing tells of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The agent's name.
    pub agent: String,
    /// What the person asked.
    pub prompt: String,
    /// When it began, in milliseconds since 1970-01-01T00:00:00Z.
    pub started_ms: u64,
    /// How it stands.
    pub state: RunState,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionKey>,
    /// How it was ordered, if it was accepted before it could begin, or may be ordered again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The run whose record holds the beginning of what was said before it, if another one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<RunId>,
    /// Whether a program outside carries it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
}

impl RunSummary {
    /// The summary of a run with this manifest.
    #[must_use]
    pub fn new(run: RunId, manifest: &Manifest, state: RunState) -> Self {
        Self {
            run,
            agent: manifest.agent.clone(),
            prompt: manifest.prompt.clone(),
            started_ms: run.started_ms(),
            state,
            session: manifest.session.clone(),
            order: manifest.order,
            before: manifest.before.as_ref().map(|before| before.run),
            outside: manifest.outside,
        }
    }

    /// The summary of what is recorded of a run; none if nothing is.
    #[must_use]
    pub fn of(run: RunId, entries: &[Entry]) -> Option<Self> {
        let manifest = manifest(entries)?;
        let state = ending(entries).map_or_else(|| RunState::without_end(entries), RunState::from);
        Some(Self::new(run, manifest, state))
    }
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It was accepted, and has not begun: it waits for its moment, for its session or for a place.
    Queued,
    /// A process is working on it.
    Running,
    /// No process is, and it has not ended: `host resume` goes on with it.
    Interrupted,
    /// It waits for a person's decision: `host resume --settle` goes on with it.
    Suspended,
    /// It broke off, because the model gave no reply or the host could not go on: when that is mended, `host resume`
    /// goes on with it.
    Failed,
    /// It ended with the model's answer.
    Answered,
    /// The model refused.
    Refused,
    /// A limit ended it.
    Limited,
    /// The model's answer did not have the form that it was to have.
    Unfit,
    /// The model said nothing.
    Empty,
    /// Somebody cancelled it.
    Cancelled,
}

impl RunState {
    /// What the events of a run that has not ended say of how it stands.
    fn without_end(entries: &[Entry]) -> Self {
        let slots = statuses(entries.to_vec()).unwrap_or_default();
        if broke_off(&slots).is_some() { Self::Failed } else { Self::Running }
    }

    /// Its name, as lists have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Suspended => "suspended",
            Self::Failed => "failed",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Unfit => "unfit",
            Self::Empty => "empty",
            Self::Cancelled => "cancelled",
        }
    }

    /// The mark of an end, good or bad; a blank where there is none yet.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Queued | Self::Running | Self::Interrupted | Self::Suspended => ' ',
            Self::Answered => '✓',
            Self::Failed | Self::Refused | Self::Limited | Self::Unfit | Self::Empty | Self::Cancelled => '✗',
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Answered | Self::Refused | Self::Limited | Self::Unfit | Self::Empty | Self::Cancelled => {
                true
            }
            Self::Queued | Self::Running | Self::Interrupted | Self::Suspended | Self::Failed => false,
        }
    }
}

impl From<&Ending> for RunState {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::Answer(_) => Self::Answered,
            Ending::Refused(_) => Self::Refused,
            Ending::Limit(_) => Self::Limited,
            Ending::Unfit { .. } => Self::Unfit,
            Ending::Empty(_) => Self::Empty,
            Ending::Cancelled(_) => Self::Cancelled,
        }
    }
}
