use std::sync::Arc;

use futures::Stream;
use parking_lot::Mutex;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use rig_core::error::ProviderError;
use rig_core::http_client::framing::{NdjsonFramer, SseFramer};
use rig_core::wire::WireFrame;
use tokio::time::{Instant, timeout_at};

use super::http::{BODY_BYTES_MAX, Endpoint, until};
use super::pieces::{All, Pieces};
use super::surrogates::Joined;
use crate::model::ModelError;

/// An answer as it comes, in the pieces that its wire format has.
pub(super) struct Frames {
    endpoint: Endpoint,
    response: Response,
    framer: Framer,
    /// The beginning of a line: the framer would search it again with each piece of it.
    begun: Vec<u8>,
    pieces: All,
    bytes: usize,
    /// When the first frame has to be there.
    begins_until: Instant,
    /// Until when the next one is waited for.
    idle_until: Instant,
    /// The last one, if any came.
    last: Option<String>,
    broken: Broken,
}

/// Why a stream broke, if it was the connection, or what came cannot be read.
#[derive(Clone, Default)]
pub(super) struct Broken(Arc<Mutex<Option<ModelError>>>);

impl Broken {
    pub(super) fn take(&self) -> Option<ModelError> {
        self.0.lock().take()
    }

    fn set(&self, error: ModelError) {
        *self.0.lock() = Some(error);
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

    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        match self {
            Self::Events(framer) => {
                framer.push(bytes).filter_map(|event| without_comments(event.data)).collect()
            }
            Self::Lines(framer) => framer.push(bytes).map(text).collect(),
        }
    }

    fn finish(&mut self) -> Vec<String> {
        match self {
            // An event that no empty line ends is not one.
            Self::Events(_) => Vec::new(),
            Self::Lines(framer) => framer.finish().map(text).into_iter().collect(),
        }
    }
}

/// What is not UTF-8 is shown as such, as everywhere.
fn text(line: Vec<u8>) -> String {
    String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The data of an event, if there is any. Some servers write the comments that keep a connection alive as data, alone or
/// among the lines of other data; no JSON has such a line but in an odd place.
fn without_comments(data: String) -> Option<String> {
    let is_comment = |line: &str| line.trim_start().starts_with(':');
    let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(&data).is_ok();
    if !data.lines().any(is_comment) || is_json() {
        return Some(data).filter(|data| !data.trim().is_empty());
    }
    let lines: Vec<&str> = data.lines().filter(|line| !is_comment(line)).collect();
    Some(lines.join("\n")).filter(|data| !data.trim().is_empty())
}

impl Frames {
    /// The frames of a response, which are gone through before they are read.
    pub(super) fn new(endpoint: Endpoint, response: Response, framer: Framer, begins_until: Instant) -> Self {
        let pieces = All::new(vec![Box::new(Joined::default())]);
        let idle_until = until(endpoint.idle_timeout());
        let (begun, bytes, last, broken) = (Vec::new(), 0, None, Broken::default());
        Self { endpoint, response, framer, begun, pieces, bytes, begins_until, idle_until, last, broken }
    }

    /// Has the frames gone through once more.
    pub(super) fn through(mut self, pieces: Option<Box<dyn Pieces>>) -> Self {
        self.pieces.extend(pieces);
        self
    }

    /// Where it is told later why the stream broke.
    pub(super) fn broken(&self) -> Broken {
        self.broken.clone()
    }

    /// The frames; the last one is an error if the stream broke.
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
        let wait_until = match self.last {
            Some(_) => self.idle_until,
            None => self.idle_until.min(self.begins_until),
        };
        let error = match timeout_at(wait_until, self.response.chunk()).await {
            Ok(Ok(Some(chunk))) if self.bytes + chunk.len() <= BODY_BYTES_MAX => {
                self.bytes += chunk.len();
                let frames = self.framed(&chunk);
                self.note(&frames);
                match self.pieces.push(frames) {
                    Ok(frames) => return (read(frames), false),
                    Err(reason) => self.endpoint.malformed(&reason),
                }
            }
            Ok(Ok(None)) => match self.ended() {
                Ok(frames) => return (read(frames), true),
                Err(reason) => self.endpoint.malformed(&reason),
            },
            Ok(Ok(Some(_))) => self.endpoint.too_long(),
            Ok(Err(error)) => self.endpoint.broken(error),
            Err(_) if wait_until < self.idle_until => self.endpoint.silent(),
            Err(_) => self.endpoint.idle(),
        };
        self.broken.set(error);
        (vec![Err(ProviderError::Truncated)], true)
    }

    /// Notes that the answer goes on, if it does: bytes that end no frame, comments, and a frame that says again what the
    /// one before it said, such as a sign of life, are no part of it.
    fn note(&mut self, frames: &[String]) {
        for frame in frames.iter().filter(|frame| !frame.trim().is_empty()) {
            if self.last.as_ref() != Some(frame) {
                self.last = Some(frame.clone());
                self.idle_until = until(self.endpoint.idle_timeout());
            }
        }
    }

    /// The frames that end with this piece.
    fn framed(&mut self, piece: &[u8]) -> Vec<String> {
        let Some(end) = memchr::memrchr2(b'\n', b'\r', piece) else {
            self.begun.extend_from_slice(piece);
            return Vec::new();
        };
        let (lines, rest) = piece.split_at(end + 1);
        self.begun.extend_from_slice(lines);
        let frames = self.framer.push(&self.begun);
        self.begun.clear();
        self.begun.extend_from_slice(rest);
        frames
    }

    fn ended(&mut self) -> Result<Vec<String>, String> {
        let mut last = self.framer.push(&self.begun);
        last.extend(self.framer.finish());
        let mut frames = self.pieces.push(last)?;
        frames.extend(self.pieces.finish()?);
        Ok(frames)
    }
}

fn read(frames: Vec<String>) -> Vec<Result<WireFrame, ProviderError>> {
    frames.into_iter().map(WireFrame::Text).map(Ok).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_one_wherever_a_server_writes_it() {
        for (data, expected) in [
            ("{\"a\":1}", Some("{\"a\":1}")),
            (": keep-alive", None),
            (":", None),
            (" \n", None),
            ("{\"a\":\n: ping\n1}", Some("{\"a\":\n1}")),
            ("{\"a\"\n:1}", Some("{\"a\"\n:1}")),
            ("[DONE]", Some("[DONE]")),
        ] {
            assert_eq!(without_comments(data.to_owned()).as_deref(), expected, "{data:?}");
        }
    }
}
