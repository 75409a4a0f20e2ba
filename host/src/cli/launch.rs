//! What `run` and `resume` share: from a configuration to a run that ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::approvals::ApprovalsFile;
use super::crew::Loaded;
use super::exit::Exit;
use super::person::AtTerminal;
use super::places::Places;
use super::screen::Screen;
use super::signals::Signals;
use super::traces::Traces;
use crate::agent::{Agent, Ended, RunError};
use crate::config::{Config, ModelConfig, ParameterError, Provider, render, values};
use crate::dispatch::Dispatcher;
use crate::journal::{Entry, JournalStore, OpenRun, RunState, RunSummary};
use crate::message::{
    Ending, Fork, Image, Manifest, Message, ModelIdentity, Origin, PricedModel, Rules, Said, SessionKey,
    Slot, Used,
};
use crate::model::Models;
use crate::session::{Decisions, Mode, Session, SessionError, Waiting};
use crate::telemetry::{Invocation, Stand};
use crate::toolbox::Toolbox;

/// Everything a run needs that comes from agent.toml.
pub(super) struct Prepared {
    pub(super) manifest: Manifest,
    models: Models,
    dispatcher: Dispatcher,
    wall_time: Option<Duration>,
}

/// Everything a run is that does not come from agent.toml.
pub(super) struct Task {
    prompt: String,
    images: Vec<Image>,
    session: Option<SessionKey>,
    earlier: Vec<Message>,
    parameters: BTreeMap<String, String>,
    said: Vec<Said>,
    forked: Option<Fork>,
    seed: u64,
    rules: Rules,
}

impl Task {
    /// To answer a prompt, that was made with these values.
    pub(super) fn new(prompt: String, parameters: BTreeMap<String, String>, seed: u64) -> Self {
        let (images, earlier, said) = (Vec::new(), Vec::new(), Vec::new());
        let rules = Rules::NOW;
        Self { prompt, images, session: None, earlier, parameters, said, forked: None, seed, rules }
    }

    /// With pictures.
    pub(super) fn with_images(self, images: Vec<Image>) -> Self {
        Self { images, ..self }
    }

    /// In a conversation, in which this was said before.
    pub(super) fn in_session(self, session: Option<SessionKey>, earlier: Vec<Message>) -> Self {
        Self { session, earlier, ..self }
    }

    /// What a recorded run has to do.
    pub(super) fn of(recorded: &Manifest) -> Self {
        let Manifest { prompt, images, session, earlier, parameters, said, forked, seed, rules, .. } =
            recorded.clone();
        Self { prompt, images, session, earlier, parameters, said, forked, seed, rules }
    }
}

/// Loads tools and model and writes down what the run is going to be.
pub(super) async fn prepare(
    config: &Config,
    task: Task,
    places: &Places,
    screen: &Screen,
) -> anyhow::Result<Prepared> {
    // What is wrong with the model is known at once, and tools may take a while to build.
    models(config)?;
    let loaded = Loaded::load(config, task.rules, places, screen).await?;
    prepare_loaded(config, &loaded, task, places, screen)
}

/// The same with tools that are loaded, for a run of the rules that they were loaded for.
pub(super) fn prepare_loaded(
    config: &Config,
    loaded: &Loaded,
    task: Task,
    places: &Places,
    screen: &Screen,
) -> anyhow::Result<Prepared> {
    let models = models(config)?;
    let manifest = manifest(config, &loaded.toolbox, task)?;
    models.take(&manifest.offered(), manifest.output_schema.as_ref())?;
    let approvals = ApprovalsFile::new(places.runs()?.path());
    let person = AtTerminal::new(screen, approvals, config, &manifest);
    let toolbox = Arc::clone(&loaded.toolbox);
    let dispatcher = Dispatcher::new(&manifest, toolbox, config.limits.max_parallel_tools);
    let dispatcher = dispatcher.calling(Arc::new(loaded.callable(&person)?)).attended_by(Arc::new(person));
    Ok(Prepared {
        manifest,
        models,
        dispatcher,
        wall_time: config.limits.wall_time_ms.map(Duration::from_millis),
    })
}

/// The models of an agent. What agent.toml is wrong about is shown in it.
pub(super) fn models(config: &Config) -> anyhow::Result<Models> {
    Models::connect(config.models(), config.summary.as_ref(), config.model_retry)
        .map_err(|error| config.misled(&error).map_or_else(|| error.into(), Into::into))
}

/// What the run is going to be, as it is recorded.
pub(super) fn manifest(config: &Config, toolbox: &Toolbox, task: Task) -> Result<Manifest, ParameterError> {
    let Task { prompt, images, session, earlier, parameters, said, forked, seed, rules } = task;
    // What a run was begun with goes for all of it; what came to agent.toml since has its default.
    let known: BTreeMap<String, String> =
        parameters.into_iter().filter(|(name, _)| config.parameters.contains_key(name)).collect();
    let parameters = values(&config.parameters, &known)?;
    Ok(Manifest {
        agent: config.agent.name.clone(),
        config: config.path.to_string_lossy().into_owned(),
        instructions: render("the instructions", &config.agent.instructions, &parameters)?,
        session,
        earlier,
        prompt,
        images,
        model: identity(&config.model),
        fallbacks: config.fallbacks.iter().map(priced).collect(),
        summary: config.summary.as_ref().map(priced),
        max_turns: config.limits.max_turns,
        max_calls_per_turn: config.limits.max_calls_per_turn,
        budgets: config.limits.budgets.clone(),
        compact_at_tokens: config.limits.compact_at_tokens,
        output_schema: config.agent.output_schema.clone(),
        parameters,
        approvals: config.approvals.clone(),
        tools: toolbox.entries().to_vec(),
        seed,
        said,
        forked,
        rules,
    })
}

fn priced(config: &ModelConfig) -> PricedModel {
    PricedModel { model: identity(config), prices: config.prices }
}

fn identity(config: &ModelConfig) -> ModelIdentity {
    let ModelConfig { temperature, max_tokens, .. } = *config;
    match &config.provider {
        Provider::Scripted { script } => ModelIdentity {
            provider: ModelIdentity::SCRIPTED.to_owned(),
            name: file_name(script),
            base_url: None,
            temperature,
            max_tokens,
            structured_output: false,
            extra: None,
            omit: Vec::new(),
        },
        Provider::Remote(remote) => {
            let Origin { provider, name, base_url, .. } = remote.origin();
            let (base_url, extra) = (Some(base_url), remote.extra.clone());
            let (structured_output, omit) = (remote.structured_output, remote.omit.clone());
            ModelIdentity {
                provider,
                name,
                base_url,
                temperature,
                max_tokens,
                structured_output,
                extra,
                omit,
            }
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Carries a run out, or the rest of one, and keeps its summary up to date. A signal to end cancels what is in flight and
/// leaves the run resumable.
pub(super) async fn carry_out(
    run: OpenRun,
    entries: Vec<Entry>,
    prepared: Prepared,
    decisions: Decisions,
    screen: &Screen,
    traces: &Traces,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    signals.attend();
    let Prepared { manifest, models, dispatcher, wall_time } = prepared;
    let summary = RunSummary {
        run: run.id,
        agent: manifest.agent.clone(),
        prompt: manifest.prompt.clone(),
        started_ms: run.id.started_ms(),
        state: RunState::Running,
    };
    let trace = traces.of(run.id, screen);
    let left = run.left();
    let invocation = Invocation::after(&entries, left == Some(RunState::Running));
    run.write_summary(&summary)?;
    let store: Arc<dyn JournalStore> = Arc::clone(&run.store) as _;
    let watch = trace.beside(screen.watch());
    let opened = Session::open(run.id, Mode::Live(store), entries, &manifest, decisions, watch).await;
    if let (Err(_), Some(state)) = (&opened, left) {
        // A run that may not go on stands as it stood; the error matters more than that this is written.
        let _ = run.write_summary(&RunSummary { state, ..summary.clone() });
    }
    let session = opened?.traced_by(trace.spans_by_slot());
    screen.run_started(run.id, &manifest);
    if let Some(ending) = session.recorded_ending().cloned() {
        let used = session.recorded_used();
        drop(session);
        return conclude(run, summary, &ending, used.as_ref(), screen);
    }
    trace.begin(&manifest, invocation);
    let agent = Agent {
        dispatcher: Arc::new(dispatcher),
        manifest: Arc::new(manifest),
        session: Arc::new(session),
        models,
        slot: Slot::RUN,
    };
    let stopped = tokio::select! {
        ended = Box::pin(agent.run(wall_time)) => Stopped::of(ended),
        () = signals.asked() => Stopped::Interrupted,
    };
    // With it goes the last one, besides the run, who could write to the journal.
    drop(agent);
    trace.stop(stopped.stand());
    let exit = leave(stopped, run, summary, screen);
    trace.flush(screen).await;
    exit
}

/// Leaves a run on which nothing more is carried out, and says how it stands.
fn leave(stopped: Stopped, run: OpenRun, mut summary: RunSummary, screen: &Screen) -> anyhow::Result<Exit> {
    let id = run.id;
    match stopped {
        Stopped::Ended(Ended { ending, used }) => {
            return conclude(run, summary, &ending, Some(&used), screen);
        }
        Stopped::Suspended(waiting) => {
            summary.state = RunState::Suspended;
            run.write_summary(&summary)?;
            screen.suspended(id, &waiting);
            return Ok(Exit::Suspended);
        }
        Stopped::Interrupted => summary.state = RunState::Interrupted,
        Stopped::Failed(_) => summary.state = RunState::Failed,
    }
    // The run's own error matters more than that of its summary.
    let _ = run.write_summary(&summary);
    if let Stopped::Failed(error) = stopped {
        let error = anyhow::Error::from(error);
        screen.failed(id, &error);
        return Err(error);
    }
    screen.interrupted(id);
    Ok(Exit::Interrupted)
}

/// Makes one file of a run that has ended, and says how it did.
fn conclude(
    run: OpenRun,
    summary: RunSummary,
    ending: &Ending,
    used: Option<&Used>,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let summary = RunSummary { state: ending.into(), ..summary };
    let id = run.id;
    let sealed = run.write_summary(&summary).and_then(|()| run.seal(&summary));
    if let Err(error) = sealed {
        // Its end is recorded all the same.
        screen.say(&format!(
            "{error}\n  the run has ended and is recorded; `host journal compact` seals it later"
        ));
    }
    screen.run_ended(id, ending, used)
}

/// Why nothing more is carried out.
enum Stopped {
    /// The run ended.
    Ended(Ended),
    /// It waits for these.
    Suspended(Vec<Waiting>),
    /// The process was asked to end.
    Interrupted,
    /// The host, or the model's provider, failed.
    Failed(RunError),
}

impl Stopped {
    fn of(ended: Result<Ended, RunError>) -> Self {
        match ended {
            Ok(ended) => Self::Ended(ended),
            Err(RunError::Session(SessionError::Waits(waiting))) => Self::Suspended(waiting),
            Err(error) => Self::Failed(error),
        }
    }

    fn stand(&self) -> Stand<'_> {
        match self {
            Self::Ended(Ended { ending, .. }) => Stand::Ended(ending),
            Self::Suspended(_) => Stand::Suspended,
            Self::Interrupted => Stand::Interrupted,
            Self::Failed(RunError::Model { error, .. }) => Stand::Failed(Some(error)),
            Self::Failed(RunError::Session(_)) => Stand::Failed(None),
        }
    }
}
