//! The tools of an agent for the program that carries a run of it out: the Model Context Protocol at `/runs/RUN/mcp`.
//!
//! There are no sessions: each request stands for itself, so that a program goes on calling tools when the server was
//! started again.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode, ErrorData,
    ListToolsResult, PaginatedRequestParams, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use serde::Deserialize;
use serde_json::Value;

use super::super::Server;
use super::super::problem::Problem;
use super::super::programs::Program;
use super::super::tokens::Scope;
use super::body::Path;
use super::{Caller, State};
use crate::gateway::{Calling, Failed, Refused};
use crate::mcp::{LINE_BYTES_MAX, offered_tool};
use crate::message::{Arguments, Json, RunId, ToolEntry, ToolOutcome, ToolResult};

/// The paths at which the tools are.
pub(super) const PATHS: [&str; 2] = ["/runs/{run}/mcp", "/runs/{run}/i/{start}/mcp"];

/// Which run, and which start of its program.
#[derive(Debug, Deserialize)]
pub(super) struct At {
    run: RunId,
    #[serde(default)]
    start: Option<u32>,
}

/// Whose tools are called.
#[derive(Clone)]
struct Caught {
    server: Arc<Server>,
    program: Arc<Program>,
    start: Option<u32>,
}

/// The tools of a program's run.
#[derive(Clone)]
pub(super) struct ProgramTools;

/// Takes messages of the protocol.
pub(super) type Service = StreamableHttpService<ProgramTools, NeverSessionManager>;

/// A service for all runs.
pub(super) fn service() -> Service {
    StreamableHttpService::new(|| Ok(ProgramTools), Arc::new(NeverSessionManager::default()), stateless())
}

/// How messages are taken without sessions. Where a request may come to and from is looked at before it comes here.
pub(super) fn stateless() -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(LINE_BYTES_MAX)
}

/// Takes a message.
pub(super) async fn message(
    axum::extract::State(server): State,
    axum::Extension(service): axum::Extension<Service>,
    caller: Caller,
    Path(at): Path<At>,
    mut request: Request,
) -> Result<Response, Problem> {
    caller.may(Scope::Run)?;
    let _place = server.limits.wait()?;
    let program = server.programs.open(at.run, |agent| caller.0.covers(agent)).await?;
    let start = at.start.filter(|start| *start > 0);
    request.extensions_mut().insert(Caught { server: Arc::clone(&server), program, start });
    Ok(service.handle(request).await.into_response())
}

fn caught(context: &RequestContext<RoleServer>) -> Result<Caught, ErrorData> {
    let parts = context.extensions.get::<axum::http::request::Parts>();
    let caught = parts.and_then(|parts| parts.extensions.get::<Caught>()).cloned();
    caught.ok_or_else(|| ErrorData::internal_error("the request is of no run", None))
}

impl Caught {
    fn tools(&self) -> impl Iterator<Item = &ToolEntry> {
        self.program.agent.tools().iter().filter(|tool| !tool.hidden)
    }

    async fn call(&self, name: &str, arguments: &Arguments, client_id: &str) -> Result<Calling, Refused> {
        loop {
            // It may have been left since.
            let program = self.server.programs.open(self.program.desk.run(), |_| true).await;
            let Ok(program) = program else { return Err(Refused::Closed) };
            match program.desk.call(self.start, name, arguments.clone(), Some(client_id.to_owned())).await {
                Err(Refused::Closed) => tokio::task::yield_now().await,
                calling => return calling,
            }
        }
    }
}

impl ServerHandler for ProgramTools {
    fn get_info(&self) -> ServerConfig {
        crate::mcp::info(None, None)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caught = caught(&context)?;
        // All of them at once: SDKs ask for the first page alone.
        let tools = caught.tools().map(|entry| offered_tool(&caught.program.agent, entry)).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caught = caught(&context)?;
        let name = &*request.name;
        let Some(entry) = caught.tools().find(|tool| tool.spec.name == name) else {
            let names: Vec<&str> = caught.tools().map(|tool| &*tool.spec.name).collect();
            let message = format!("there is no tool {name:?}; the tools are: {}", names.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        };
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let arguments = Arguments::Json(Json::canonical(&arguments));
        let mut calling = caught
            .call(name, &arguments, &context.id.to_string())
            .await
            .map_err(|refused| declined(&refused))?;
        match calling.result().await {
            Ok(result) => {
                calling.delivered();
                Ok(told(&result, entry).into())
            }
            Err(Failed { why, .. }) => Err(ErrorData::internal_error(why, None)),
        }
    }
}

fn declined(refused: &Refused) -> ErrorData {
    ErrorData::new(ErrorCode::INVALID_REQUEST, refused.to_string(), None)
}

/// What the program reads of a result: the same as the model of an agent of the host's own would.
fn told(result: &ToolResult, entry: &ToolEntry) -> CallToolResult {
    let text = match &result.outcome {
        ToolOutcome::Output(json) => match json.to_value() {
            // A text needs no quotes to be read.
            Value::String(text) if json.as_str().len() as u64 <= result.shown_bytes_max => text,
            _ => result.model_text(),
        },
        ToolOutcome::Error(error) => {
            return CallToolResult::error(vec![ContentBlock::text(error.to_string())]);
        }
    };
    let mut told = CallToolResult::success(vec![ContentBlock::text(text)]);
    if let (Some(_), ToolOutcome::Output(json)) = (&entry.spec.output_schema, &result.outcome) {
        told.structured_content = Some(json.to_value()).filter(Value::is_object);
    }
    told
}
