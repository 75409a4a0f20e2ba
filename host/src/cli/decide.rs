//! `host approve`, `host deny`, `host answer`: what a person says to a run that is suspended. It is recorded at once,
//! and the next `host resume` goes on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;

use super::approvals::ApprovalsFile;
use super::edited;
use super::exit::{Exit, Misuse};
use super::places::Places;
use super::recorded;
use super::say;
use super::words::{call, decided};
use crate::dispatch::answered;
use crate::journal::{
    Durability, Entry, Event, Finished, JournalStore as _, OpenRun, Status, is_over, statuses,
};
use crate::message::{
    Builtin, Decision, Json, Manifest, Moment, Outcome, Request, Slot, ToolAsk, ToolOutcome, Trace, Usage,
};
use crate::session::SessionError;

/// Which calls.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The run: its id, the beginning of it, or `last`.
    run: String,
    /// The calls, such as 'tool(0,1)'; may be left out if only one waits.
    slots: Vec<Slot>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Approve {
    #[command(flatten)]
    which: Which,
    /// Make the call with the JSON in this file as its input.
    #[arg(long, value_name = "FILE")]
    edit: Option<PathBuf>,
    /// Approve the very same call, of the same component with the same grants, from now on unasked.
    #[arg(long, conflicts_with = "edit")]
    always: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Deny {
    #[command(flatten)]
    which: Which,
    /// Why, for the model to read.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Answer {
    /// The run: its id, the beginning of it, or `last`.
    run: String,
    /// The question, such as 'tool(0,1)', if more than one waits; then the answer.
    #[arg(required = true, num_args = 1..=2, value_names = ["SLOT", "TEXT"])]
    words: Vec<String>,
}

/// A run, and what in it waits for a person's word.
struct Open {
    run: OpenRun,
    /// By the slot of the call.
    waiting: BTreeMap<Slot, Call>,
}

/// A call that waits.
struct Call {
    /// The attempt that waits.
    attempt: u32,
    ask: ToolAsk,
    /// The agent whose model makes it.
    agent: Manifest,
}

/// What kind of word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Approval,
    Answer,
}

pub(super) async fn approve(args: Approve, places: &Places) -> anyhow::Result<Exit> {
    let Approve { which, edit, always } = args;
    let open = Open::new(&which.run, Word::Approval, places)?;
    let chosen = open.choose(&which.slots)?;
    let mut decisions = Vec::new();
    for slot in chosen {
        let Some(call) = open.waiting.get(&slot) else { continue };
        let input = edit.as_ref().map(|file| call.input(file)).transpose()?;
        decisions.push((slot, call, input));
    }
    let approvals = ApprovalsFile::new(places.runs()?.path());
    for (slot, call, input) in decisions {
        approvals.add(&call.agent.config, &call.ask, input.as_ref(), always)?;
        open.record(&slot, Outcome::Decision(Decision::Approved { input })).await?;
    }
    Ok(open.go_on())
}

pub(super) async fn deny(args: Deny, places: &Places) -> anyhow::Result<Exit> {
    let Deny { which, reason } = args;
    let open = Open::new(&which.run, Word::Approval, places)?;
    for slot in open.choose(&which.slots)? {
        open.record(&slot, Outcome::Decision(Decision::Denied { reason: reason.clone() })).await?;
    }
    Ok(open.go_on())
}

pub(super) async fn answer(args: Answer, places: &Places) -> anyhow::Result<Exit> {
    let open = Open::new(&args.run, Word::Answer, places)?;
    let (slots, text) = match args.words.as_slice() {
        [slot, text] => (vec![slot.parse::<Slot>().map_err(|error| Misuse(error.to_string()))?], text),
        [text] | [text, ..] => (vec![], text),
        [] => return Err(Misuse("there is no answer".to_owned()).into()),
    };
    for slot in open.choose(&slots)? {
        open.record(&slot, Outcome::Tool(answered(text))).await?;
    }
    Ok(open.go_on())
}

impl Call {
    /// An edited input, which has to fit the tool's schema.
    fn input(&self, file: &std::path::Path) -> anyhow::Result<Json> {
        let unreadable = || Misuse(format!("cannot read {}", file.display()));
        let unfit = || Misuse(format!("{} is not an input of {}", file.display(), self.ask.name));
        let text = std::fs::read_to_string(file).with_context(unreadable)?;
        edited::input(&text, self.agent.tool(&self.ask.name)).map_err(anyhow::Error::msg).with_context(unfit)
    }
}

impl Open {
    fn new(name: &str, word: Word, places: &Places) -> anyhow::Result<Self> {
        let runs = places.runs()?;
        let id = runs.find(name)?;
        if runs.is_sealed(id) {
            return Err(Misuse(format!("run {id} has ended: nothing in it waits")).into());
        }
        let run = runs.open(id)?;
        let entries = run.store.read(id)?;
        let manifest = recorded::manifest(id, &entries)?.clone();
        let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
        let waits = |(slot, status): (&Slot, &Status)| {
            let Status::Started { started, .. } = status else { return None };
            let agent = |call: &Slot| recorded::agent_at(call, &manifest, &slots);
            let (call, ask) = match (&started.request, word) {
                (Request::Approval(ask), Word::Approval) => (slot.approved()?, ask),
                (Request::Tool(ask), Word::Answer) if is_question(agent(slot), ask) => (slot.clone(), ask),
                _ => return None,
            };
            let agent = agent(&call).clone();
            let waiting = Call { attempt: started.attempt, ask: ask.clone(), agent };
            (!is_over(slot, &slots)).then_some((call, waiting))
        };
        let waiting: BTreeMap<Slot, Call> = slots.iter().filter_map(waits).collect();
        let missing = match word {
            Word::Approval => "nothing in this run waits for approval",
            Word::Answer => "nothing in this run waits for an answer",
        };
        if waiting.is_empty() {
            return Err(Misuse(missing.to_owned()).into());
        }
        Ok(Self { run, waiting })
    }

    /// The calls that are meant; each has to wait.
    fn choose(&self, slots: &[Slot]) -> anyhow::Result<Vec<Slot>> {
        let list = || {
            let calls = self.waiting.iter().map(|(slot, it)| format!("\n  {slot} {}", call(&it.ask)));
            calls.collect::<Vec<_>>().concat()
        };
        let slots: Vec<Slot> = match (slots, self.waiting.len()) {
            ([], 1) => self.waiting.keys().cloned().collect(),
            ([], _) => {
                return Err(
                    Misuse(format!("more than one call waits; name those you mean:{}", list())).into()
                );
            }
            (slots, _) => {
                let calls = slots.iter().map(|slot| slot.approved().unwrap_or_else(|| slot.clone()));
                // A call can be named twice, by its own slot and by that of the decision; it is decided once.
                calls.collect::<BTreeSet<_>>().into_iter().collect()
            }
        };
        match slots.iter().find(|slot| !self.waiting.contains_key(slot)) {
            Some(slot) => Err(Misuse(format!("{slot} does not wait for this; there wait:{}", list())).into()),
            None => Ok(slots),
        }
    }

    /// Whether an attempt at a slot still waits for its end, by what is recorded now.
    fn still_waits(&self, slot: &Slot, attempt: u32) -> anyhow::Result<bool> {
        let entries = self.run.store.read(self.run.id)?;
        let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
        let waits =
            |status: &Status| matches!(status, Status::Started { started, .. } if started.attempt == attempt);
        Ok(slots.get(slot).is_some_and(waits))
    }

    /// Records what the person says.
    async fn record(&self, call_slot: &Slot, outcome: Outcome) -> anyhow::Result<()> {
        let Some(Call { attempt, ask, .. }) = self.waiting.get(call_slot) else { return Ok(()) };
        let said = match &outcome {
            Outcome::Decision(decision) => decided(decision).1,
            Outcome::Tool(ToolOutcome::Output(_) | ToolOutcome::Error(_)) => "answered".to_owned(),
            Outcome::Run(_) | Outcome::Model(_) | Outcome::NoReply(_) => String::new(),
        };
        let slot = match outcome {
            Outcome::Decision(_) => call_slot.approval(),
            Outcome::Run(_) | Outcome::Model(_) | Outcome::NoReply(_) | Outcome::Tool(_) => call_slot.clone(),
        };
        // Nothing may follow the end of an attempt: the run could not be read any more.
        if !self.still_waits(&slot, *attempt)? {
            return Err(Misuse(format!("{slot} does not wait for this any more")).into());
        }
        let at_ms = Moment::now().0;
        let (usage, trace) = (Usage::default(), Trace::default());
        let finished = Finished { attempt: *attempt, at_ms, outcome, usage, trace, settled: true };
        let entry = Entry { run: self.run.id, slot, event: Event::Finished(finished) };
        self.run.store.append(&entry, Durability::Now).durable().await?;
        say(format_args!("{call_slot} {}  {said}", call(ask)));
        Ok(())
    }

    fn go_on(&self) -> Exit {
        say(format_args!("go on with: host resume {}", self.run.id));
        Exit::Ok
    }
}

fn is_question(manifest: &Manifest, ask: &ToolAsk) -> bool {
    manifest.tool(&ask.name).is_some_and(|tool| tool.builtin == Some(Builtin::AskHuman))
}
