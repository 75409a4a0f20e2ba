//! What was approved before, beyond any one run: for the difference to the last time, and for calls that were approved
//! always. One line of JSON an approval, in a file beside the runs, or in memory.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::message::{Json, ToolAsk};

/// The file below the state directory.
const FILE: &str = "approvals.jsonl";

/// The approvals of all runs. A clone has the same ones.
#[derive(Clone, Debug)]
pub struct PastApprovals(Lines);

/// Where the lines are.
#[derive(Clone, Debug)]
enum Lines {
    File(PathBuf),
    Memory(Arc<Mutex<String>>),
}

/// An approval cannot be remembered.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {reason}", path.display())]
pub struct ApprovalsError {
    /// Where the approvals are.
    pub path: PathBuf,
    /// What the system said.
    pub reason: String,
}

/// A call that was approved.
#[derive(Debug, Serialize, Deserialize)]
struct Approved {
    /// The agent.toml of the agent that made it.
    config: String,
    /// The call, with the component and the grants that it was bound to.
    call: ToolAsk,
    /// With this input instead of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<Json>,
    /// Whether the very same call is to be approved unasked from now on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    always: bool,
    /// Whether that does not hold any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    revoked: bool,
}

/// A call that is approved unasked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Always {
    /// The agent.toml of the agent that makes it.
    pub config: String,
    /// The call, with the component and the grants that it is bound to.
    pub call: ToolAsk,
}

impl PastApprovals {
    /// The approvals beside these runs. Nothing is made before there is one.
    #[must_use]
    pub fn beside(runs: &Path) -> Self {
        Self(Lines::File(runs.join(FILE)))
    }

    /// Approvals that are remembered as long as the process lives.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Lines::Memory(Arc::default()))
    }

    /// Remembers an approval.
    pub fn add(
        &self,
        config: &str,
        call: &ToolAsk,
        input: Option<&Json>,
        always: bool,
    ) -> Result<(), ApprovalsError> {
        let (config, call, input) = (config.to_owned(), call.clone(), input.cloned());
        self.append(&Approved { config, call, input, always, revoked: false })
    }

    /// Has a call asked about again that was approved always.
    pub fn revoke(&self, Always { config, call }: Always) -> Result<(), ApprovalsError> {
        self.append(&Approved { config, call, input: None, always: false, revoked: true })
    }

    fn append(&self, approved: &Approved) -> Result<(), ApprovalsError> {
        self.0.append(approved).map_err(|error| {
            let path = match &self.0 {
                Lines::File(path) => path.clone(),
                Lines::Memory(_) => PathBuf::from("memory"),
            };
            ApprovalsError { path, reason: error.to_string() }
        })
    }

    /// Whether this very call, with this component and these grants, was approved always.
    #[must_use]
    pub fn is_always(&self, config: &str, call: &ToolAsk) -> bool {
        self.always().iter().any(|it| it.config == config && it.call == *call)
    }

    /// Whether this call was approved always, but of a component or with grants that have changed since.
    #[must_use]
    pub fn was_always(&self, config: &str, call: &ToolAsk) -> bool {
        let is_it = |it: &Always| {
            let ToolAsk { name, arguments, target, client_id: _ } = &it.call;
            it.config == config
                && *name == call.name
                && *arguments == call.arguments
                && *target != call.target
        };
        self.always().iter().any(is_it)
    }

    /// The calls that are approved unasked, oldest first.
    #[must_use]
    pub fn always(&self) -> Vec<Always> {
        let mut always = Vec::new();
        for Approved { config, call, always: now, revoked, .. } in self.read() {
            let it = Always { config, call };
            if revoked {
                always.retain(|other| *other != it);
            } else if now && !always.contains(&it) {
                always.push(it);
            }
        }
        always
    }

    /// The input of the last call of a tool that was approved.
    #[must_use]
    pub fn last_input(&self, config: &str, tool: &str) -> Option<serde_json::Value> {
        let of_tool = |it: &Approved| it.config == config && it.call.name == tool && !it.revoked;
        let Approved { call, input, .. } = self.read().filter(of_tool).last()?;
        match (input, call.arguments) {
            (Some(json), _) | (None, crate::message::Arguments::Json(json)) => Some(json.to_value()),
            (None, crate::message::Arguments::Malformed(_)) => None,
        }
    }

    /// What was approved, oldest first. A line that cannot be read does not count: then the person is asked.
    fn read(&self) -> impl Iterator<Item = Approved> + use<> {
        let text = self.0.read();
        let lines: Vec<Approved> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter()
    }
}

impl Lines {
    fn append(&self, approved: &Approved) -> std::io::Result<()> {
        let line = serde_json::to_string(approved)? + "\n";
        match self {
            Self::File(path) => {
                // One write, so that lines of several processes do not mix.
                let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
                file.write_all(line.as_bytes())
            }
            Self::Memory(lines) => {
                lines.lock().push_str(&line);
                Ok(())
            }
        }
    }

    fn read(&self) -> String {
        match self {
            Self::File(path) => fs::read_to_string(path).unwrap_or_default(),
            Self::Memory(lines) => lines.lock().clone(),
        }
    }
}
