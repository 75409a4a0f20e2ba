//! What `wit/tool.wit` means in Rust, generated at compile time.
#![allow(missing_docs, reason = "the contract is documented in wit/tool.wit")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "tool",
    imports: { "host:tool/context.current": trappable },
    exports: { default: async },
});
