//! Where the component of a tool is.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use super::McpServer;
use crate::registry::Remote;

/// Where the component of a tool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A .wasm file or the directory of a tool's source, absolute.
    Local(PathBuf),
    /// Elsewhere. host.lock says which bytes.
    Remote(Remote),
    /// There is no component: a server of the Model Context Protocol has the tools.
    Server(Box<McpServer>),
}

impl Source {
    /// The file or directory, if it is on this machine.
    #[must_use]
    pub fn local(&self) -> Option<&Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::Remote(_) | Self::Server(_) => None,
        }
    }

    /// The server, if there is one instead of a component.
    #[must_use]
    pub fn server(&self) -> Option<&McpServer> {
        match self {
            Self::Server(server) => Some(server),
            Self::Local(_) | Self::Remote(_) => None,
        }
    }

    /// What a tool from there can be called, as far as its source tells.
    #[must_use]
    pub fn stem(&self) -> Cow<'_, str> {
        match self {
            Self::Local(path) => path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy(),
            Self::Remote(remote) => remote.stem().into(),
            Self::Server(_) => "mcp".into(),
        }
    }
}

/// The longest name of a table that is made up, in characters.
const TABLE_CHARS_MAX: usize = 32;

/// The name of a table for a component of this name.
#[must_use]
pub fn table_name(stem: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    stem.chars().take(TABLE_CHARS_MAX).map(plain).collect()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Remote(remote) => remote.fmt(f),
            Self::Server(server) => server.at.fmt(f),
        }
    }
}
