//! What `wit/tool.wit` means in Rust, generated at compile time.
#![allow(missing_docs, reason = "the contract is documented in wit/tool.wit")]

wasmtime::component::bindgen!({
    path: "embedded/wit",
    // The world `tool` and one import more; a component that does not call others does not import it.
    world: "orchestrator",
    imports: {
        "host:tool/context.current": trappable,
        "host:tool/fan-out.call-all": async | trappable,
    },
    exports: { default: async },
});
