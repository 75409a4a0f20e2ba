//! What the imports of a component ask for, before anything of it runs.
//!
//! An import says what a component could use. Tool chains import more than their programs do, so that an import is no
//! reason to grant anything: what a call is denied says what is lacking.

use wasmtime::component::Component;

/// One import of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name: an interface with its version, in general.
    pub name: String,
    /// What it takes to be of use.
    pub need: Need,
}

/// What an import takes to be of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: every call has it.
    Nothing,
    /// This key in the permissions of the tool.
    Grant(&'static str),
    /// This table beside the permissions of the tool.
    Table(&'static str),
    /// It is there, and nothing can grant it.
    Never,
}

/// What a component imports, in its order.
#[must_use]
pub fn imports(component: &Component) -> Vec<Import> {
    let kind = component.component_type();
    let imports = kind.imports(component.engine());
    imports.map(|(name, _)| Import { need: need(name), name: name.to_owned() }).collect()
}

fn need(import: &str) -> Need {
    let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
    match interface {
        "wasi:cli/environment" => Need::Grant("env"),
        "wasi:filesystem/types" | "wasi:filesystem/preopens" => Need::Grant("dirs"),
        "wasi:http/outgoing-handler" => Need::Grant("network"),
        "host:tool/fan-out" => Need::Grant("calls"),
        "wasi:config/store" => Need::Table("config"),
        _ if interface.starts_with("wasi:sockets/") => Need::Never,
        _ => Need::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_import_needs_does_not_depend_on_its_version() {
        for (import, expected) in [
            ("wasi:filesystem/types@0.2.0", Need::Grant("dirs")),
            ("wasi:filesystem/preopens@0.2.12", Need::Grant("dirs")),
            ("wasi:cli/environment@0.2.6", Need::Grant("env")),
            ("wasi:http/outgoing-handler@0.2.3", Need::Grant("network")),
            ("wasi:http/types@0.2.3", Need::Nothing),
            ("wasi:sockets/tcp@0.2.3", Need::Never),
            ("wasi:io/streams@0.2.3", Need::Nothing),
            ("host:tool/fan-out@0.1.0", Need::Grant("calls")),
            ("wasi:config/store@0.2.0-draft", Need::Table("config")),
            ("log", Need::Nothing),
        ] {
            assert_eq!(need(import), expected, "{import}");
        }
    }
}
