//! A call as bare wasmtime makes it, to compare the host's with.
#![allow(unreachable_pub, reason = "a module of the benchmark, which nobody else uses")]

use std::hint::black_box;
use std::path::Path;

use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use host::sandbox::{Metering, Sandbox};

mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "tool", exports: { default: async } });
}

/// The least that wasmtime asks for: a store, a WASI context, an instance, a call.
pub struct Bare {
    sandbox: Sandbox,
    pre: bindings::ToolPre<BareState>,
}

struct BareState {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
}

impl WasiView for BareState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl bindings::host::tool::types::Host for BareState {}
impl bindings::host::tool::context::Host for BareState {
    fn current(&mut self) -> bindings::host::tool::context::CallContext {
        unreachable!("the weather tool does not ask for its context")
    }
}
impl bindings::host::tool::log::Host for BareState {
    fn log(&mut self, _: bindings::host::tool::log::Level, _: String) {}
}

impl Bare {
    pub fn new(sandbox: &Sandbox, component: &Path) -> Self {
        let engine = sandbox.engine(Metering::Time).unwrap();
        let component = Component::from_file(engine, component).unwrap();
        let mut linker: Linker<BareState> = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        bindings::Tool::add_to_linker::<_, HasSelf<BareState>>(&mut linker, |state| state).unwrap();
        let pre = bindings::ToolPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        Self { sandbox: sandbox.clone(), pre }
    }

    pub fn caller(&self, input: &str) -> impl AsyncFnMut() + Send + use<> {
        let (engine, pre) = (self.sandbox.engine(Metering::Time).unwrap().clone(), self.pre.clone());
        let (name, input) = ("get_weather".to_owned(), input.to_owned());
        async move || {
            let limits = StoreLimitsBuilder::new().memory_size(64 << 20).build();
            let state = BareState { wasi: WasiCtx::builder().build(), table: ResourceTable::new(), limits };
            let mut store = Store::new(&engine, state);
            store.limiter(|state| &mut state.limits);
            store.set_epoch_deadline(1);
            store.epoch_deadline_async_yield_and_update(1);
            let tool = pre.instantiate_async(&mut store).await.unwrap();
            let output = tool.host_tool_tools().call_call(&mut store, &name, &input).await.unwrap();
            assert!(black_box(output).is_ok());
        }
    }
}
