//! The events of a run of a server as one stream, however often the connection breaks.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _, try_unfold};

use super::client::Remote;
use super::events::{Events, Next};
use super::follow::attach;
use super::shown::Run;
use crate::engine::{EventKind, RunEvent};
use crate::message::{Request, RunId, Slot};

/// How far a stream has come.
struct Watched {
    remote: Remote,
    run: RunId,
    events: Option<Events>,
    /// The number of the last event.
    last: u64,
    has_ended: bool,
    /// Whether an event came since the connection was made.
    has_come: bool,
}

/// After a connection that brought nothing, the next one is made so much later.
const APART: Duration = Duration::from_secs(1);

/// The run of a name, and its events from the first one on, until it has ended.
pub(in super::super) async fn watched(
    remote: Remote,
    name: &str,
) -> anyhow::Result<(RunId, BoxStream<'static, anyhow::Result<RunEvent>>)> {
    let run = remote.get::<Run>(&["runs", name], &[]).await?.run;
    let watched = Watched { remote, run, events: None, last: 0, has_ended: false, has_come: true };
    let next = async |mut watched: Watched| Ok(watched.next().await?.map(|event| (event, watched)));
    Ok((run, try_unfold(watched, next).boxed()))
}

impl Watched {
    async fn next(&mut self) -> anyhow::Result<Option<RunEvent>> {
        loop {
            if self.events.is_none() {
                if !std::mem::take(&mut self.has_come) {
                    tokio::time::sleep(APART).await;
                }
                self.events = Some(attach(&self.remote, self.run, self.last).await?);
            }
            let Some(events) = &mut self.events else { continue };
            match events.next().await {
                Next::Event(event) => {
                    self.has_come = true;
                    self.take_in(&event);
                    return Ok(Some(*event));
                }
                Next::Over if self.has_ended => return Ok(None),
                Next::Over => self.events = None,
                Next::Strange(reason) => return Err(self.remote.strange(reason).into()),
            }
        }
    }

    fn take_in(&mut self, event: &RunEvent) {
        self.last = event.seq.map_or(self.last, |seq| seq.0);
        match &event.kind {
            EventKind::Finished(_) if event.slot == Slot::RUN => self.has_ended = true,
            // It was cancelled, and goes on all the same.
            EventKind::Started(started) if matches!(started.request, Request::Run(_)) => {
                self.has_ended = false;
            }
            _ => {}
        }
    }
}
