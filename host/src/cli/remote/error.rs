//! What can go wrong with a server, in three parts: what, where, and what to do.

use std::fmt::Write as _;

use serde::Deserialize;

use super::super::exit::Exit;
use crate::message::{RunId, clean};

/// A command could not do its work with a server.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum RemoteError {
    /// Nobody answers.
    #[error(
        "there is no answer from {url}: {reason}\n  see that the server runs, and that the URL is its own"
    )]
    Unreachable {
        /// The server.
        url: String,
        /// What the system said.
        reason: String,
        /// Whether there was somebody, who may have taken in what was sent.
        was_there: bool,
    },
    /// It answers with a problem.
    #[error("{}", .0.said())]
    Problem(Problem),
    /// What it answers is none of its answers.
    #[error(
        "{url} does not answer as `host serve` does: {reason}\n  see that the URL is that of such a server, of the same version or a later one"
    )]
    Strange {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The run broke off.
    #[error("{why}")]
    BrokeOff {
        /// Why.
        why: String,
        /// Whether it was a model that gave no reply.
        is_of_model: bool,
    },
    /// The server went away while the run was followed.
    #[error(
        "the server at {url} went away: {reason}\n  when it is back, follow the run with: host resume {run}"
    )]
    Gone {
        /// The server.
        url: String,
        /// What the system said.
        reason: String,
        /// The run.
        run: RunId,
    },
}

/// What is wrong with a request (RFC 9457).
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct Problem {
    pub(super) status: u16,
    pub(super) detail: String,
    #[serde(rename = "where")]
    place: Option<String>,
    help: Option<String>,
}

impl Problem {
    fn said(&self) -> String {
        let line = |text: &str| clean(text).replace('\n', " ");
        let mut said = line(&self.detail);
        // Writing to a string cannot fail.
        if let Some(place) = &self.place {
            let _ = write!(said, " ({})", line(place));
        }
        let help = match (self.status, &self.help) {
            (401, _) => Some("put a token of the server into HOST_TOKEN; `host token` makes one".to_owned()),
            (_, help) => help.as_deref().map(line),
        };
        if let Some(help) = help {
            let _ = write!(said, "\n  {help}");
        }
        said
    }
}

impl RemoteError {
    /// Whether it passes by itself: the server begins, or ends to begin again.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status == 503,
            Self::Strange { .. } | Self::BrokeOff { .. } | Self::Gone { .. } => false,
        }
    }

    /// The code of the command: what the server refuses is what a command without a server refuses as wrong usage.
    pub(in super::super) fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) if (400..500).contains(&problem.status) && problem.status != 429 => {
                Exit::Usage
            }
            Self::BrokeOff { is_of_model: true, .. } => Exit::Provider,
            Self::Problem(_)
            | Self::Unreachable { .. }
            | Self::Strange { .. }
            | Self::BrokeOff { is_of_model: false, .. }
            | Self::Gone { .. } => Exit::Failure,
        }
    }
}
