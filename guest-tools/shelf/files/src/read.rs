//! Lines of a file. A file is read as a stream, so that its size matters only for the time that it takes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tool_sdk::ToolError;

use crate::place::{Granted, failed};

/// How far a file is read to find a line.
const SCANNED_BYTES_MAX: u64 = 256 << 20;

/// What is given of one line; nobody reads more of it.
pub(crate) const LINE_BYTES_MAX: usize = 8 * 1024;

/// What is given at once.
const TEXT_BYTES_MAX: usize = 128 * 1024;

/// What is looked at to tell a binary file.
const LOOKED_AT_BYTES: usize = 8 * 1024;

/// Which lines to read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// The file.
    pub(crate) path: String,
    /// The first line, counted from 1.
    #[serde(default = "first")]
    #[schemars(range(min = 1))]
    pub(crate) first_line: u64,
    /// How many lines at most.
    #[serde(default = "lines")]
    #[schemars(range(min = 1, max = 5000))]
    pub(crate) lines: u64,
}

fn first() -> u64 {
    1
}

fn lines() -> u64 {
    500
}

/// Lines of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Text {
    pub(crate) text: String,
    /// How many lines the text has.
    pub(crate) lines: u64,
    /// Where to go on reading; absent at the end of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_line: Option<u64>,
    /// Lines that were too long, of which only the first 8 KiB are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cut_lines: Vec<u64>,
}

/// Opens a text file, and refuses a binary one: in its beginning there is a byte 0.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>, ToolError> {
    let failed = |error| failed("read", path, &error);
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(ToolError::invalid_input(format!("{} is a directory; list it", path.display())));
    }
    let mut file = BufReader::with_capacity(LOOKED_AT_BYTES, File::open(path).map_err(failed)?);
    if file.fill_buf().map_err(failed)?.contains(&0) {
        return Err(ToolError::failed(format!("{} is a binary file, not a text", path.display())));
    }
    Ok(file)
}

/// One line, without its end.
pub(crate) struct Line {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_cut: bool,
    /// Whether there is a line break behind it.
    pub(crate) is_ended: bool,
}

/// Reads the next line, and keeps so much of it that memory does not depend on the file. It is `None` at the end.
pub(crate) fn next_line(file: &mut impl BufRead) -> std::io::Result<Option<Line>> {
    let mut line = Line { bytes: Vec::new(), is_cut: false, is_ended: false };
    let mut is_empty = true;
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok((!is_empty).then_some(line));
        }
        is_empty = false;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
        let room = LINE_BYTES_MAX.saturating_sub(line.bytes.len());
        line.is_cut |= part.len() > room;
        line.bytes.extend(part.iter().take(room));
        let consumed = part.len() + usize::from(end.is_some());
        file.consume(consumed);
        if end.is_some() {
            line.is_ended = true;
            return Ok(Some(line));
        }
    }
}

pub(crate) fn read(granted: &Granted, read: &Read) -> Result<Text, ToolError> {
    let path = granted.place(&read.path)?;
    if read.first_line == 0 || read.lines == 0 || read.lines > 5000 {
        return Err(ToolError::invalid_input("lines count from 1, and at most 5000 are read at once"));
    }
    let mut file = open(&path)?.take(SCANNED_BYTES_MAX);
    let mut text = Text { text: String::new(), lines: 0, next_line: None, cut_lines: Vec::new() };
    let mut number = 0_u64;
    while let Some(line) = next_line(&mut file).map_err(|error| failed("read", &path, &error))? {
        number += 1;
        if number < read.first_line {
            continue;
        }
        if text.lines == read.lines || text.text.len() + line.bytes.len() > TEXT_BYTES_MAX {
            text.next_line = Some(number);
            return Ok(text);
        }
        text.text += &String::from_utf8_lossy(&line.bytes);
        if line.is_ended {
            text.text.push('\n');
        }
        if line.is_cut {
            text.cut_lines.push(number);
        }
        text.lines += 1;
    }
    if file.limit() == 0 {
        return Err(ToolError::failed(format!(
            "{} has more than {} MiB before line {}, and is not read further",
            path.display(),
            SCANNED_BYTES_MAX >> 20,
            read.first_line.saturating_add(text.lines),
        )));
    }
    if text.lines == 0 && read.first_line > 1 {
        return Err(ToolError::invalid_input(format!("{} has only {number} lines", path.display())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn read_of(bytes: &[u8], first_line: u64, lines: u64) -> Result<Text, ToolError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("it"), bytes).unwrap();
        read(&Granted::only(dir.path()), &Read { path: "it".to_owned(), first_line, lines })
    }

    #[test]
    fn any_window_of_any_file_is_its_lines() {
        for content in ["", "a", "a\n", "a\nb", "a\nb\n", "\n\n", "a\n\nb\nc\n", "ü\r\nö\r\n"] {
            let all: Vec<&str> = content.split_inclusive('\n').collect();
            for first in 1..=all.len() {
                for count in 1..=all.len() {
                    let text = read_of(content.as_bytes(), first as u64, count as u64).unwrap();
                    let wanted: Vec<&str> = all.iter().skip(first - 1).take(count).copied().collect();
                    assert_eq!(text.text, wanted.concat(), "{content:?} from {first}, {count} lines");
                    let more = first - 1 + count < all.len();
                    assert_eq!(text.next_line, more.then_some((first + count) as u64), "{content:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_line_is_cut_and_named_and_the_rest_is_read() {
        let content = format!("a\n{}\nz\n", "x".repeat(3 * LINE_BYTES_MAX));
        let text = read_of(content.as_bytes(), 1, 10).unwrap();
        assert_eq!((text.lines, &text.cut_lines[..]), (3, &[2][..]));
        assert!(text.text.ends_with("x\nz\n") && text.text.len() == LINE_BYTES_MAX + 5);
    }

    #[test]
    fn a_long_file_is_read_in_parts_that_make_the_whole() {
        let content: String = (0..20_000).map(|n| format!("line {n} of many\n")).collect();
        let (mut whole, mut first) = (String::new(), 1);
        loop {
            let text = read_of(content.as_bytes(), first, 5000).unwrap();
            assert!(text.text.len() <= TEXT_BYTES_MAX);
            whole += &text.text;
            let Some(next) = text.next_line else { break };
            first = next;
        }
        assert!(whole == content);
    }

    #[test]
    fn what_is_no_text_or_not_there_is_said() {
        let said = |result: Result<Text, ToolError>| result.unwrap_err().to_string();
        assert!(said(read_of(b"\x7fELF\0\0", 1, 1)).contains("binary"));
        assert!(said(read_of(b"a\n", 5, 1)).contains("only 1 lines"));
        assert!(said(read_of(b"a\n", 0, 1)).contains("count from 1"));
        let dir = tempfile::tempdir().unwrap();
        let granted = Granted::only(dir.path());
        let at = |path: &str| read(&granted, &Read { path: path.to_owned(), first_line: 1, lines: 1 });
        assert!(said(at("nothing")).contains("no such file"));
        assert!(said(at(".")).contains("directory"));
    }
}
