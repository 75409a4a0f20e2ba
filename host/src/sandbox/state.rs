use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::host::tool::context::{self, CallContext as WitContext};
use super::bindings::host::tool::log::{self, Level};
use super::bindings::host::tool::types;
use super::engine::LiveGuard;
use super::guest::CallContext;
use super::limiter::MemoryGauge;
use super::log::CallLog;

/// What the host keeps for one instance.
pub(super) struct State {
    pub(super) wasi: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) memory: MemoryGauge,
    pub(super) log: CallLog,
    /// None while the component lists its tools.
    pub(super) call: Option<CallContext>,
    pub(super) _live: LiveGuard,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for State {}

impl context::Host for State {
    fn current(&mut self) -> WitContext {
        // Outside a call there is no context; the contract says that asking for it traps, and a component
        // that is being listed gets one that fits no call instead, which is as useless to it.
        let call = self.call.clone().unwrap_or_default();
        WitContext {
            call_id: call.call_id,
            idempotency_key: call.idempotency_key,
            attempt: call.attempt,
            deadline_ms: call.deadline_ms,
        }
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
