//! The versions of agents with which runs began that have not ended.
//!
//! Invariant: as long as this process lives, a run goes on with the version that it began with, whatever becomes of its
//! files: its components are the loaded ones. There are only so many versions: the oldest go first, and their runs are
//! left to the agent as it is now. A version of which nothing differs is the one that was loaded last, with its keys.

use std::collections::HashMap;
use std::sync::Arc;

use super::log::log;
use super::told::Told;
use crate::engine::LoadedAgent;
use crate::message::{Digest, Hasher, Json, RunId};
use crate::model::Provider;

/// How many versions are kept beside those that are served: each holds the code of its tools.
const VERSIONS_MAX: usize = 64;

/// An agent, and which version of it.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) agent: Arc<LoadedAgent>,
    /// What tells it from any other version.
    version: Digest,
}

/// The versions with which runs go on.
#[derive(Default)]
pub(super) struct Versions {
    by_run: HashMap<RunId, Digest>,
    /// Oldest first.
    kept: Vec<Kept>,
}

struct Kept {
    loaded: Loaded,
    /// How many runs go on with it.
    runs: usize,
}

impl Loaded {
    /// Reads what the agent replies by, if that is a script, to tell this version from others.
    pub(super) fn of(agent: Arc<LoadedAgent>) -> Self {
        let version = parts(Hasher::default(), &agent).finish();
        Self { agent, version }
    }
}

impl Versions {
    /// Takes in that a run goes on with a version.
    pub(super) fn keep(&mut self, run: RunId, loaded: &Loaded) {
        if self.by_run.get(&run) == Some(&loaded.version) {
            return;
        }
        self.release(run);
        self.by_run.insert(run, loaded.version);
        match self.kept.iter_mut().find(|kept| kept.loaded.version == loaded.version) {
            Some(kept) => kept.runs += 1,
            None => self.kept.push(Kept { loaded: loaded.clone(), runs: 1 }),
        }
        if self.kept.len() > VERSIONS_MAX {
            let Kept { loaded: Loaded { agent, version }, runs } = self.kept.remove(0);
            self.by_run.retain(|_, of| *of != version);
            log(&Told::VersionGone { agent: &agent.config().agent.name, runs });
        }
    }

    /// Takes in that a run does not go on any more.
    pub(super) fn release(&mut self, run: RunId) {
        let Some(version) = self.by_run.remove(&run) else { return };
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.loaded.version == version) {
            kept.runs -= 1;
        }
        self.kept.retain(|kept| kept.runs > 0);
    }

    /// The version with which a run goes on, if it began in this process.
    pub(super) fn of(&self, run: RunId) -> Option<Loaded> {
        let version = self.by_run.get(&run)?;
        let kept = self.kept.iter().find(|kept| kept.loaded.version == *version)?;
        Some(kept.loaded.clone())
    }

    /// Takes in what is loaded now: where it is the same version, it has the newer keys.
    pub(super) fn renew(&mut self, loaded: &Loaded) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.loaded.version == loaded.version) {
            kept.loaded = loaded.clone();
        }
    }
}

/// Everything that makes an agent what it is: its texts, its tools, its scripts, and the agents that it calls.
fn parts(hasher: Hasher, agent: &LoadedAgent) -> Hasher {
    let config = agent.config();
    let schema = config.agent.output_schema.as_ref().map(Json::as_str).unwrap_or_default();
    let tools = serde_json::to_vec(agent.tools()).unwrap_or_default();
    let texts = [config.text.as_str(), &config.agent.name, &config.agent.instructions, schema];
    let hasher = texts.iter().fold(hasher, |hasher, text| hasher.part(text.as_bytes())).part(&tools);
    let hasher = config.all_models().fold(hasher, |hasher, model| match &model.provider {
        Provider::Scripted { script } => hasher.part(&std::fs::read(script).unwrap_or_default()),
        Provider::Remote(_) => hasher,
    });
    agent.members().iter().fold(hasher, |hasher, member| parts(hasher, member.agent()))
}
