//! Following a run: what is recorded of it after some event, and then what comes, until the run has ended.
//!
//! Owns no state of the run. Who follows it is woken by the journal of this process, and by a clock for what other
//! processes record; each time the follower reads the journal, so that a slow one holds no more than one look. Invariant:
//! the numbers that one follower is told go up by one each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Engine;
use super::events::{RunEvent, Standing};
use super::live::Live;
use super::view::waiting;
use crate::blocking::blocking;
use crate::journal::{
    Entry, JournalError, JournalStore as _, News, RunState, Seq, Trail, broke_off, ending, statuses,
};
use crate::message::{Outcome, RunId};
use crate::session::{SessionError, Wants};

/// So many events are read at once: who is slow holds no more of them.
const EVENTS_AT_ONCE: usize = 256;

/// How often a run is looked at on which another process works: nobody there wakes who follows it here.
const LOOKS_APART: Duration = Duration::from_millis(200);

/// How often a run is looked at on which nobody works: another process may go on with it.
const LOOKS_APART_AT_REST: Duration = Duration::from_secs(1);

impl Engine {
    /// What happens to a run, from the event after `after` on: what is recorded, each event once and in the order of the
    /// numbers, and then what comes, until the run has ended. The end is the last event. While the run waits, or stands
    /// still, the stream waits, too, whoever goes on with the run. Between the numbered events it is told how the run
    /// stands, and, if this engine works on the run, what is not recorded; see [`RunEvent`].
    ///
    /// It has to be polled in a tokio runtime. An error is its last item.
    pub fn attach(
        &self,
        run: RunId,
        after: Seq,
    ) -> impl Stream<Item = Result<RunEvent, JournalError>> + Send + use<> {
        let follower = Follower::new(self.clone(), run, after);
        futures::stream::unfold(follower, async |mut follower| {
            follower.next().await.map(|item| (item, follower))
        })
    }
}

/// Who follows a run.
struct Follower {
    engine: Engine,
    run: RunId,
    /// The last event that was read.
    after: Seq,
    news: News,
    /// The work of this engine on the run, and what is told of it that is not recorded.
    live: Option<(Arc<Live>, broadcast::Receiver<Arc<RunEvent>>)>,
    /// What is to be told next.
    ready: VecDeque<RunEvent>,
    /// How the run stood when that was last told.
    standing: Option<Standing>,
    /// Where the trail of the run ended when it was last read.
    trail: Option<Trail>,
    next: Next,
}

/// What a follower does when everything is told that it has read.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// It reads.
    Look,
    /// It waits for more.
    Wait,
    /// It ends: so does the run.
    End,
}

/// What one look at the journal has shown.
struct Look {
    events: Vec<RunEvent>,
    found: Found,
}

/// What is behind the events of one look.
enum Found {
    /// Other events.
    More,
    /// Nothing yet. The run stands like this.
    Nothing(Standing, Option<Trail>),
    /// Nothing will be: the run has ended.
    End,
}

impl Follower {
    fn new(engine: Engine, run: RunId, after: Seq) -> Self {
        let news = engine.runs().news(run);
        let ready = VecDeque::new();
        Self { engine, run, after, news, live: None, ready, standing: None, trail: None, next: Next::Look }
    }

    async fn next(&mut self) -> Option<Result<RunEvent, JournalError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let done = match self.next {
                Next::Look => self.look().await,
                Next::Wait => self.wait().await,
                Next::End => return None,
            };
            if let Err(error) = done {
                self.next = Next::End;
                return Some(Err(error));
            }
        }
    }

    /// Reads what has come.
    async fn look(&mut self) -> Result<(), JournalError> {
        // Before it is read: what is recorded after that wakes the follower again.
        self.news.seen();
        self.join();
        self.hear();
        let (engine, run, after) = (self.engine.clone(), self.run, self.after);
        let live = self.live.as_ref().map(|(live, _)| Arc::clone(live));
        let Look { events, found } = blocking(move || look(&engine, run, after, live.as_deref())).await?;
        if let Some(last) = events.last().and_then(|event| event.seq) {
            self.after = last;
        }
        self.ready.extend(events);
        self.next = match found {
            Found::More => Next::Look,
            Found::End => Next::End,
            Found::Nothing(standing, trail) => {
                self.trail = trail;
                if self.standing.as_ref() != Some(&standing) {
                    self.standing = Some(standing.clone());
                    self.ready.push_back(RunEvent::stands(self.run, standing));
                }
                Next::Wait
            }
        };
        Ok(())
    }

    /// Listens to the work of this engine on the run, if there is any now.
    fn join(&mut self) {
        let live = self.engine.0.live.get(self.run).filter(|live| live.store().is_some());
        let is_joined = match (&self.live, &live) {
            (Some((joined, _)), Some(live)) => Arc::ptr_eq(joined, live),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_joined {
            self.live = live.map(|live| {
                let told = live.listen();
                (live, told)
            });
        }
    }

    /// Takes what was told meanwhile that is not recorded, so that it comes before what is recorded of it.
    fn hear(&mut self) {
        let Some((_, told)) = &mut self.live else { return };
        loop {
            match told.try_recv() {
                Ok(event) => self.ready.push_back((*event).clone()),
                Err(TryRecvError::Lagged(events)) => self.ready.push_back(RunEvent::missed(self.run, events)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Waits until there is something to read, or to tell.
    async fn wait(&mut self) -> Result<(), JournalError> {
        let Some((_, told)) = &mut self.live else { return self.wait_for_others().await };
        tokio::select! {
            biased;
            heard = told.recv() => match heard {
                Ok(event) => self.ready.push_back((*event).clone()),
                Err(RecvError::Lagged(events)) => self.ready.push_back(RunEvent::missed(self.run, events)),
                Err(RecvError::Closed) => self.next = Next::Look,
            },
            () = self.news.changed() => self.next = Next::Look,
        }
        Ok(())
    }

    /// The same for a run on which this engine does not work.
    async fn wait_for_others(&mut self) -> Result<(), JournalError> {
        let apart = match self.standing.as_ref().map(|standing| standing.state) {
            Some(RunState::Running) => LOOKS_APART,
            Some(
                RunState::Queued
                | RunState::Interrupted
                | RunState::Suspended
                | RunState::Failed
                | RunState::Answered
                | RunState::Refused
                | RunState::Limited
                | RunState::Unfit
                | RunState::Empty
                | RunState::Cancelled,
            )
            | None => LOOKS_APART_AT_REST,
        };
        tokio::select! {
            () = self.news.changed() => self.next = Next::Look,
            () = tokio::time::sleep(apart) => {
                let (engine, run) = (self.engine.clone(), self.run);
                let trail = blocking(move || engine.runs().trail(run)).await?;
                if trail.is_none() || trail != self.trail {
                    self.next = Next::Look;
                }
            }
        }
        Ok(())
    }
}

/// Reads what is recorded of a run after an event.
fn look(engine: &Engine, run: RunId, after: Seq, live: Option<&Live>) -> Result<Look, JournalError> {
    let runs = engine.runs();
    // The trail comes before the rest is read: who sees the same trail later has missed nothing.
    // A run that is about to be revived has ended until its file is gone.
    let (store, trail) = match live.and_then(Live::store).filter(|_| !runs.is_sealed(run)) {
        Some(store) => (Some(store), None),
        None => (None, runs.trail(run)?),
    };
    let entries = match &store {
        // What this reads is on disk. The files may show what is not, and may be taken back.
        Some(store) => store.read(run)?,
        None => runs.read(run)?,
    };
    let mut rest: Vec<&Entry> = entries.iter().filter(|entry| entry.seq > Some(after)).collect();
    rest.sort_by_key(|entry| entry.seq);
    let events = rest.iter().take(EVENTS_AT_ONCE).map(|entry| RunEvent::from((*entry).clone())).collect();
    let found = if rest.len() > EVENTS_AT_ONCE {
        Found::More
    } else if ending(&entries).is_some() {
        Found::End
    } else {
        let state = match store {
            Some(_) => RunState::Running,
            None => runs.summary(run)?.map_or(RunState::Interrupted, |summary| summary.state),
        };
        Found::Nothing(standing(state, entries)?, trail)
    };
    Ok(Look { events, found })
}

/// How a run stands that has not ended, by its state and what is recorded of it.
pub fn standing(state: RunState, entries: Vec<Entry>) -> Result<Standing, JournalError> {
    let damaged = |error: SessionError| match error {
        SessionError::Journal(error) => error,
        other => JournalError::Corrupt { place: "the run".to_owned(), reason: other.to_string() },
    };
    let reason = match state {
        RunState::Failed => {
            let slots = statuses(entries.iter().cloned());
            let slots = slots.map_err(|(slot, error)| damaged(SessionError::Order { slot, error }))?;
            broke_off(&slots).map(|(slot, failed)| match &failed.outcome {
                Outcome::NoReply(failure) => format!("{slot}: {}", failure.message),
                Outcome::Run(_) | Outcome::Model(_) | Outcome::Tool(_) | Outcome::Decision(_) => {
                    slot.to_string()
                }
            })
        }
        RunState::Queued
        | RunState::Running
        | RunState::Interrupted
        | RunState::Suspended
        | RunState::Answered
        | RunState::Refused
        | RunState::Limited
        | RunState::Unfit
        | RunState::Empty
        | RunState::Cancelled => None,
    };
    let mut waiting = waiting(entries).map_err(damaged)?;
    // Calls that go on are in doubt only if nobody works on the run.
    waiting.retain(|it| state != RunState::Running || it.wants != Wants::Settlement);
    Ok(Standing { state, waiting, reason })
}
