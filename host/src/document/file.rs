//! Reading a text file of bounded size.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use bytesize::ByteSize;

/// A file that cannot be had as text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Nothing is there.
    #[error("it does not exist")]
    Missing,
    /// A directory is there.
    #[error("it is a directory")]
    Directory,
    /// It is larger than a file of its kind can be.
    #[error("it is larger than {}", ByteSize(*.bytes_max))]
    TooLarge {
        /// What it may have.
        bytes_max: u64,
    },
    /// It has bytes that are not text.
    #[error("it is not UTF-8 text: byte {} is not part of a character", .valid_bytes + 1)]
    NotUtf8 {
        /// The text with a replacement character for whatever is none.
        lossy: String,
        /// How many bytes of it are as in the file.
        valid_bytes: usize,
    },
    /// Anything else that the system says.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::IsADirectory => Self::Directory,
            _ => Self::Io(error),
        }
    }
}

/// Reads a text of at most that many bytes. It counts what it reads, because what the system says beforehand
/// of a device or a growing file means nothing.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FileError::TooLarge { bytes_max });
    }
    String::from_utf8(bytes).map(without_mark).map_err(|error| FileError::NotUtf8 {
        valid_bytes: error.utf8_error().valid_up_to(),
        lossy: String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The text without the mark that some editors begin a file with: it says how the file is encoded, and belongs to no
/// text.
pub(crate) fn without_mark(mut text: String) -> String {
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn what_a_file_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(matches!(read_text(&path, 4), Err(FileError::Missing)));
        assert!(matches!(read_text(dir.path(), 4), Err(FileError::Directory)));
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "1234");
        assert!(matches!(read_text(&path, 3), Err(FileError::TooLarge { bytes_max: 3 })));
        std::fs::write(&path, "\u{feff}\u{feff}a").unwrap();
        assert_eq!(read_text(&path, 7).unwrap(), "\u{feff}a");
        std::fs::write(&path, b"a\xffb").unwrap();
        let error = read_text(&path, 4).unwrap_err();
        assert_eq!(error.to_string(), "it is not UTF-8 text: byte 2 is not part of a character");
        assert!(matches!(error, FileError::NotUtf8 { valid_bytes: 1, lossy } if lossy == "a\u{fffd}b"));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_end_is_too_large() {
        assert!(matches!(read_text(Path::new("/dev/zero"), 4), Err(FileError::TooLarge { .. })));
    }
}
