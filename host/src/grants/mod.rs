//! What a tool may reach and how much of it: plain data and the pure rules over it.
//!
//! Owns the meaning of `[tools.NAME.permissions]`, `[tools.NAME.limits]` and `[secrets.NAME]`: which request
//! fits which grant, which addresses are public, where a secret's placeholder is swapped and its value masked.
//! Does not do anything: [`crate::sandbox`] enforces it, [`crate::config`] reads it. Invariant: what is not
//! granted is denied, and a grant cannot be widened by anything a guest or a model says.

mod address;
mod limits;
mod mask;
mod missing;
mod network;
mod path;
mod secret;
mod site;
mod words;

pub use address::{AddressClass, classify};
pub use limits::{Limit, ToolLimits};
pub use mask::{MaskStream, Masker};
pub use network::{Allowed, METHODS, NetworkGrant, Origin, Refusal, Wanted, allow};
pub use secret::{Placeholders, Secret, SecretError, SecretSource, Secrets, Within, read_secret};
pub use site::{HostPattern, Scheme, Site, SiteError};

use std::collections::BTreeMap;
use std::path::PathBuf;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Serialize;

/// What a tool may reach beyond its input. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// Directories, by the name the guest knows them by.
    pub dirs: Vec<DirGrant>,
    /// Environment variables of the host that the guest sees.
    pub env: Vec<String>,
    /// Where requests may go.
    pub network: Vec<NetworkGrant>,
    /// Where random numbers come from.
    pub random: RandomSource,
    /// What makes its clocks go on, if that is said: [`Grants::clock`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockSource>,
    /// Globs over the names of other tools: those that the tool may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
    /// What the guest finds in its store of settings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Setting>,
}

/// What a guest finds by a name in its store of settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// This text.
    Text(String),
    /// The placeholder of the secret of this name.
    Secret(String),
}

/// A directory of the host that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirGrant {
    /// As agent.toml has it; this, and not where the agent lies, is what a run is compared by.
    #[serde(rename = "host")]
    pub written: String,
    /// The directory, absolute.
    #[serde(skip)]
    pub path: PathBuf,
    /// What the guest calls it, absolute.
    pub guest: String,
    /// What may be done in it.
    pub access: Access,
    /// Whether a tool could be granted to write in it: nothing there decides what tools may do.
    #[serde(skip)]
    pub can_be_written: bool,
}

/// What may be done in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Reading, listing.
    Ro,
    /// Everything, down to deleting what is in it.
    Rw,
}

/// Where a guest's random numbers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RandomSource {
    /// From the run's recorded seed and the call's slot: the same again when the call is carried out again.
    #[default]
    Seeded,
    /// From the operating system.
    Os,
}

/// What makes a guest's clocks go on. They begin at the recorded moment of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockSource {
    /// The guest: a microsecond whenever it looks, as long as it sleeps, and until the calls end that it makes. So it sees
    /// the same times when the call is carried out again.
    Steps,
    /// The operating system.
    Os,
}

/// What a call with these grants can do to the world outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effects {
    /// Nothing: it computes from its input.
    Pure,
    /// It sees what is outside, and changes nothing.
    Reading,
    /// It may change something.
    Writing,
}

/// Tool names by globs that were checked when agent.toml was read.
#[must_use]
pub fn glob_set(globs: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|glob| Glob::new(glob).ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_default()
}

impl Grants {
    /// What a call with these grants can do to the world outside of it.
    #[must_use]
    pub fn effects(&self) -> Effects {
        // What a tool does by calling others is for those to say: each of their calls stands for itself.
        // Any request is noticed where it goes, whatever its method.
        if !self.network.is_empty() || self.dirs.iter().any(|dir| dir.access == Access::Rw) {
            Effects::Writing
        } else if self.dirs.is_empty() {
            Effects::Pure
        } else {
            Effects::Reading
        }
    }

    /// What makes the guest's clocks go on. If nothing is said, those of a guest that can wait for a server go on as the
    /// system's do.
    #[must_use]
    pub fn clock(&self) -> ClockSource {
        let by_default = if self.network.is_empty() { ClockSource::Steps } else { ClockSource::Os };
        self.clock.unwrap_or(by_default)
    }

    /// The names of the secrets that some grant lets the tool use, each once.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.network.iter().flat_map(|grant| &grant.secrets).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
