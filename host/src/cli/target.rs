use std::path::{Path, PathBuf};

use super::exit::Misuse;
use crate::config::{begins_as_wasm, scheme};
use crate::registry::Remote;
use crate::toolbox::Language;

/// What a path on the command line stands for, where more than an agent can be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An agent.toml.
    Agent(PathBuf),
    /// The directory of a tool's source.
    Tool(PathBuf),
    /// A component, or what is meant to be one.
    Component(PathBuf),
    /// A component that is elsewhere.
    Remote(Remote),
}

impl Target {
    /// A directory stands for the agent in it, or else for the tool.
    pub(super) fn of(path: &Path) -> Result<Self, Misuse> {
        let text = path.to_string_lossy();
        if scheme(&text).is_some() {
            let remote = text.parse().map_err(|error| Misuse(format!("{}: {error}", path.display())))?;
            return Ok(Self::Remote(remote));
        }
        if path.is_dir() {
            if path.join("agent.toml").is_file() {
                return Ok(Self::Agent(path.join("agent.toml")));
            }
            if Language::said_by(path).next().is_some() {
                return Ok(Self::Tool(path.to_owned()));
            }
            let files = Language::ALL.map(Language::file).join(", ");
            return Err(Misuse(format!(
                "{} has neither an agent.toml nor one of {files}\n  give the directory of an agent or of a tool; `host new` writes one",
                path.display()
            )));
        }
        let files = Language::ALL.map(Language::file);
        if path.file_name().is_some_and(|name| files.iter().any(|file| name == *file)) && path.is_file() {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Ok(Self::Tool(parent.unwrap_or(Path::new(".")).to_owned()));
        }
        let is_wasm = path.extension().is_some_and(|kind| kind == "wasm") || begins_as_wasm(path);
        if is_wasm && !path.exists() {
            return Err(Misuse(format!("{} does not exist", path.display())));
        }
        Ok(if is_wasm { Self::Component(path.to_owned()) } else { Self::Agent(path.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_path_stands_for_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (file, bytes) in [
            ("both/agent.toml", &b"version = 1"[..]),
            ("both/Cargo.toml", b""),
            ("crate/Cargo.toml", b""),
            ("python/tool.py", b""),
            ("tool", b"\0asm\x0d\0\x01\0"),
            ("short", b"\0as"),
        ] {
            std::fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            std::fs::write(at(file), bytes).unwrap();
        }
        std::fs::create_dir(at("empty")).unwrap();
        let of = |name: &str| Target::of(&at(name)).unwrap();
        assert_eq!(of("both"), Target::Agent(at("both/agent.toml")));
        assert_eq!(of("both/Cargo.toml"), Target::Tool(at("both")));
        assert_eq!(of("crate"), Target::Tool(at("crate")));
        assert_eq!(of("python"), Target::Tool(at("python")));
        assert_eq!(of("tool"), Target::Component(at("tool")));
        let refused = |path: &Path| Target::of(path).unwrap_err().to_string();
        assert!(refused(&at("not there.wasm")).ends_with("not there.wasm does not exist"));
        assert!(refused(Path::new("ftp://registry.example/a/b.wasm")).contains("ftp:// is not supported"));
        let remote = "oci://registry.example/a/b:1";
        assert_eq!(Target::of(Path::new(remote)).unwrap(), Target::Remote(remote.parse().unwrap()));
        assert_eq!(of("short"), Target::Agent(at("short")));
        assert_eq!(of("not there"), Target::Agent(at("not there")));
        assert!(Target::of(&at("empty")).unwrap_err().to_string().contains("neither an agent.toml nor"));
    }
}
