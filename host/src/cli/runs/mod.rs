//! `host runs`: the runs that there are, and what each was.

mod bars;
mod effects;
mod export;
mod report;
mod show;
mod watch;

use std::num::ParseIntError;
use std::path::PathBuf;

use clap::Subcommand;

pub(super) use bars::{WAITS, WORKS, cell};
pub(super) use export::export;

use super::exit::{Exit, Misuse};
use super::listing::{self, Which};
use super::places::Places;
use super::remote::At;
use super::{diff, recorded, request, script};
use crate::message::{Slot, SlotParseError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    which: Which,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List runs, newest first (this is what `host runs` alone does).
    List {
        #[command(flatten)]
        which: Which,
        /// Print the list as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show in what two runs differ, slot by slot: `-` the one, `+` the other.
    Diff {
        /// The one run: its id, the beginning of it, `last`, or a file.
        one: String,
        /// The other.
        other: String,
    },
    /// Print a model request as it was sent, without the key.
    Request {
        /// The run: its id, the beginning of it, `last`, or a file.
        run: String,
        /// The turn, from 0, or the slot, such as 'summary(3)' or 'tool(0,1)/model(0)'; by default the last turn.
        #[arg(value_name = "TURN|SLOT", value_parser = turn_or_slot)]
        slot: Option<Slot>,
        /// Which of the attempts there, from 1; by default the last one.
        #[arg(long, value_name = "N")]
        attempt: Option<u32>,
    },
    /// Print what the model replied in a run as a script, from which `provider = "scripted"` replies the same.
    Script {
        /// The run: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
        run: String,
    },
    /// Show one run: turns, calls, durations, outcomes.
    Show {
        /// The run: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
        run: String,
        /// Print everything that is recorded as JSON.
        #[arg(long)]
        json: bool,
        /// Print what the tools logged, too.
        #[arg(long)]
        log: bool,
        /// Draw a bar for each call and request over time, and print nothing else. On a terminal that is done before the
        /// rest is printed.
        #[arg(long, conflicts_with_all = ["json", "log"])]
        timeline: bool,
    },
    /// Draw a run as it goes on, until it ends.
    Watch {
        /// The run: its id, the beginning of it, or `last`.
        run: String,
    },
    /// Write a run as a file to share: JSON lines for `host`, or a page for a browser.
    ///
    /// The page has everything in it, and loads nothing. Secrets are in no record.
    Export {
        /// The run: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
        run: String,
        /// Write a page for a browser.
        #[arg(long)]
        html: bool,
        /// Where to write; stdout if not given.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let at = &args.at;
    match args.command {
        None => listing::list(places, at, &args.which, args.json).await,
        Some(Command::List { which, json }) => {
            listing::list(places, at, &which.or(args.which), json || args.json).await
        }
        Some(Command::Diff { one, other }) => {
            let one = recorded::read_with_state(at, places, &one).await?;
            diff::run(one, recorded::read_with_state(at, places, &other).await?)
        }
        Some(Command::Request { run, slot, attempt }) => {
            request::run(recorded::read_at(at, places, &run).await?, slot, attempt).await
        }
        Some(Command::Script { run }) => script::run(recorded::read_at(at, places, &run).await?),
        Some(Command::Show { run, json, log, timeline }) => {
            let form = match (json || args.json, timeline) {
                (true, true) => {
                    return Err(Misuse("--json and --timeline exclude each other".to_owned()).into());
                }
                (true, false) => show::Form::Json,
                (false, true) => show::Form::Timeline,
                (false, false) => show::Form::Text { log },
            };
            show::show(recorded::read_with_state(at, places, &run).await?, form)
        }
        Some(Command::Watch { run }) => watch::run(at, places, &run).await,
        Some(Command::Export { run, html, output }) => {
            export(&recorded::file_at(at, places, &run).await?, html, output)
        }
    }
}

/// A turn stands for its model request.
fn turn_or_slot(text: &str) -> Result<Slot, SlotParseError> {
    text.parse().map(Slot::model).or_else(|_: ParseIntError| text.parse())
}
