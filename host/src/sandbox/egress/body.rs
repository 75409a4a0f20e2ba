//! Bodies on their way in and out: bounded, counted, masked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::grants::{Limit, MaskStream};
use crate::sandbox::record::{CallRecord, RequestRecord};

/// How many bytes of a body may still pass.
pub(super) struct Cap {
    bytes_left: u64,
    bytes_max: u64,
    call: CallRecord,
}

impl Cap {
    pub(super) fn new(bytes_max: u64, call: CallRecord) -> Self {
        Self { bytes_left: bytes_max, bytes_max, call }
    }

    /// Lets so many bytes pass, or says how many are allowed.
    fn pass(&mut self, bytes: usize) -> Result<(), u64> {
        let Some(left) = self.bytes_left.checked_sub(bytes as u64) else {
            self.call.exceed(Limit::HttpBody);
            return Err(self.bytes_max);
        };
        self.bytes_left = left;
        Ok(())
    }
}

/// The body of a request, as it streams out of the guest.
///
/// Where nobody reads it any more, because the request failed, it is read all the same, up to what a body may have: a
/// guest whose stream closes while it writes learns of that, and not of why its request failed.
pub(super) struct Outgoing {
    body: Option<WasiBody>,
    cap: Cap,
    record: Arc<RequestRecord>,
}

impl Outgoing {
    pub(super) fn new(body: WasiBody, cap: Cap, record: Arc<RequestRecord>) -> Self {
        Self { body: Some(body), cap, record }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    if let Err(max) = self.cap.pass(data.len()) {
                        self.body = None;
                        return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(max)))));
                    }
                    let bytes = data.len() as u64;
                    self.record.update(|record| record.sent_bytes += bytes);
                }
            }
            Some(Err(_)) | None => self.body = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.as_ref().map_or_else(|| http_body::SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(discard(rest, self.cap.bytes_left));
        }
    }
}

/// Reads a body up to a bound. It ends with the call at the latest, which owns the other end.
async fn discard(mut body: WasiBody, mut bytes_left: u64) {
    while bytes_left > 0
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes_left = bytes_left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
    }
}

/// The body of a response, on its way to the guest.
pub(super) struct Incoming {
    body: Option<hyper::body::Incoming>,
    mask: MaskStream,
    cap: Cap,
    record: Arc<RequestRecord>,
    pause: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Incoming {
    pub(super) fn new(
        body: hyper::body::Incoming,
        mask: MaskStream,
        cap: Cap,
        record: Arc<RequestRecord>,
        pause_max: Option<Duration>,
    ) -> Self {
        let pause = pause_max.map(|max| (max, Box::pin(tokio::time::sleep(max))));
        Self { body: Some(body), mask, cap, record, pause }
    }

    fn failed(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.body = None;
        self.record.update(|record| record.error = Some(error.to_string()));
        Poll::Ready(Some(Err(error)))
    }

    /// What is left to pass on when the body has ended.
    fn rest(&mut self) -> Option<Result<Frame<Bytes>, Error>> {
        self.body = None;
        let rest = self.mask.finish();
        (!rest.is_empty()).then(|| Ok(Frame::data(Bytes::from(rest))))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let Poll::Ready(frame) = Pin::new(body).poll_frame(context) else {
                if let Some((_, pause)) = &mut self.pause {
                    ready!(pause.as_mut().poll(context));
                    return self.failed(Error::ConnectionReadTimeout);
                }
                return Poll::Pending;
            };
            if let Some((max, pause)) = &mut self.pause {
                pause.as_mut().reset(tokio::time::Instant::now() + *max);
            }
            let data = match frame.transpose() {
                Err(error) => return self.failed(error.into()),
                Ok(None) => return Poll::Ready(self.rest()),
                // What trailers say is not masked, so they are left out; few services have any.
                Ok(Some(frame)) => frame.into_data().unwrap_or_default(),
            };
            if let Err(max) = self.cap.pass(data.len()) {
                return self.failed(Error::HttpResponseBodySize(Some(max)));
            }
            self.record.update(|record| record.received_bytes += data.len() as u64);
            let passed = self.mask.push(&data);
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(passed)))));
            }
        }
    }
}
