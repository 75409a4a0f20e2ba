use super::effect::Issued;
use super::{Attempt, Notice, Reach, Session, SessionError};
use crate::journal::{Ack, Durability, Entry, Event, Failed, Finished, JournalStore, Started, Ticket};
use crate::message::Slot;

/// Who records an effect.
pub(super) struct Recorder<'a> {
    pub(super) session: &'a Session,
    pub(super) store: &'a dyn JournalStore,
    pub(super) slot: &'a Slot,
    pub(super) ticket: Ticket,
}

impl Recorder<'_> {
    /// Records that an attempt begins.
    pub(super) async fn begin(
        &self,
        effect: &Issued,
        attempt: &Attempt,
        reach: Reach,
    ) -> Result<(), SessionError> {
        let Issued { slot, request, digest } = effect;
        let Attempt { number, at_ms, .. } = *attempt;
        let when = match reach {
            Reach::Pure => Durability::WithNext,
            Reach::Outside => Durability::Now,
        };
        let started = Started {
            attempt: number,
            at_ms,
            digest: *digest,
            request: request.clone(),
            kept: None,
            by: None,
        };
        let (_, ack) = self.append(Event::Started(started), when)?;
        if when == Durability::Now {
            ack.durable().await?;
        }
        // So a caller that polls once can tell what is recorded, and ready, from what takes a task.
        tokio::task::yield_now().await;
        (self.session.watch)(&Notice::Started { slot, attempt: number, request });
        Ok(())
    }

    /// An attempt goes on that began before.
    pub(super) async fn go_on(&self, effect: &Issued, attempt: &Attempt) {
        tokio::task::yield_now().await;
        let Issued { slot, request, .. } = effect;
        (self.session.watch)(&Notice::Started { slot, attempt: attempt.number, request });
    }

    /// Records that an attempt failed, and that another one is to follow.
    pub(super) async fn fail(&self, effect: &Issued, failed: Failed) -> Result<Failed, SessionError> {
        self.session.cursor().release_below(self.slot);
        let (entry, ack) = self.append(Event::Failed(failed), Durability::Now)?;
        ack.durable().await?;
        let Event::Failed(failed) = entry.event else {
            return Err(SessionError::Taken { slot: self.slot.clone() });
        };
        (self.session.watch)(&Notice::Failed { slot: self.slot, request: &effect.request, failed: &failed });
        Ok(failed)
    }

    /// Records how the last attempt ended.
    pub(super) async fn end(&self, finished: Finished) -> Result<Finished, SessionError> {
        self.session.cursor().forget_below(self.slot);
        let (entry, ack) = self.append(Event::Finished(finished), Durability::Now)?;
        ack.durable().await?;
        match entry.event {
            Event::Finished(finished) => Ok(finished),
            Event::Started(_) | Event::Failed(_) => Err(SessionError::Taken { slot: self.slot.clone() }),
        }
    }

    /// Hands an event over. Below a call that goes on the cursor follows it, in the order of the journal, and an
    /// attempt whose caller was stopped can record nothing any more.
    fn append(&self, event: Event, when: Durability) -> Result<(Entry, Ack), SessionError> {
        let Self { session, store, slot, ticket } = *self;
        let entry = Entry::new(session.facts.run, slot.clone(), event);
        let mut cursor = session.cursor();
        if !cursor.follows(slot) {
            drop(cursor);
            let ack = store.append(&entry, when);
            return Ok((entry, ack));
        }
        if !cursor.follow(slot, ticket, &entry.event) {
            return Err(SessionError::Stopped { slot: slot.clone() });
        }
        let ack = store.append(&entry, when);
        Ok((entry, ack))
    }
}
