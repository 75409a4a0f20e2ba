use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::link;
use super::places::{Place, Places};
use super::prepared::Prepared;
use super::shelf::Shelf;
use super::state::{LiveGuard, State};
use crate::grants::ToolLimits;
use crate::message::{Digest, RunId};
use crate::session::CALL_DEPTH_MAX;

/// How many instances may be alive at once that the loop called, unless somebody says another number. A call is
/// CPU-bound, so more than a few per core only cost cache; those that wait on the outside world cost a memory slot each.
pub(crate) const INSTANCES: u32 = 128;
/// The most that can be asked for: the address space of a process has room for no more.
pub(crate) const INSTANCES_LIMIT: u32 = 10_000;
/// The same for instances that others called, by how many callers wait for them beyond the first. A caller keeps its
/// place while it waits for those it called: were the places shared, callers could fill all of them and wait for ever.
const INSTANCES_NESTED: [u32; CALL_DEPTH_MAX] = [64, 64, 64];

/// Core modules in one component. A Rust guest has three (its own and two small adapters), a Python or
/// JavaScript one up to about a dozen, and a Python one whose WASI is replaced by stubs 38.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
/// Memories and tables in one component, for the same reason.
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 20;
/// What a component of average shape has. Only exotic ones exhaust the pool before there are as many instances as may be.
const CORE_INSTANCES_USUAL: u32 = 6;
const MEMORIES_USUAL: u32 = 2;
const TABLES_USUAL: u32 = 4;
/// What one component may need for its own data structures.
const INSTANCE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Elements of one table; the aggregate limit of a call is far below.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// A whole 32-bit memory is reserved, with guard pages behind, so that the compiler leaves bounds checks
/// out. It is address space only: how much of it a guest gets is the limiter's word.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// Memory that a slot keeps between calls and clears by `memset`. A guest that fits is given back without
/// a system call; with `madvise` instead, two threads were slower together than one alone.
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 * 1024;

/// How deep a guest's calls can be nested, in bytes of its stack: what wasmtime allows by default.
pub(super) const WASM_STACK_BYTES: usize = 512 * 1024;

/// How often a running guest is interrupted to let others have the thread, and to notice that its call was
/// cancelled.
pub(super) const EPOCH_TICK: Duration = Duration::from_millis(5);

/// What counts while a guest runs. Code is compiled for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metering {
    /// Time: the epoch that passes.
    Time,
    /// Time, and every instruction.
    Fuel,
}

impl Metering {
    /// What these limits need.
    #[must_use]
    pub fn of(limits: &ToolLimits) -> Self {
        if limits.fuel.is_some() { Self::Fuel } else { Self::Time }
    }

    /// The word for it on a command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Fuel => "fuel",
        }
    }
}

/// The engines, what guests may import, and the bound on instances.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    /// How many instances may be alive at once, by how many callers wait for them.
    instances: [u32; CALL_DEPTH_MAX + 1],
    timed: Runtime,
    /// Made when the first tool asks for it: it reserves address space of its own.
    fueled: OnceLock<Result<Runtime, EngineError>>,
    places: [Arc<Places>; CALL_DEPTH_MAX + 1],
    live: Arc<AtomicUsize>,
    prepared: Shelf<PreparedKey, Prepared>,
}

/// What decides on how a component is prepared: its bytes, its limits, and whether it is to be called as a program.
pub(super) type PreparedKey = (Digest, ToolLimits, bool);

/// An engine and what its guests may import.
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
}

/// The engine cannot be set up on this machine.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine: {0}\n  it reserves address space; check `ulimit -v`")]
pub struct EngineError(String);

impl Runtime {
    fn new(metering: Metering, instances: u32) -> Result<Self, EngineError> {
        let fail = |error: wasmtime::Error| EngineError(format!("{error:#}"));
        let mut config = compile_config(metering);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
        let engine = Engine::new(&config).map_err(fail)?;
        let linker = link::linker(&engine).map_err(fail)?;
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || tick(&weak))
            .map_err(|error| EngineError(error.to_string()))?;
        Ok(Self { engine, linker })
    }
}

impl Sandbox {
    /// Sets the engine up. One a process is enough.
    pub fn new() -> Result<Self, EngineError> {
        Self::of(INSTANCES)
    }

    /// The same with room for so many instances at once that the loop called, 10,000 at most. Each takes 8 GiB of the
    /// process's address space, and no memory before it is used.
    pub fn of(instances: u32) -> Result<Self, EngineError> {
        let instances = by_depth(instances.clamp(1, INSTANCES_LIMIT));
        let timed = Runtime::new(Metering::Time, instances.iter().sum())?;
        let places = instances.map(|places| Places::new(places as usize));
        let (fueled, live, prepared) = (OnceLock::new(), Arc::default(), Shelf::default());
        Ok(Self(Arc::new(Inner { instances, timed, fueled, places, live, prepared })))
    }

    /// How many instances exist at this moment.
    #[must_use]
    pub fn live_instances(&self) -> usize {
        self.0.live.load(Ordering::SeqCst)
    }

    /// How many places for instances there are, and how many are free, by how many callers wait for an instance.
    #[must_use]
    pub fn places(&self) -> Vec<(usize, usize)> {
        let all = self.0.instances.iter().zip(&self.0.places);
        all.map(|(all, places)| (*all as usize, places.free())).collect()
    }

    /// The engine that components are compiled for.
    pub fn engine(&self, metering: Metering) -> Result<&Engine, EngineError> {
        Ok(&self.runtime(metering)?.engine)
    }

    pub(super) fn runtime(&self, metering: Metering) -> Result<&Runtime, EngineError> {
        match metering {
            Metering::Time => Ok(&self.0.timed),
            Metering::Fuel => {
                let made = self.0.fueled.get_or_init(|| {
                    let instances = self.0.instances.iter().sum();
                    Runtime::new(Metering::Fuel, instances)
                });
                made.as_ref().map_err(Clone::clone)
            }
        }
    }

    /// The components that were admitted.
    pub(super) fn prepared(&self) -> &Shelf<PreparedKey, Prepared> {
        &self.0.prepared
    }

    /// Waits for a place in the pool for a call of a run that so many callers wait for. Without a place the pool may be
    /// full, and a call fails. Runs take their places in turn. `None` if calls cannot be nested so deep.
    pub async fn place(&self, run: RunId, depth: usize) -> Option<Place> {
        Some(self.0.places.get(depth)?.take(Some(run)).await)
    }

    /// The same for what belongs to no run.
    pub(super) async fn place_for_listing(&self) -> Option<Place> {
        Some(self.0.places.first()?.take(None).await)
    }

    /// Counts an instance for as long as the guard lives.
    pub(super) fn count_instance(&self) -> LiveGuard {
        LiveGuard::count(&self.0.live)
    }
}

/// Advances the epoch until the engine is gone.
fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        std::thread::sleep(EPOCH_TICK);
    }
}

/// Makes an engine that compiles what [`Sandbox`] runs, and cannot run it itself: it reserves no address
/// space for instances, of which a compiler under limits has little.
pub fn compiler(metering: Metering) -> Result<Engine, EngineError> {
    Engine::new(&compile_config(metering)).map_err(|error| EngineError(format!("{error:#}")))
}

/// How many instances may be alive at once, by how many callers wait for them.
fn by_depth(instances: u32) -> [u32; CALL_DEPTH_MAX + 1] {
    let [nested, deeper, deepest] = INSTANCES_NESTED;
    [instances, nested, deeper, deepest]
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_USUAL)
        .total_memories(instances * MEMORIES_USUAL)
        .total_tables(instances * TABLES_USUAL)
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(usize::try_from(MEMORY_RESERVATION_BYTES).unwrap_or(usize::MAX))
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    pool
}

/// What decides on the compiled code.
fn compile_config(metering: Metering) -> Config {
    let mut config = Config::new();
    config
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .epoch_interruption(true)
        .consume_fuel(metering == Metering::Fuel)
        .max_wasm_stack(WASM_STACK_BYTES)
        // The same input gives the same output, bit by bit, on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use super::*;

    #[test]
    fn what_the_compiler_makes_the_sandbox_takes() {
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        let sandbox = Sandbox::new().unwrap();
        for metering in [Metering::Time, Metering::Fuel] {
            assert_eq!(hash(&compiler(metering).unwrap()), hash(sandbox.engine(metering).unwrap()));
        }
        assert_ne!(hash(&compiler(Metering::Time).unwrap()), hash(&compiler(Metering::Fuel).unwrap()));
    }
}
