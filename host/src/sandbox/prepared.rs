//! A component that was admitted: linked, and ready for instances.

use tokio::sync::OnceCell;
use wasmtime::component::Component;

use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::bindings::OrchestratorPre;
use super::bindings::exports::host::tool::tools::ToolDefinition as WitDefinition;
use super::engine::{EngineError, Metering, Sandbox};
use super::handler::HANDLER;
use super::link;
use super::needs::{Need, imports};
use super::program::RUN;
use super::sections::Sections;
use super::state::State;
use super::typed::{Function, Refused, Surface, SurfaceError, Typed};
use crate::grants::ToolLimits;

/// What does not depend on what a component is granted, so that agents share it.
pub(super) struct Prepared {
    pub(super) kind: Kind,
    /// What it imports that this host does not have.
    pub(super) missing: Vec<String>,
    /// Whether it asks for settings.
    pub(super) asks_for_settings: bool,
}

/// How a component offers tools.
pub(super) enum Kind {
    /// By the contract: it tells of them itself.
    Contract { pre: OrchestratorPre<State>, listed: OnceCell<Vec<ToolDefinition>> },
    /// By its exports.
    Typed { typed: Typed, listed: Vec<ToolDefinition> },
    /// As a program.
    Program(CommandPre<State>),
    /// By answering HTTP requests.
    Handler(ProxyPre<State>),
}

/// What a component is to those who call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// It is of the world `host:tool/tool`, and tells of its tools itself.
    Tools,
    /// Each function that it exports is a tool.
    Functions,
    /// It is a program, `wasi:cli/command`.
    Program,
    /// It answers HTTP requests, `wasi:http/incoming-handler`.
    Handler,
}

/// What a component tells of one of its tools, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDefinition {
    /// What models call it by.
    pub name: String,
    /// What it is called by in the component: its name, or its place among the exports.
    pub export: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of the input.
    pub input_schema: String,
    /// JSON Schema of the output, if it promises one.
    pub output_schema: Option<String>,
}

/// Why a component is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// It is a component of this world in another version or form.
    #[error(
        "it does not fit the world `host:tool/tool@0.1.0`: {0}\n  build it against wit/tool.wit (`host init` makes a tool that does)"
    )]
    World(String),
    /// It imports something in a form that this host does not have.
    #[error(
        "it cannot be linked: {0}\n  build it for an interface that this host has; `host inspect` lists what it imports"
    )]
    Imports(String),
    /// It exports too much to look through.
    #[error(transparent)]
    Surface(#[from] SurfaceError),
    /// No export of it can be called.
    #[error(
        "it exports no function that can be a tool{}\n  docs/COMPONENTS.md says which functions can",
        listed(refused)
    )]
    NoTools {
        /// What it exports instead.
        refused: Vec<Refused>,
        /// What it imports that this host does not have.
        missing: Vec<String>,
    },
    /// It is to be called as a program, and is none.
    #[error(
        "it is no program: it does not export `wasi:cli/run`\n  take [tools.NAME.command] out of agent.toml; `host inspect` says what it exports"
    )]
    NoProgram,
    /// There is no engine for it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It could not list its tools.
    #[error("listing its tools failed: {0}")]
    Listing(String),
}

/// The first exports that are no tools, and why.
fn listed(refused: &[Refused]) -> String {
    /// An error names no more of them.
    const NAMED_MAX: usize = 5;
    let named: Vec<String> =
        refused.iter().take(NAMED_MAX).map(|it| format!("`{}`: {}", it.path, it.why)).collect();
    let more = refused.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    if named.is_empty() { String::new() } else { format!(": {}{more}", named.join("; ")) }
}

impl Prepared {
    /// Links a component, and finds its tools, as far as that takes no instance.
    pub(super) fn new(
        sandbox: &Sandbox,
        component: &Component,
        sections: &Sections,
        limits: &ToolLimits,
        is_program: bool,
    ) -> Result<Self, AdmitError> {
        let exports = component.component_type();
        let exports =
            |wanted: fn(&str) -> bool| exports.exports(component.engine()).any(|(name, _)| wanted(name));
        let fits_the_contract = !is_program && exports(|name| name.starts_with(link::OWN_PACKAGE));
        let unlinked = |error: wasmtime::Error| {
            let why = format!("{error:#}");
            if fits_the_contract { AdmitError::World(why) } else { AdmitError::Imports(why) }
        };
        let linker = &sandbox.runtime(Metering::of(limits))?.linker;
        let link::Linked { linker, missing } = link::linker_for(linker, component).map_err(unlinked)?;
        let asks_for_settings = imports(component).iter().any(|it| it.need == Need::Table("config"));
        let pre = linker.instantiate_pre(component).map_err(unlinked)?;
        if fits_the_contract {
            let pre = OrchestratorPre::new(pre).map_err(unlinked)?;
            return Ok(Self {
                kind: Kind::Contract { pre, listed: OnceCell::new() },
                missing,
                asks_for_settings,
            });
        }
        let (runs, handles) =
            (exports(|name| is_version_of(name, RUN)), exports(|name| is_version_of(name, HANDLER)));
        if is_program {
            if !runs {
                return Err(AdmitError::NoProgram);
            }
            return Ok(Self {
                kind: Kind::Program(CommandPre::new(pre).map_err(unlinked)?),
                missing,
                asks_for_settings,
            });
        }
        let typed = Typed::new(pre.clone(), Surface::of(component)?);
        let listed: Vec<ToolDefinition> =
            typed.functions().map(|function| ToolDefinition::of_function(function, sections)).collect();
        let kind = match (listed.is_empty(), handles, runs) {
            (false, _, _) => Kind::Typed { typed, listed },
            (true, true, _) => Kind::Handler(ProxyPre::new(pre).map_err(unlinked)?),
            (true, false, true) => Kind::Program(CommandPre::new(pre).map_err(unlinked)?),
            (true, false, false) => {
                return Err(AdmitError::NoTools { refused: typed.refused().to_vec(), missing });
            }
        };
        Ok(Self { kind, missing, asks_for_settings })
    }
}

/// Whether an export is an interface of WASI in a released version 0.2: its drafts have other types.
fn is_version_of(export: &str, interface: &str) -> bool {
    link::released(export) == Some(interface)
}

impl ToolDefinition {
    /// What an exported function is as a tool, with what its component says of it.
    fn of_function(function: &Function, sections: &Sections) -> Self {
        let Function { name, path, interface, signature, input_schema, output_schema, .. } = function;
        let description = match (sections.docs_of(function), interface) {
            (Some(docs), _) => docs.to_owned(),
            (None, Some(interface)) => format!("The function `{signature}` of `{interface}`."),
            (None, None) => format!("The function `{signature}`."),
        };
        Self {
            name: name.clone(),
            export: path.clone(),
            description,
            input_schema: input_schema.as_str().to_owned(),
            output_schema: Some(output_schema.as_str().to_owned()),
        }
    }
}

impl From<WitDefinition> for ToolDefinition {
    fn from(definition: WitDefinition) -> Self {
        let WitDefinition { name, description, input_schema, output_schema } = definition;
        Self { export: name.clone(), name, description, input_schema, output_schema }
    }
}
