//! Work that waits for a disk, or for the lock of another process, away from the threads that runs share.

/// Does something that blocks on a thread that may block. If nobody waits for it any more it is done all the same, and
/// what it came to is dropped: a run that was claimed is given back.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime goes down, and everything that waits in it.
            Err(_) => std::future::pending().await,
        },
    }
}
