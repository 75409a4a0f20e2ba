//! Runs and sessions of a server, and everything that is recorded of a run.

use std::path::Path;

use anyhow::Context as _;

use super::client::Remote;
use super::error::RemoteError;
use super::shown::{Runs, Session, Sessions, Which};
use crate::journal::{RunFile, RunSummary};
use crate::message::SessionKey;

/// As many runs as a server sends at once.
const PAGE_RUNS: usize = 1000;
/// More runs are not listed without `--limit`: nobody reads them.
const RUNS_MAX: usize = 1_000_000;

/// The runs of a server, newest first, and why some cannot be read.
pub(in super::super) async fn runs(
    remote: &Remote,
    which: &Which,
) -> Result<(Vec<RunSummary>, Vec<String>), RemoteError> {
    let limit = which.limit.unwrap_or(RUNS_MAX);
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    let mut before = None;
    while found.len() < limit {
        let page = PAGE_RUNS.min(limit - found.len());
        let mut query = vec![("limit", page.to_string())];
        query.extend(which.agent.clone().map(|agent| ("agent", agent)));
        let state = which.state.and_then(|state| serde_json::to_value(state).ok());
        query.extend(state.and_then(|state| Some(("state", state.as_str()?.to_owned()))));
        query.extend(before.map(|run: crate::message::RunId| ("before", run.to_string())));
        let Runs { runs, next, unreadable: damaged } = remote.get(&["runs"], &query).await?;
        unreadable.extend(damaged.into_iter().map(|it| it.why));
        // A page that has nothing leads to no other.
        let is_last = next.is_none() || runs.is_empty();
        found.extend(runs.into_iter().map(super::shown::Run::summary));
        if is_last {
            break;
        }
        before = next;
    }
    unreadable.sort();
    unreadable.dedup();
    Ok((found, unreadable))
}

/// Everything that is recorded of a run.
pub(in super::super) async fn file(remote: &Remote, name: &str) -> anyhow::Result<RunFile> {
    let bytes = remote.bytes(&["runs", name, "record"]).await?;
    let read = RunFile::from_bytes(&bytes, Path::new(&format!("run {name}")));
    read.with_context(|| format!("the record of {name} that {} sent cannot be read", remote.url()))
}

/// The keys of the sessions.
pub(in super::super) async fn sessions(remote: &Remote) -> Result<Vec<SessionKey>, RemoteError> {
    let Sessions { sessions } = remote.get(&["sessions"], &[]).await?;
    Ok(sessions)
}

/// The runs of a session, oldest first.
pub(in super::super) async fn session(
    remote: &Remote,
    key: &SessionKey,
) -> Result<Vec<RunSummary>, RemoteError> {
    let Session { runs } = remote.get(&["sessions", key.as_str()], &[]).await?;
    Ok(runs.into_iter().map(super::shown::Run::summary).collect())
}
