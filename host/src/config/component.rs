//! A component without an agent around it.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Config, ConfigError, Source, ToolConfig, table_name};
use crate::grants::{Grants, ToolLimits};
use crate::message::Retry;
use crate::registry::Locked;

/// An agent that nobody asks anything. Its script is never read.
const AGENT: &str = "version = 1\n[model]\nprovider = \"scripted\"\nscript = \"none\"\n";

impl Config {
    /// An agent with one component, or one crate, that is granted nothing and has the limits that hold by default: for
    /// calls of its tools alone.
    pub fn of_component(source: &Path) -> Result<Self, ConfigError> {
        Self::of_source(
            Source::Local(std::path::absolute(source).unwrap_or_else(|_| source.to_owned())),
            None,
        )
    }

    /// The same of a component that is elsewhere, and of which this is pinned.
    pub fn of_locked(locked: Locked) -> Result<Self, ConfigError> {
        Self::of_source(Source::Remote(locked.source.clone()), Some(locked))
    }

    fn of_source(source: Source, locked: Option<Locked>) -> Result<Self, ConfigError> {
        let name = table_name(&source.stem());
        let mut config = Self::parse(AGENT, source.local().unwrap_or(Path::new("/agent.toml")))?;
        config.tools.push(ToolConfig {
            name,
            source,
            locked,
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
            command: None,
        });
        Ok(config)
    }
}
