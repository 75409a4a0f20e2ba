//! `host approve`, `host deny`, `host answer`: what a person says to a run that is suspended. It is recorded at once,
//! and the next `host resume` goes on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::edited;
use super::exit::{Exit, Misuse};
use super::fork::unreadable;
use super::person::at_terminal;
use super::places::Places;
use super::plain::Plain;
use super::remote::{self, At};
use super::say;
use super::words::{call, decided};
use crate::engine::{Engine, Pending, Word};
use crate::message::{Decision, Json, RunId, Slot};

/// Which calls.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The run: its id, the beginning of it, or `last`.
    run: String,
    /// The calls, such as 'tool(0,1)'; may be left out if only one waits.
    slots: Vec<Slot>,
    #[command(flatten)]
    at: At,
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
    #[command(flatten)]
    at: At,
}

/// A run, and the calls in it that wait for a person's word.
struct Open {
    engine: Engine,
    run: RunId,
    /// By slot.
    waiting: BTreeMap<Slot, Pending>,
}

/// What kind of word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Approval,
    Answer,
}

pub(super) async fn approve(args: Approve, places: &Places) -> anyhow::Result<Exit> {
    let Approve { which, edit, always } = args;
    if let Some(remote) = which.at.found(places)? {
        let input = edit.as_deref().map(plain_input).transpose()?;
        return remote::approve(&remote, &which.run, &which.slots, input, always).await;
    }
    let open = Open::new(&which.run, Kind::Approval, places).await?;
    let mut words = Vec::new();
    for slot in open.choose(&which.slots)? {
        let input = match (&edit, open.waiting.get(&slot)) {
            (Some(file), Some(call)) => Some(input(file, call)?),
            (Some(_), None) | (None, _) => None,
        };
        words.push((slot, Word::Approve { input, always }));
    }
    open.say(words).await
}

pub(super) async fn deny(args: Deny, places: &Places) -> anyhow::Result<Exit> {
    let Deny { which, reason } = args;
    if let Some(remote) = which.at.found(places)? {
        return remote::deny(&remote, &which.run, &which.slots, reason).await;
    }
    let open = Open::new(&which.run, Kind::Approval, places).await?;
    let slots = open.choose(&which.slots)?.into_iter();
    open.say(slots.map(|slot| (slot, Word::Deny { reason: reason.clone() })).collect()).await
}

pub(super) async fn answer(args: Answer, places: &Places) -> anyhow::Result<Exit> {
    let (slots, text) = match args.words.as_slice() {
        [slot, text] => (vec![slot.parse::<Slot>().map_err(|error| Misuse(error.to_string()))?], text),
        [text] | [text, ..] => (vec![], text),
        [] => return Err(Misuse("there is no answer".to_owned()).into()),
    };
    if let Some(remote) = args.at.found(places)? {
        return remote::answer(&remote, &args.run, &slots, text).await;
    }
    let open = Open::new(&args.run, Kind::Answer, places).await?;
    let slots = open.choose(&slots)?.into_iter();
    open.say(slots.map(|slot| (slot, Word::Answer(text.clone()))).collect()).await
}

/// An edited input in a file, which the tool has to take.
fn input(file: &Path, call: &Pending) -> anyhow::Result<Json> {
    let unfit = || Misuse(format!("{} is not an input of {}", file.display(), call.ask.name));
    let text = std::fs::read_to_string(file).with_context(|| unreadable(file))?;
    edited::input(&text, call.agent.tool(&call.ask.name)).map_err(anyhow::Error::msg).with_context(unfit)
}

/// The same for a call of which the server knows what it takes.
fn plain_input(file: &Path) -> anyhow::Result<Json> {
    let unfit = || Misuse(format!("{} is not JSON", file.display()));
    let text = std::fs::read_to_string(file).with_context(|| unreadable(file))?;
    edited::input(&text, None).map_err(anyhow::Error::msg).with_context(unfit)
}

impl Open {
    async fn new(name: &str, kind: Kind, places: &Places) -> anyhow::Result<Self> {
        let engine = places.engine(None)?;
        let run = engine.runs().find(name)?;
        let mut waiting = engine.pending(run).await.map_err(Plain::plain)?;
        waiting.retain(|_, call| call.is_question == (kind == Kind::Answer));
        let missing = match kind {
            Kind::Approval => "nothing in this run waits for approval",
            Kind::Answer => "nothing in this run waits for an answer",
        };
        if waiting.is_empty() {
            return Err(Misuse(missing.to_owned()).into());
        }
        Ok(Self { engine, run, waiting })
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

    /// Has the engine record what the person says, and says so.
    async fn say(self, words: Vec<(Slot, Word)>) -> anyhow::Result<Exit> {
        self.engine.decide(self.run, words.clone(), Some(at_terminal())).await.map_err(Plain::plain)?;
        for (slot, word) in words {
            let Some(Pending { ask, .. }) = self.waiting.get(&slot) else { continue };
            say(format_args!("{slot} {}  {}", call(ask), said(word)));
        }
        say(format_args!("go on with: host resume {}", self.run));
        Ok(Exit::Ok)
    }
}

fn said(word: Word) -> String {
    match word {
        Word::Approve { input, .. } => decided(&Decision::Approved { input }).1,
        Word::Deny { reason } => decided(&Decision::Denied { reason }).1,
        Word::Answer(_) => "answered".to_owned(),
    }
}
