//! Paths that are surely none of an agent.toml: a URL, a component, a crate. Each says what to do with it instead.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::ConfigError;
use super::paths::scheme;

/// What is wrong with a path that is surely not that of an agent.toml.
pub(super) fn error(path: &Path) -> Option<ConfigError> {
    let name = path.display();
    let refuse = |message: String, help: &str| Some(ConfigError::of_file(path, message, help));
    if let Some(scheme) = scheme(&path.to_string_lossy()) {
        let help =
            format!("{scheme}:// is not supported yet: fetch the agent, and give the path of its agent.toml");
        return refuse(format!("{name} is not the path of a file"), &help);
    }
    if begins_as_wasm(path) {
        let help = format!(
            "try one of its tools with `host call {name}`; to give it to an agent, add to its agent.toml:\n\
             [tools.NAME]\nsource = \"{name}\""
        );
        return refuse(format!("{name} is WebAssembly, and not an agent.toml"), &help);
    }
    let directory = path.parent().filter(|_| path.file_name().is_some_and(|name| name == "agent.toml"))?;
    if !path.exists() && directory.join("Cargo.toml").is_file() {
        let directory = directory.display();
        let directory = if directory.to_string().is_empty() { ".".to_owned() } else { directory.to_string() };
        let help = format!(
            "build it with `host build {directory}`, try it with `host call {directory}`, or give it to an agent: \
             source = \"{directory}\""
        );
        return refuse(format!("{directory} is a crate, and has no agent.toml"), &help);
    }
    None
}

/// Whether a file has the first bytes of every WebAssembly file. A pipe, which has its first bytes once, is left alone.
pub(crate) fn begins_as_wasm(path: &Path) -> bool {
    let mut first = [0; 4];
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok()
        && first == *b"\0asm"
}
