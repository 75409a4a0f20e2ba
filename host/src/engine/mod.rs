//! The engine: what a run is. It loads agents, starts runs, resumes them, takes a person's word, and tells what happens.
//!
//! Owns everything about a run that is no front end's: the command line, a server and a program that embeds this crate
//! are thin over it. Knows no terminal, no arguments and no exit codes. Whatever runs share exists once in an [`Engine`]:
//! the sandbox with its clock, the cache of components, the journal. The journal
//! is in a state directory, or in memory; everything works over either. Invariant: a front end decides nothing about what is
//! recorded; it asks the engine, and shows what the engine says. It fails with [`LoadError`], [`StartError`] and
//! [`DecideError`], which name a cause and no command.
//!
//! Where a run starts: [`Engine::start`] and [`Engine::resume`] (`start`, and `drive` for the work itself). Where it is recorded: [`crate::session`], in
//! the journal that the engine has opened. Where a person's word comes in: [`Engine::decide`] (`decide`), and
//! [`Terms::settlements`] for calls that are in doubt. What happens to a run: [`Engine::attach`] (`events` and `follow`).

mod approvals;
mod catalog;
pub(crate) mod changes;
pub mod compare;
mod conversation;
mod decide;
mod drive;
mod events;
mod exporting;
mod follow;
mod fork;
mod handle;
mod live;
mod locks;
mod new_run;
mod people;
mod plan;
mod reading;
mod records;
mod replay;
mod rerun;
pub mod sent;
mod settle;
mod standing;
mod start;
mod store;
pub mod timeline;
mod view;
mod watch;

pub use approvals::{Always, ApprovalsError, PastApprovals};
pub use catalog::{LoadError, LoadedAgent, Member, Purpose, Secrets};
pub use conversation::{ConversationError, Turn};
pub use decide::{CancelError, DecideError, Pending, Word};
pub use events::{EventKind, RunEvent, Standing};
pub use fork::{Edit, ForkError, NewFork};
pub use handle::{Outcome, RunHandle};
pub use new_run::NewRun;
pub use people::{Front, Nobody, People};
#[cfg(feature = "cli")]
pub(crate) use plan::manifest_of;
pub use plan::{Task, manifest};
pub use records::{agent_at, recorded_manifest};
pub use rerun::{Difference, Reran, Rerun, RerunError, Reruns};
pub use settle::SettleError;
pub use standing::standing;
pub use start::{StartError, Terms};
pub use view::{Page, Query, RunWaits, waiting};
pub use watch::{Changed, Told, Unwatched, Watcher};

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::config::Config;
use crate::journal::{Runs, Sessions};
use crate::model::Clients;
use crate::sandbox::{INSTANCES, Sandbox};
use crate::telemetry::Collector;
use crate::toolbox::{Compiler, ComponentCache, Strangers, Tell, Toolbox};
use crate::trust::Trust;
use catalog::Loader;
use conversation::Conversations;
use exporting::Exporting;
use live::LiveRuns;
use store::Store;

/// Runs agents, any number of them at once, over one journal.
#[derive(Clone)]
pub struct Engine(Arc<Parts>);

struct Parts {
    runs: Arc<dyn Runs>,
    conversations: Conversations,
    approvals: PastApprovals,
    /// The directories in which all that is.
    kept_in: Vec<PathBuf>,
    live: LiveRuns,
    cache: PathBuf,
    compiler: Compiler,
    is_offline: bool,
    trust: Trust,
    strangers: Strangers,
    exporting: Exporting,
    /// What requests to model providers share.
    clients: Clients,
    /// How many instances may be alive at once that the loop called.
    instances: u32,
    /// Made when the first agent is loaded: it reserves address space.
    sandbox: OnceLock<Sandbox>,
}

/// What an engine is made of.
#[derive(Debug)]
pub struct Builder {
    store: Store,
    cache: PathBuf,
    compiler: Compiler,
    is_offline: bool,
    trust: Trust,
    strangers: Strangers,
    exporter: Option<Collector>,
    instances: u32,
}

impl Builder {
    fn new(store: Store, cache: &Path, compiler: Compiler) -> Self {
        let (trust, strangers, exporter, instances) = (Trust::default(), Strangers::Refuse, None, INSTANCES);
        let (cache, is_offline) = (cache.to_owned(), false);
        Self { store, cache, compiler, is_offline, trust, strangers, exporter, instances }
    }

    /// Lets so many instances be alive at once that the loop called: 10,000 at most, and 128 unless it is said. Calls that
    /// wait for a service each hold one. An instance takes 8 GiB of address space, and of memory what its tool uses.
    #[must_use]
    pub fn instances(self, instances: u32) -> Self {
        Self { instances, ..self }
    }

    /// Fetches no component, if it is to stay offline: a tool whose component is not in the cache is an error.
    #[must_use]
    pub fn offline(self, is_offline: bool) -> Self {
        Self { is_offline, ..self }
    }

    /// Takes no component from elsewhere unless these rules are met, beside those of its agent: who has to have signed it.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// What becomes of sources of tools that are outside of the project of their agent: they are not built, unless it is said
    /// here. What a person allowed before is built.
    #[must_use]
    pub fn strangers(self, strangers: Strangers) -> Self {
        Self { strangers, ..self }
    }

    /// Exports what runs do as traces.
    #[cfg(feature = "otel")]
    #[must_use]
    pub fn exporter(self, exporter: Option<Collector>) -> Self {
        Self { exporter, ..self }
    }

    /// The engine. It touches no file before it has to.
    #[must_use]
    pub fn build(self) -> Engine {
        let Self { store, cache, compiler, is_offline, trust, strangers, exporter, instances } = self;
        let Store { runs, sessions, approvals, kept_in } = store;
        let conversations = Conversations::new(sessions);
        let (live, clients, sandbox) = (LiveRuns::default(), Clients::default(), OnceLock::new());
        Engine(Arc::new(Parts {
            runs,
            conversations,
            approvals,
            kept_in,
            live,
            cache,
            compiler,
            is_offline,
            trust,
            strangers,
            exporting: Exporting::to(exporter),
            clients,
            instances,
            sandbox,
        }))
    }
}

impl Engine {
    /// An engine that keeps its runs below `state`, and compiled components in `cache`. `compiler` compiles components in
    /// a process of its own.
    #[must_use]
    pub fn builder(state: &Path, cache: &Path, compiler: Compiler) -> Builder {
        Builder::new(Store::directory(state), cache, compiler)
    }

    /// An engine that keeps its runs, its sessions and what was approved in memory: they last as long as the engine.
    /// Compiled components are kept in `cache` all the same.
    #[must_use]
    pub fn in_memory(cache: &Path, compiler: Compiler) -> Builder {
        Builder::new(Store::memory(), cache, compiler)
    }

    /// The runs. What they do keeps the thread waiting that does it: see [`Engine::blocking`].
    #[must_use]
    pub fn runs(&self) -> &dyn Runs {
        &*self.0.runs
    }

    /// The sessions. What they do keeps the thread waiting that does it, but for [`Sessions::turn`].
    #[must_use]
    pub fn sessions(&self) -> &dyn Sessions {
        self.0.conversations.sessions()
    }

    /// The calls that were approved. What is asked of them keeps the thread waiting that does it.
    #[must_use]
    pub fn approvals(&self) -> &PastApprovals {
        &self.0.approvals
    }

    /// Loads an agent and the agents that it calls. Building and compiling is told to the watcher.
    pub async fn load(
        &self,
        config: Config,
        purpose: Purpose,
        watcher: &dyn Watcher,
    ) -> Result<Arc<LoadedAgent>, LoadError> {
        let cache = self.cache()?;
        let tell = |progress: crate::toolbox::Progress<'_>| watcher.tell(Told::Loading(progress));
        let own = self.own(&cache);
        let (sandbox, clients) = (self.sandbox()?, &self.0.clients);
        let loader = Loader { sandbox, cache: &cache, clients, own, purpose, tell: &tell };
        Ok(Arc::new(loader.load(config).await?))
    }

    /// The same agent with models that are set up anew: a script, or a key in a file, may have changed since. Its tools are
    /// the loaded ones.
    pub fn with_new_models(&self, agent: &LoadedAgent) -> Result<Arc<LoadedAgent>, LoadError> {
        Ok(Arc::new(agent.with_new_models(&self.0.clients)?))
    }

    /// Loads the components of an agent alone, to call one of them.
    pub async fn load_tools(
        &self,
        config: &Config,
        watcher: &dyn Watcher,
    ) -> Result<Arc<Toolbox>, LoadError> {
        let cache = self.cache()?;
        let tell: &Tell<'_> = &|progress| watcher.tell(Told::Loading(progress));
        Toolbox::keep_apart(config, &self.own(&cache))?;
        // It is large, and would be copied into whatever waits for it.
        Ok(Arc::new(Box::pin(Toolbox::load(config, self.sandbox()?, &cache, tell)).await?))
    }

    /// Where the host keeps its own files: no tool may be granted any of it.
    fn own<'a>(&'a self, cache: &'a ComponentCache) -> Vec<&'a Path> {
        let kept_in = self.0.kept_in.iter().map(PathBuf::as_path);
        let rules = self.0.trust.rules().map(|rule| rule.file.as_path()).chain(self.0.trust.files());
        std::iter::once(cache.directory()).chain(kept_in).chain(rules).collect()
    }

    fn cache(&self) -> Result<ComponentCache, LoadError> {
        let cache = ComponentCache::open(&self.0.cache, self.0.compiler.clone())?;
        let cache = cache.offline(self.0.is_offline).trusting(&self.0.trust);
        Ok(cache.with_strangers(self.0.strangers.clone()))
    }

    /// How many places for instances there are, and how many are free, by how many callers wait for an instance. There
    /// are no places before the first agent is loaded.
    #[must_use]
    pub fn places(&self) -> Vec<(usize, usize)> {
        self.0.sandbox.get().map(Sandbox::places).unwrap_or_default()
    }

    fn sandbox(&self) -> Result<&Sandbox, LoadError> {
        if let Some(sandbox) = self.0.sandbox.get() {
            return Ok(sandbox);
        }
        let sandbox = Sandbox::of(self.0.instances)?;
        Ok(self.0.sandbox.get_or_init(|| sandbox))
    }
}
