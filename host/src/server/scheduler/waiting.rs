//! Who waits for a run to stop.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Run, Scheduler};
use crate::message::RunId;

/// That somebody waits for a run to stop. When it is dropped, nothing is left of it.
pub(in super::super) struct Stop {
    scheduler: Arc<Scheduler>,
    run: RunId,
    told: oneshot::Receiver<Arc<Run>>,
}

impl Scheduler {
    /// Is told when a run stops.
    pub(in super::super) fn stop_of(self: &Arc<Self>, run: RunId) -> Stop {
        let (sender, told) = oneshot::channel();
        self.waiting.lock().entry(run).or_default().push(sender);
        Stop { scheduler: Arc::clone(self), run, told }
    }

    /// Tells everybody who waits for a run that it stopped.
    pub(super) fn tell_stop(&self, run: RunId, shown: &Arc<Run>) {
        for waiting in self.waiting.lock().remove(&run).into_iter().flatten() {
            // Whoever waited may have gone away.
            let _ = waiting.send(Arc::clone(shown));
        }
    }
}

impl Stop {
    /// Waits until the run stops; `None` if it does not go on, and nobody says how it stands.
    pub(in super::super) async fn stopped(&mut self) -> Option<Arc<Run>> {
        (&mut self.told).await.ok()
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.told.close();
        let mut waiting = self.scheduler.waiting.lock();
        let Some(of_run) = waiting.get_mut(&self.run) else { return };
        of_run.retain(|sender| !sender.is_closed());
        if of_run.is_empty() {
            waiting.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::path::Path;

    use super::super::super::agents::Agents;
    use super::super::super::metrics::Metrics;
    use super::super::super::settings::Settings;
    use super::super::super::webhooks::Webhooks;
    use super::*;
    use crate::engine::{Engine, Unwatched};
    use crate::toolbox::Compiler;

    /// Requests for runs that are refused, or that give up, come without end.
    #[tokio::test]
    async fn nothing_is_left_of_who_waits_no_more() {
        let cache = tempfile::tempdir().unwrap();
        let engine = Engine::in_memory(cache.path(), Compiler::new(Path::new("/none"))).build();
        let agents = Arc::new(Agents::load(&engine, Vec::new(), &Unwatched).await.unwrap());
        let metrics = Metrics::default();
        let webhooks = Webhooks::begin(&engine, cache.path(), Vec::new(), metrics.clone()).await.unwrap();
        let scheduler = Scheduler::new(&engine, &agents, Settings::default().bounds, metrics, webhooks);
        let run = RunId::new();
        let (one, other) = (scheduler.stop_of(run), scheduler.stop_of(run));
        drop(one);
        assert_eq!(scheduler.waiting.lock()[&run].len(), 1);
        drop(other);
        assert!(scheduler.waiting.lock().is_empty());
    }
}
