//! Why the tools of an agent are not available, and what to do about it.

use std::path::PathBuf;

use super::admit::TOOLS_MAX;
use super::{BuildError, COMPONENT_BYTES_MAX, CacheError, CompileError};
use crate::grants::SecretError;
use crate::message::Digest;
use crate::registry::FetchError;
use crate::sandbox::{AdmitError, EngineError};
use crate::trust::TrustError;

/// Why the tools of an agent are not available.
#[derive(Debug, thiserror::Error)]
pub enum ToolboxError {
    /// Because of one tool.
    #[error("[tools.{tool}]: {reason}")]
    Tool {
        /// The table in agent.toml.
        tool: String,
        /// What is wrong.
        reason: Box<ToolboxReason>,
    },
    /// Because something is said of tools that are not there.
    #[error("`{}` in [{}] matches no tool of this agent: `{glob}`\n  there are: {}", at[1], at[0], names.join(", "))]
    MatchesNothing {
        /// Where it is said: the table and the key.
        at: [&'static str; 2],
        /// The pattern.
        glob: String,
        /// What there is.
        names: Vec<String>,
    },
    /// Because of a secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// What is wrong with a tool.
#[derive(Debug, thiserror::Error)]
pub enum ToolboxReason {
    /// There is nothing at the path.
    #[error("source {} does not exist\n  `source` is a .wasm file or the directory of a tool, relative to agent.toml", .0.display())]
    Missing(PathBuf),
    /// The file or directory cannot be read.
    #[error("cannot read source {}: {reason}\n  make it readable, or name another file", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is too large.
    #[error("{} is too large ({bytes} bytes); a component may have at most {COMPONENT_BYTES_MAX}\n  strip it, and build it to be small", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file is a core module.
    #[error("{} is a core module, not a component\n  build it for the target wasm32-wasip2", .0.display())]
    CoreModule(PathBuf),
    /// The file is not WebAssembly at all.
    #[error("{} is not a WebAssembly component: it does not begin with the bytes `\\0asm`\n  `source` is a component that was built, or the directory of a tool", .0.display())]
    NotWasm(PathBuf),
    /// The component is not the pinned one.
    #[error("{} has sha256 {found}, but agent.toml pins {pinned}\n  if the change is wanted, write the new digest into `sha256`", path.display())]
    OtherDigest {
        /// Which file.
        path: PathBuf,
        /// What agent.toml says.
        pinned: Digest,
        /// What it is.
        found: Digest,
    },
    /// It is elsewhere, and host.lock does not say which bytes it has.
    #[error(
        "{0} is not in host.lock, which says which bytes are meant\n  pin it with `host update`, which shows first what it is"
    )]
    NotLocked(String),
    /// It is an MCP server, and host.lock does not say which tools it has.
    #[error(
        "host.lock does not say which tools this MCP server has, and what they say of themselves\n  pin them with `host update`, which shows first what it says"
    )]
    ServerNotLocked,
    /// This program has no client for MCP servers.
    #[error("this host was built without MCP\n  use one that has the feature `mcp`, or take the tool out")]
    NoMcp,
    /// host.lock is about something else.
    #[error(
        "source is {written}, and host.lock pins {locked} for this tool\n  pin what is written with `host update`, which shows first what it is"
    )]
    LockedOther {
        /// What agent.toml says.
        written: String,
        /// What host.lock says.
        locked: String,
    },
    /// It is given settings, and asks for none.
    #[error(
        "it has settings, and does not import `wasi:config/store`, so that it never sees them\n  take the table out; a variable of the environment is granted with `permissions.env`"
    )]
    NoSettings,
    /// It cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is not signed as it has to be.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The source does not build.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The cache fails.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The component does not compile.
    #[error("{}: {error}", path.display())]
    Compile {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: CompileError,
    },
    /// The component has an instruction that this host does not have.
    #[error(
        "{} throws exceptions of WebAssembly, which this host does not have\n  build it without them; of C++, for example, with -fno-exceptions", .0.display()
    )]
    Exceptions(PathBuf),
    /// It is granted a directory with the host's own files.
    #[error("dirs grants {}, where the host keeps {}\n  grant another directory; `--state` and `--cache` choose where the host keeps its own", dir.display(), own.display())]
    OwnFiles {
        /// The granted directory.
        dir: PathBuf,
        /// The host's own.
        own: PathBuf,
    },
    /// There is no engine for its limits.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The component does not fit the world.
    #[error("{}: {error}", path.display())]
    Admit {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: AdmitError,
    },
    /// The component is made for another interface to the system.
    #[error(
        "{} needs WASI 0.3: it has {sign}\n  this host runs components of WASI 0.2; build it for that", path.display()
    )]
    Wasi03 {
        /// Which file.
        path: PathBuf,
        /// What says so.
        sign: String,
    },
    /// Two exports of a component that models would call by one name.
    #[error(
        "the exports `{}` and `{}` would both be the tool `{name}`\n  choose one of them: include = [\"{}\"]",
        exports[0], exports[1], exports[0]
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// The exports.
        exports: [String; 2],
    },
    /// An export that is chosen, and cannot be a tool.
    #[error("the export `{export}` cannot be a tool: {why}\n  leave it out of `include`")]
    NoTool {
        /// What the component calls it.
        export: String,
        /// Why.
        why: String,
    },
    /// A description of a tool that is not there.
    #[error("`describe` names no tool of the component: `{name}`\n  the component has: {}", names.join(", "))]
    DescribesNothing {
        /// The name.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
    /// More tools than an agent takes of one component.
    #[error(
        "{} has {count} tools; at most {TOOLS_MAX} of a component are taken\n  choose among them with `include`", path.display()
    )]
    TooMany {
        /// Which file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// What the component tells of itself is not well-formed.
    #[error("{}: {reason}\n  correct the tool: wit/tool.wit says what it may tell of itself", path.display())]
    Listing {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A pattern that names nothing.
    #[error("`{key}` matches no tool: `{glob}`\n  the component has: {}", names.join(", "))]
    Pattern {
        /// The key it stands at.
        key: &'static str,
        /// The pattern.
        glob: String,
        /// What there is.
        names: Vec<String>,
    },
    /// It is granted calls of tools that are not there.
    #[error("`permissions.calls` matches no tool of this agent: `{glob}`\n  there are: {}", names.join(", "))]
    CallsNothing {
        /// The pattern.
        glob: String,
        /// What there is.
        names: Vec<String>,
    },
    /// Nobody can call it.
    #[error(
        "it is hidden from the model, and no other tool may call any of its tools\n  grant that with `calls` in the permissions of a tool, or remove `hidden`"
    )]
    OutOfReach,
    /// Two tools with one name.
    #[error(
        "the tool `{name}` is already offered by {other}\n  give one of them a `prefix`, or leave it out with `include`"
    )]
    Duplicate {
        /// The name.
        name: String,
        /// Who has it.
        other: String,
    },
}
