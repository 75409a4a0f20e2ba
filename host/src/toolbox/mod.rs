//! Where components come from: files and sources, built, checked, compiled, cached.
//!
//! Owns the way from `source` in agent.toml to a [`Guest`] that can be called, and the list of tools that
//! a run offers. Does not run calls itself: [`Toolbox`] hands them to the sandbox. Invariant: a tool that
//! is offered was admitted: its component fits the world, its digest is the pinned one, its names and
//! schemas are well-formed. It fails with a [`ToolboxError`] that names the `[tools.NAME]` table.

mod admit;
mod build;
mod cache;
mod compile;
mod error;
mod inspect;
mod paths;
mod place;
mod progress;
mod seal;
mod server;
mod source;

pub use crate::registry::COMPONENT_BYTES_MAX;
pub use build::{BuildError, Built, Language, Owner, Project, Stranger, Strangers, build};
pub use cache::{CacheError, ComponentCache};
pub use compile::{CompileError, Compiler, serve_if_asked as serve_compiler_if_asked};
pub use error::{ToolboxError, ToolboxReason};
pub use inspect::{Inspection, inspect};
pub use progress::{Progress, Tell};
use server::LoadedServer;
#[cfg(feature = "cli")]
pub(crate) use server::look;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use globset::Glob;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::config::{Config, Source, ToolConfig};
use crate::dispatch::{ToolRunner, builtin_entry};
use crate::grants::{Effects, Secrets, glob_set};
use crate::message::{
    Approvals, Digest, ErrorKind, Json, Retry, Rules, RunId, ToolEntry, ToolOutcome, clean,
};
use crate::registry::Locked;
use crate::sandbox::{AdmitError, CallContext, Guest, Metering, Policy, Refused, Sandbox, Sections};
use crate::schema::Schema;
use crate::session::{Attempt, Conduct, Done, Doubt, FanOut, Reach, Seat};

/// The tools of one agent, ready to be called.
pub struct Toolbox {
    sandbox: Sandbox,
    tools: HashMap<String, Loaded>,
    /// The `[tools.NAME]` that are MCP servers.
    servers: HashMap<String, LoadedServer>,
    entries: Vec<ToolEntry>,
    /// The schemas of its tools, by their texts: each is compiled once, for all runs.
    schemas: HashMap<String, Schema>,
}

/// One `[tools.NAME]`, ready to be called.
struct Loaded {
    guest: Guest,
    retry: Retry,
    /// Tools of it that may be called twice, by their names in the component.
    idempotent: HashSet<String>,
}

impl Toolbox {
    /// Builds, compiles and admits every tool of an agent, and tells what takes time.
    pub async fn load(
        config: &Config,
        sandbox: &Sandbox,
        cache: &ComponentCache,
        tell: &Tell<'_>,
    ) -> Result<Self, ToolboxError> {
        Self::load_for(config, &Project::of(&config.path), sandbox, cache, tell).await
    }

    /// The same for an agent that belongs to a project: an agent that another one calls belongs to that of its caller.
    pub async fn load_for(
        config: &Config,
        project: &Project,
        sandbox: &Sandbox,
        cache: &ComponentCache,
        tell: &Tell<'_>,
    ) -> Result<Self, ToolboxError> {
        let secrets = Arc::new(Secrets::load(&config.secrets)?);
        let cache = &cache.clone().trusting(&config.trust);
        let mut toolbox = Self {
            sandbox: sandbox.clone(),
            tools: HashMap::new(),
            servers: HashMap::new(),
            entries: Vec::new(),
            schemas: HashMap::new(),
        };
        config
            .agent
            .builtins
            .iter()
            .try_for_each(|builtin| toolbox.offer(builtin_entry(*builtin, Rules::NOW)))?;
        for tool in &config.tools {
            let wrap = |reason| ToolboxError::Tool { tool: tool.name.clone(), reason: Box::new(reason) };
            if let Some(server) = tool.source.server() {
                let directory = cache.directory();
                let (loaded, entries) =
                    server::load(tool, server, directory, &config.path, &secrets).map_err(wrap)?;
                entries.into_iter().try_for_each(|entry| toolbox.offer(entry))?;
                toolbox.servers.insert(tool.name.clone(), loaded);
                continue;
            }
            let (loaded, entries) =
                load_one(tool, project, (sandbox, cache), &secrets, tell).await.map_err(wrap)?;
            entries.into_iter().try_for_each(|entry| toolbox.offer(entry))?;
            toolbox.tools.insert(tool.name.clone(), loaded);
        }
        Ok(toolbox)
    }

    /// Offers one more tool, if none is called so yet. What it does is not for the toolbox to know, unless it is one
    /// of a component: agents are called by others.
    pub fn offer(&mut self, entry: ToolEntry) -> Result<(), ToolboxError> {
        let name = &entry.spec.name;
        if let Some(other) = self.entries.iter().find(|other| other.spec.name == *name) {
            let other = match other.builtin {
                Some(_) => "the host itself".to_owned(),
                None => format!("[tools.{}]", other.source),
            };
            let reason = Box::new(ToolboxReason::Duplicate { name: name.clone(), other });
            return Err(ToolboxError::Tool { tool: entry.source, reason });
        }
        let place = self.entries.partition_point(|other| other.spec.name < *name);
        for json in std::iter::once(&entry.spec.input_schema).chain(&entry.spec.output_schema) {
            self.schemas.entry(json.as_str().to_owned()).or_insert_with(|| Schema::new(json));
        }
        self.entries.insert(place, entry);
        Ok(())
    }

    /// The same for a run that goes by these rules: the host's own tools may have been others.
    #[must_use]
    pub fn keeping_to(mut self, rules: Rules) -> Self {
        for entry in &mut self.entries {
            if let Some(builtin) = entry.builtin {
                *entry = builtin_entry(builtin, rules);
            }
        }
        self
    }

    /// Checks that no tool is granted a directory where the host keeps its own files: whoever can change a
    /// journal or a compiled component can change what the host does.
    pub fn keep_apart(config: &Config, own: &[&Path]) -> Result<(), ToolboxError> {
        let own: Vec<PathBuf> = own.iter().map(|path| real(path)).collect();
        for tool in &config.tools {
            for dir in tool.grants.dirs.iter().map(|dir| real(&dir.path)) {
                if let Some(own) = own.iter().find(|own| own.starts_with(&dir) || dir.starts_with(own)) {
                    let reason = Box::new(ToolboxReason::OwnFiles { dir, own: own.clone() });
                    return Err(ToolboxError::Tool { tool: tool.name.clone(), reason });
                }
            }
        }
        Ok(())
    }

    /// Checks that what agent.toml says of tools by their names is about tools that are there, and that what is
    /// hidden can be called.
    pub fn check_names(&self, config: &Config) -> Result<(), ToolboxError> {
        let fail = |tool: &ToolConfig, reason| ToolboxError::Tool {
            tool: tool.name.clone(),
            reason: Box::new(reason),
        };
        let names = || self.entries.iter().map(|entry| entry.spec.name.clone());
        let matches_nothing = |glob: &&String| {
            let matcher = Glob::new(glob).map(|glob| glob.compile_matcher());
            !matcher.is_ok_and(|matcher| names().any(|name| matcher.is_match(name)))
        };
        let Approvals { auto, ask, deny, .. } = &config.approvals;
        let approvals = [("auto", auto), ("ask", ask), ("deny", deny)].into_iter();
        let approvals =
            approvals.flat_map(|(key, rules)| rules.iter().map(move |rule| (["approval", key], &rule.tool)));
        let stops = config.limits.budgets.stop_on_tools.iter();
        let stops = stops.map(|glob| (["limits", "stop_on_tools"], glob));
        if let Some((at, glob)) = stops.chain(approvals).find(|(_, glob)| matches_nothing(glob)) {
            return Err(ToolboxError::MatchesNothing { at, glob: glob.clone(), names: names().collect() });
        }
        // No tool can call an agent.
        let tools = || self.entries.iter().filter(|entry| entry.agent.is_none());
        let names = || tools().map(|entry| entry.spec.name.clone());
        let calls_nothing = |glob: &&String| {
            let matcher = Glob::new(glob).map(|glob| glob.compile_matcher());
            !matcher.is_ok_and(|matcher| names().any(|name| matcher.is_match(name)))
        };
        for tool in &config.tools {
            if let Some(glob) = tool.grants.calls.iter().find(calls_nothing) {
                let reason = ToolboxReason::CallsNothing { glob: glob.clone(), names: names().collect() };
                return Err(fail(tool, reason));
            }
        }
        let callable = |entry: &ToolEntry| {
            let others = self.tools.iter().filter(|(table, _)| **table != entry.source);
            others.into_iter().any(|(_, other)| other.guest.policy().calls.is_match(&entry.spec.name))
        };
        for tool in config.tools.iter().filter(|tool| tool.hidden) {
            if !self.entries.iter().any(|entry| entry.source == tool.name && callable(entry)) {
                return Err(fail(tool, ToolboxReason::OutOfReach));
            }
        }
        Ok(())
    }

    /// What the component of a table imports that this host does not have, and which of its exports are no tools: what
    /// to know of it before it is called.
    #[must_use]
    pub fn lacks(&self, table: &str) -> (&[String], &[Refused]) {
        match (self.tools.get(table), self.servers.get(table)) {
            (Some(Loaded { guest, .. }), _) => (guest.missing_imports(), guest.refused_exports()),
            (None, Some(server)) => (&[], &server.refused),
            (None, None) => (&[], &[]),
        }
    }

    /// The tools on offer, sorted by name.
    #[must_use]
    pub fn entries(&self) -> &[ToolEntry] {
        &self.entries
    }
}

async fn load_one(
    tool: &ToolConfig,
    project: &Project,
    (sandbox, cache): (&Sandbox, &ComponentCache),
    secrets: &Arc<Secrets>,
    tell: &Tell<'_>,
) -> Result<(Loaded, Vec<ToolEntry>), ToolboxReason> {
    let found = Found::at(&tool.source, tool.locked.as_ref(), Owner::Agent(project), cache, tell).await?;
    if let Some(pinned) = tool.sha256
        && pinned != found.digest
    {
        return Err(ToolboxReason::OtherDigest { path: found.path, pinned, found: found.digest });
    }
    let metering = Metering::of(&tool.limits);
    let engine = sandbox.engine(metering)?;
    let (path, digest) = (found.path.clone(), found.digest);
    let policy = Policy {
        tool: tool.name.clone(),
        grants: tool.grants.clone(),
        limits: tool.limits.clone(),
        calls: glob_set(&tool.grants.calls),
        secrets: Arc::clone(secrets),
        masker: secrets.masker(),
        command: tool.command.clone(),
    };
    let component = async {
        let component = Box::pin(found.compiled(engine, metering, cache, tell)).await?;
        Ok((component, found.sections))
    };
    let guest = Guest::shared(sandbox, digest, Arc::new(policy), component, admit_at(&path)).await?;
    if !tool.grants.config.is_empty() && !guest.asks_for_settings() {
        return Err(ToolboxReason::NoSettings);
    }
    let listed = guest.list_tools().await.map_err(admit_at(&path))?;
    let idempotent = admit::Choice::new("idempotent", &tool.idempotent, &listed)?;
    let idempotent = listed.iter().filter(|it| idempotent.names(it)).map(|it| it.export.clone()).collect();
    let entries = admit::entries(tool, digest, (listed, guest.refused_exports()), &path)?;
    Ok((Loaded { guest, retry: tool.retry, idempotent }, entries))
}

/// The error of a component that is not admitted.
fn admit_at(path: &Path) -> impl Fn(AdmitError) -> ToolboxReason + Copy {
    move |error| ToolboxReason::Admit { path: path.to_owned(), error }
}

/// A component that was found, and nothing of which was run or compiled.
struct Found {
    path: PathBuf,
    bytes: Vec<u8>,
    digest: Digest,
    sections: Sections,
}

impl Found {
    /// The component of a source, which is built if it is a crate that changed, and fetched if it is elsewhere.
    async fn at(
        source: &Source,
        locked: Option<&Locked>,
        owner: Owner<'_>,
        cache: &ComponentCache,
        tell: &Tell<'_>,
    ) -> Result<Self, ToolboxReason> {
        let (path, bytes) = Box::pin(source::component(source, locked, owner, cache, tell)).await?;
        let sections = Sections::of(&bytes);
        if let Some(import) = sections.needs_wasi_0_3() {
            return Err(ToolboxReason::Wasi03 { sign: format!("`{import}`"), path });
        }
        let digest = Digest::of(&bytes);
        Ok(Self { path, bytes, digest, sections })
    }

    /// Its compiled form.
    async fn compiled(
        &self,
        engine: &Engine,
        metering: Metering,
        cache: &ComponentCache,
        tell: &Tell<'_>,
    ) -> Result<Component, ToolboxReason> {
        let Self { path, bytes, digest, .. } = self;
        let loaded = cache.load(engine, metering, (bytes, *digest), &file_name(path), tell).await;
        loaded.map_err(|error| match (error.needs_wasi_0_3(), error) {
            (Some(sign), _) => ToolboxReason::Wasi03 { path: path.clone(), sign: sign.to_owned() },
            (None, error) if error.needs_exceptions() => ToolboxReason::Exceptions(path.clone()),
            (None, CacheError::Compile(error)) => ToolboxReason::Compile { path: path.clone(), error },
            (None, error) => error.into(),
        })
    }
}

fn file_name(path: &Path) -> String {
    clean(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()).into_owned()
}

/// A path without links in it, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let real = path.ancestors().find_map(|existing| {
        let rest = path.strip_prefix(existing).ok()?;
        Some(existing.canonicalize().ok()?.join(rest))
    });
    real.unwrap_or_else(|| path.to_owned())
}

impl ToolRunner for Toolbox {
    fn call<'a>(
        &'a self,
        tool: &'a ToolEntry,
        input: &'a Json,
        attempt: &'a Attempt,
        fan_out: Arc<dyn FanOut>,
    ) -> BoxFuture<'a, Done<ToolOutcome>> {
        Box::pin(async move {
            if let Some(server) = self.servers.get(&tool.source) {
                return server.call(tool, input).await;
            }
            let Some(Loaded { guest, .. }) = self.tools.get(&tool.source) else {
                let message = format!("[tools.{}] is not loaded; please report this as a bug", tool.source);
                return ToolOutcome::error(ErrorKind::Failed, message).into();
            };
            let context = CallContext {
                call_id: attempt.slot.to_string(),
                idempotency_key: attempt.idempotency_key.to_string(),
                attempt: attempt.number,
                started_ms: attempt.at_ms,
                deadline_ms: attempt.at_ms.saturating_add(guest.policy().limits.timeout_ms),
                seed: CallContext::seed(attempt.seed, &attempt.idempotency_key),
            };
            guest.call(&tool.export, input, context, fan_out).await
        })
    }

    fn seat(&self, run: RunId, depth: usize) -> BoxFuture<'_, Seat<'_>> {
        Box::pin(async move { Box::new(self.sandbox.place(run, depth).await) as Seat<'_> })
    }

    fn schema(&self, json: &Json) -> Schema {
        self.schemas.get(json.as_str()).cloned().unwrap_or_else(|| Schema::new(json))
    }

    fn conduct(&self, tool: &ToolEntry) -> Conduct<'static> {
        if let Some(server) = self.servers.get(&tool.source) {
            return server.conduct(tool);
        }
        let Some(Loaded { guest, retry, idempotent }) = self.tools.get(&tool.source) else {
            return Conduct { reach: Reach::Outside, doubt: Doubt::Ask, retry: Retry::NEVER, room: None };
        };
        let named = idempotent.contains(&tool.export);
        let (reach, doubt) = match guest.policy().grants.effects() {
            // What is only looked at can be looked at again.
            Effects::Pure | Effects::Reading => (Reach::Pure, Doubt::Repeat),
            Effects::Writing if named => (Reach::Outside, Doubt::Repeat),
            Effects::Writing => (Reach::Outside, Doubt::Ask),
        };
        Conduct { reach, doubt, retry: *retry, room: None }
    }
}
