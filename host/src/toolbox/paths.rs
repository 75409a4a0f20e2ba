//! Keeps the paths of this machine out of a component.
//!
//! A panic names the source file where it began, so a component would show the home directory of whoever built it, and
//! the same source would give other bytes on another machine.

use std::path::{Path, PathBuf};

/// What rustc is told, so that no path of this machine gets into what it builds. `sysroot` is where the toolchain lies.
pub(super) fn remapping(sysroot: &Path) -> Vec<String> {
    let sources = sysroot.join("lib/rustlib/src/rust");
    // The last one that fits a path decides.
    let home = std::env::home_dir().map(|home| (home, "~"));
    let toolchain = (sources, "/rustc");
    let crates = registries().into_iter().map(|registry| (registry, "/crates"));
    let places = home.into_iter().chain([toolchain]).chain(crates);
    places
        .filter_map(|(path, shown)| Some(format!("--remap-path-prefix={}={shown}", path.to_str()?)))
        .collect()
}

/// Where cargo unpacks the crates that it downloads: a directory for each registry or mirror of one.
fn registries() -> Vec<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let unpacked = cargo.and_then(|cargo| std::fs::read_dir(cargo.join("registry/src")).ok());
    unpacked.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
