//! What a person types at the terminal, key by key, while what goes on is drawn above it.
//!
//! The terminal itself would print each key where the cursor is, in the middle of what is drawn. So it is asked not to
//! for as long as a question stands, and whoever draws the question draws what is typed, too. Invariants: the terminal is
//! as it was when the question is answered or taken back; and what was typed before the question stood answers nothing.

use std::io;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// More than this nobody types as an answer.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How soon the reader notices that nobody waits for keys any more.
const NOTICED_WITHIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// How many bytes are read at once: some of what is pasted.
const READ_BYTES: usize = 256;

/// How the terminal was before keys were taken, for as long as they are.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

struct Before {
    modes: Termios,
    /// What else has to be written to a terminal that was given to others meanwhile.
    also: &'static str,
}

/// Ends what an editor of lines asks of a terminal: marks around what is pasted.
const NO_MARKS_AROUND_PASTE: &str = "\u{1b}[?2004l";

/// Keys are taken as they are pressed until this is dropped.
struct Keys;

impl Keys {
    fn take() -> rustix::io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin)?;
        let mut by_key = before.clone();
        by_key.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        remember(Before { modes: before, also: "" });
        let keys = Self;
        // What was typed before is dropped: it was no answer to this question.
        tcsetattr(stdin, OptionalActions::Flush, &by_key)?;
        Ok(keys)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        give_back();
    }
}

/// Makes the terminal what it was before a question stood, if one does: also for who ends the process at once.
pub(super) fn give_back() {
    if let Some(before) = BEFORE.lock().take() {
        // A terminal that went away needs nothing.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &before.modes);
        let _ = rustix::io::write(rustix::stdio::stdout(), before.also.as_bytes());
    }
}

/// Remembers how the terminal is while an editor of lines takes keys, until this is dropped: for who ends the process
/// meanwhile.
pub(super) struct KeysElsewhere;

impl KeysElsewhere {
    pub(super) fn begin() -> rustix::io::Result<Self> {
        remember(Before { modes: tcgetattr(rustix::stdio::stdin())?, also: NO_MARKS_AROUND_PASTE });
        Ok(Self)
    }
}

impl Drop for KeysElsewhere {
    fn drop(&mut self) {
        // The editor has put the terminal back by itself.
        BEFORE.lock().take();
    }
}

fn remember(before: Before) {
    *BEFORE.lock() = Some(before);
}

/// The line that is typed; none if the terminal is at its end, or went away. `shown` is given the line once keys are
/// taken, and after each of them.
/// Dropping the future takes the question back.
pub(super) async fn line(shown: impl Fn(&str)) -> Option<String> {
    let _keys = Keys::take().ok()?;
    let (send, mut typed) = mpsc::channel(16);
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || read(&send)).ok()?;
    shown("");
    let mut line = Line::default();
    while let Some(bytes) = typed.recv().await {
        for byte in bytes {
            match line.press(byte) {
                Pressed::Key => {}
                Pressed::Enter => return Some(line.text),
                Pressed::End => return None,
            }
        }
        shown(&line.text);
    }
    None
}

/// Passes on what is typed until nobody waits for it.
fn read(send: &mpsc::Sender<Vec<u8>>) {
    let stdin = rustix::stdio::stdin();
    while !send.is_closed() {
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut ready, Some(&NOTICED_WITHIN)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        // What comes now is for whoever asks next.
        if send.is_closed() {
            return;
        }
        let mut bytes = [0; READ_BYTES];
        match rustix::io::read(stdin, &mut bytes).map_err(io::Error::from) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if send.blocking_send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        }
    }
}

/// A line as it is being typed.
#[derive(Debug, Default)]
struct Line {
    text: String,
    /// The bytes of a character that is not whole yet.
    part: Vec<u8>,
    escape: Escape,
}

/// How far a key has come that sends more than a character, such as an arrow: those do nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    Outside,
    Begun,
    Inside,
}

/// What a byte was the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressed {
    Key,
    Enter,
    End,
}

const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const ESCAPE: u8 = 0x1b;

impl Line {
    fn press(&mut self, byte: u8) -> Pressed {
        match (self.escape, byte) {
            (Escape::Begun, b'[' | b'O') => self.escape = Escape::Inside,
            (Escape::Begun, _) | (Escape::Inside, 0x40..=0x7e) => self.escape = Escape::Outside,
            (Escape::Inside, _) => {}
            (Escape::Outside, ESCAPE) => self.escape = Escape::Begun,
            (Escape::Outside, b'\r' | b'\n') => return Pressed::Enter,
            (Escape::Outside, CTRL_D) if self.text.is_empty() => return Pressed::End,
            (Escape::Outside, 0x08 | 0x7f) => {
                self.text.pop();
            }
            (Escape::Outside, CTRL_U) => self.text.clear(),
            (Escape::Outside, CTRL_W) => {
                let kept = self.text.trim_end().trim_end_matches(|c: char| !c.is_whitespace());
                self.text.truncate(kept.len());
            }
            (Escape::Outside, b'\t') => self.push(b' '),
            (Escape::Outside, byte) if byte.is_ascii_control() => {}
            (Escape::Outside, byte) => self.push(byte),
        }
        Pressed::Key
    }

    fn push(&mut self, byte: u8) {
        self.part.push(byte);
        match std::str::from_utf8(&self.part) {
            Ok(whole) => {
                if self.text.len() + whole.len() <= LINE_BYTES_MAX {
                    self.text.push_str(whole);
                }
                self.part.clear();
            }
            // The rest of it is still to come.
            Err(error) if error.error_len().is_none() => {}
            Err(_) => self.part.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(keys: &[u8]) -> (String, Pressed) {
        let mut line = Line::default();
        let ended = keys.iter().map(|byte| line.press(*byte)).find(|pressed| *pressed != Pressed::Key);
        (line.text, ended.unwrap_or(Pressed::Key))
    }

    #[test]
    fn keys_make_a_line() {
        for (keys, text) in [
            (&b"yes"[..], "yes"),
            (b"yex\x7fs", "yes"),
            ("grün\x7f\x7fen漢".as_bytes(), "gren漢"),
            (b"\x7f\x7fa", "a"),
            (b"one two \x17three", "one three"),
            (b"one\x17\x17two", "two"),
            (b"gone\x15kept", "kept"),
            (b"a\x1b[Db\x1b[3~c\x1bOAd\x1bxe", "abcde"),
            (b"a\x00\x07b\tc", "ab c"),
            (b"a\xffb", "ab"),
        ] {
            assert_eq!(typed(keys), (text.to_owned(), Pressed::Key), "{keys:?}");
        }
        assert_eq!(typed(b"n\rrest"), ("n".to_owned(), Pressed::Enter));
        assert_eq!(typed(b"\x04").1, Pressed::End);
        assert_eq!(typed(b"a\x04\n"), ("a".to_owned(), Pressed::Enter));
    }

    #[test]
    fn a_word_is_taken_back_up_to_a_space_of_any_kind() {
        assert_eq!(typed("two words\u{17}".as_bytes()).0, "two ");
        assert_eq!(typed("\u{a0}!\u{17}".as_bytes()).0, "\u{a0}");
    }

    proptest! {
        #[test]
        fn whatever_is_pressed_makes_a_bounded_line_without_control_characters(
            keys in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let (text, _) = typed(&keys);
            prop_assert!(text.len() <= keys.len() && !text.contains(|c: char| c.is_ascii_control()), "{text:?}");
        }

        #[test]
        fn what_is_typed_is_what_was_meant(text in "[ -~äé漢𝄞]{0,60}") {
            prop_assert_eq!(typed(text.as_bytes()).0, text);
        }
    }
}
