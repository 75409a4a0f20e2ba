//! `host runs request`: a model request as it was sent. The journal does not repeat the conversation with every
//! request; it is put together again by going through the run up to there. Those of agents that the run's own agent
//! calls are not among them.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use super::exit::{Exit, Misuse};
use super::places::Places;
use super::{print, recorded};
use crate::agent::Agent;
use crate::dispatch::{Dispatcher, NoRunner};
use crate::journal::{Entry, Event, MemoryStore};
use crate::message::{Manifest, ModelIdentity, Outcome, Reply, Retry, Slot, Step};
use crate::model::{self, Model, ModelError, ModelRequest, Models};
use crate::session::{Decisions, Mode, Session};

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
            *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
            Err(ModelError::Setup("the request was written down and not sent".to_owned()))
        })
    }

    fn reaches_outside(&self) -> bool {
        false
    }
}

/// Prints the request of a turn, of the last one if none is named.
pub(super) async fn run(places: &Places, name: &str, turn: Option<u32>) -> anyhow::Result<Exit> {
    let (id, entries) = recorded::read(&places.runs()?, name)?;
    let manifest = recorded::manifest(id, &entries)?.clone();
    let asked = |entry: &Entry| match (entry.slot.steps(), &entry.event) {
        ([Step::Model { turn }], Event::Started(_)) => Some(*turn),
        _ => None,
    };
    let last = entries.iter().filter_map(asked).max();
    let Some(turn) = turn.or(last).filter(|turn| last.is_some_and(|last| *turn <= last)) else {
        let there = last.map_or("none".to_owned(), |last| format!("0 to {last}"));
        return Err(
            Misuse(format!("the run has no such model request; it has those of turns {there}")).into()
        );
    };
    let settings = replied(&manifest, &entries, turn);
    let before = |slot: &Slot| match slot.steps().first() {
        Some(Step::Summary { turn: at }) => *at <= turn,
        Some(Step::Model { turn: at } | Step::Tool { turn: at, .. }) => *at < turn,
        Some(Step::Call { .. } | Step::Approval) | None => true,
    };
    // Without its end, the run goes on.
    let goes_on = |entry: &Entry| entry.slot != Slot::RUN || matches!(entry.event, Event::Started(_));
    let entries = entries.into_iter().filter(|entry| before(&entry.slot) && goes_on(entry)).collect();
    let unwatched = Box::new(|_: &crate::session::Notice<'_>| {});
    let mode = Mode::Live(Arc::new(MemoryStore::default()));
    let session = Session::open(id, mode, entries, &manifest, Decisions::default(), unwatched).await?;
    let model = model::from_identity(&settings)?;
    let writer = Arc::new(Writer { model, settings, written: Mutex::default() });
    let agent = Agent {
        dispatcher: Arc::new(Dispatcher::new(&manifest, Arc::new(NoRunner), 1)),
        manifest: Arc::new(manifest),
        session: Arc::new(session),
        models: Models::only(Arc::clone(&writer) as _, Retry::NEVER),
        slot: Slot::RUN,
    };
    let ended = agent.run(None).await;
    let written = writer.written.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (written, ended) {
        (Some(written), _) => print(&written)?,
        (None, Err(error)) => return Err(error.into()),
        (None, Ok(_)) => return Err(Misuse(format!("the run ends before turn {turn}")).into()),
    }
    Ok(Exit::Ok)
}

/// The model that replied in a turn; the first choice if none did.
fn replied(manifest: &Manifest, entries: &[Entry], turn: u32) -> ModelIdentity {
    let origin = entries.iter().find_map(|entry| match &entry.event {
        Event::Finished(finished) if entry.slot == Slot::model(turn) => match &finished.outcome {
            Outcome::Model(reply) => reply.origin.as_ref(),
            Outcome::Run(_) | Outcome::NoReply(_) | Outcome::Tool(_) | Outcome::Decision(_) => None,
        },
        Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
    });
    let models = manifest.models();
    let replied = origin.and_then(|origin| models.iter().find(|model| model.gave(origin)));
    replied.map_or_else(|| manifest.model.clone(), |model| (*model).clone())
}
