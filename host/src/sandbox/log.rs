use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::record::LimitHit;
use super::streams::{Into, Sink};
use crate::message::{LogLine, clean};

/// A line longer than this is cut into several.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// What each line costs besides its text, so that endless empty lines meet the limit too.
const LINE_OVERHEAD_BYTES: usize = 32;

/// What a guest writes for the person during one call: log lines, stdout and stderr, within one bound.
/// Writing never fails and never blocks: what exceeds the bound is counted and dropped.
#[derive(Clone, Debug)]
pub(super) struct CallLog(Arc<Mutex<Buffer>>);

#[derive(Debug)]
struct Buffer {
    lines: Vec<LogLine>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    bytes_left: usize,
    bytes_dropped: usize,
    bytes_max: usize,
}

/// The two streams every process has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl CallLog {
    pub(super) fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let buffer = Buffer {
            lines: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            bytes_left: bytes_max,
            bytes_dropped: 0,
            bytes_max,
        };
        Self(Arc::new(Mutex::new(buffer)))
    }

    /// One line through the log import.
    pub(super) fn line(&self, from: &'static str, text: &str) {
        self.buffer().push(from, text.as_bytes());
    }

    /// A remark of the host's.
    pub(super) fn remark(&self, text: &str) {
        self.line("host", text);
    }

    /// A stream that ends up here.
    pub(super) fn stream(&self, stream: Stream) -> Into<LogStream> {
        Into(LogStream { log: self.clone(), stream })
    }

    /// The lines so far, a last one without its end among them.
    pub(super) fn so_far(&self) -> Vec<LogLine> {
        let mut buffer = self.buffer();
        buffer.end_lines();
        buffer.lines.clone()
    }

    /// Everything written, and a remark on what was dropped.
    pub(super) fn finish(&self) -> Vec<LogLine> {
        let mut buffer = self.buffer();
        buffer.end_lines();
        let mut lines = std::mem::take(&mut buffer.lines);
        if buffer.bytes_dropped > 0 {
            let (dropped, max) = (buffer.bytes_dropped, buffer.bytes_max);
            let text = format!(
                "{dropped} more bytes were dropped: the log of a call is limited to {max} bytes (limits.log)"
            );
            lines.push(LogLine { from: "host".to_owned(), text });
        }
        lines
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock()
    }
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl Buffer {
    fn partial(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Takes what stands without an end for a line.
    fn end_lines(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(self.partial(stream));
            if !rest.is_empty() {
                self.push(stream.name(), &rest);
            }
        }
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.bytes_left == 0 {
                self.bytes_dropped += piece.len();
                continue;
            }
            let partial = self.partial(stream);
            partial.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if piece.ends_with(b"\n") || partial.len() >= LINE_BYTES_MAX {
                let line = std::mem::take(partial);
                self.push(stream.name(), &line);
            }
        }
    }

    fn push(&mut self, from: &'static str, text: &[u8]) {
        for piece in text.chunks(LINE_BYTES_MAX).chain(text.is_empty().then_some(text)) {
            let cost = piece.len() + LINE_OVERHEAD_BYTES;
            if cost > self.bytes_left {
                self.bytes_left = 0;
                self.bytes_dropped += piece.len();
                continue;
            }
            self.bytes_left -= cost;
            self.lines.push(LogLine { from: from.to_owned(), text: printable(piece) });
        }
    }
}

/// Text without anything a terminal could take for a command.
fn printable(bytes: &[u8]) -> String {
    let plain = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let text: String = String::from_utf8_lossy(bytes).chars().map(plain).collect();
    clean(&text).into_owned()
}

/// stdout or stderr of a guest.
#[derive(Clone)]
pub(super) struct LogStream {
    log: CallLog,
    stream: Stream,
}

impl Sink for LogStream {
    fn take(&self, bytes: &[u8]) -> Result<(), LimitHit> {
        self.log.buffer().write(self.stream, bytes);
        Ok(())
    }
}
