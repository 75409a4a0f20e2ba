//! What a guest can import, and what answers it.

use std::borrow::Cow;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, HasSelf, Linker, LinkerInstance, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, tcp_create_socket, udp_create_socket};

use super::bindings::Orchestrator;
use super::extras;
use super::files::{Files, HasFiles};
use super::state::State;

/// Imports of this package are the contract itself: a component that wants others of it fits another host.
pub(super) const OWN_PACKAGE: &str = "host:tool/";

/// The version of WASI that wasmtime-wasi links; a test notices another one.
const WASI_VERSION: &str = "0.2.12";

/// Everything there is to import. Whether it does anything for a guest is decided by its grants, not here.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Orchestrator::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    extras::add_to_linker(&mut linker)?;
    // These take the place of what wasmtime-wasi just added.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
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

/// The linker for one component, and what it imports that this host does not have.
pub(super) struct Linked {
    pub(super) linker: Linker<State>,
    /// Each as `interface#item`, or as the item alone.
    pub(super) missing: Vec<String>,
}

/// The linker for one component: imports that this host does not know are there, and trap when they are
/// called, so that a component can be of use without them.
pub(super) fn linker_for(linker: &Linker<State>, component: &Component) -> wasmtime::Result<Linked> {
    let (mut linker, mut missing) = (linker.clone(), Vec::new());
    let mut resources: Vec<ResourceType> = Vec::new();
    let engine = component.engine();
    for (name, import) in component.component_type().imports(engine) {
        match &import.ty {
            // What this package lacks is for linking to say: its versions matter.
            _ if name.starts_with(OWN_PACKAGE) => {}
            ComponentItem::ComponentInstance(instance) => {
                let mut stubs = linker.instance(&as_linked(name))?;
                for (item, export) in instance.exports(engine) {
                    if stub(&mut stubs, item, &export.ty, format!("{name}#{item}"), &mut resources) {
                        missing.push(format!("{name}#{item}"));
                    }
                }
            }
            kind => {
                if stub(&mut linker.root(), name, kind, name.to_owned(), &mut resources) {
                    missing.push(name.to_owned());
                }
            }
        }
    }
    Ok(Linked { linker, missing })
}

/// Has an item answered that is not, and says whether it was a function that was not.
fn stub(
    stubs: &mut LinkerInstance<'_, State>,
    item: &str,
    kind: &ComponentItem,
    name: String,
    resources: &mut Vec<ResourceType>,
) -> bool {
    // What is there already cannot be defined again.
    match kind {
        ComponentItem::ComponentFunc(_) => {
            let trap = move |_: StoreContextMut<'_, State>, _: ComponentFunc, _: &[Val], _: &mut [Val]| {
                Err(UnknownImport(name.clone()).into())
            };
            stubs.func_new(item, trap).is_ok()
        }
        // One that another interface brought along is that one.
        ComponentItem::Resource(resource) if resources.contains(resource) => false,
        ComponentItem::Resource(resource) => {
            resources.push(*resource);
            let _ = stubs.resource(item, ResourceType::host::<()>(), |_, _| Ok(()));
            false
        }
        // Types need nothing; what else there is cannot be stubbed, and linking says so.
        _ => false,
    }
}

/// The name by which an interface is linked, if it is: that of the version of WASI 0.2 which this host has, for every
/// version that is compatible with it.
fn as_linked(import: &str) -> Cow<'_, str> {
    let linked = released(import).map(|interface| format!("{interface}@{WASI_VERSION}"));
    linked.map_or(Cow::Borrowed(import), Cow::Owned)
}

/// The interface without its version, if it is one of WASI in a released version 0.2, and not in a draft of it.
pub(super) fn released(name: &str) -> Option<&str> {
    let (interface, version) = name.split_once("@0.2.")?;
    let is_release = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    (interface.starts_with("wasi:") && is_release).then_some(interface)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::sandbox::{Metering, Sandbox};

    fn linked(imports: &str) -> wasmtime::Result<Linked> {
        let sandbox = Sandbox::new()?;
        let runtime = sandbox.runtime(Metering::Time)?;
        let component = Component::new(&runtime.engine, wat::parse_str(format!("(component {imports})"))?)?;
        let linked = linker_for(&runtime.linker, &component)?;
        linked.linker.instantiate_pre(&component)?;
        Ok(linked)
    }

    #[test]
    fn any_version_of_wasi_0_2_is_what_is_there_and_what_is_not_is_named() {
        let environment = |version: &str| {
            format!(
                r#"(import "wasi:cli/environment@{version}" (instance
                    (export "get-arguments" (func (result (list string))))
                    (export "made-up" (func (param "x" u32)))))"#
            )
        };
        for version in ["0.2.0", "0.2.6", WASI_VERSION, "0.2.99"] {
            let missing = linked(&environment(version)).unwrap().missing;
            assert_eq!(missing, [format!("wasi:cli/environment@{version}#made-up")]);
        }
        for version in ["0.2.0-rc-2023-12-05", "0.1.0", "1.0.0"] {
            let missing = linked(&environment(version)).unwrap().missing;
            assert_eq!(missing.len(), 2, "{version} is another interface: {missing:?}");
        }
    }

    #[test]
    fn what_nobody_has_is_there_and_traps() {
        let imports = r#"
            (import "log" (func (param "line" string)))
            (import "wasi:clocks/made-up@0.2.3" (instance (export "now" (func (result u64)))))
            (import "wasi:keyvalue/store@0.2.0-draft" (instance
                (export "bucket" (type (sub resource)))
                (export "open" (func (param "identifier" string)))))"#;
        let missing = ["log", "wasi:clocks/made-up@0.2.3#now", "wasi:keyvalue/store@0.2.0-draft#open"];
        assert_eq!(linked(imports).unwrap().missing, missing);
    }

    #[test]
    fn what_interfaces_share_they_share_with_those_that_nobody_has() {
        let imports = r#"
            (import "wasi:io/error@0.2.1" (instance $error (export "error" (type (sub resource)))))
            (alias export $error "error" (type $error))
            (import "wasi:io/streams@0.2.1" (instance $streams
                (export "error" (type (eq $error)))
                (export "input-stream" (type (sub resource)))))
            (alias export $streams "input-stream" (type $stream))
            (import "other:log/sink" (instance
                (export "input-stream" (type $s (eq $stream)))
                (export "own" (type (sub resource)))
                (export "write" (func (param "to" (borrow $s))))))"#;
        assert_eq!(linked(imports).unwrap().missing, ["other:log/sink#write"]);
    }

    #[test]
    fn the_contract_in_another_form_is_another_contract() {
        let import = r#"(import "host:tool/log@0.2.0" (instance (export "log" (func (param "x" u32)))))"#;
        let error = linked(import).map(|_| ()).unwrap_err();
        assert!(format!("{error:#}").contains("host:tool/log@0.2.0"), "{error:#}");
    }
}
