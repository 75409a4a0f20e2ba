//! host.lock: which bytes the tools of an agent have that come from elsewhere, and what those bytes say of themselves.
//!
//! It lies beside agent.toml, belongs into version control, and is written by `host add` and `host update`. A tool of an
//! agent is never looked up by its tag: what is here decides. The texts in an entry are for whoever reviews a change; that
//! the bytes say them still follows from the digest, and `host lock --verify` reads them again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Pin, Remote};
use crate::document::read_text;
use crate::message::Digest;

/// The name of the file.
pub const LOCK_FILE: &str = "host.lock";

/// The largest lock file that is read.
const LOCK_BYTES_MAX: u64 = 8 * 1024 * 1024;

const VERSION: u32 = 1;

const HEADER: &str =
    "# Which bytes the tools have that come from elsewhere. `host add` and `host update` write this file.\n";

/// What host.lock says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// By the names of tables in agent.toml.
    #[serde(default)]
    pub tools: BTreeMap<String, Locked>,
    /// What is pinned of MCP servers, by the names of tables in agent.toml.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, LockedServer>,
}

/// What is pinned of one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Where the component comes from, as agent.toml has it.
    pub source: Remote,
    /// SHA-256 of the component.
    pub sha256: Digest,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the manifest that names it, if it comes from an OCI registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// What the component imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Its tools, by what the component calls them.
    #[serde(default)]
    pub exports: BTreeMap<String, LockedTool>,
    /// Who signed it, as far as that was asked for, and what proves it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<LockedSignature>,
}

/// What is pinned of an MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedServer {
    /// Where it is: an address, or a command.
    pub server: String,
    /// Its tools, by what it calls them.
    #[serde(default)]
    pub tools: BTreeMap<String, LockedTool>,
}

/// A signature, with all that it takes to verify it without a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSignature {
    /// Who signed: an identity and who vouches for it, or a key. It is for whoever reviews a change, and follows from the
    /// rest.
    pub signer: String,
    /// The manifest that is signed, where it is not the component itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The signature: a bundle of Sigstore, which is JSON.
    pub bundle: String,
}

/// What a tool says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedTool {
    /// What models are told of it.
    pub description: String,
    /// The JSON Schema of its input.
    pub input: String,
    /// The JSON Schema of its output, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Why host.lock cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}\n  {help}", path.display())]
pub struct LockError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub help: &'static str,
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: VERSION, tools: BTreeMap::new(), servers: BTreeMap::new() }
    }
}

impl Lock {
    /// Where the lock of an agent is.
    #[must_use]
    pub fn beside(agent_toml: &Path) -> PathBuf {
        agent_toml.with_file_name(LOCK_FILE)
    }

    /// Reads a lock file. One that is not there pins nothing.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let wrong = |reason: String, help| LockError { path: path.to_owned(), reason, help };
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = read_text(path, LOCK_BYTES_MAX).map_err(|error| {
            wrong(format!("it cannot be read: {error}"), "restore it, or make it readable")
        })?;
        let restore =
            "restore it from version control, or remove it and pin the tools anew with `host update`";
        let lock: Self = toml::from_str(&text).map_err(|error| {
            let at =
                error.span().map(|span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
            let at = at.map_or_else(String::new, |line| format!(" (line {line})"));
            wrong(format!("it does not read{at}: {}", error.message()), restore)
        })?;
        if lock.version != VERSION {
            let reason = format!("it is of version {}, and this host reads version {VERSION}", lock.version);
            return Err(wrong(reason, "use the host that wrote it, or a newer one"));
        }
        Ok(lock)
    }

    /// The text of the file. It fails where it would be longer than what is read.
    pub fn written(&self) -> Result<String, String> {
        let text = toml::to_string(self).map_err(|error| error.to_string())?;
        let text = format!("{HEADER}{text}");
        if text.len() as u64 > LOCK_BYTES_MAX {
            return Err(format!("{LOCK_FILE} would be longer than {LOCK_BYTES_MAX} bytes"));
        }
        Ok(text)
    }
}

impl Locked {
    /// Which bytes, and how to get them.
    #[must_use]
    pub fn pin(&self) -> Pin {
        let Self { source, sha256, bytes, manifest, .. } = self;
        Pin { source: source.clone(), sha256: *sha256, bytes: *bytes, manifest: *manifest }
    }

    /// What is different in another entry of the same tool, a line each; no lines if the bytes are the same.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.source != new.source {
            lines.push(format!("source: {} is now {}", self.source, new.source));
        }
        if self.manifest != new.manifest {
            let shown =
                |it: Option<Digest>| it.map_or_else(|| "none".to_owned(), |it| format!("sha256:{it}"));
            lines.push(format!("manifest: {} is now {}", shown(self.manifest), shown(new.manifest)));
        }
        if self.sha256 != new.sha256 {
            lines.push(format!("component: sha256 {} is now {}", self.sha256, new.sha256));
            lines.push(format!("size: {} bytes are now {}", self.bytes, new.bytes));
        }
        let signers = |of: &Self| {
            let signers: Vec<&str> = of.signatures.iter().map(|it| it.signer.as_str()).collect();
            if signers.is_empty() { "nobody that was asked for".to_owned() } else { signers.join("; ") }
        };
        if signers(self) != signers(new) {
            lines.push(format!("signed by: {} is now {}", signers(self), signers(new)));
        } else if self.signatures != new.signatures {
            lines.push("the signature is another one, by the same".to_owned());
        }
        let imports = |of: &Self| of.imports.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        let (before, after) = (imports(self), imports(new));
        lines.extend(after.difference(&before).map(|it| format!("+ imports {it}")));
        lines.extend(before.difference(&after).map(|it| format!("- imports {it}")));
        lines.extend(changes_of_tools(&self.exports, &new.exports));
        lines
    }
}

impl LockedServer {
    /// What is different in another entry of the same server, a line each; no lines if nothing is.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.server != new.server {
            lines.push(format!("server: {} is now {}", self.server, new.server));
        }
        lines.extend(changes_of_tools(&self.tools, &new.tools));
        lines
    }
}

fn changes_of_tools(old: &BTreeMap<String, LockedTool>, new: &BTreeMap<String, LockedTool>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, tool) in new {
        match old.get(name) {
            None => {
                lines.push(format!("+ tool {name}: {}", tool.description));
                lines.push(format!("    input: {}", tool.input));
            }
            Some(before) => lines.extend(before.changes(name, tool)),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    lines.extend(gone.map(|name| format!("- tool {name}")));
    lines
}

impl LockedTool {
    fn changes(&self, name: &str, new: &Self) -> Vec<String> {
        let no_schema = || "(none)".to_owned();
        [
            ("description", self.description.clone(), new.description.clone()),
            ("input schema", self.input.clone(), new.input.clone()),
            (
                "output schema",
                self.output.clone().unwrap_or_else(no_schema),
                new.output.clone().unwrap_or_else(no_schema),
            ),
        ]
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .flat_map(|(what, before, after)| {
            [format!("~ tool {name}: {what}"), format!("    - {before}"), format!("    + {after}")]
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn locked() -> Locked {
        let tool = LockedTool {
            description: "Greets.\n\"You\"".to_owned(),
            input: r#"{"type":"object"}"#.to_owned(),
            output: None,
        };
        Locked {
            source: "oci://registry.example/a/b:1".parse().unwrap(),
            sha256: Digest::of(b"component"),
            bytes: 9,
            manifest: Some(Digest::of(b"manifest")),
            imports: vec!["wasi:io/error@0.2.0".to_owned()],
            exports: BTreeMap::from([("greet".to_owned(), tool)]),
            signatures: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK_FILE);
        let mut lock = Lock::default();
        assert_eq!(Lock::read(&path).unwrap(), lock);
        let signature = LockedSignature {
            signer: "me@example.com (https://example.com)".to_owned(),
            manifest: Some("{\r\n \"a\":\t'\u{e9}'\r}\n\n".to_owned()),
            bundle: "'''\"\"\"\\".to_owned(),
        };
        lock.tools.insert("b".to_owned(), Locked { signatures: vec![signature], ..locked() });
        std::fs::write(&path, lock.written().unwrap()).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock);
    }

    #[test]
    fn a_file_that_was_edited_badly_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK_FILE);
        let mut lock = Lock::default();
        lock.tools.insert("b".to_owned(), locked());
        let text = lock.written().unwrap();
        for (from, to, said) in [
            ("version = 1", "version = 2", "version 2"),
            ("sha256 = \"", "sha256 = \"x", "64"),
            ("oci://", "ftp://", "not supported"),
            ("bytes = 9", "bytes = -9", "line 7"),
            ("bytes = 9", "bites = 9", "bites"),
        ] {
            std::fs::write(&path, text.replace(from, to)).unwrap();
            let error = Lock::read(&path).unwrap_err().to_string();
            assert!(error.contains(said), "{to}: {error}");
        }
    }

    #[test]
    fn each_difference_is_told() {
        let old = locked();
        assert_eq!(old.changes(&old), Vec::<String>::new());
        let mut new = locked();
        new.imports = vec!["wasi:http/types@0.2.0".to_owned()];
        new.sha256 = Digest::of(b"other");
        let tool = new.exports.get_mut("greet").unwrap();
        tool.description = "Obeys.".to_owned();
        tool.input = r#"{"type":"object","additionalProperties":false}"#.to_owned();
        tool.output = Some("{}".to_owned());
        let tool = tool.clone();
        new.exports.insert("other".to_owned(), tool);
        let signer = "me@example.com".to_owned();
        new.signatures.push(LockedSignature { signer, manifest: None, bundle: "{}".to_owned() });
        let mut again = new.clone();
        again.signatures[0].bundle = "[]".to_owned();
        assert_eq!(new.changes(&again), ["the signature is another one, by the same"]);
        let told = old.changes(&new).join("\n");
        for said in [
            "component: sha256",
            "+ imports wasi:http/types@0.2.0",
            "- imports wasi:io/error@0.2.0",
            "~ tool greet: description",
            "    + Obeys.",
            "~ tool greet: input schema",
            "~ tool greet: output schema",
            "+ tool other: Obeys.",
            "signed by: nobody that was asked for is now me@example.com",
        ] {
            assert!(told.contains(said), "{said}: {told}");
        }
        assert!(new.changes(&old).contains(&"- tool other".to_owned()));
    }

    proptest! {
        /// A lock file is foreign text: whatever it says, it is read or refused.
        #[test]
        fn whatever_stands_there_is_read_or_refused(text in "(version = 1\n)?[ -~\n]{0,200}") {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(LOCK_FILE);
            std::fs::write(&path, text).unwrap();
            let _ = Lock::read(&path);
        }
    }
}
