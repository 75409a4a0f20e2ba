//! What `wit/tool.wit` means in Rust, generated at compile time.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "tool",
    exports: { default: async },
});
