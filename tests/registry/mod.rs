//! Components from elsewhere, against a registry that is honest, damaged, hostile or not there.

mod commands;
mod fake;
mod fetching;
mod real;
mod sigstore;
mod trust;

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::Ran;

/// A component of one tool, `add`; with the name of another one, it has two.
pub fn component(other: Option<&str>) -> Vec<u8> {
    let other = other.map_or_else(String::new, |name| format!("(export \"{name}\" (func $add))"));
    let text = format!(
        r#"(component
            (core module $m (func (export "add") (param i32 i32) (result i32)
                local.get 0 local.get 1 i32.add))
            (core instance $i (instantiate $m))
            (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
            (export "add" (func $add)) {other})"#
    );
    wat::parse_str(text).unwrap()
}

/// An agent in a directory of its own, with a cache of its own.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let toml = "# An agent.\nversion = 1\n\n[agent]\nprompt = \"go on\" # whenever\n\n[model]\n\
                    provider = \"scripted\"\nscript = \"script.toml\"\n";
        std::fs::write(dir.path().join("agent.toml"), toml).unwrap();
        std::fs::write(dir.path().join("script.toml"), "[[reply]]\ntext = \"done\"\n").unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a file anew with something else in the place of a text.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{from:?} is in {text}");
        std::fs::write(self.path(name), text.replace(from, to)).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command.args(args).current_dir(self.dir.path());
        command.env("HOST_STATE", self.path("state")).env("HOST_CACHE", self.path("cache"));
        command.env("XDG_CONFIG_HOME", self.path("config"));
        command.env("DOCKER_CONFIG", self.path("docker")).stdin(std::process::Stdio::null());
        for variable in ["HOST_OFFLINE", "HOST_SERVER", "HOST_TOKEN", "FAILPOINTS"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn host(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Forgets what was fetched.
    pub fn empty_store(&self) {
        std::fs::remove_dir_all(self.path("cache/components")).unwrap();
    }
}
