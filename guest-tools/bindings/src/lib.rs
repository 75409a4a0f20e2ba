//! Generates the SDK's bindings from the contract in wit/tool.wit.
//!
//! The bindings are part of the SDK's source, so that a new tool does not compile the generator first. After a change of
//! the contract, `cargo run -p bindings` in guest-tools writes them anew; the test here fails until somebody does.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::Opts;

/// Where the SDK has its bindings.
#[must_use]
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/src/__private/bindings.rs")
}

/// The bindings of the world `orchestrator`, which is the world `tool` and one import more.
///
/// # Errors
/// The contract cannot be read, or is wrong.
pub fn generate() -> anyhow::Result<String> {
    let mut resolve = Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_path(&contract).with_context(|| format!("in {}", contract.display()))?;
    let world = resolve.select_world(&[package], Some("orchestrator"))?;
    let options = Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some("export_tool".to_owned()),
        default_bindings_module: Some("tool_sdk::__private::bindings".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, text) = files.iter().next().context("the generator wrote nothing")?;
    Ok(String::from_utf8(text.to_vec())?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sdk_has_the_bindings_of_the_contract() -> anyhow::Result<()> {
        let kept = std::fs::read_to_string(super::path())?;
        assert!(
            kept == super::generate()?,
            "the contract changed: run `cargo run -p bindings` in guest-tools"
        );
        Ok(())
    }
}
