//! `host cancel`: ends a run for good that waits or has stopped.

use super::exit::{Exit, Misuse};
use super::person::at_terminal;
use super::places::Places;
use super::remote::{self, At};
use super::say;
use crate::engine::CancelError;
use crate::message::Cancelled;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, or `last`.
    run: String,
    /// Why. It is recorded with the end of the run.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let Args { run, reason, at } = args;
    if let Some(remote) = at.found(places)? {
        return remote::cancel(&remote, &run, reason).await;
    }
    let engine = places.engine(None)?;
    let id = engine.runs().find(&run)?;
    let cancelled = Cancelled { by: Some(at_terminal()), reason };
    engine.cancel(id, cancelled).await.map_err(|error| match error {
        CancelError::Ended { .. } => Misuse(error.to_string()).into(),
        CancelError::Journal(error) => anyhow::Error::from(error),
        CancelError::Session(error) => error.into(),
        CancelError::Replay(error) => error.into(),
    })?;
    say(format_args!("cancelled run {id}; `host resume {id} --again` revives it"));
    Ok(Exit::Ok)
}
