//! A model request as it was sent. The journal does not repeat the conversation with every request; it is put together
//! again by going through the run up to there, or through the run of the agent that is called there.

use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::records::recorded_manifest;
use crate::agent::{Agent, RunError};
use crate::dispatch::{Dispatcher, NoRunner, agent_prompt};
use crate::journal::{Entry, Event, Failed, Finished, JournalError, MemoryStore, Started, given_up};
use crate::message::{Arguments, Manifest, ModelIdentity, Outcome, Reply, Request, Retry, RunId, Slot, Step};
use crate::model::{self, Model, ModelError, ModelRequest, Models, WhoseTurn};
use crate::session::{Decisions, Mode, Session, SessionError};

/// A model that writes requests down and sends none.
struct Writer {
    model: Arc<dyn Model>,
    settings: ModelIdentity,
    written: Mutex<Option<String>>,
}

impl Model for Writer {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move {
            let written = self.model.written(&request.with(&self.settings))?;
            *self.written.lock() = Some(written);
            Err(ModelError::Setup("the request was written down and not sent".to_owned()))
        })
    }

    fn reaches_outside(&self) -> bool {
        false
    }
}

/// Why a request cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SentError {
    /// No model was asked there.
    #[error("no model was asked at {0}")]
    NotAsked(Slot),
    /// There was no attempt of this number.
    #[error("there was no attempt {attempt} at {slot}; the last one is {last}")]
    NoAttempt {
        /// Where.
        slot: Slot,
        /// The number.
        attempt: u32,
        /// That of the last attempt there.
        last: u32,
    },
    /// The run ends before.
    #[error("the run ends before {0}")]
    Ends(Slot),
    /// What is recorded of the run cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run cannot be gone through as far as that.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run is not what is recorded.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The model cannot be set up.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The body of the request of an attempt at a slot, without the key: that of the last attempt there if none is named.
pub async fn sent(
    id: RunId,
    entries: &[Entry],
    slot: &Slot,
    attempt: Option<u32>,
) -> Result<String, SentError> {
    let manifest = recorded_manifest(id, entries)?.clone();
    let asking = agent_at(&manifest, entries, &slot.run());
    let asked = asking.as_ref().and_then(|asking| {
        let last = reply_before(slot, entries);
        let first = match slot.steps() {
            [.., Step::Summary { .. }] => asking.summary_asked_first(manifest.rules, last),
            [.., Step::Model { .. } | Step::Tool { .. } | Step::Call { .. } | Step::Approval] | [] => {
                asking.asked_first(manifest.rules, last)
            }
        };
        Asked::at(slot, entries, first, attempt)
    });
    let Some((asking, asked)) = asking.zip(asked) else { return Err(SentError::NotAsked(slot.clone())) };
    if let Some(attempt) = attempt.filter(|attempt| *attempt == 0 || *attempt > asked.last) {
        return Err(SentError::NoAttempt { slot: slot.clone(), attempt, last: asked.last });
    }
    let settings = asked.settings(slot, &asking).clone();
    let model = model::from_identity(&settings, asked.streamed())?;
    let writer = Arc::new(Writer { model, settings, written: Mutex::default() });
    // Without their ends, the run and the calls around the slot go on.
    let before = |entry: &Entry| {
        entry.slot < *slot && (entry.slot != Slot::RUN || matches!(entry.event, Event::Started(_)))
    };
    let before: Vec<Entry> = entries.iter().filter(|entry| before(entry)).cloned().collect();
    // What the host said there is recorded there; the attempt goes on as the first one.
    let asked = entries.iter().rev().find(|entry| entry.slot == *slot && started(entry).is_some());
    let before = before.into_iter().chain(asked.and_then(as_first)).collect();
    let unwatched = Box::new(|_: &crate::session::Notice<'_>| {});
    let mode = Mode::Live(Arc::new(MemoryStore::default()));
    let session = Session::open(id, mode, before, &manifest, Decisions::default(), unwatched).await?;
    let agent = Agent {
        dispatcher: Arc::new(Dispatcher::new(&asking, Arc::new(NoRunner), 1)),
        manifest: Arc::new(asking),
        session: Arc::new(session),
        models: Models::only(Arc::clone(&writer) as _, Retry::NEVER),
        slot: slot.run(),
    };
    let ended = agent.run(None).await;
    let written = writer.written.lock().take();
    match (written, ended) {
        (Some(written), _) => Ok(written),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) => Err(SentError::Ends(slot.clone())),
    }
}

fn started(entry: &Entry) -> Option<&Started> {
    match &entry.event {
        Event::Started(started) => Some(started),
        Event::Failed(_) | Event::Finished(_) => None,
    }
}

/// The beginning of an attempt, as that of the first one.
fn as_first(entry: &Entry) -> Option<Entry> {
    let started = Started { attempt: 1, ..started(entry)?.clone() };
    Some(Entry { event: Event::Started(started), ..entry.clone() })
}

/// What the model replied last in the same run before a slot.
fn reply_before<'a>(slot: &Slot, entries: &'a [Entry]) -> Option<&'a Reply> {
    let run = slot.run();
    let is_before = |entry: &&Entry| {
        entry.slot < *slot
            && matches!(entry.slot.steps().last(), Some(Step::Model { .. }))
            && entry.slot.run() == run
    };
    let replies = entries.iter().filter(is_before).filter_map(|entry| match &entry.event {
        Event::Finished(Finished { outcome: Outcome::Model(reply), .. }) => Some((&entry.slot, reply)),
        Event::Finished(_) | Event::Started(_) | Event::Failed(_) => None,
    });
    replies.max_by_key(|(slot, _)| *slot).map(|(_, reply)| reply)
}

/// An attempt in which a model was asked.
struct Asked<'a> {
    /// Which model was asked.
    turn: WhoseTurn,
    /// How the attempt ended; none of one that was cut off.
    ended: Option<&'a Outcome>,
    /// The number of the last attempt there.
    last: u32,
}

impl<'a> Asked<'a> {
    /// The attempt of this number at a slot, or the last one; none if no model was asked there. The model of this place
    /// was asked first.
    fn at(slot: &Slot, entries: &'a [Entry], first: usize, attempt: Option<u32>) -> Option<Self> {
        let events = || entries.iter().filter(|entry| entry.slot == *slot).map(|entry| &entry.event);
        let last = events().rev().find_map(|event| match event {
            Event::Started(Started { request: Request::Model(_), attempt, .. }) => Some(*attempt),
            Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
        })?;
        let wanted = attempt.unwrap_or(last);
        let before = events().filter_map(|event| match event {
            Event::Failed(failed) if failed.attempt < wanted => Some(failed),
            Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
        });
        let ended = events().find_map(|event| match event {
            Event::Failed(Failed { attempt, outcome, .. })
            | Event::Finished(Finished { attempt, outcome, .. })
                if *attempt == wanted =>
            {
                Some(outcome)
            }
            Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
        });
        let turn = WhoseTurn { first, given_up: given_up(before), failures: 0 };
        Some(Self { turn, ended, last })
    }

    /// The model that was asked, and its settings. One that replied is known by that, whatever models the run had
    /// when it went on.
    fn settings<'m>(&self, slot: &Slot, asking: &'m Manifest) -> &'m ModelIdentity {
        let models = match slot.steps() {
            [.., Step::Summary { .. }] => asking.summary_models(),
            [.., Step::Model { .. } | Step::Tool { .. } | Step::Call { .. } | Step::Approval] | [] => {
                asking.models()
            }
        };
        let origin = match self.ended {
            Some(Outcome::Model(reply)) => reply.origin.as_ref(),
            Some(_) | None => None,
        };
        let gave = |model: &&ModelIdentity| origin.is_none_or(|origin| model.gave(origin));
        let chosen = models.get(self.turn.among(models.len())).copied().filter(gave);
        chosen.or_else(|| models.iter().copied().find(gave)).unwrap_or(&asking.model)
    }

    /// Whether the answer was to be streamed; not known of an attempt that was cut off.
    fn streamed(&self) -> bool {
        match self.ended {
            Some(Outcome::Model(reply)) => reply.origin.as_ref().is_some_and(|origin| origin.streamed),
            Some(Outcome::NoReply(failure)) => failure.streamed,
            Some(_) | None => false,
        }
    }
}

/// The run of the agent that is called at a slot.
fn agent_at(manifest: &Manifest, entries: &[Entry], slot: &Slot) -> Option<Manifest> {
    if *slot == Slot::RUN {
        return Some(manifest.clone());
    }
    let caller = agent_at(manifest, entries, &slot.run())?;
    let ask =
        entries.iter().filter(|entry| entry.slot == *slot).rev().find_map(|entry| match &entry.event {
            Event::Started(Started { request: Request::Tool(ask), .. }) => Some(ask),
            Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
        })?;
    let Arguments::Json(input) = &ask.arguments else { return None };
    let agent = caller.tools.iter().find(|tool| tool.spec.name == ask.name)?.agent.as_deref()?;
    let (rules, words) = (manifest.rules, manifest.words.clone());
    Some(Manifest { prompt: agent_prompt(input).ok()?, rules, words, ..agent.clone() })
}
