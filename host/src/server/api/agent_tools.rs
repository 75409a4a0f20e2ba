//! The tools of an agent for clients that have a model of their own: the Model Context Protocol at `/agents/NAME/mcp`.
//!
//! Each call is a run that the client carries out. There are no sessions, so that a client goes on when the server was
//! started again. A call that wants approval waits until somebody decides.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, ListResourceTemplatesResult,
    ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::{RoleServer, ServerHandler};

use super::super::Server;
use super::super::problem::Problem;
use super::super::tokens::{Grant, Scope};
use super::super::versions::Loaded;
use super::begin::no_agent;
use super::body::Path;
use super::program_tools::{caught, stateless};
use super::{Caller, State};
use crate::gateway::{Failed, Refused};
use crate::mcp::{self, Progress, results};
use crate::message::{Arguments, Cancelled, Ending, Json, RunId, ToolEntry};

/// The path at which the tools of an agent are.
pub(super) const PATH: &str = "/agents/{agent}/mcp";

/// Whose tools are called, and by whom.
#[derive(Clone)]
struct Caught {
    server: Arc<Server>,
    loaded: Loaded,
    grant: Grant,
}

/// The tools of agents.
#[derive(Clone)]
pub(super) struct AgentTools;

/// Takes messages of the protocol.
pub(super) type Service = StreamableHttpService<AgentTools, NeverSessionManager>;

/// A service for all agents.
pub(super) fn service() -> Service {
    StreamableHttpService::new(|| Ok(AgentTools), Arc::new(NeverSessionManager::default()), stateless())
}

/// Takes a message.
pub(super) async fn message(
    axum::extract::State(server): State,
    axum::Extension(service): axum::Extension<Service>,
    caller: Caller,
    Path(agent): Path<String>,
    mut request: Request,
) -> Result<Response, Problem> {
    caller.may_of(Scope::Run, &agent)?;
    let loaded = server.agents.get(&agent).ok_or_else(|| no_agent(&server, &caller, &agent))?;
    let _place = server.limits.wait()?;
    request.extensions_mut().insert(Caught { server: Arc::clone(&server), loaded, grant: caller.0 });
    Ok(service.handle(request).await.into_response())
}

impl Caught {
    /// Makes a call, in a run of its own.
    async fn call(
        &self,
        entry: &ToolEntry,
        arguments: Arguments,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        let (programs, run, name) = (&self.server.programs, RunId::new(), &entry.spec.name);
        let (progress, told) = Progress::of(context);
        let begun = programs.create(run, &self.loaded, format!("call {name}"), Arc::new(progress)).await;
        if let Err(problem) = begun {
            return results::failed(problem.detail().to_owned());
        }
        let made = async {
            let program = programs.known(run).ok_or(Refused::Closed)?;
            let mut calling = program.desk.call(None, name, arguments, Some(context.id.to_string())).await?;
            let made = calling.result().await;
            calling.delivered();
            program.desk.end(Ending::Answer(mcp::ENDED.to_owned()));
            Ok::<_, Refused>(made)
        };
        let made = tokio::select! {
            made = made => made,
            never = told.forward() => match never {},
            () = context.ct.cancelled() => {
                let cancelled = Cancelled { by: Some(self.grant.by()), reason: None };
                // What has just ended is not cancelled any more.
                let _ = self.server.engine.cancel(run, cancelled).await;
                return results::failed(format!("run {run} was cancelled"));
            }
        };
        match made {
            Ok(Ok(result)) => results::of(run, &result, entry),
            Ok(Err(Failed { why, .. })) => results::failed(format!("run {run}: {why}")),
            Err(refused) => {
                let reason = Some(refused.to_string());
                // A run in which nothing was called is no use to anybody.
                let _ = self.server.engine.cancel(run, Cancelled { by: None, reason }).await;
                results::failed(format!("run {run}: {refused}"))
            }
        }
    }
}

impl ServerHandler for AgentTools {
    fn get_info(&self) -> ServerConfig {
        mcp::info(None, None)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        mcp::page(&mcp::offered(&caught::<Caught>(&context)?.loaded.agent), request)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caught: Caught = caught(&context)?;
        let agent = Arc::clone(&caught.loaded.agent);
        let entry = mcp::entry(&agent, &request.name)?;
        let arguments = serde_json::Value::Object(request.arguments.unwrap_or_default());
        let arguments = Arguments::Json(Json::canonical(&arguments));
        Ok(caught.call(entry, arguments, &context).await.into())
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(mcp::templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let caught: Caught = caught(&context)?;
        mcp::resource(&caught.server.engine, &caught.loaded.agent, request.uri).await
    }
}
