use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use globset::GlobSet;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::bindings::host::tool::context::{self, CallContext as WitContext};
use super::bindings::host::tool::log::{self, Level};
use super::bindings::host::tool::types;
use super::clock::CallClock;
use super::egress::Egress;
use super::handles::Handles;
use super::limiter::MemoryGauge;
use super::log::CallLog;
use super::random::CallRandom;
use super::record::CallRecord;
use crate::command::Command;
use crate::grants::{Grants, Masker, Secrets, ToolLimits};
use crate::message::{Digest, Hasher};
use crate::session::FanOut;

/// What the calls of one tool may do, and how much.
#[derive(Debug, Default)]
pub struct Policy {
    /// The NAME of `[tools.NAME]`, for those who read about a denial.
    pub tool: String,
    /// What it may reach.
    pub grants: Grants,
    /// What bounds each call.
    pub limits: ToolLimits,
    /// The tools it may call, by their names: what the grants say of them, ready to be matched.
    pub calls: GlobSet,
    /// The agent's secrets; the grants say which of them the tool may send, and where.
    pub secrets: Arc<Secrets>,
    /// Masks all of the agent's secrets.
    pub masker: Masker,
    /// How it is called as a program, if agent.toml says so.
    pub command: Option<Command>,
}

/// What the host keeps for one instance.
pub(super) struct State {
    pub(super) wasi: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) table: ResourceTable,
    pub(super) policy: Arc<Policy>,
    pub(super) memory: MemoryGauge,
    pub(super) random: CallRandom,
    pub(super) clock: CallClock,
    pub(super) egress: Egress,
    /// The files and directories that the guest holds.
    pub(super) handles: Handles,
    pub(super) record: CallRecord,
    pub(super) log: CallLog,
    /// None while the component lists its tools.
    pub(super) call: Option<CallContext>,
    /// What the guest finds in its store of settings.
    pub(super) settings: Vec<(String, String)>,
    /// Who makes the calls of other tools.
    pub(super) fan_out: Arc<dyn FanOut>,
    /// How many of them were asked for.
    pub(super) calls_made: u32,
    pub(super) _live: LiveGuard,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.egress }
    }
}

impl types::Host for State {}

impl context::Host for State {
    fn current(&mut self) -> wasmtime::Result<WitContext> {
        let Some(call) = self.call.clone() else {
            return Err(wasmtime::Error::msg(
                "there is no call whose context could be asked for in list-tools",
            ));
        };
        Ok(WitContext {
            call_id: call.call_id,
            idempotency_key: call.idempotency_key,
            attempt: call.attempt,
            deadline_ms: call.deadline_ms,
        })
    }
}

impl log::Host for State {
    fn log(&mut self, level: Level, message: String) {
        let from = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        self.log.line(from, &message);
    }
}

/// The call an instance is made for, as the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// Names the call within its run.
    pub call_id: String,
    /// The same for every attempt of the call.
    pub idempotency_key: String,
    /// From 1.
    pub attempt: u32,
    /// When the guest's wall clock starts, in milliseconds since 1970-01-01T00:00:00Z.
    pub started_ms: u64,
    /// When the instance is dropped, on the same clock.
    pub deadline_ms: u64,
    /// What the guest's random numbers are made from.
    pub seed: [u8; 32],
}

impl CallContext {
    /// The seed of one call's random numbers, from the run's seed and the call's key.
    #[must_use]
    pub fn seed(run_seed: u64, key: &Digest) -> [u8; 32] {
        *Hasher::default().part(&run_seed.to_be_bytes()).part(key.as_bytes()).finish().as_bytes()
    }
}

/// Stands for one live instance; part of its store's data, so it goes when the store goes.
pub(super) struct LiveGuard(Arc<AtomicUsize>);

impl LiveGuard {
    pub(super) fn count(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(live))
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
