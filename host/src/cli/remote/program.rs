//! Runs that programs carry out, as `host exec` begins, starts and ends them.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Remote;
use super::error::RemoteError;
use super::shown::Run;
use crate::message::RunId;
use crate::server::KEY_PATH;

/// A start of a program.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Start {
    /// Its number; 0 if the run has ended, so that it gives what is recorded alone.
    #[serde(rename = "start")]
    pub(in super::super) number: u32,
    /// What the program sends in the place of a provider's key.
    pub(in super::super) token: String,
    /// Where its requests go, below the address of the server.
    pub(in super::super) path: String,
}

#[derive(Serialize)]
struct Begin<'a> {
    agent: &'a str,
    label: &'a str,
}

#[derive(Deserialize)]
struct Agents {
    agents: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Remote {
    /// Whether a server serves an agent.
    pub(in super::super) async fn serves(&self, agent: &str) -> Result<bool, RemoteError> {
        let Agents { agents } = self.get(&["agents"], &[]).await?;
        Ok(agents.iter().any(|it| it.name == agent))
    }

    /// Begins a run that a program carries out.
    pub(in super::super) async fn begin_program(
        &self,
        agent: &str,
        label: &str,
    ) -> Result<RunId, RemoteError> {
        let Run { run, .. } = self.post(&["runs"], &Begin { agent, label }).await?;
        Ok(run)
    }

    /// Begins a start of the program of a run. A server that is away is waited for.
    pub(in super::super) async fn start_program(&self, run: RunId) -> Result<Start, RemoteError> {
        let run = run.to_string();
        super::client::until_back(|| async { self.post(&["runs", &run, "starts"], &json!({})).await }).await
    }

    /// Ends a run that a program carried out, and says its answer.
    pub(in super::super) async fn end_program(&self, run: RunId) -> Result<Option<String>, RemoteError> {
        let Ended { answer } = self.post(&["runs", &run.to_string(), "end"], &json!({})).await?;
        Ok(answer)
    }

    /// A key that opens the pages of the server once.
    pub(in super::super) async fn page_key(&self) -> Result<String, RemoteError> {
        let Key { key } = self.post_once(&KEY_PATH, &serde_json::json!({})).await?;
        Ok(key)
    }
}

#[derive(Deserialize)]
struct Ended {
    answer: Option<String>,
}

/// What opens the pages of a server once.
#[derive(Deserialize)]
struct Key {
    key: String,
}
