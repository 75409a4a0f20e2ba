//! A run of a program that is recorded, gone through without the program: whether it is what it says that it is.

use regex::Regex;

use super::book::Book;
use super::key::key;
use crate::agent::{Ended, RunError, Spending};
use crate::journal::{Entry, Event, Status, ending, statuses, used};
use crate::message::{Ending, Manifest, Outcome, Request, RunId, Slot, Step, Used};
use crate::session::{Decisions, Divergence, DivergenceKind, Mode, Notice, Session, SessionError};

/// Goes through what is recorded: every request has to be known by what it asks, every call that a reply asked for has to
/// be of that tool, and what was used has to be what the replies took. The error is the first place that does not fit.
pub async fn verify(run: RunId, entries: Vec<Entry>, manifest: &Manifest) -> Result<Ended, RunError> {
    let (recorded_ending, recorded_used) = (ending(&entries).cloned(), used(&entries).copied());
    let (book, spent) = read(run, entries, manifest).await?;
    let ignored: Vec<Regex> =
        manifest.ignored.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
    for (slot, ask) in book.asks() {
        let body = book.body_at(slot).ok_or_else(|| not_whole(slot))?;
        let again = key(ask.dialect, &ask.model, ask.stream, &body, &ignored);
        if again != ask.key {
            let (mut attempted, recorded) = (ask.clone(), ask.clone());
            attempted.key = again;
            return Err(diverged(slot, Request::Api(Box::new(recorded)), Request::Api(Box::new(attempted))));
        }
    }
    let ending = recorded_ending.ok_or(SessionError::Unfinished { slot: Slot::RUN })?;
    Ok(Ended { ending, used: recorded_used.unwrap_or(spent) })
}

/// What a run used by then.
pub async fn used_so_far(run: RunId, entries: Vec<Entry>, manifest: &Manifest) -> Result<Used, RunError> {
    Ok(read(run, entries, manifest).await?.1)
}

/// Reads what is recorded, and looks whether each request is the one that its digest says, and each call one of the tools.
async fn read(run: RunId, entries: Vec<Entry>, manifest: &Manifest) -> Result<(Book, Used), RunError> {
    // That of the run itself is looked at here.
    let unwatched = Box::new(|_: &Notice<'_>| {});
    let opened = Session::open(run, Mode::Replay, entries.clone(), manifest, Decisions::default(), unwatched);
    drop(opened.await?);
    let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let (mut book, mut spending) = (Book::default(), Spending::new(manifest, manifest.rules));
    for (slot, status) in &slots {
        let (started, finished) = match status {
            Status::Absent => continue,
            Status::Started { started, .. } | Status::Failed { started, .. } => (started, None),
            Status::Finished { started, finished, .. } => (started, Some(finished)),
        };
        if *slot != Slot::RUN && started.request.digest() != started.digest {
            let (recorded, attempted) = (started.request.clone(), started.request.clone());
            return Err(diverged(slot, recorded, attempted));
        }
        book.read(slot, status);
        if let (Some(Outcome::Model(reply)), false) = (finished.map(|it| &it.outcome), slot.is_nested()) {
            spending.count(reply);
            // It would have stopped the program's next request.
            let _ = spending.judge(reply);
        }
    }
    for (slot, status) in &slots {
        let Some(Step::Tool { turn, index }) = slot.steps().first().copied().filter(|_| !slot.is_nested())
        else {
            continue;
        };
        let started = match status {
            Status::Started { started, .. }
            | Status::Failed { started, .. }
            | Status::Finished { started, .. } => started,
            Status::Absent => continue,
        };
        let Request::Tool(ask) = &started.request else { continue };
        let wanted = book.wanted_at(&Slot::model(turn)).and_then(|wanted| wanted.get(index as usize));
        if wanted.is_some_and(|wanted| wanted.name != ask.name) {
            let mut attempted = ask.clone();
            attempted.name = wanted.map(|wanted| wanted.name.clone()).unwrap_or_default();
            return Err(diverged(slot, Request::Tool(ask.clone()), Request::Tool(attempted)));
        }
    }
    Ok((book, spending.used()))
}

fn diverged(slot: &Slot, recorded: Request, attempted: Request) -> RunError {
    let (recorded, attempted) = (Box::new(recorded), Box::new(attempted));
    let kind = DivergenceKind::OtherRequest { recorded, attempted };
    SessionError::Diverged(Box::new(Divergence { slot: slot.clone(), kind })).into()
}

fn not_whole(slot: &Slot) -> RunError {
    let kind = DivergenceKind::LeftOver(vec![slot.clone()]);
    SessionError::Diverged(Box::new(Divergence { slot: slot.clone(), kind })).into()
}

/// The answer of a run that a program says has ended: the last reply that asked for no call.
#[must_use]
pub fn answer(entries: &[Entry]) -> Ending {
    let said = |entry: &Entry| match &entry.event {
        Event::Finished(finished) => match &finished.outcome {
            Outcome::Model(reply) if reply.calls.is_empty() => Some(reply.text.clone()),
            _ => None,
        },
        Event::Started(_) | Event::Failed(_) => None,
    };
    let last = entries.iter().rev().filter_map(said).find(|text| !text.is_empty());
    let silent = || Ending::Empty("the program ended, and its models said nothing".to_owned());
    last.map_or_else(silent, Ending::Answer)
}
