//! One case, carried out as a run like any other, over a journal in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use super::Verdict;
use crate::agent::{Agent, Ended, RunError};
use crate::cases::{Case, CaseTools, EndingKind, NotMade, OutsideEffects, Recording, Refused, Seen};
use crate::config::{Config, ParameterError, render, values};
use crate::dispatch::{Dispatcher, Person, Spoken, ToolRunner};
use crate::engine::{Task, manifest_of};
use crate::journal::{JournalStore as _, MemoryStore, RunFile, RunSummary};
use crate::message::{Decision, Digest, Json, Manifest, RunId, Slot, ToolAsk, ToolEntry, ToolOutcome};
use crate::model::{Models, Script, Scripted};
use crate::session::{Decisions, Mode, Notice, Session};
use crate::toolbox::Toolbox;

/// What all cases share.
pub(super) struct Bench {
    pub(super) config: Config,
    pub(super) toolbox: Arc<Toolbox>,
    pub(super) effects: OutsideEffects,
}

/// What came of a run.
struct Trial {
    seen: Option<Seen>,
    /// Why the case fails, whatever it expects.
    faults: Vec<String>,
    tools: Arc<CaseTools>,
    run: Option<RunFile>,
}

impl Bench {
    /// Tries a case.
    pub(super) async fn verdict(self: Arc<Self>, case: Case) -> Verdict {
        let clock = Instant::now();
        let (seen, failure, run) = match self.trial(&case).await {
            Ok(trial) => trial.judged(&case),
            Err(error) => (None, Some(error.to_string()), None),
        };
        let wall_us = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        Verdict { name: case.name, file: case.path, wall_us, failure, seen, run }
    }

    /// Carries a case out.
    async fn trial(&self, case: &Case) -> anyhow::Result<Trial> {
        let run = self.run_id(case);
        let manifest =
            manifest_of(&self.config, self.toolbox.entries().to_vec().into(), self.task(case, run)?)?;
        let store = Arc::new(MemoryStore::default());
        let unwatched = Box::new(|_: &Notice<'_>| {});
        let mode = Mode::Live(Arc::clone(&store) as _);
        let session =
            Session::open(run, mode, Vec::new(), &manifest, Decisions::default(), unwatched).await?;
        let runner = Arc::clone(&self.toolbox) as Arc<dyn ToolRunner>;
        let tools = Arc::new(CaseTools::new(runner, case.stubs.clone(), case.recorded.clone(), self.effects));
        let limits = &self.config.limits;
        let dispatcher =
            Dispatcher::new(&manifest, Arc::clone(&tools) as Arc<dyn ToolRunner>, limits.max_parallel_tools);
        let dispatcher =
            dispatcher.calling(Arc::clone(&tools) as _).attended_by(Arc::new(Approving(Arc::clone(&tools))));
        let agent = Agent {
            dispatcher: Arc::new(dispatcher),
            manifest: Arc::new(manifest),
            session: Arc::new(session),
            models: Models::only(
                Arc::new(Scripted::new(case.script.clone())),
                self.config.model_retry.at_once(),
            ),
            slot: Slot::RUN,
        };
        let ended = agent.run(limits.wall_time_ms.map(Duration::from_millis)).await;
        let mut faults: Vec<String> = tools.refused().into_iter().map(refusal).collect();
        let entries = store.read(run)?;
        let file = RunSummary::of(run, &entries).map(|summary| RunFile::new(&summary, entries.clone()));
        let recording = Recording::of(run, entries)?;
        let seen = match ending(ended, &case.script) {
            Ok((ending, answer)) => Some(Seen { ending, answer, calls: recording.calls }),
            Err(error) => {
                faults.push(format!("the run broke off: {error}"));
                None
            }
        };
        Ok(Trial { seen, faults, tools, run: file })
    }

    /// What the run of a case has to do.
    fn task(&self, case: &Case, run: RunId) -> Result<Task, ParameterError> {
        if let Some(recorded) = &case.recorded {
            let mut manifest = Manifest { prompt: case.prompt.clone(), ..recorded.manifest.clone() };
            manifest.parameters.extend(case.parameters.clone());
            return Ok(Task::of(&manifest));
        }
        let parameters = values(&self.config.parameters, &case.parameters)?;
        let prompt = render("the prompt", &case.prompt, &parameters)?;
        Ok(Task::new(prompt, parameters, run.seed()))
    }

    /// That of a recorded run is kept, because what its tools get for random numbers comes from it. Others
    /// have one that is the same every time, unless services may see the idempotency keys that come from it.
    fn run_id(&self, case: &Case) -> RunId {
        match (&case.recorded, self.effects) {
            (Some(recorded), OutsideEffects::Allowed | OutsideEffects::Refused) => recorded.run,
            (None, OutsideEffects::Allowed) => RunId::new(),
            (None, OutsideEffects::Refused) => {
                let digest = Digest::of(case.name.as_bytes());
                RunId::from_bytes(digest.as_bytes().first_chunk().copied().unwrap_or_default())
            }
        }
    }
}

impl Trial {
    /// What was seen, why the case fails, if it does, and what is recorded.
    fn judged(self, case: &Case) -> (Option<Seen>, Option<String>, Option<RunFile>) {
        let Self { seen, mut faults, tools, run } = self;
        if let Some(seen) = &seen {
            let recorded = || case.recorded.as_ref().map(|recorded| recorded.expected(&tools.answered()));
            let expected = case.expected.clone().or_else(recorded);
            if let Some(diff) = expected.and_then(|expected| expected.diff(seen)) {
                faults.push(format!("{}\n{}", diff.trim_end(), how_to_accept(case)));
            }
        }
        (seen, (!faults.is_empty()).then(|| faults.join("\n")), run)
    }
}

/// What a person does where the difference is what was wanted.
fn how_to_accept(case: &Case) -> String {
    let file = case.path.display();
    match &case.recorded {
        None => {
            let script = case.script.path();
            let replies = if script == case.path {
                String::new()
            } else {
                format!("; what the model calls and says stands in {}", script.display())
            };
            format!("if this change is wanted, write what came (+) into {file}, under [expect]{replies}")
        }
        Some(_) => format!("if this change is wanted, record a run anew for {file}: host journal export RUN"),
    }
}

/// A person who lets every call pass that agent.toml does not deny, and knows what the case has answers to.
struct Approving(Arc<CaseTools>);

impl Person for Approving {
    fn decide<'a>(&'a self, _slot: &'a Slot, _ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        Box::pin(std::future::ready(Some(Decision::Approved { input: None }.into())))
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, _question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(std::future::ready(None))
    }

    fn waits_for_nothing(&self, slot: &Slot, tool: &ToolEntry, input: &Json) -> Option<ToolOutcome> {
        self.0.answer(tool, input, slot).map(|done| done.value)
    }
}

/// How a run ended, and with what text. One that breaks off where the script has an error does as it should.
fn ending(ended: Result<Ended, RunError>, script: &Script) -> Result<(EndingKind, String), RunError> {
    match ended {
        Ok(Ended { ending, .. }) => {
            let (kind, text) = EndingKind::of(&ending);
            Ok((kind, text.to_owned()))
        }
        Err(RunError::Model { error, .. })
            if script.turns().iter().any(|turn| turn.failures.contains(&error)) =>
        {
            Ok((EndingKind::NoReply, error.message))
        }
        Err(error) => Err(error),
    }
}

fn refusal(refused: Refused) -> String {
    let Refused { slot, call, why } = refused;
    let (why, or) = match why {
        NotMade::Outside => ("it would take effect outside", ", or allow such calls with --allow-effects"),
        NotMade::Agent => ("it is of another agent, which has cases of its own", ""),
        NotMade::Waits => ("it waits for a person, or for a moment", ""),
    };
    format!("{slot} {call} was not made, because {why}\n  say what it gives in a [[tool]] table{or}")
}
