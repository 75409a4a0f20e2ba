//! Generates the bindings that are part of the sources here: the SDK's from the contract in wit/tool.wit, and those of
//! the tests' components.
//!
//! They are checked in, so that a tool does not compile the generator first. After a change of an interface,
//! `cargo run -p bindings` in guest-tools writes them anew; the test here fails until somebody does.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::Opts;

/// Bindings that are checked in.
#[derive(Debug)]
pub struct Bindings {
    /// The directory with the interface, below guest-tools.
    wit: &'static str,
    world: &'static str,
    /// The file that has the bindings, below guest-tools.
    file: &'static str,
    /// The name of the macro by which a crate exports its implementation, if other crates do it.
    macro_name: Option<&'static str>,
    /// Where such a crate finds the bindings.
    module: Option<&'static str>,
}

/// All of them. The world `orchestrator` is the world `tool` and one import more.
pub const ALL: [Bindings; 3] = [
    Bindings {
        wit: "../wit",
        world: "orchestrator",
        file: "sdk/src/__private/bindings.rs",
        macro_name: Some("export_tool"),
        module: Some("tool_sdk::__private::bindings"),
    },
    Bindings {
        wit: "typed/wit",
        world: "typed",
        file: "typed/src/bindings.rs",
        macro_name: None,
        module: None,
    },
    Bindings {
        wit: "service/wit",
        world: "imports",
        file: "service/src/bindings.rs",
        macro_name: None,
        module: None,
    },
];

impl Bindings {
    /// Where they are.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        guest_tools().join(self.file)
    }

    /// What they are to be.
    ///
    /// # Errors
    /// The interface cannot be read, or is wrong.
    pub fn generate(&self) -> anyhow::Result<String> {
        let mut resolve = Resolve::default();
        let interface = guest_tools().join(self.wit);
        let (package, _) =
            resolve.push_path(&interface).with_context(|| format!("in {}", interface.display()))?;
        let world = resolve.select_world(&[package], Some(self.world))?;
        let options = Opts {
            format: true,
            generate_all: true,
            pub_export_macro: self.macro_name.is_some(),
            export_macro_name: self.macro_name.map(str::to_owned),
            default_bindings_module: self.module.map(str::to_owned),
            ..Opts::default()
        };
        let mut files = Files::default();
        options.build().generate(&mut resolve, world, &mut files)?;
        let (_, text) = files.iter().next().context("the generator wrote nothing")?;
        Ok(String::from_utf8(text.to_vec())?)
    }
}

fn guest_tools() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_checked_in_is_what_the_interfaces_say() -> anyhow::Result<()> {
        for bindings in &super::ALL {
            let path = bindings.path();
            assert!(
                std::fs::read_to_string(&path)? == bindings.generate()?,
                "the interface of {} changed: run `cargo run -p bindings` in guest-tools",
                path.display()
            );
        }
        Ok(())
    }
}
