use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;

use super::exit::{Exit, Misuse};
use super::launch::{self, Task};
use super::places::Places;
use super::screen::{Format, Screen};
use super::signals::Signals;
use super::traces::Traces;
use super::words::counted;
use super::{changes, recorded, settle};
use crate::document::without_mark;
use crate::journal::{
    Change, Entry, Event, Finished, RunFile, RunState, RunSummary, Started, Status, is_over, kept, statuses,
};
use crate::message::{Fork, Manifest, Moment, Outcome, Reply, Request, RunId, Said, Slot, Step, ToolOutcome};
use crate::session::{Decisions, SessionError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
    run: String,
    /// The first turn that is carried out anew, from 0; with --edit, the turn after the edit.
    #[arg(long, value_name = "TURN", required_unless_present = "edit")]
    at: Option<u32>,
    /// What to say before that turn; at turn 0, what to ask instead.
    #[arg(long, conflicts_with = "edit")]
    prompt: Option<String>,
    /// Go on from another result: the JSON in FILE stands at SLOT, an output at a call and a reply at a model
    /// request.
    #[arg(long, value_name = "SLOT=FILE")]
    edit: Option<Edit>,
    /// Carry it out with this agent.toml instead of the one that is recorded.
    #[arg(long, value_name = "AGENT.TOML")]
    config: Option<PathBuf>,
    /// Print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    traces: Traces,
}

#[derive(Clone, Debug)]
struct Edit {
    slot: Slot,
    file: PathBuf,
}

impl FromStr for Edit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (slot, file) =
            text.split_once('=').context("write it as SLOT=FILE, such as 'tool(0,1)=new.json'")?;
        Ok(Self { slot: slot.parse()?, file: file.into() })
    }
}

/// Starts a run that shares the beginning of a recorded one, which stays as it is.
pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::of(args.json));
    let runs = places.runs()?;
    let (origin, entries) = recorded::read(&runs, &args.run)?;
    let recorded = recorded::manifest(origin, &entries)?.clone();
    let turn = turn(&args)?;
    let kept = kept(&entries);
    let mut shared = shared(entries, turn)?;
    if let Some(edit) = &args.edit {
        edit.apply(&mut shared, &recorded)?;
    }
    let id = RunId::new();
    let manifest = forked(recorded, args.prompt, Fork { run: origin, turn });
    let config = recorded::config(&manifest, args.config.as_deref())?;
    let prepared = launch::prepare(&config, Task::of(&manifest), places, &screen).await?;
    let changes = changes::between(&manifest, &prepared.manifest, &shared);
    if !changes.is_empty() {
        screen.changed(&changes, &changes::what_next(id, Change::Accepted, true));
    }
    let mut entries = vec![begun(manifest, &kept, &shared)];
    entries.extend(shared);
    let entries: Vec<Entry> = entries.into_iter().map(|entry| Entry { run: id, ..entry }).collect();
    let summary = RunSummary::of(id, &entries).context("a run begins with its manifest")?;
    let summary = RunSummary { state: RunState::Interrupted, ..summary };
    let run = runs.create(id)?;
    run.begin_with(&RunFile { summary, entries: entries.clone() }).await?;
    // Whatever differs from the recorded run is what the fork is for.
    let decisions = Decisions { change: Change::Accepted, ..Decisions::default() };
    launch::carry_out(run, entries, prepared, decisions, &screen, &args.traces, signals).await
}

/// The first turn that is not shared.
fn turn(args: &Args) -> Result<u32, Misuse> {
    let Some(Edit { slot, .. }) = &args.edit else { return Ok(args.at.unwrap_or_default()) };
    let after = match slot.steps() {
        [Step::Model { turn } | Step::Tool { turn, .. }] => turn.saturating_add(1),
        _ => {
            return Err(Misuse(format!(
                "{slot} has no result that can be edited; name a model(T) or a tool(T,I)"
            )));
        }
    };
    match args.at {
        Some(at) if at != after => {
            Err(Misuse(format!("an edit at {slot} forks the run at turn {after}, and not at {at}")))
        }
        Some(_) | None => Ok(after),
    }
}

/// What is recorded of the turns before one, each of which has to have ended.
fn shared(entries: Vec<Entry>, turn: u32) -> anyhow::Result<Vec<Entry>> {
    let before = |slot: &Slot| match slot.steps().first() {
        Some(Step::Summary { turn: at } | Step::Model { turn: at } | Step::Tool { turn: at, .. }) => {
            *at < turn
        }
        Some(Step::Call { .. } | Step::Approval) | None => false,
    };
    // Read as the whole that they are part of: what the run was carried on with says which of it may have changed.
    let mut slots =
        statuses(entries.iter().cloned()).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    slots.retain(|slot, _| before(slot));
    let shared: Vec<Entry> = entries.into_iter().filter(|entry| before(&entry.slot)).collect();
    let ended = |slot: &Slot| matches!(slots.get(slot), Some(Status::Finished { .. }));
    let turns = (0..turn).take_while(|turn| ended(&Slot::model(*turn))).count();
    if turns < turn as usize {
        return Err(Misuse(format!(
            "the run has {}, so it cannot be forked at turn {turn}",
            counted(turns, "turn")
        ))
        .into());
    }
    match slots.keys().find(|slot| !ended(slot) && !is_over(slot, &slots)) {
        Some(slot) => {
            Err(Misuse(format!("{slot} has not ended; fork at an earlier turn, or resume the run")).into())
        }
        None => Ok(shared),
    }
}

impl Edit {
    /// Puts another result at the slot, and drops what came of the old one.
    fn apply(&self, shared: &mut Vec<Entry>, recorded: &Manifest) -> anyhow::Result<()> {
        let Self { slot, file } = self;
        if matches!(slot.steps(), [Step::Model { .. }]) {
            // The calls of that turn are those of the reply as it was.
            shared.retain(|entry| entry.slot <= *slot);
        } else {
            // What the tool itself called belongs to the output as it was.
            shared.retain(|entry| entry.slot == *slot || !entry.slot.steps().starts_with(slot.steps()));
        }
        let mut ask = None;
        for entry in shared.iter_mut().filter(|entry| entry.slot == *slot) {
            match &mut entry.event {
                Event::Started(started) => ask = Some(started.request.clone()),
                Event::Failed(_) => {}
                Event::Finished(finished) => {
                    let outcome = match &ask {
                        Some(Request::Tool(ask)) => {
                            Outcome::Tool(ToolOutcome::Output(settle::result(file, ask, &recorded.tools)?))
                        }
                        Some(Request::Model(_) | Request::Run(_) | Request::Approval(_)) | None => {
                            Outcome::Model(reply(file)?)
                        }
                    };
                    *finished = Finished { outcome, settled: true, ..finished.clone() };
                }
            }
        }
        if ask.is_none() {
            return Err(Misuse(format!("nothing is recorded at {slot}")).into());
        }
        Ok(())
    }
}

/// A model's reply in a file, as `host journal export` writes one.
fn reply(file: &std::path::Path) -> anyhow::Result<Reply> {
    let unfit = || Misuse(format!("{} is not a reply as `host journal export` writes one", file.display()));
    let text =
        std::fs::read_to_string(file).with_context(|| Misuse(format!("cannot read {}", file.display())))?;
    serde_json::from_str(&without_mark(text)).with_context(unfit)
}

/// What the new run is.
fn forked(recorded: Manifest, prompt: Option<String>, fork: Fork) -> Manifest {
    let mut manifest = recorded;
    let turn = fork.turn;
    manifest.forked = Some(fork);
    // What was said before stays with it; the conversation goes on from the run that it leaves.
    manifest.session = None;
    // What was said before the turn stays; what is said at it is said anew, if anything is.
    manifest.said.retain(|said| said.turn < turn || (said.turn == turn && prompt.is_none()));
    match prompt {
        Some(prompt) if turn == 0 => manifest.prompt = prompt,
        Some(text) => manifest.said.push(Said { turn, text }),
        None => {}
    }
    manifest
}

/// The new run's beginning. What was kept in the run that it leaves although it is asked for otherwise now, is kept
/// in what they share, too.
fn begun(manifest: Manifest, kept: &HashSet<Slot>, shared: &[Entry]) -> Entry {
    let kept: BTreeSet<&Slot> =
        shared.iter().map(|entry| &entry.slot).filter(|slot| kept.contains(slot)).collect();
    let kept = (!kept.is_empty()).then(|| kept.into_iter().cloned().collect());
    let at_ms = Moment::now().0;
    let request = Request::Run(Box::new(manifest));
    let started = Started { attempt: 1, at_ms, digest: request.digest(), request, kept };
    Entry { run: RunId::new(), slot: Slot::RUN, event: Event::Started(started) }
}
