//! `host fork`: what is to be other than in the recorded run.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;

use super::exit::{Exit, Misuse};
use super::front::{follow, front};
use super::places::Places;
use super::plain::of_fork;
use super::recorded;
use super::remote::{self, At};
use super::screen::{Format, Screen};
use super::signals::Signals;
use super::traces::{Traces, caller};
use crate::document::without_mark;
use crate::engine::{Edit, NewFork};
use crate::message::{Json, Reply, Slot, Step};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
    run: String,
    /// The first turn that is carried out anew, from 0; with --edit, the turn after the edit.
    #[arg(long = "at", value_name = "TURN", required_unless_present = "edit")]
    turn: Option<u32>,
    /// What to say before that turn; at turn 0, what to ask instead.
    #[arg(long, conflicts_with = "edit")]
    prompt: Option<String>,
    /// Go on from another result: the JSON in FILE stands at SLOT, an output at a call and a reply at a model
    /// request.
    #[arg(long, value_name = "SLOT=FILE")]
    edit: Option<EditFile>,
    /// Carry it out with this agent.toml instead of the one that is recorded.
    #[arg(long, value_name = "AGENT.TOML")]
    config: Option<PathBuf>,
    /// Print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    traces: Traces,
    #[command(flatten)]
    at: At,
}

/// A result in a file.
#[derive(Clone, Debug)]
struct EditFile {
    slot: Slot,
    file: PathBuf,
}

impl FromStr for EditFile {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (slot, file) =
            text.split_once('=').context("write it as SLOT=FILE, such as 'tool(0,1)=new.json'")?;
        Ok(Self { slot: slot.parse()?, file: file.into() })
    }
}

/// Starts a run that shares the beginning of a recorded one, which stays as it is.
pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    let Args { run, turn, prompt, edit, config, json, traces, at } = args;
    let screen = Screen::new(Format::of(json));
    if let Some(remote) = at.named()? {
        if config.is_some() {
            at.nowhere("--config")?;
        }
        let edit = edit.as_ref().map(EditFile::read).transpose()?;
        return remote::fork(&remote, &run, turn, prompt, edit, &screen, signals).await;
    }
    let engine = places.engine(traces.exporter(&screen))?;
    let (origin, entries) = recorded::read(engine.runs(), &run)?;
    let read = edit.as_ref().map(EditFile::read).transpose()?;
    let fork = NewFork { turn, prompt, edit: read, config, caller: caller(&screen) };
    let front = front(&screen, places.verbose, &engine);
    let handle = engine.fork(origin, entries, fork, front).await;
    let handle = handle.map_err(|error| of_fork(error, edit.as_ref().map(|edit| edit.file.as_path())))?;
    follow(handle, &screen, signals).await
}

impl EditFile {
    /// The result in the file: a reply at a model request, and an output anywhere else.
    fn read(&self) -> anyhow::Result<Edit> {
        let Self { slot, file } = self;
        Edit::turn_after(slot).map_err(|error| of_fork(error, Some(file)))?;
        match slot.steps() {
            [Step::Model { .. }] => Ok(Edit::Reply(slot.clone(), Box::new(reply(file)?))),
            _ => Ok(Edit::Output(slot.clone(), output(file)?)),
        }
    }
}

pub(super) fn unreadable(file: &Path) -> Misuse {
    Misuse(format!("cannot read {}", file.display()))
}

/// The output of a call in a file.
pub(super) fn output(file: &Path) -> anyhow::Result<Json> {
    let text = std::fs::read_to_string(file).with_context(|| unreadable(file))?;
    Json::parse(without_mark(text)).with_context(|| unfit_output(file))
}

pub(super) fn unfit_output(file: &Path) -> Misuse {
    Misuse(format!("{} is not an output that this call could have given", file.display()))
}

/// A model's reply in a file, as `host journal export` writes one.
fn reply(file: &Path) -> anyhow::Result<Reply> {
    let unfit = || Misuse(format!("{} is not a reply as `host journal export` writes one", file.display()));
    let text = std::fs::read_to_string(file).with_context(|| unreadable(file))?;
    serde_json::from_str(&without_mark(text)).with_context(unfit)
}
