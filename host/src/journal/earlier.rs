//! What was said before a run, as it is recorded: each run of a session holds what the run before it added.
//!
//! Whoever reads a run has all of it in its manifest, and so does its digest. What is kept leaves out the messages that
//! another run holds: [`Before`] says which run and how many. This module owns the way from one to the other. It reads
//! the beginnings of the runs that go on from each other, one after the other, and checks the digest of the whole. It
//! fails if a run is missing, if the runs go round in a circle, or if what they hold is not what was said.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use super::{Entry, Event, JournalError, Started, manifest};
use crate::message::{Before, Manifest, Message, Request, RunId, SessionKey};

/// What is kept with a run of what was said before it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) run: RunId,
    pub(super) session: Option<SessionKey>,
    pub(super) before: Option<Before>,
    /// All of it, or what came after the messages that another run holds.
    earlier: Vec<Message>,
}

impl Link {
    /// What the beginning of a run says, as it is kept; none if the run never began.
    pub(super) fn of(run: RunId, kept: &[Entry]) -> Option<Self> {
        let Manifest { session, before, earlier, .. } = manifest(kept)?.clone();
        Some(Self { run, session, before, earlier })
    }
}

/// An event as it is kept: without the messages that another run holds.
pub(super) fn kept(entry: &Entry) -> Cow<'_, Entry> {
    changed(entry, |manifest| {
        let held = manifest.before.as_ref().map_or(0, |before| before.messages as usize);
        if held <= manifest.earlier.len() {
            manifest.earlier.drain(..held);
        } else {
            manifest.before = None;
        }
    })
}

/// An event as it stands in a file that is to be carried elsewhere: with all that was said, and no word of other runs.
pub(super) fn alone(entry: &Entry) -> Cow<'_, Entry> {
    changed(entry, |manifest| manifest.before = None)
}

/// Whether an event says that another run holds what was said before.
pub(super) fn is_linked(entry: &Entry) -> bool {
    begun(&entry.event).is_some_and(|manifest| manifest.before.is_some())
}

fn changed(entry: &Entry, change: impl FnOnce(&mut Manifest)) -> Cow<'_, Entry> {
    let mut entry = Cow::Borrowed(entry);
    if is_linked(&entry)
        && let Some(manifest) = begun_mut(&mut entry.to_mut().event)
    {
        change(manifest);
    }
    entry
}

fn begun(event: &Event) -> Option<&Manifest> {
    match event {
        Event::Started(Started { request: Request::Run(manifest), .. }) => Some(manifest),
        Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
    }
}

fn begun_mut(event: &mut Event) -> Option<&mut Manifest> {
    match event {
        Event::Started(Started { request: Request::Run(manifest), .. }) => Some(manifest),
        Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
    }
}

/// Puts all that was said before a run into its events as they are kept. `link` gives the beginning of another run, and
/// none if it is not in `path`.
pub(super) fn resolve(
    run: RunId,
    entries: &mut [Entry],
    path: &Path,
    mut link: impl FnMut(RunId) -> Result<Option<Link>, JournalError>,
) -> Result<(), JournalError> {
    // A run that was resumed says the same once more.
    let mut chain: Option<Vec<Link>> = None;
    for entry in entries {
        let Some(manifest) = begun_mut(&mut entry.event) else { continue };
        let Some(before) = manifest.before.clone() else { continue };
        let links = match chain.take().filter(|links| links.last().is_some_and(|it| it.run == before.run)) {
            Some(links) => links,
            None => walk(run, before.run, path, &mut link)?,
        };
        let mut said = Vec::new();
        let is_enough = links.iter().all(|link| go_on(&mut said, link.before.as_ref(), &link.earlier))
            && go_on(&mut said, Some(&before), &manifest.earlier);
        if !is_enough || Before::digest_of(&said) != before.conversation {
            return Err(differs(run, &before, &links));
        }
        manifest.earlier = said;
        chain = Some(links);
    }
    Ok(())
}

/// The runs that go on from each other up to one, the first one first.
fn walk(
    run: RunId,
    before: RunId,
    path: &Path,
    link: &mut impl FnMut(RunId) -> Result<Option<Link>, JournalError>,
) -> Result<Vec<Link>, JournalError> {
    let mut seen = HashSet::from([run]);
    let mut links = Vec::new();
    let (mut after, mut next) = (run, Some(before));
    while let Some(before) = next {
        if !seen.insert(before) {
            return Err(JournalError::EarlierCircle { run, after, before });
        }
        let found = link(before)?;
        let found =
            found.ok_or_else(|| JournalError::EarlierGone { run, after, before, path: path.to_owned() })?;
        (after, next) = (before, found.before.as_ref().map(|before| before.run));
        links.push(found);
    }
    links.reverse();
    Ok(links)
}

/// From what was said before one run to what was said before the next one. Gives whether there was as much as it says.
fn go_on(said: &mut Vec<Message>, before: Option<&Before>, more: &[Message]) -> bool {
    let held = before.map_or(0, |before| before.messages as usize);
    let is_enough = held <= said.len();
    said.truncate(held);
    said.extend_from_slice(more);
    is_enough
}

/// The first run of a chain with which it is not as it was said.
fn differs(run: RunId, last: &Before, links: &[Link]) -> JournalError {
    let mut said = Vec::new();
    for link in links {
        let is_enough = go_on(&mut said, link.before.as_ref(), &link.earlier);
        if let Some(before) = &link.before
            && (!is_enough || Before::digest_of(&said) != before.conversation)
        {
            return JournalError::EarlierDiffers { run, after: link.run, before: before.run };
        }
    }
    JournalError::EarlierDiffers { run, after: run, before: last.run }
}

/// Puts into a run, as it is kept, what it needs of one from which it goes on, so that this one can go.
pub(super) fn fold(entries: &mut [Entry], gone: &Link) {
    for manifest in entries.iter_mut().filter_map(|entry| begun_mut(&mut entry.event)) {
        let Some(before) = manifest.before.take_if(|before| before.run == gone.run) else { continue };
        let needed = before.messages as usize;
        let held = gone.before.as_ref().map_or(0, |before| before.messages as usize).min(needed);
        let folded = gone.earlier.iter().take(needed - held).cloned();
        manifest.earlier.splice(0..0, folded);
        manifest.before = gone.before.as_ref().filter(|_| held > 0).map(|further| Before {
            run: further.run,
            messages: u32::try_from(held).unwrap_or(further.messages),
            conversation: before.conversation,
        });
    }
}
