//! The calls that a person approved always: which they are, and that one of them is to be asked about again.

use super::exit::{Exit, Misuse};
use super::places::Places;
use super::words::call;
use super::{print, print_json, say};
use crate::engine::{Always, PastApprovals};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Have a call asked about again.
    Revoke {
        /// Its number in the list.
        number: usize,
    },
}

pub(super) fn run(args: &Args, places: &Places) -> anyhow::Result<Exit> {
    let file = PastApprovals::beside(places.runs()?.path());
    let always = file.always();
    match args.what {
        Some(What::Revoke { number }) => {
            let place = number.checked_sub(1).and_then(|place| always.into_iter().nth(place));
            let missing =
                || Misuse(format!("no approval has the number {number}; `host approvals` lists them"));
            let revoked = place.ok_or_else(missing)?;
            say(format_args!("asked about again: {}", in_words(&revoked)));
            file.revoke(revoked)?;
        }
        None if args.json => print_json(&always)?,
        None if always.is_empty() => say("no call is approved always"),
        None => {
            for (number, it) in (1..).zip(&always) {
                print(&format!("{number:>3}  {}", in_words(it)))?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn in_words(Always { config, call: ask }: &Always) -> String {
    format!("{}  of {config}", call(ask))
}
