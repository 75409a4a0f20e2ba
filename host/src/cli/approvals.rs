//! What was approved before, beyond any one run: for the difference to the last time, and for calls that were approved
//! always. One line of JSON an approval, in a file beside the runs.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::message::{Json, ToolAsk};

/// The file below the state directory.
const FILE: &str = "approvals.jsonl";

/// The file of approvals.
#[derive(Clone, Debug)]
pub(super) struct ApprovalsFile {
    path: PathBuf,
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
}

impl ApprovalsFile {
    pub(super) fn new(state: &Path) -> Self {
        Self { path: state.join(FILE) }
    }

    /// Remembers an approval.
    pub(super) fn add(
        &self,
        config: &str,
        call: &ToolAsk,
        input: Option<&Json>,
        always: bool,
    ) -> anyhow::Result<()> {
        let approved =
            Approved { config: config.to_owned(), call: call.clone(), input: input.cloned(), always };
        let line = serde_json::to_string(&approved)? + "\n";
        let unwritable = || format!("cannot write {}", self.path.display());
        // One write, so that lines of several processes do not mix.
        let mut file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .with_context(unwritable)?;
        file.write_all(line.as_bytes()).with_context(unwritable)
    }

    /// Whether this very call, with this component and these grants, was approved always.
    pub(super) fn is_always(&self, config: &str, call: &ToolAsk) -> bool {
        self.read(config).any(|approved| approved.always && approved.call == *call)
    }

    /// The input of the last call of a tool that was approved.
    pub(super) fn last_input(&self, config: &str, tool: &str) -> Option<serde_json::Value> {
        let Approved { call, input, .. } =
            self.read(config).filter(|approved| approved.call.name == tool).last()?;
        match (input, call.arguments) {
            (Some(json), _) | (None, crate::message::Arguments::Json(json)) => Some(json.to_value()),
            (None, crate::message::Arguments::Malformed(_)) => None,
        }
    }

    /// What was approved for an agent, oldest first. A line that cannot be read is none: then the person is asked.
    fn read<'a>(&self, config: &'a str) -> impl Iterator<Item = Approved> + use<'a> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let lines: Vec<Approved> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter().filter(move |approved| approved.config == config)
    }
}
