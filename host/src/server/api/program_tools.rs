//! The tools of an agent for the program that carries a run of it out: the Model Context Protocol at `/runs/RUN/mcp`.
//!
//! There are no sessions: each request stands for itself, so that a program goes on calling tools when the server was
//! started again.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorCode, ErrorData, ListToolsResult, PaginatedRequestParams,
    ServerConfig,
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
use crate::mcp::{self, LINE_BYTES_MAX};
use crate::message::{Arguments, Json, RunId};

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

/// What came along with a request.
pub(super) fn caught<T: Clone + Send + Sync + 'static>(
    context: &RequestContext<RoleServer>,
) -> Result<T, ErrorData> {
    let parts = context.extensions.get::<axum::http::request::Parts>();
    let caught = parts.and_then(|parts| parts.extensions.get::<T>()).cloned();
    caught.ok_or_else(|| ErrorData::internal_error("the request came another way", None))
}

impl Caught {
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
        mcp::info(None, None)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caught: Caught = caught(&context)?;
        // All of them at once: SDKs ask for the first page alone.
        Ok(ListToolsResult::with_all_items(mcp::offered(&caught.program.agent)))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caught: Caught = caught(&context)?;
        let entry = mcp::entry(&caught.program.agent, &request.name)?;
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let arguments = Arguments::Json(Json::canonical(&arguments));
        let mut calling = caught
            .call(&entry.spec.name, &arguments, &context.id.to_string())
            .await
            .map_err(|refused| declined(&refused))?;
        match calling.result().await {
            Ok(result) => {
                calling.delivered();
                Ok(mcp::results::plain(&result, entry).into())
            }
            Err(Failed { why, .. }) => Err(ErrorData::internal_error(why, None)),
        }
    }
}

fn declined(refused: &Refused) -> ErrorData {
    ErrorData::new(ErrorCode::INVALID_REQUEST, refused.to_string(), None)
}
