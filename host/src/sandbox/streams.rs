//! Where a guest writes to: its standard streams as wasmtime-wasi asks for them, over anything that takes bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::record::{CallRecord, LimitHit};
use crate::grants::Limit;

/// A guest is allowed to write this much at once; more comes in several writes.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// What takes the bytes that a guest writes. It never blocks.
pub(super) trait Sink: Clone + Send + Sync + Unpin + 'static {
    /// Takes them, or says which limit they go beyond.
    fn take(&self, bytes: &[u8]) -> Result<(), LimitHit>;
}

/// A stream that ends in a sink.
#[derive(Clone)]
pub(super) struct Into<S>(pub(super) S);

impl<S: Sink> IsTerminal for Into<S> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<S: Sink> StdoutStream for Into<S> {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl<S: Sink> Pollable for Into<S> {
    async fn ready(&mut self) {}
}

impl<S: Sink> OutputStream for Into<S> {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.0.take(&bytes).map_err(|hit| StreamError::Trap(hit.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl<S: Sink> AsyncWrite for Into<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.0.take(bytes).map(|()| bytes.len()).map_err(std::io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a program writes as its output: as much as an output may have.
#[derive(Clone)]
pub(super) struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    bytes_max: u64,
    record: CallRecord,
}

impl Captured {
    pub(super) fn new(bytes_max: u64, record: CallRecord) -> Self {
        Self { bytes: Arc::default(), bytes_max, record }
    }

    /// What was written so far.
    pub(super) fn take_all(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes.lock())
    }
}

impl Sink for Captured {
    fn take(&self, bytes: &[u8]) -> Result<(), LimitHit> {
        let mut written = self.bytes.lock();
        if (written.len() + bytes.len()) as u64 > self.bytes_max {
            return Err(self.record.exceed(Limit::Output));
        }
        written.extend_from_slice(bytes);
        Ok(())
    }
}
