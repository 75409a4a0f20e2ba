//! `host runs request`: a model request as it was sent.

use super::exit::{Exit, Misuse};
use super::paged::page;
use crate::engine::sent::{SentError, sent};
use crate::journal::Entry;
use crate::message::{RunId, Slot, Step};

/// Prints the request of an attempt at a slot: that of the last turn, and the last one, if none is named.
pub(super) async fn run(
    (id, entries): (RunId, Vec<Entry>),
    slot: Option<Slot>,
    attempt: Option<u32>,
) -> anyhow::Result<Exit> {
    let Some(slot) = slot.or_else(|| last(&entries)) else {
        return Err(Misuse("no model was asked in this run".to_owned()).into());
    };
    match sent(id, &entries, &slot, attempt).await {
        Ok(written) => page(&written)?,
        Err(error @ SentError::NotAsked(_)) => {
            let message = format!(
                "{error}; `host runs show {id}` lists where one was, such as model(0), summary(3) or tool(0,1)/model(0)"
            );
            return Err(Misuse(message).into());
        }
        Err(error @ (SentError::NoAttempt { .. } | SentError::Ends(_))) => {
            return Err(Misuse(error.to_string()).into());
        }
        Err(SentError::Run(error)) => return Err(error.into()),
        Err(SentError::Session(error)) => return Err(error.into()),
        Err(SentError::Model(error)) => return Err(error.into()),
        Err(SentError::Journal(error)) => return Err(error.into()),
    }
    Ok(Exit::Ok)
}

/// Where the run's own agent asked its model last.
fn last(entries: &[Entry]) -> Option<Slot> {
    let asked = |entry: &&Entry| matches!(entry.slot.steps(), [Step::Model { .. }]);
    entries.iter().filter(asked).map(|entry| entry.slot.clone()).max()
}
