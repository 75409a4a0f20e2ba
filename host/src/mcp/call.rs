//! One call of a client's: a run in which the client stands for the model.

use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rmcp::RoleServer;
use rmcp::model::{CallToolResult, JsonObject};
use rmcp::service::RequestContext;
use serde_json::Value;

use super::client::{Client, Progress};
use super::{ENDED, McpServer, results};
use crate::engine::{Front, NewRun, Outcome};
use crate::message::{
    Arguments, Cancelled, Ending, Json, Message, Reply, Retry, RunId, ToolCall, ToolEntry, ToolResult,
};
use crate::model::{Model, ModelError, ModelRequest, Models};

/// Replies as the client does: with its call, and then it has what it wanted.
struct Asks {
    call: ToolCall,
    came_to: Arc<Mutex<Option<ToolResult>>>,
}

impl Model for Asks {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        let reply = match request.messages.last() {
            Some(Message::Tool(result)) => {
                *self.came_to.lock() = Some(result.clone());
                Reply { text: ENDED.to_owned(), ..Reply::default() }
            }
            Some(Message::User(_) | Message::Image(_) | Message::Assistant(_)) | None => {
                Reply { calls: vec![self.call.clone()], ..Reply::default() }
            }
        };
        Box::pin(std::future::ready(Ok(reply)))
    }

    fn reaches_outside(&self) -> bool {
        false
    }
}

impl McpServer {
    /// Makes a call, and says what it came to.
    pub(super) async fn make(
        &self,
        entry: &ToolEntry,
        arguments: Option<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let engine = &self.0.engine;
        let name = entry.spec.name.clone();
        let arguments = Arguments::Json(Json::canonical(&Value::Object(arguments.unwrap_or_default())));
        let call = ToolCall { id: context.id.to_string(), name: name.clone(), arguments };
        let came_to = Arc::<Mutex<Option<ToolResult>>>::default();
        let asks = Asks { call, came_to: Arc::clone(&came_to) };
        let agent = self.0.agent.replied_by(Models::only(Arc::new(asks), Retry::NEVER));
        let client = Client::of(&context);
        let by = client.by();
        let (progress, told) = Progress::of(&context);
        let front = Front { watcher: Arc::new(progress), people: Arc::new(client) };
        let new = NewRun::new(agent, format!("call {name}"));
        let run = new.id();
        let mut handle = match engine.start(new, front).await {
            Ok(handle) => handle,
            Err(error) => return results::failed(error.to_string()),
        };
        let outcome = tokio::select! {
            outcome = handle.outcome() => outcome,
            never = told.forward() => match never {},
            () = context.ct.cancelled() => {
                let cancelled = Cancelled { by: Some(by), reason: None };
                // One that has just ended is not cancelled any more, and nobody waits for what it came to.
                let _ = engine.cancel(run, cancelled).await;
                return results::failed(format!("run {run} was cancelled"));
            }
        };
        let came_to = came_to.lock().take();
        ended(run, outcome, came_to.as_ref(), entry)
    }
}

/// How a run ended in which the call was not made.
fn why(ending: &Ending) -> String {
    match ending {
        Ending::Answer(text) | Ending::Refused(text) | Ending::Limit(text) | Ending::Empty(text) => {
            text.clone()
        }
        Ending::Unfit { why, .. } => why.clone(),
        Ending::Cancelled(cancelled) => cancelled.to_string(),
    }
}

/// What the client is told.
fn ended(run: RunId, outcome: Outcome, came_to: Option<&ToolResult>, entry: &ToolEntry) -> CallToolResult {
    match (outcome, came_to) {
        (Outcome::Ended { .. }, Some(result)) => results::of(run, result, entry),
        (Outcome::Ended { ending, .. }, None) => {
            results::failed(format!("run {run} ended: {}", why(&ending)))
        }
        (Outcome::Suspended(waiting), _) => {
            let waits: Vec<String> = waiting.iter().map(|waiting| waiting.slot.to_string()).collect();
            results::failed(format!(
                "run {run} waits for a person at {}; `host runs show {run}` says what for, and with `host resume {run}` it goes on after that",
                waits.join(", ")
            ))
        }
        (Outcome::Interrupted, _) => results::failed(format!("run {run} was interrupted")),
        (Outcome::Failed(error), _) => results::failed(format!("run {run} failed: {error}")),
    }
}
