//! Where guests run: one engine, a prepared component per tool, a fresh instance per call.
//!
//! Owns everything that bounds a guest: memory, time, output, log, and what it can reach, which is nothing
//! by default. Does not know where components come from ([`crate::toolbox`]) nor what a run is. Invariant:
//! an instance serves one call and is gone when the call's future ends or is dropped; whatever a guest
//! does, its neighbours do not notice. A guest's misbehaviour is a [`crate::message::ToolOutcome`], never an error of the
//! host; admission fails with an [`AdmitError`].

mod bindings;
mod calls;
mod clock;
mod cpu;
mod egress;
mod engine;
mod extras;
mod files;
mod guest;
mod handler;
mod handles;
mod limiter;
mod link;
mod log;
mod needs;
mod places;
mod prepared;
mod program;
mod random;
mod record;
mod sections;
mod shelf;
mod sockets;
mod state;
mod streams;
mod typed;
mod verdict;

pub(crate) use engine::INSTANCES;
#[cfg(feature = "server")]
pub(crate) use engine::INSTANCES_LIMIT;
pub use engine::{EngineError, Metering, Sandbox, compiler};
pub use guest::Guest;
pub use needs::{Import, Need, imports};
pub use places::Place;
pub use prepared::{AdmitError, Role, ToolDefinition};
pub use sections::{Sections, producers};
pub use state::{CallContext, Policy};
pub(crate) use typed::SCHEMA_BYTES_MAX;
pub use typed::{Refused, SurfaceError, render_wit};

/// The contract between this host and a tool that is made for it, in the interface language.
pub const WIT: &str = include_str!("../../embedded/wit/tool.wit");
