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
mod files;
mod guest;
mod handles;
mod limiter;
mod link;
mod log;
mod places;
mod random;
mod record;
mod shelf;
mod sockets;
mod state;
mod verdict;

pub(crate) use engine::INSTANCES;
#[cfg(feature = "server")]
pub(crate) use engine::INSTANCES_LIMIT;
pub use engine::{EngineError, Metering, Sandbox, compiler};
pub use guest::{AdmitError, Guest, ToolDefinition};
pub use places::Place;
pub use state::{CallContext, Policy};
