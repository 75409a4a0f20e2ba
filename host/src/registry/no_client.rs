use super::{FetchError, Fetched, Pin};

/// Stands for the client where there is no client.
#[derive(Debug, Default)]
pub(crate) struct Client(());

impl Client {
    /// Fails: this build fetches nothing.
    #[allow(clippy::unused_async, reason = "the client that it stands for waits")]
    pub(crate) async fn fetch_pinned(&self, pin: &Pin) -> Result<Fetched, FetchError> {
        Err(FetchError::NoClient { from: pin.source.to_string() })
    }
}
