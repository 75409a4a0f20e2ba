use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use etcetera::{BaseStrategy as _, choose_base_strategy};

use super::elsewhere::answered;
use super::words::one_line;
use crate::engine::{Builder, Engine};
use crate::journal::{RunsDir, SessionsDir};
use crate::telemetry::Collector;
use crate::toolbox::{Compiler, ComponentCache, Stranger, Strangers};
use crate::trust::{TRUST_FILE, Trust};

/// Where runs and compiled components are kept, and what is shown of making them.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Places {
    /// Where runs are kept [default: `$HOST_STATE`, or `$XDG_STATE_HOME/host`, which is `~/.local/state/host`]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where tools are built and compiled components are kept [default: `$HOST_CACHE`, or `$XDG_CACHE_HOME/host`, which is `~/.cache/host`]
    #[arg(long, global = true, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Fetch no component: take those that the cache has, and fail where one is missing [env: `HOST_OFFLINE`, unless it is empty or 0]
    #[arg(long, global = true)]
    offline: bool,
    /// Build tools without asking whose source is outside of the agent's project: that runs their code with your rights [env: `HOST_TRUST_BUILD`, unless it is empty or 0]
    #[arg(long, global = true)]
    trust_build: bool,
    /// Show what compilers say while tools are built.
    #[arg(long, short, global = true)]
    pub(super) verbose: bool,
}

impl Places {
    /// The same without `--state`, where it is a word of another meaning and no directory, and what the word means.
    pub(super) fn or_word<T>(&self, meaning: impl Fn(&str) -> Option<T>) -> (Self, Option<T>) {
        let word = self.state.as_ref().filter(|state| !state.exists()).and_then(|state| state.to_str());
        match word.and_then(meaning) {
            Some(meant) => (Self { state: None, ..self.clone() }, Some(meant)),
            None => (self.clone(), None),
        }
    }

    /// The directory of runs; nothing is made before a run begins.
    pub(super) fn runs(&self) -> anyhow::Result<RunsDir> {
        Ok(RunsDir::new(&self.state()?))
    }

    /// The directory of conversations; nothing is made before one begins.
    pub(super) fn sessions(&self) -> anyhow::Result<SessionsDir> {
        Ok(SessionsDir::new(&self.state()?))
    }

    /// The state directory.
    pub(super) fn state(&self) -> anyhow::Result<PathBuf> {
        let state = if let Some(path) = self.state.clone().or_else(|| set("HOST_STATE")) {
            path
        } else {
            let base =
                choose_base_strategy().context("no home directory; choose a directory with --state DIR")?;
            base.state_dir().unwrap_or_else(|| base.data_dir()).join("host")
        };
        Ok(std::path::absolute(state)?)
    }

    /// The engine over these directories. It makes none of them before it has to.
    pub(super) fn engine(&self, exporter: Option<Collector>) -> anyhow::Result<Engine> {
        Ok(self.builder(exporter)?.build())
    }

    /// The same, of which more is still to be said.
    pub(super) fn builder(&self, exporter: Option<Collector>) -> anyhow::Result<Builder> {
        Ok(Engine::builder(&self.state()?, &self.cache_path()?, compiler()?)
            .offline(self.is_offline())
            .trusting(Self::trust()?)
            .strangers(self.strangers())
            .exporter(exporter))
    }

    /// The cache, made if it does not exist.
    pub(super) fn cache(&self) -> anyhow::Result<ComponentCache> {
        let cache = ComponentCache::open(&self.cache_path()?, compiler()?)?;
        let cache = cache.offline(self.is_offline()).trusting(&Self::trust()?);
        Ok(cache.with_strangers(self.strangers()))
    }

    /// The user's own rules about who has to have signed components.
    pub(super) fn trust() -> anyhow::Result<Trust> {
        Ok(Self::trust_path().map(|path| Trust::read(&path)).transpose()?.unwrap_or_default())
    }

    /// Where these rules are; nowhere, if the user has no home.
    pub(super) fn trust_path() -> Option<PathBuf> {
        // It is said there even to a user whose home is not known.
        let said = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let base = said.or_else(|| Some(choose_base_strategy().ok()?.config_dir()))?;
        Some(base.join("host").join(TRUST_FILE))
    }

    /// What becomes of sources outside of the project of their agent, where nobody is at a terminal.
    pub(super) fn strangers_unattended(&self) -> Strangers {
        if self.trust_build || is_set("HOST_TRUST_BUILD") { Strangers::Allow } else { Strangers::Refuse }
    }

    /// What becomes of them where somebody may be.
    fn strangers(&self) -> Strangers {
        let unattended = self.strangers_unattended();
        let attended = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !attended || matches!(unattended, Strangers::Allow) {
            return unattended;
        }
        Strangers::Ask(Arc::new(|stranger| {
            let Stranger { source, project } = stranger;
            let (source, project) = (source.display().to_string(), project.display().to_string());
            let question = format!(
                "{} is outside of the agent's project, {}: building it runs its code with your rights. Build it?",
                one_line(&source),
                one_line(&project)
            );
            // Who cannot be asked has not agreed.
            answered(&question).unwrap_or(false)
        }))
    }

    /// Whether nothing may be fetched.
    pub(super) fn is_offline(&self) -> bool {
        self.offline || is_set("HOST_OFFLINE")
    }

    fn cache_path(&self) -> anyhow::Result<PathBuf> {
        let path = match self.cache.clone().or_else(|| set("HOST_CACHE")) {
            Some(path) => path,
            None => choose_base_strategy()
                .context("no home directory; choose a directory with --cache DIR")?
                .cache_dir()
                .join("host"),
        };
        Ok(std::path::absolute(path)?)
    }
}

/// What compiles components: this very program, started once more.
pub(super) fn compiler() -> anyhow::Result<Compiler> {
    Ok(Compiler::new(&std::env::current_exe().context("cannot find the program itself")?))
}

/// Whether an environment variable says yes.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|it| !it.is_empty() && it != "0")
}

/// The path in an environment variable. One that is empty counts as not set, as the XDG base directories have it.
fn set(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
