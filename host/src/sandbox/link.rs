//! What a guest can import, and what answers it.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, LinkerInstance, ResourceType};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, tcp_create_socket, udp_create_socket};

use super::bindings::Orchestrator;
use super::files::{Files, HasFiles};
use super::state::State;

/// Imports of this package are the contract itself: a component that wants others of it fits another host.
const OWN_PACKAGE: &str = "host:tool/";

/// Everything there is to import. Whether it does anything for a guest is decided by its grants, not here.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Orchestrator::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    // These take the place of what wasmtime-wasi just added.
    linker.allow_shadowing(true);
    random::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    insecure::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    insecure_seed::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    tcp_create_socket::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    udp_create_socket::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    ip_name_lookup::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    let files: for<'a> fn(&'a mut State) -> Files<'a> = State::files;
    preopens::add_to_linker::<_, HasFiles>(&mut linker, files)?;
    types::add_to_linker::<_, HasFiles>(&mut linker, files)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// A call of an import that this host does not have.
#[derive(Debug, thiserror::Error)]
#[error("the import `{0}` is not there")]
pub(super) struct UnknownImport(pub(super) String);

/// The linker for one component: imports that this host does not know are there, and trap when they are
/// called, so that a component can be of use without them.
pub(super) fn linker_for(linker: &Linker<State>, component: &Component) -> wasmtime::Result<Linker<State>> {
    let mut linker = linker.clone();
    let engine = component.engine();
    for (name, import) in component.component_type().imports(engine) {
        if let ComponentItem::ComponentInstance(instance) = import.ty
            && !is_linked(name)
        {
            let mut stubs = linker.instance(name)?;
            for (item, export) in instance.exports(engine) {
                stub(&mut stubs, item, &export.ty, format!("{name}#{item}"))?;
            }
        }
    }
    Ok(linker)
}

fn stub(
    stubs: &mut LinkerInstance<'_, State>,
    item: &str,
    kind: &ComponentItem,
    name: String,
) -> wasmtime::Result<()> {
    match kind {
        ComponentItem::ComponentFunc(_) => {
            stubs.func_new(item, move |_, _, _, _| Err(UnknownImport(name.clone()).into()))
        }
        ComponentItem::Resource(_) => stubs.resource(item, ResourceType::host::<()>(), |_, _| Ok(())),
        // Types need nothing; what else there is cannot be stubbed, and linking says so.
        _ => Ok(()),
    }
}

/// Whether an import is answered, or is of a package whose version matters: for those, linking says what is
/// wrong.
fn is_linked(import: &str) -> bool {
    const PACKAGES: &[&str] =
        &["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
    const INTERFACES: &[&str] = &["wasi:http/types@0.2.", "wasi:http/outgoing-handler@0.2."];
    let of_package = |package: &&str| import.starts_with(*package) && import.contains("@0.2.");
    import.starts_with(OWN_PACKAGE)
        || PACKAGES.iter().any(of_package)
        || INTERFACES.iter().any(|interface| import.starts_with(*interface))
}
