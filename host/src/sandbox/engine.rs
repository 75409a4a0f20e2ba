use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::link;
use super::state::{LiveGuard, State};

/// The most instances alive at once in a process. A call is CPU-bound, so more than a few per core only
/// cost cache; those that wait on the outside world cost a memory slot each.
pub const INSTANCES_MAX: u32 = 128;

/// Core modules in one component. A Rust guest has three (its own and two small adapters), a Python or
/// JavaScript one up to about a dozen.
const CORE_INSTANCES_PER_COMPONENT: u32 = 20;
/// Memories and tables in one component, for the same reason.
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 20;
/// Components of average shape fit [`INSTANCES_MAX`] times; only exotic ones exhaust the pool earlier.
const CORE_INSTANCES_TOTAL: u32 = INSTANCES_MAX * 6;
const MEMORIES_TOTAL: u32 = INSTANCES_MAX * 2;
const TABLES_TOTAL: u32 = INSTANCES_MAX * 4;
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

/// How often a running guest is interrupted to let others have the thread, and to notice that its call was
/// cancelled.
pub(super) const EPOCH_TICK: Duration = Duration::from_millis(5);

/// The engine, what guests may import, and the bound on instances.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<State>,
    permits: Semaphore,
    live: Arc<AtomicUsize>,
}

/// The engine cannot be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine: {0}\n  it reserves address space; check `ulimit -v`")]
pub struct EngineError(String);

impl Sandbox {
    /// Sets the engine up. One a process is enough.
    pub fn new() -> Result<Self, EngineError> {
        let fail = |error: wasmtime::Error| EngineError(format!("{error:#}"));
        let engine = Engine::new(&config()).map_err(fail)?;
        let linker = link::linker(&engine).map_err(fail)?;
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || tick(&weak))
            .map_err(|error| EngineError(error.to_string()))?;
        let permits = Semaphore::new(INSTANCES_MAX as usize);
        Ok(Self(Arc::new(Inner { engine, linker, permits, live: Arc::default() })))
    }

    /// How many instances exist at this moment.
    #[must_use]
    pub fn live_instances(&self) -> usize {
        self.0.live.load(Ordering::SeqCst)
    }

    /// The engine components are compiled for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(super) fn linker(&self) -> &Linker<State> {
        &self.0.linker
    }

    /// Waits for a free slot of the pool, which itself would answer with an error when it is full.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.0.permits.acquire().await.ok()
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

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(CORE_INSTANCES_TOTAL)
        .total_memories(MEMORIES_TOTAL)
        .total_tables(TABLES_TOTAL)
        .total_stacks(INSTANCES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(usize::try_from(MEMORY_RESERVATION_BYTES).unwrap_or(usize::MAX))
        .max_unused_warm_slots(INSTANCES_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .epoch_interruption(true)
        // The same input gives the same output, bit by bit, on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}
