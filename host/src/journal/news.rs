//! Who waits in this process for more to be recorded of a run.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::message::RunId;

/// The runs for which somebody waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers(Arc<Mutex<HashMap<RunId, watch::Sender<()>>>>);

/// What says that there is news of a run: more of it is recorded, or it was given back. It says that again and again, and
/// not what the news is: who waits reads the journal.
#[derive(Debug)]
pub struct News {
    run: RunId,
    changes: watch::Receiver<()>,
    readers: Readers,
}

impl Readers {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, watch::Sender<()>>> {
        self.0.lock()
    }

    /// Wakes whoever waits for news of a run.
    pub(super) fn wake(&self, run: RunId) {
        if let Some(changes) = self.runs().get(&run) {
            changes.send_replace(());
        }
    }

    pub(super) fn news(&self, run: RunId) -> News {
        let changes = self.runs().entry(run).or_insert_with(|| watch::channel(()).0).subscribe();
        News { run, changes, readers: self.clone() }
    }
}

impl News {
    /// Notes that whatever there was to read is about to be read.
    pub(crate) fn seen(&mut self) {
        self.changes.mark_unchanged();
    }

    /// Waits until there is news since it was last noted that all is read.
    pub(crate) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender is there for as long as this is.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        let mut runs = self.readers.runs();
        if runs.get(&self.run).is_some_and(|changes| changes.receiver_count() <= 1) {
            runs.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn who_waits_is_woken_once_for_any_number_of_news_and_leaves_nothing_behind() {
        let (readers, run, other) = (Readers::default(), RunId::new(), RunId::new());
        let mut news = readers.news(run);
        let second = readers.news(run);
        readers.wake(other);
        assert!(news.changed().now_or_never().is_none());
        readers.wake(run);
        readers.wake(run);
        assert!(news.changed().now_or_never().is_some());
        assert!(news.changed().now_or_never().is_none());
        readers.wake(run);
        news.seen();
        assert!(news.changed().now_or_never().is_none());
        drop(news);
        assert_eq!(readers.runs().len(), 1);
        drop(second);
        assert!(readers.runs().is_empty());
    }
}
