//! The tools of an agent for MCP clients: programs that have a model of their own, and call tools by the Model Context
//! Protocol.
//!
//! Each call is a run of its own in the engine's journal: isolated, limited, approved and replayable as every other. What
//! the client asks for takes the place of a model's reply, and no model is asked. Owns the way from an agent's tools to
//! those of the protocol, and from what a call comes to back. Does not know how messages travel: [`rmcp`] does. Invariant: what a
//! client is told of a call is what the journal has of it, cut where it is longer than the tool's `shown_output`.

mod call;
mod client;
mod lines;
pub(crate) mod results;
mod tools;

#[cfg(feature = "server")]
pub(crate) use client::Progress;

pub use lines::{BoundedLines, LINE_BYTES_MAX};

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, Implementation, ListResourceTemplatesResult,
    ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ResourceContents, ResourceTemplate, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};

use crate::config::{Config, ModelConfig, Provider};
use crate::engine::{Engine, LoadError, LoadedAgent, Purpose, Secrets, Watcher};
use crate::message::{ToolEntry, clean};

/// So many tools are listed at once; the client asks for the next ones.
const PAGE: usize = 100;

/// What stands for a model in the record of a call.
const CLIENT: &str = "mcp-client";

/// An agent's tools, as an MCP server.
#[derive(Clone)]
pub struct McpServer(Arc<Inner>);

struct Inner {
    engine: Engine,
    agent: Arc<LoadedAgent>,
    tools: Vec<Tool>,
}

impl McpServer {
    /// The tools of an agent, which is loaded without its model.
    pub async fn load(engine: &Engine, config: Config, watcher: &dyn Watcher) -> Result<Self, LoadError> {
        let agent = engine.load(without_model(config), Purpose::Tools(Secrets::Needed), watcher).await?;
        Ok(Self::new(engine, agent))
    }

    fn new(engine: &Engine, agent: Arc<LoadedAgent>) -> Self {
        let tools = offered(&agent);
        Self(Arc::new(Inner { engine: engine.clone(), agent, tools }))
    }

    /// How many tools it offers.
    #[must_use]
    pub fn tools(&self) -> usize {
        self.0.tools.len()
    }
}

/// What ends the run of a call. Nobody reads it but who looks at the record.
pub(crate) const ENDED: &str = "The call has ended.";

/// The tools of an agent that a client may call.
pub(crate) fn offered(agent: &LoadedAgent) -> Vec<Tool> {
    let offered = agent.tools().iter().filter(|tool| !tool.hidden);
    offered.map(|entry| tools::tool(agent, entry)).collect()
}

/// The tool of a name.
pub(crate) fn entry<'a>(agent: &'a LoadedAgent, name: &str) -> Result<&'a ToolEntry, ErrorData> {
    let offered = || agent.tools().iter().filter(|tool| !tool.hidden);
    offered().find(|tool| tool.spec.name == name).ok_or_else(|| {
        let names: Vec<&str> = offered().map(|tool| &*tool.spec.name).collect();
        let message = format!("there is no tool {name:?}; the tools are: {}", names.join(", "));
        ErrorData::invalid_params(message, None)
    })
}

/// What a server says of itself: what its agent is called, and what it does, if it is one agent's.
pub(crate) fn info(title: Option<String>, instructions: Option<String>) -> ServerConfig {
    let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
    let mut info = ServerConfig::new(capabilities);
    info.server_info = Implementation::new("host", env!("CARGO_PKG_VERSION"));
    (info.server_info.title, info.instructions) = (title, instructions);
    info
}

/// A page of tools.
pub(crate) fn page(
    tools: &[Tool],
    request: Option<PaginatedRequestParams>,
) -> Result<ListToolsResult, ErrorData> {
    let from = match request.and_then(|request| request.cursor) {
        None => 0,
        Some(cursor) => cursor.parse().ok().filter(|from| *from < tools.len()).ok_or_else(|| {
            ErrorData::invalid_params(format!("{cursor:?} is no cursor of this list"), None)
        })?,
    };
    let to = tools.len().min(from + PAGE);
    let mut result = ListToolsResult::with_all_items(tools[from..to].to_vec());
    result.next_cursor = (to < tools.len()).then(|| to.to_string());
    Ok(result)
}

/// Where the whole of what was cut can be read.
pub(crate) fn templates() -> ListResourceTemplatesResult {
    let template = ResourceTemplate::new(results::TEMPLATE, "output")
        .with_description("The whole output of a call, where its result was cut.")
        .with_mime_type("application/json");
    ListResourceTemplatesResult::with_all_items(vec![template])
}

/// The whole output of a call that was made by an agent.
pub(crate) async fn resource(
    engine: &Engine,
    agent: &LoadedAgent,
    uri: String,
) -> Result<ReadResourceResponse, ErrorData> {
    let missing = |why: String| ErrorData::resource_not_found(why, Some(serde_json::json!({ "uri": uri })));
    let run = results::run_of(&uri).ok_or_else(|| missing(format!("{uri:?} is no output of a call")))?;
    let text = results::whole(engine, run, &agent.config().path).await.map_err(missing)?;
    let contents = ResourceContents::text(text, uri).with_mime_type("application/json");
    Ok(ReadResourceResult::new(vec![contents]).into())
}

/// An agent whose calls come from a client: what is for a model has no meaning.
fn without_model(mut config: Config) -> Config {
    let script = CLIENT.into();
    config.model = ModelConfig {
        provider: Provider::Scripted { script },
        temperature: None,
        max_tokens: None,
        prices: None,
    };
    config.fallbacks.clear();
    config.summary = None;
    config.parameters.clear();
    config.agent.instructions.clear();
    config.agent.output_schema = None;
    config.limits.compact_at_tokens = None;
    config
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        let agent = &self.0.agent.config().agent;
        info(Some(clean(&agent.name).into_owned()), agent.description.clone())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        page(&self.0.tools, request)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let entry = entry(&self.0.agent, &request.name)?;
        Ok(self.make(entry, request.arguments, context).await.into())
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        resource(&self.0.engine, &self.0.agent, request.uri).await
    }
}
