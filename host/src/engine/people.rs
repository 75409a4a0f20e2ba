use std::sync::Arc;

use super::catalog::LoadedAgent;
use super::watch::{Unwatched, Watcher};
use crate::dispatch::{Person, Unattended};
use crate::message::Manifest;

/// Who is asked while runs go on.
pub trait People: Send + Sync {
    /// Who is asked about the calls of an agent: the agent of the run, or one that it calls.
    fn attend(&self, agent: &LoadedAgent, manifest: &Manifest) -> Arc<dyn Person>;
}

/// Nobody is there: a run that wants a person is suspended.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl People for Nobody {
    fn attend(&self, _agent: &LoadedAgent, _manifest: &Manifest) -> Arc<dyn Person> {
        Arc::new(Unattended)
    }
}

/// The front end of a run: who looks on, and who is asked.
#[derive(Clone)]
pub struct Front {
    /// Who looks on.
    pub watcher: Arc<dyn Watcher>,
    /// Who is asked.
    pub people: Arc<dyn People>,
}

impl Default for Front {
    fn default() -> Self {
        Self { watcher: Arc::new(Unwatched), people: Arc::new(Nobody) }
    }
}
