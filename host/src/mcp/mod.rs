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
mod results;
mod tools;

#[cfg(feature = "server")]
pub(crate) use tools::tool as offered_tool;

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
        let offered = agent.tools().iter().filter(|tool| !tool.hidden);
        let tools = offered.map(|entry| tools::tool(&agent, entry)).collect();
        Self(Arc::new(Inner { engine: engine.clone(), agent, tools }))
    }

    /// How many tools it offers.
    #[must_use]
    pub fn tools(&self) -> usize {
        self.0.tools.len()
    }

    fn entry(&self, name: &str) -> Option<&ToolEntry> {
        self.0.agent.tools().iter().find(|tool| !tool.hidden && tool.spec.name == name)
    }
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
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let config = self.0.agent.config();
        let mut info = ServerConfig::new(capabilities);
        info.server_info = Implementation::new("host", env!("CARGO_PKG_VERSION"));
        info.server_info.title = Some(clean(&config.agent.name).into_owned());
        info.instructions.clone_from(&config.agent.description);
        info
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = &self.0.tools;
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

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(entry) = self.entry(&request.name) else {
            let names: Vec<&str> = self.0.tools.iter().map(|tool| &*tool.name).collect();
            let message = format!("there is no tool {:?}; the tools are: {}", request.name, names.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        };
        Ok(self.make(entry, request.arguments, context).await.into())
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new(results::TEMPLATE, "output")
            .with_description("The whole output of a call, where its result was cut.")
            .with_mime_type("application/json");
        Ok(ListResourceTemplatesResult::with_all_items(vec![template]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri;
        let run = results::run_of(&uri)
            .ok_or_else(|| ErrorData::resource_not_found(format!("{uri:?} is no output of a call"), None))?;
        let agent = &self.0.agent.config().path;
        let text = results::whole(&self.0.engine, run, agent)
            .await
            .map_err(|why| ErrorData::resource_not_found(why, None))?;
        let contents = ResourceContents::text(text, uri).with_mime_type("application/json");
        Ok(ReadResourceResult::new(vec![contents]).into())
    }
}
