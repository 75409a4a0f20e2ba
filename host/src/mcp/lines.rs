//! A bound on what is read of a client or a server: each message is a line, and whoever reads lines keeps all of one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// The longest message, in bytes: more than any input of a tool.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// Reads lines of at most [`LINE_BYTES_MAX`] bytes; a longer one is an error.
#[derive(Debug)]
pub struct BoundedLines<R> {
    from: R,
    /// What was read of the line that goes on.
    bytes: usize,
}

impl<R> BoundedLines<R> {
    /// The lines of a stream.
    #[must_use]
    pub fn of(from: R) -> Self {
        Self { from, bytes: 0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for BoundedLines<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let mut bytes = self.bytes;
        for part in read.split_inclusive(|byte| *byte == b'\n') {
            bytes += part.len();
            if bytes > LINE_BYTES_MAX {
                let why = format!("a message has more than {LINE_BYTES_MAX} bytes");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
            if part.ends_with(b"\n") {
                bytes = 0;
            }
        }
        self.bytes = bytes;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_their_number_is_not() {
        let line = vec![b'x'; LINE_BYTES_MAX / 2];
        let many = [&line[..], b"\n", &line, b"\n", &line, b"\n"].concat();
        let mut read = Vec::new();
        BoundedLines::of(&many[..]).read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), many.len());
        let long = [&line[..], &line, b"xx\n"].concat();
        let error = BoundedLines::of(&long[..]).read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
