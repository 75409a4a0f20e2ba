use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng as _;
use wasmtime::component::{Component, ResourceTable};
use wasmtime::{Store, Trap};
use wasmtime_wasi::WasiCtx;

use super::bindings::exports::host::tool::tools::ToolError as WitError;
use super::bindings::{Tool, ToolPre};
use super::clock::CallClock;
use super::engine::Sandbox;
use super::limiter::{MemoryGauge, Refused};
use super::log::{CallLog, Stream};
use super::state::{CallContext, State};
use crate::config::ToolLimits;
use crate::message::{ErrorKind, Json, LogLine, ToolOutcome, Usage};
use crate::session::Done;

/// A guest's error message is cut to this, as `wit/tool.wit` says.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// What crosses the boundary in one host call besides the output: names, log lines, paths.
const HOSTCALL_BYTES: u64 = 1024 * 1024;

/// Handles one call may hold at once.
const HANDLES_MAX: usize = 1024;

/// Random bytes of one request.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// A component that was admitted, prepared for instances.
#[derive(Clone)]
pub struct Guest {
    sandbox: Sandbox,
    pre: ToolPre<State>,
    limits: ToolLimits,
}

/// What a component tells of one of its tools, unchecked.
pub use super::bindings::exports::host::tool::tools::ToolDefinition;

/// Why a component is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// It is a component of another world, or of this one in another version.
    #[error(
        "it does not fit the world `host:tool/tool@0.1.0`: {0}\n  build it against wit/tool.wit (`host init` makes a tool that does)"
    )]
    World(String),
    /// It could not list its tools.
    #[error("listing its tools failed: {0}")]
    Listing(String),
}

impl Guest {
    /// Admits a component, with limits for each of its calls.
    pub fn admit(sandbox: &Sandbox, component: &Component, limits: ToolLimits) -> Result<Self, AdmitError> {
        let world = |error: wasmtime::Error| AdmitError::World(format!("{error:#}"));
        let pre = sandbox.linker().instantiate_pre(component).map_err(world)?;
        let pre = ToolPre::new(pre).map_err(world)?;
        Ok(Self { sandbox: sandbox.clone(), pre, limits })
    }

    /// What bounds each call.
    #[must_use]
    pub fn limits(&self) -> &ToolLimits {
        &self.limits
    }

    /// Asks the component for its tools, in an instance of its own.
    pub async fn list_tools(&self) -> Result<Vec<ToolDefinition>, AdmitError> {
        let _permit = self.sandbox.permit().await;
        let mut store = self.store(None);
        let listing = async {
            let tool = self.pre.instantiate_async(&mut store).await?;
            tool.host_tool_tools().call_list_tools(&mut store).await
        };
        let timeout = Duration::from_millis(self.limits.timeout_ms);
        let ended = tokio::time::timeout(timeout, listing).await;
        let listed = match ended {
            Ok(Ok(tools)) => return Ok(tools),
            Ok(Err(error)) => self.failure(&store, &store.data().log.finish(), &error),
            Err(_) => self.timed_out(),
        };
        Err(AdmitError::Listing(listed.model_text()))
    }

    /// Runs one call in an instance of its own. Dropping the future drops the instance.
    pub async fn call(&self, export: &str, input: &Json, call: CallContext) -> Done<ToolOutcome> {
        let _permit = self.sandbox.permit().await;
        let clock = Instant::now();
        let mut store = self.store(Some(call));
        let timeout = Duration::from_millis(self.limits.timeout_ms);
        let ended = tokio::time::timeout(timeout, self.invoke(&mut store, export, input)).await;
        let log = store.data().log.finish();
        let outcome = match ended {
            Ok(Ok(Ok(output))) => self.output(output),
            Ok(Ok(Err(error))) => said(error),
            Ok(Err(error)) => self.failure(&store, &log, &error),
            Err(_) => self.timed_out(),
        };
        let wall_us = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        let usage = Usage { wall_us, memory_bytes: store.data().memory.peak() };
        Done { value: outcome, usage, log }
    }

    async fn invoke(
        &self,
        store: &mut Store<State>,
        export: &str,
        input: &Json,
    ) -> wasmtime::Result<Result<String, WitError>> {
        let tool: Tool = self.pre.instantiate_async(&mut *store).await?;
        tool.host_tool_tools().call_call(store, export, &input.as_str().to_owned()).await
    }

    /// A fresh store with nothing granted: no files, no environment, no arguments, no network.
    fn store(&self, call: Option<CallContext>) -> Store<State> {
        let log = CallLog::new(self.limits.log_bytes_max);
        let mut wasi = WasiCtx::builder();
        wasi.allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX)
            .stdout(log.stream(Stream::Stdout))
            .stderr(log.stream(Stream::Stderr));
        let (seed, started_ms) = call.as_ref().map_or(([0; 32], 0), |call| (call.seed, call.started_ms));
        let random = || ChaCha12Rng::from_seed(seed);
        wasi.secure_random(random()).insecure_random(random());
        wasi.insecure_random_seed(seed[..16].iter().fold(0, |n, byte| n << 8 | u128::from(*byte)));
        wasi.wall_clock(CallClock::starting_at(started_ms));
        let state = State {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            memory: MemoryGauge::new(self.limits.memory_bytes_max),
            log,
            call,
            _live: self.sandbox.count_instance(),
        };
        let mut store = Store::new(self.sandbox.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let hostcall_bytes = self.limits.output_bytes_max.saturating_add(HOSTCALL_BYTES);
        store.set_hostcall_fuel(usize::try_from(hostcall_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(HANDLES_MAX);
        store
    }

    fn output(&self, output: String) -> ToolOutcome {
        let (bytes, max) = (output.len() as u64, self.limits.output_bytes_max);
        if bytes > max {
            let message = format!("the output has {bytes} bytes; the tool's limit is {max} (limits.output)");
            return ToolOutcome::error(ErrorKind::InvalidOutput, message);
        }
        match Json::parse(output) {
            Ok(json) => ToolOutcome::Output(json),
            Err(error) => {
                ToolOutcome::error(ErrorKind::InvalidOutput, format!("the output is not JSON: {error}"))
            }
        }
    }

    fn timed_out(&self) -> ToolOutcome {
        let message =
            format!("no result within {} ms (limits.timeout); the call was stopped", self.limits.timeout_ms);
        ToolOutcome::error(ErrorKind::Timeout, message)
    }

    /// What a guest that broke off came to.
    fn failure(&self, store: &Store<State>, log: &[LogLine], error: &wasmtime::Error) -> ToolOutcome {
        if store.data().memory.refused() == Refused::Yes {
            let max = self.limits.memory_bytes_max;
            let message = format!("the call wanted more than {max} bytes of memory (limits.memory)");
            return ToolOutcome::error(ErrorKind::Memory, message);
        }
        let cause = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => format!("{:#}", error.root_cause()),
        };
        let message = match last_words(log) {
            Some(words) => format!("the tool broke off: {cause}; the last it wrote was: {words}"),
            None => format!("the tool broke off: {cause}"),
        };
        ToolOutcome::error(ErrorKind::Trap, cut(message))
    }
}

/// A Rust guest that panics says why on stderr before it traps.
fn last_words(log: &[LogLine]) -> Option<String> {
    let words: Vec<&str> =
        log.iter().filter(|line| line.from == "stderr").map(|line| line.text.as_str()).collect();
    (!words.is_empty()).then(|| words[words.len().saturating_sub(3)..].join(" "))
}

/// What a guest itself says of its failure.
fn said(error: WitError) -> ToolOutcome {
    let (kind, message) = match error {
        WitError::InvalidInput(message) => (ErrorKind::InvalidInput, message),
        WitError::Transient(message) => (ErrorKind::Transient, message),
        WitError::Failed(message) => (ErrorKind::Failed, message),
    };
    ToolOutcome::error(kind, cut(message))
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push_str(" [cut]");
    }
    message
}
