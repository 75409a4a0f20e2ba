use std::sync::Arc;

use futures::future::BoxFuture;

use super::REFUSED;
use crate::message::{ErrorKind, Json, RunId, ToolEntry, ToolOutcome};
use crate::schema::Schema;
use crate::session::{Attempt, Conduct, Done, FanOut, Seat};

/// Carries out calls of tools that exist, with inputs that fit.
pub trait ToolRunner: Send + Sync {
    /// Runs one attempt of one call; calls that the tool itself makes go to `fan_out`. Dropping the future stops
    /// the tool.
    fn call<'a>(
        &'a self,
        tool: &'a ToolEntry,
        input: &'a Json,
        attempt: &'a Attempt,
        fan_out: Arc<dyn FanOut>,
    ) -> BoxFuture<'a, Done<ToolOutcome>>;

    /// Waits for room for one call of a run that so many callers wait for. A call begins only when it has room.
    fn seat(&self, _run: RunId, _depth: usize) -> BoxFuture<'_, Seat<'_>> {
        Box::pin(async { Box::new(()) as Seat<'_> })
    }

    /// A schema of one of its tools. It may be compiled already: of many runs only the first pays for that.
    fn schema(&self, json: &Json) -> Schema {
        Schema::new(json)
    }

    /// How calls of this tool may be carried out. How many at once is not for the tool to say.
    fn conduct(&self, tool: &ToolEntry) -> Conduct<'static>;
}

/// The runner of a replay: there is nothing to run, because every result is recorded.
#[derive(Debug)]
pub struct NoRunner;

impl ToolRunner for NoRunner {
    fn call<'a>(
        &'a self,
        tool: &'a ToolEntry,
        _input: &'a Json,
        _attempt: &'a Attempt,
        _fan_out: Arc<dyn FanOut>,
    ) -> BoxFuture<'a, Done<ToolOutcome>> {
        let message = format!("`{}` was called in a replay; please report this as a bug", tool.spec.name);
        Box::pin(async { ToolOutcome::error(ErrorKind::Failed, message).into() })
    }

    fn conduct(&self, _tool: &ToolEntry) -> Conduct<'static> {
        REFUSED
    }
}
