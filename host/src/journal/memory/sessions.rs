use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use crate::journal::{JournalError, OpenSession, SessionList, Sessions};
use crate::message::{RunId, SessionKey};

/// The sessions of an engine that keeps them in memory. No other process has them, so there is nobody to queue behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemorySessions(Arc<Mutex<BTreeMap<SessionKey, Vec<RunId>>>>);

/// The list of one session's runs.
#[derive(Debug)]
struct MemoryList {
    sessions: MemorySessions,
    key: SessionKey,
}

impl MemorySessions {
    fn lists(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Vec<RunId>>> {
        self.0.lock()
    }
}

impl Sessions for MemorySessions {
    fn keys(&self) -> Result<Vec<SessionKey>, JournalError> {
        Ok(self.lists().keys().cloned().collect())
    }

    fn runs(&self, key: &SessionKey) -> Result<Vec<RunId>, JournalError> {
        Ok(self.lists().get(key).cloned().unwrap_or_default())
    }

    fn turn<'a>(
        &'a self,
        key: &'a SessionKey,
        _queued: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, Result<OpenSession, JournalError>> {
        let list = MemoryList { sessions: self.clone(), key: key.clone() };
        let open = self.runs(key).map(|runs| OpenSession::new(Arc::new(list), runs));
        Box::pin(std::future::ready(open))
    }
}

impl SessionList for MemoryList {
    fn write(&self, runs: &[RunId]) -> Result<(), JournalError> {
        let mut lists = self.sessions.lists();
        if runs.is_empty() {
            lists.remove(&self.key);
        } else {
            lists.insert(self.key.clone(), runs.to_vec());
        }
        Ok(())
    }
}
