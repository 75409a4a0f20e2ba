//! Any bytes as a component are compiled or refused; one that is compiled is admitted or refused, and lists its
//! tools or does not, within its limits.
#![no_main]

use std::sync::{Arc, LazyLock};

use host::grants::ToolLimits;
use host::sandbox::{Guest, Metering, Policy, Sandbox, Sections};
use libfuzzer_sys::fuzz_target;
use wasmtime::component::Component;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new().expect("an engine"));
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

fuzz_target!(|bytes: &[u8]| {
    let engine = SANDBOX.engine(Metering::Time).expect("an engine");
    let Ok(component) = Component::from_binary(engine, bytes) else { return };
    let limits = ToolLimits { timeout_ms: 200, cpu_ms: 100, memory_bytes_max: 16 << 20, ..ToolLimits::default() };
    let policy = Policy { tool: "fuzz".to_owned(), limits, ..Policy::default() };
    if let Ok(guest) = Guest::admit(&SANDBOX, &component, &Sections::of(bytes), Arc::new(policy)) {
        let _ = RUNTIME.block_on(guest.list_tools());
        assert_eq!(SANDBOX.live_instances(), 0);
    }
});
