//! The events of a run as a server sends them.

use reqwest::Response;
use rig_core::http_client::framing::SseFramer;

use crate::engine::RunEvent;

/// No event is larger: the largest has what one request to a model has.
const EVENT_BYTES_MAX: usize = 256 << 20;

/// The events of a run, as they come.
pub(super) struct Events {
    response: Response,
    framer: SseFramer,
    ready: std::collections::VecDeque<String>,
    /// So much came since the last event.
    bytes: usize,
}

/// What comes next.
pub(super) enum Next {
    /// An event.
    Event(Box<RunEvent>),
    /// The server has no more, or the connection broke.
    Over,
    /// What came is no event.
    Strange(String),
}

impl Events {
    pub(super) fn of(response: Response) -> Self {
        Self { response, framer: SseFramer::new(), ready: std::collections::VecDeque::new(), bytes: 0 }
    }

    /// The next event. It can be asked for again after it was waited for in vain.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some(data) = self.ready.pop_front() {
                self.bytes = 0;
                return match serde_json::from_str(&data) {
                    Ok(event) => Next::Event(Box::new(event)),
                    Err(error) => Next::Strange(format!("an event cannot be read: {error}")),
                };
            }
            match self.response.chunk().await {
                Ok(Some(piece)) => {
                    self.bytes += piece.len();
                    if self.bytes > EVENT_BYTES_MAX {
                        return Next::Strange(format!("an event has more than {EVENT_BYTES_MAX} bytes"));
                    }
                    let data = self.framer.push(&piece).map(|event| event.data);
                    self.ready.extend(data.filter(|data| !data.is_empty()));
                    if !self.ready.is_empty() {
                        self.bytes = 0;
                    }
                }
                Ok(None) | Err(_) => return Next::Over,
            }
        }
    }
}
