use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::runner::ToolRunner;
use crate::message::RunId;
use crate::session::{Room, Seat};

/// Room for calls of components: as many of one run as may go on in parallel, and whatever room their runner has.
pub(super) struct CallRoom<'a> {
    pub(super) parallel: Parallel<'a>,
    pub(super) runner: &'a dyn ToolRunner,
    pub(super) run: RunId,
    pub(super) depth: usize,
}

/// Room for as many calls of one run as may go on in parallel.
pub(super) struct Parallel<'a>(pub(super) Option<&'a Semaphore>);

impl Room for CallRoom<'_> {
    fn seat(&self) -> BoxFuture<'_, Seat<'_>> {
        Box::pin(async move {
            let parallel = self.parallel.seat().await;
            let runner = self.runner.seat(self.run, self.depth).await;
            Box::new((runner, parallel)) as Seat<'_>
        })
    }
}

impl Room for Parallel<'_> {
    fn seat(&self) -> BoxFuture<'_, Seat<'_>> {
        Box::pin(async move {
            let permit = match self.0 {
                // It is never closed, and without a permit the attempt would only be less bounded.
                Some(semaphore) => semaphore.acquire().await.ok(),
                None => None,
            };
            Box::new(permit) as Seat<'_>
        })
    }
}
