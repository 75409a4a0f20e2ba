use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use rig_core::error::ProviderError;
use rig_core::http_client::framing::{NdjsonFramer, SseFramer};
use rig_core::wire::WireFrame;

use super::http::{BODY_BYTES_MAX, Endpoint};
use crate::model::ModelError;

/// An answer as it comes, in the pieces that its wire format has.
pub(super) struct Frames {
    endpoint: Endpoint,
    response: Response,
    framer: Framer,
    bytes: usize,
    broken: Broken,
}

/// Why a stream broke, if it was the connection.
#[derive(Clone, Default)]
pub(super) struct Broken(Arc<Mutex<Option<ModelError>>>);

impl Broken {
    pub(super) fn take(&self) -> Option<ModelError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: ModelError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Cuts bytes into frames.
pub(super) enum Framer {
    Events(SseFramer),
    Lines(NdjsonFramer),
}

impl Framer {
    /// By what the server says it sends; none if that is no stream.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" => Some(Self::Events(SseFramer::new())),
            "application/x-ndjson" | "application/ndjson" => Some(Self::Lines(NdjsonFramer::new())),
            _ => None,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<WireFrame> {
        match self {
            Self::Events(framer) => {
                let events = framer.push(bytes).map(|event| event.data);
                events.filter(|data| !data.trim().is_empty()).map(WireFrame::Text).collect()
            }
            Self::Lines(framer) => framer.push(bytes).map(WireFrame::from_bytes).collect(),
        }
    }

    fn finish(&mut self) -> Vec<WireFrame> {
        match self {
            // An event that no empty line ends is not one.
            Self::Events(_) => Vec::new(),
            Self::Lines(framer) => framer.finish().map(WireFrame::from_bytes).into_iter().collect(),
        }
    }
}

impl Frames {
    pub(super) fn new(endpoint: Endpoint, response: Response, framer: Framer) -> Self {
        Self { endpoint, response, framer, bytes: 0, broken: Broken::default() }
    }

    /// Where it is told later why the connection broke.
    pub(super) fn broken(&self) -> Broken {
        self.broken.clone()
    }

    /// The frames; the last one is an error if the connection broke.
    pub(super) fn into_frames(self) -> impl Stream<Item = Result<WireFrame, ProviderError>> + Send + 'static {
        let pieces = futures::stream::unfold(Some(self), |state| async {
            let mut state = state?;
            let (frames, over) = state.next().await;
            Some((futures::stream::iter(frames), (!over).then_some(state)))
        });
        futures::StreamExt::flatten(pieces)
    }

    /// The next frames, and whether they are the last.
    async fn next(&mut self) -> (Vec<Result<WireFrame, ProviderError>>, bool) {
        let error = match tokio::time::timeout(self.endpoint.idle_timeout(), self.response.chunk()).await {
            Ok(Ok(Some(chunk))) if self.bytes + chunk.len() <= BODY_BYTES_MAX => {
                self.bytes += chunk.len();
                return (self.framer.push(&chunk).into_iter().map(Ok).collect(), false);
            }
            Ok(Ok(None)) => return (self.framer.finish().into_iter().map(Ok).collect(), true),
            Ok(Ok(Some(_))) => self.endpoint.too_long(),
            Ok(Err(error)) => self.endpoint.unreachable(error),
            Err(_) => self.endpoint.idle(),
        };
        self.broken.set(error);
        (vec![Err(ProviderError::Truncated)], true)
    }
}
