//! Following a run: what is recorded of it after some event, and then what comes, until the run has ended.
//!
//! Owns no state of the run. Who follows it is woken by the journal of this process, and by a clock for what other
//! processes record; each time the follower reads what has come since, so that it reads an event once, however long the
//! run is. A slow one holds what one look has shown, and looks again when it has told all of it. Invariant: the numbers
//! that one follower is told go up by one each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Engine;
use super::events::{RunEvent, Standing};
use super::live::Live;
use super::standing::Open;
use crate::blocking::blocking;
use crate::journal::{Entry, JournalError, JournalStore as _, News, RunState, RunStore, Seq, Tail, Trail};
use crate::message::RunId;

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
    /// The last event that is not to be told.
    after: Seq,
    read: Read,
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
    /// Whether it has looked again, because there had to be more, and has seen nothing.
    looked_again: bool,
}

/// What a follower has read of a run.
#[derive(Debug, Default)]
struct Read {
    tail: Tail,
    /// The last event.
    last: Seq,
    open: Open,
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
    read: Read,
    events: Vec<RunEvent>,
    found: Found,
}

/// What is behind the events of one look.
enum Found {
    /// Other events: the run has ended by now, and had not when it was read.
    More,
    /// Nothing yet. The run stands like this.
    Nothing(Standing, Option<Trail>),
    /// Nothing will be: the run has ended.
    End,
}

impl Follower {
    fn new(engine: Engine, run: RunId, after: Seq) -> Self {
        let news = engine.runs().news(run);
        let (read, ready, next) = (Read::default(), VecDeque::new(), Next::Look);
        let (live, standing, trail) = (None, None, None);
        Self { engine, run, after, read, news, live, ready, standing, trail, next, looked_again: false }
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
        // Who goes away in the middle of this reads all of it again.
        let read = std::mem::take(&mut self.read);
        let look = move || read.on(&engine, run, after, live.as_deref());
        let Look { read, events, found } = blocking(look).await?;
        self.read = read;
        let is_new = !events.is_empty();
        self.ready.extend(events);
        self.next = match found {
            Found::More if is_new || !self.looked_again => Next::Look,
            Found::More => {
                // It stays so if something is wrong with the record. Whatever the trail says, it is looked at again later.
                self.trail = None;
                Next::Wait
            }
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
        self.looked_again = !is_new && matches!(self.next, Next::Look);
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

    /// Takes what was told until now that is not recorded. What was recorded by now is read after that, and comes behind it.
    /// What is told while it is read comes behind that, even if it is of an effect that has ended by then.
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

impl Read {
    /// Reads what has come, and says what of it is after an event.
    fn on(
        mut self,
        engine: &Engine,
        run: RunId,
        after: Seq,
        live: Option<&Live>,
    ) -> Result<Look, JournalError> {
        let runs = engine.runs();
        // The trail comes before the rest is read: who sees the same trail later has missed nothing.
        // A run that is about to be revived has ended until its file is gone.
        let (store, trail) = match live.and_then(Live::store).filter(|_| !runs.is_sealed(run)) {
            Some(store) => (Some(store), None),
            None => (None, runs.trail(run)?),
        };
        let mut events = Vec::new();
        for entry in self.new_entries(engine, run, store.as_deref())? {
            self.last = entry.seq.unwrap_or(self.last);
            self.open.take_in(&entry);
            if entry.seq > Some(after) {
                events.push(RunEvent::from(entry));
            }
        }
        let found = if self.open.has_ended() {
            Found::End
        } else {
            let state = match store {
                Some(_) => RunState::Running,
                None => runs.summary(run)?.map_or(RunState::Interrupted, |summary| summary.state),
            };
            if state.has_ended() { Found::More } else { Found::Nothing(self.open.standing(state), trail) }
        };
        Ok(Look { read: self, events, found })
    }

    /// The events after those that were read, in the order of the numbers.
    fn new_entries(
        &mut self,
        engine: &Engine,
        run: RunId,
        store: Option<&RunStore>,
    ) -> Result<Vec<Entry>, JournalError> {
        let last = self.last;
        let in_order = |mut entries: Vec<Entry>| {
            entries.retain(|entry| entry.seq > Some(last));
            entries.sort_by_key(|entry| entry.seq);
            entries
        };
        // What a store reads is on disk. The files may show what is not, and may be taken back.
        let new = in_order(match store {
            Some(store) => store.read_on(&mut self.tail)?,
            None => engine.runs().read_on(run, &mut self.tail)?,
        });
        let due = std::iter::successors(Some(last.next()), |seq| Some(seq.next()));
        if new.iter().zip(due).all(|(entry, due)| entry.seq == Some(due)) {
            return Ok(new);
        }
        // Two processes recorded them, and what one of them did was read before what the other one did.
        Ok(in_order(match store {
            Some(store) => store.read(run)?,
            None => engine.runs().read(run)?,
        }))
    }
}

#[cfg(test)]
mod tests;
