//! A thread of its own for a check that may take long: the async threads go on meanwhile, and the stack is large.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, oneshot};

/// The stack of the thread. Only what is used of it is ever real memory. Between two looks at a value a validator goes
/// at most once through each part of a schema, of which there are a few thousand, with about a kilobyte for each.
const STACK_BYTES: usize = 64 << 20;

/// How much of it the looks at a value may use.
pub(super) const STACK_USED_MAX: usize = 16 << 20;

/// So many checks that take long go on at once in a process: each may take some 100 MiB.
static PLACES: Semaphore = Semaphore::const_new(2);

/// The work could not be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoThread;

/// Tells the work, when it is dropped, that nobody wants its result any more.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has work done on a thread of its own. Dropping the future sets what the work is given.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> Result<T, NoThread> {
    // It is never closed.
    let _place = PLACES.acquire().await.map_err(|_| NoThread)?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let _cancel = Cancel(Arc::clone(&cancelled));
    let (done, result) = oneshot::channel();
    let begun =
        std::thread::Builder::new().name("check".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            // Nobody waits any more where this fails.
            let _ = done.send(work(&cancelled));
        });
    begun.map_err(|_| NoThread)?;
    result.await.map_err(|_| NoThread)
}

/// Does work on a thread of its own, and waits for it.
pub(super) fn apart_now<T: Send>(work: impl FnOnce(&AtomicBool) -> T + Send) -> Result<T, NoThread> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("check".to_owned()).stack_size(STACK_BYTES);
        let work = move || work(&AtomicBool::new(false));
        thread.spawn_scoped(scope, work).map_err(|_| NoThread)?.join().map_err(|_| NoThread)
    })
}
