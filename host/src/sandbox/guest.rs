use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, ResourceTable};
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::WasiHttpCtx;

use super::bindings::{Orchestrator, OrchestratorPre};
use super::clock::CallClock;
use super::cpu::CpuMeter;
use super::egress::Egress;
use super::engine::Sandbox;
use super::files::NO_DIRECTORY;
use super::limiter::MemoryGauge;
use super::log::{CallLog, Stream};
use super::prepared::{AdmitError, Kind, Prepared, Role, ToolDefinition};
use super::program::Program;
use super::random::CallRandom;
use super::record::CallRecord;
use super::sections::Sections;
use super::state::{CallContext, Policy, State};
use super::streams::{Captured, Into};
use super::typed::{Refused, Typed};
use super::{handler, program, verdict};
use crate::command::Ungiven;
use crate::grants::{Access, Limit, Placeholders, Setting};
use crate::message::{Digest, ErrorKind, Json, ToolOutcome, Trace, Usage};
use crate::session::{Done, FanOut, NoCalls};

/// What crosses the boundary in one host call besides the output: names, log lines, paths.
const HOSTCALL_BYTES: u64 = 1024 * 1024;

/// Handles one call may hold at once: files, streams, requests, and what waits for them.
pub(super) const HANDLES_MAX: usize = 1024;

/// A component that was admitted, prepared for instances.
#[derive(Clone)]
pub struct Guest {
    sandbox: Sandbox,
    prepared: Arc<Prepared>,
    policy: Arc<Policy>,
}

impl Guest {
    /// Admits a component, with what its calls may do.
    pub fn admit(
        sandbox: &Sandbox,
        component: &Component,
        sections: &Sections,
        policy: Arc<Policy>,
    ) -> Result<Self, AdmitError> {
        let prepared = Prepared::new(sandbox, component, sections, &policy.limits, policy.command.is_some())?;
        Ok(Self { sandbox: sandbox.clone(), prepared: Arc::new(prepared), policy })
    }

    /// The same, but a component that is in use already, or was a short time ago, is not made again: `component` is not
    /// awaited then. The digest is that of the component's bytes.
    pub async fn shared<E>(
        sandbox: &Sandbox,
        digest: Digest,
        policy: Arc<Policy>,
        component: impl Future<Output = Result<(Component, Sections), E>>,
        refused: impl FnOnce(AdmitError) -> E,
    ) -> Result<Self, E> {
        let is_program = policy.command.is_some();
        let admit = async {
            let (component, sections) = component.await?;
            Prepared::new(sandbox, &component, &sections, &policy.limits, is_program).map_err(refused)
        };
        // The limits decide on how it is compiled, and whether it could list its tools.
        let prepared = sandbox.prepared().get((digest, policy.limits.clone(), is_program), admit).await?;
        Ok(Self { sandbox: sandbox.clone(), prepared, policy })
    }

    /// What it imports that this host does not have: a call of any of these fails.
    #[must_use]
    pub fn missing_imports(&self) -> &[String] {
        &self.prepared.missing
    }

    /// Whether it asks for settings: whether it could see what `[tools.NAME.config]` says.
    #[must_use]
    pub fn asks_for_settings(&self) -> bool {
        self.prepared.asks_for_settings
    }

    /// What it exports that is no tool; nothing, if it tells of its tools itself.
    #[must_use]
    pub fn refused_exports(&self) -> &[Refused] {
        match &self.prepared.kind {
            Kind::Contract { .. } | Kind::Program(_) | Kind::Handler(_) => &[],
            Kind::Typed { typed, .. } => typed.refused(),
        }
    }

    /// What it is to those who call it.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.prepared.kind {
            Kind::Contract { .. } => Role::Tools,
            Kind::Typed { .. } => Role::Functions,
            Kind::Program(_) => Role::Program,
            Kind::Handler(_) => Role::Handler,
        }
    }

    /// What its calls may do.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The tools of the component. One that tells of them itself is asked in an instance of its own that is granted
    /// nothing, once.
    pub async fn list_tools(&self) -> Result<Vec<ToolDefinition>, AdmitError> {
        match &self.prepared.kind {
            Kind::Contract { pre, listed } => {
                Ok(listed.get_or_try_init(|| self.ask_for_tools(pre)).await?.clone())
            }
            Kind::Typed { listed, .. } => Ok(listed.clone()),
            Kind::Program(_) => Ok(vec![program::definition(&self.policy)]),
            Kind::Handler(_) => Ok(vec![handler::definition(&self.policy)]),
        }
    }

    async fn ask_for_tools(&self, pre: &OrchestratorPre<State>) -> Result<Vec<ToolDefinition>, AdmitError> {
        let _place = self.sandbox.place_for_listing().await;
        let Policy { tool, limits, .. } = &*self.policy;
        let bare = Policy { tool: tool.clone(), limits: limits.clone(), ..Policy::default() };
        let failed = |outcome: ToolOutcome| AdmitError::Listing(outcome.text());
        let (mut store, cpu) = self
            .store(&Arc::new(bare), None, Arc::<NoCalls>::default(), CallRecord::default(), None)
            .map_err(|error| AdmitError::Listing(format!("{error:#}")))?;
        let listed = {
            let listing = pin!(async {
                let tool = pre.instantiate_async(&mut store).await?;
                tool.host_tool_tools().call_list_tools(&mut store).await
            });
            tokio::time::timeout(Duration::from_millis(limits.timeout_ms), cpu.count(listing)).await
        };
        match listed {
            Ok(Ok(tools)) => Ok(tools.into_iter().map(ToolDefinition::from).collect()),
            Ok(Err(error)) => Err(failed(verdict::broke_off(&store, &store.data().log.finish(), &error))),
            Err(_) => Err(failed(verdict::limited(Limit::Timeout, limits))),
        }
    }

    /// Runs one call in an instance of its own; the calls it makes itself go to `fan_out`. Dropping the future
    /// drops the instance. Whoever calls has a place for it, by [`Sandbox::place`].
    pub async fn call(
        &self,
        export: &str,
        input: &Json,
        call: CallContext,
        fan_out: Arc<dyn FanOut>,
    ) -> Done<ToolOutcome> {
        let Policy { limits, masker, .. } = &*self.policy;
        let record = CallRecord::default();
        let program = match self.program(input, &record) {
            Ok(program) => program,
            Err(error) => return ToolOutcome::error(ErrorKind::InvalidInput, error.to_string()).into(),
        };
        let made =
            self.store(&self.policy, Some(call), Arc::clone(&fan_out), record.clone(), program.as_ref());
        let (mut store, cpu) = match made {
            Ok(made) => made,
            Err(error) => {
                let message = format!("a granted directory cannot be opened: {error:#}");
                return ToolOutcome::error(ErrorKind::Failed, message).into();
            }
        };
        let timeout = Duration::from_millis(limits.timeout_ms);
        let ended = {
            // Pinned where it is made: the future is large, and would be copied at each step.
            let invoke = pin!(self.invoke(&mut store, export, input, program.as_ref()));
            fan_out.clock().timeout(timeout, cpu.count(invoke)).await
        };
        let mut log = store.data().log.finish();
        let outcome = match ended {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => verdict::broke_off(&store, &log, &error),
            None => verdict::limited(Limit::Timeout, limits),
        };
        // A guest that was told of a limit and then failed, failed because of it.
        let outcome = match (record.exceeded(), outcome) {
            (Some(limit), ToolOutcome::Error(_)) => verdict::limited(limit, limits),
            (Some(_) | None, outcome) => outcome,
        };
        let outcome = masker.outcome(outcome);
        for line in log.iter_mut().filter(|_| !masker.is_idle()) {
            line.text = masker.text(&line.text).into_owned();
        }
        // The paths of a request are no files.
        let named = (!matches!(self.prepared.kind, Kind::Handler(_))).then_some(input);
        super::files::name_paths(&record, named, &outcome);
        let (http, denials) = record.finish(masker);
        let usage = Usage {
            // Whoever asked for the call knows how long it took.
            wall_us: 0,
            cpu_us: cpu.spent_ns() / 1000,
            memory_bytes: store.data().memory.peak(),
            fuel: limits.fuel.map_or(0, |fuel| fuel.saturating_sub(store.get_fuel().unwrap_or(fuel))),
            in_bytes: input.as_str().len() as u64 + http.iter().map(|it| it.received_bytes).sum::<u64>(),
            out_bytes: output_bytes(&outcome) + http.iter().map(|it| it.sent_bytes).sum::<u64>(),
            ..Usage::default()
        };
        Done { value: outcome, usage, trace: Trace { log, http, denials }, by: None }
    }

    async fn invoke(
        &self,
        store: &mut Store<State>,
        export: &str,
        input: &Json,
        program: Option<&Program>,
    ) -> wasmtime::Result<ToolOutcome> {
        let pre = match (&self.prepared.kind, program) {
            (Kind::Contract { pre, .. }, _) => pre,
            (Kind::Typed { typed, .. }, _) => return typed.invoke(store, export, input).await,
            (Kind::Handler(pre), _) => return handler::answer(pre, store, input).await,
            (Kind::Program(pre), Some(program)) => return program::run(pre, store, &program.stdout).await,
            (Kind::Program(_), None) => return Err(wasmtime::Error::msg("the program has no streams")),
        };
        let tool: Orchestrator = pre.instantiate_async(&mut *store).await?;
        store.data().record.forget_denial(NO_DIRECTORY);
        let given = tool.host_tool_tools().call_call(&mut *store, export, &input.as_str().to_owned()).await?;
        Ok(match given {
            Ok(output) => verdict::output(output, &self.policy.limits),
            Err(error) => verdict::said(error),
        })
    }

    /// What a program is given for this input; nothing for a component that is no program.
    fn program(&self, input: &Json, record: &CallRecord) -> Result<Option<Program>, Ungiven> {
        let Kind::Program(_) = &self.prepared.kind else { return Ok(None) };
        let given = program::given(&self.policy, input)?;
        let stdout = Captured::new(self.policy.limits.output_bytes_max, record.clone());
        Ok(Some(Program { given, stdout }))
    }

    /// A fresh store with exactly what the policy grants, and the meter of its processor time.
    fn store(
        &self,
        policy: &Arc<Policy>,
        call: Option<CallContext>,
        fan_out: Arc<dyn FanOut>,
        record: CallRecord,
        program: Option<&Program>,
    ) -> wasmtime::Result<(Store<State>, CpuMeter)> {
        let limits = &policy.limits;
        let log = CallLog::new(limits.log_bytes_max);
        let (seed, started_ms) = call.as_ref().map_or(([0; 32], 0), |call| (call.seed, call.started_ms));
        let clock = CallClock::starting_at(started_ms, policy.grants.clock());
        let placeholders = Placeholders::new(&seed, &policy.grants.secrets());
        let state = State {
            wasi: wasi(policy, &placeholders, &log, &clock, program)?,
            http: WasiHttpCtx::new(),
            table: table(),
            memory: MemoryGauge::new(limits.memory_bytes_max),
            random: CallRandom::new(policy.grants.random, seed, limits.random_bytes_max),
            clock,
            settings: settings(policy, &placeholders),
            egress: Egress::new(Arc::clone(policy), record.clone(), placeholders),
            handles: super::handles::Handles::default(),
            record: record.clone(),
            log,
            call,
            fan_out,
            calls_made: 0,
            policy: Arc::clone(policy),
            _live: self.sandbox.count_instance(),
        };
        let (engine, output_bytes) = match &self.prepared.kind {
            Kind::Contract { pre, .. } => (pre.engine(), limits.output_bytes_max),
            Kind::Typed { typed, .. } => (typed.engine(), Typed::hostcall_bytes(limits.output_bytes_max)),
            Kind::Program(pre) => (pre.engine(), limits.output_bytes_max),
            Kind::Handler(pre) => (pre.engine(), limits.output_bytes_max),
        };
        let mut store = Store::new(engine, state);
        if let Some(fuel) = policy.limits.fuel {
            store.set_fuel(fuel)?;
        }
        store.limiter(|state| &mut state.memory);
        let hostcall_bytes = output_bytes.saturating_add(HOSTCALL_BYTES);
        store.set_hostcall_fuel(usize::try_from(hostcall_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(HANDLES_MAX);
        let cpu = CpuMeter::default();
        let (meter, cpu_ns_max) = (cpu.clone(), limits.cpu_ms.saturating_mul(1_000_000));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if meter.running_ns() > cpu_ns_max {
                return Err(record.exceed(Limit::Cpu).into());
            }
            Ok(UpdateDeadline::Yield(1))
        });
        Ok((store, cpu))
    }
}

/// The handles of one call.
pub(super) fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    table
}

/// What the call sees of the machine: the granted directories and variables, placeholders for the granted
/// secrets, no network; and arguments and a standard input, if it is of a program.
fn wasi(
    policy: &Policy,
    placeholders: &Placeholders,
    log: &CallLog,
    clock: &CallClock,
    program: Option<&Program>,
) -> wasmtime::Result<WasiCtx> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .stdout(log.stream(Stream::Stdout))
        .stderr(log.stream(Stream::Stderr))
        .wall_clock(clock.clone())
        .monotonic_clock(clock.clone());
    if let Some(Program { given, stdout }) = program {
        wasi.arg(&policy.tool)
            .args(&given.args)
            .stdin(MemoryInputPipe::new(given.stdin.clone()))
            .stdout(Into(stdout.clone()));
    }
    for dir in &policy.grants.dirs {
        let access = match dir.access {
            Access::Ro => FsPerms::ReadOnly,
            Access::Rw => FsPerms::ReadWrite,
        };
        wasi.preopened_dir(&dir.path, &dir.guest, access)?;
    }
    for name in &policy.grants.env {
        if let Ok(value) = std::env::var(name) {
            wasi.env(name, value);
        }
    }
    for (name, placeholder) in placeholders.iter() {
        wasi.env(name, placeholder);
    }
    Ok(wasi.build())
}

/// What the guest finds in its store of settings: for a secret its placeholder.
fn settings(policy: &Policy, placeholders: &Placeholders) -> Vec<(String, String)> {
    let value = |setting: &Setting| match setting {
        Setting::Text(text) => text.clone(),
        Setting::Secret(name) => placeholders
            .iter()
            .find(|(secret, _)| secret == name)
            .map_or_else(String::new, |(_, placeholder)| placeholder.to_owned()),
    };
    policy.grants.config.iter().map(|(name, setting)| (name.clone(), value(setting))).collect()
}

fn output_bytes(outcome: &ToolOutcome) -> u64 {
    match outcome {
        ToolOutcome::Output(json) => json.as_str().len() as u64,
        ToolOutcome::Error(error) => error.message.len() as u64,
    }
}
