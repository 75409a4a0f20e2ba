//! A component without an agent around it.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Config, ConfigError, ToolConfig};
use crate::grants::{Grants, ToolLimits};
use crate::message::Retry;

/// An agent that nobody asks anything. Its script is never read.
const AGENT: &str = "version = 1\n[model]\nprovider = \"scripted\"\nscript = \"none\"\n";

impl Config {
    /// An agent with one component, or one crate, that is granted nothing and has the limits that hold by default: for
    /// calls of its tools alone.
    pub fn of_component(source: &Path) -> Result<Self, ConfigError> {
        let source = std::path::absolute(source).unwrap_or_else(|_| source.to_owned());
        let name = source.file_stem().unwrap_or(source.as_os_str()).to_string_lossy().into_owned();
        let mut config = Self::parse(AGENT, &source)?;
        config.tools.push(ToolConfig {
            name,
            source,
            sha256: None,
            include: Vec::new(),
            prefix: String::new(),
            hidden: false,
            max_repeats: None,
            grants: Grants::default(),
            limits: ToolLimits::default(),
            retry: Retry::default(),
            idempotent: Vec::new(),
            describe: BTreeMap::new(),
        });
        Ok(config)
    }
}
