//! What a run of a conversation needs to know of the runs before it.

use super::exit::Misuse;
use super::places::Places;
use super::recorded;
use super::screen::Screen;
use crate::agent::Agent;
use crate::journal::{Entry, JournalError, OpenSession, RunsDir, ending};
use crate::message::{Ending, Manifest, Message, RunId, SessionKey};
use crate::session::{Decisions, Mode, Notice, Session};

/// Waits until it is this process's turn to continue a conversation.
pub(super) async fn take_turn(
    key: &SessionKey,
    places: &Places,
    screen: &Screen,
) -> anyhow::Result<OpenSession> {
    let place = places.sessions()?.queue(key)?;
    if place.has_to_wait()? {
        screen.say(&format!("waiting for another run of the session {key} to end"));
    }
    Ok(tokio::task::spawn_blocking(|| place.wait()).await??)
}

/// The same for the conversation that a run belongs to that has not ended, if it belongs to one.
pub(super) async fn take_turn_of(
    run: RunId,
    runs: &RunsDir,
    places: &Places,
    screen: &Screen,
) -> anyhow::Result<Option<OpenSession>> {
    let entries = if runs.is_sealed(run) { Vec::new() } else { runs.read(run)? };
    match crate::journal::manifest(&entries).and_then(|manifest| manifest.session.as_ref()) {
        Some(key) => Ok(Some(take_turn(key, places, screen).await?)),
        None => Ok(None),
    }
}

/// What was said in a conversation with an agent so far.
pub(super) async fn said(
    open: &OpenSession,
    key: &SessionKey,
    runs: &RunsDir,
    agent: &str,
) -> anyhow::Result<Vec<Message>> {
    for run in open.runs().iter().rev().copied() {
        if let Some(said) = said_after(run, key, runs, agent).await? {
            return Ok(said);
        }
    }
    Ok(Vec::new())
}

/// What was said in it by the end of one of its runs; nothing, if that run was killed before it began.
pub(super) async fn said_after(
    run: RunId,
    key: &SessionKey,
    runs: &RunsDir,
    agent: &str,
) -> anyhow::Result<Option<Vec<Message>>> {
    let or_forget = format!("or `host sessions forget {key} --last` takes that run out of the session");
    let entries = match runs.read(run) {
        Err(JournalError::UnknownRun { .. }) => {
            let message = format!(
                "the last run of the session {key}, {run}, is not in {}\n  `host journal import` brings it back, {or_forget}",
                runs.path().display()
            );
            return Err(Misuse(message).into());
        }
        entries => entries?,
    };
    if entries.is_empty() {
        return Ok(None);
    }
    let manifest = recorded::manifest(run, &entries)?.clone();
    if manifest.session.as_ref() != Some(key) || manifest.agent != agent {
        let with = manifest.session.map_or(String::new(), |other| format!(" in the session {other}"));
        let message = format!(
            "the session {key} is with another agent than {agent}: its last run, {run}, is one of {}{with}\n  choose another key, {or_forget}",
            manifest.agent
        );
        return Err(Misuse(message).into());
    }
    match ending(&entries) {
        None => {
            let message = format!(
                "the last run of the session {key} has not ended\n  `host resume {run}` goes on with it, {or_forget}"
            );
            Err(Misuse(message).into())
        }
        // What a model refused to speak about is not brought up again.
        Some(Ending::Refused(_)) => Ok(Some(manifest.earlier)),
        Some(Ending::Answer(_) | Ending::Limit(_) | Ending::Unfit { .. } | Ending::Empty(_)) => {
            Ok(Some(said_by(run, entries, manifest).await?))
        }
    }
}

/// What was said by the end of a run, gathered by going through it again.
async fn said_by(run: RunId, entries: Vec<Entry>, manifest: Manifest) -> anyhow::Result<Vec<Message>> {
    let unwatched = Box::new(|_: &Notice<'_>| {});
    let session =
        Session::open(run, Mode::Replay, entries, &manifest, Decisions::default(), unwatched).await?;
    let (_, talk) = Agent::recorded(manifest, session).again().await?;
    Ok(talk.into_earlier())
}
