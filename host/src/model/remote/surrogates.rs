//! Half characters. JSON writes a character beyond U+FFFF as two escapes, and servers cut text between the two: in the
//! middle of a stream, or at its end. What is whole again once it is put together is put together, and any other half
//! is U+FFFD, as it would be on a screen.
//!
//! No parser takes a half, so the text is mended before one reads it. A stream waits for the other half of a character
//! with all that comes meanwhile, so that nothing changes its place.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value;

use super::pieces::Pieces;
use crate::message::hexadecimal;

/// How long an escape is: `\ud83d`.
const ESCAPE_BYTES: usize = 6;
/// How many frames wait for the other half of a character at most: it comes with the next frame, or never.
const HELD_MAX: usize = 256;

/// Stands before the code of a first half at the end of a text, and of a second one at its beginning: noncharacters,
/// which no text has that is for other programs to read.
const FIRST: char = '\u{fdd0}';
const SECOND: char = '\u{fdd1}';

/// The members by which the pieces of one text are told from those of another.
const TOLD_BY: [&str; 4] = ["index", "output_index", "content_index", "item_id"];

/// A JSON text in which each half of a character is U+FFFD.
pub(in crate::model) fn mended(json: &str) -> Cow<'_, str> {
    let lone = lone(json);
    if lone.is_empty() { Cow::Borrowed(json) } else { Cow::Owned(replaced(json, &lone, |_, _| None)) }
}

/// Where in a JSON text an escape is half of a character, and which half.
fn lone(json: &str) -> Vec<(usize, u16)> {
    let (bytes, mut lone, mut at) = (json.as_bytes(), Vec::new(), 0);
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        at += next;
        match escape(bytes, at) {
            Some(0xd800..=0xdbff) if matches!(escape(bytes, at + ESCAPE_BYTES), Some(0xdc00..=0xdfff)) => {
                at += 2 * ESCAPE_BYTES;
            }
            Some(code @ 0xd800..=0xdfff) => {
                lone.push((at, code));
                at += ESCAPE_BYTES;
            }
            // The one after the backslash may be another one.
            Some(_) | None => at = (at + 2).min(bytes.len()),
        }
    }
    lone
}

/// The code of the escape at a place, if there is one.
fn escape(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + ESCAPE_BYTES)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |code: u16, digit| {
        Some(code << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?)
    })
}

/// A JSON text in which each half is what is said, or else U+FFFD.
fn replaced(json: &str, lone: &[(usize, u16)], by: impl Fn(Range<usize>, u16) -> Option<String>) -> String {
    let (mut text, mut from) = (String::with_capacity(json.len()), 0);
    for (at, code) in lone {
        text.push_str(&json[from..*at]);
        from = at + ESCAPE_BYTES;
        text.push_str(by(*at..from, *code).as_deref().unwrap_or("\\ufffd"));
    }
    text.push_str(&json[from..]);
    text
}

/// Puts the halves of characters together over the frames of a stream.
#[derive(Default)]
pub(super) struct Joined {
    /// The frames that wait, the first of which is that of this number.
    held: VecDeque<Held>,
    first: usize,
    /// The texts that end in half a character, each with the number of its frame.
    open: HashMap<String, usize>,
}

/// A frame that waits.
struct Held {
    frame: Frame,
    /// How many texts in it end in half a character.
    open: usize,
    kind: Option<String>,
}

/// A frame as it came, or one that is being mended.
enum Frame {
    AsItCame(String),
    Mended(Value),
}

impl Pieces for Joined {
    fn push(&mut self, frame: String) -> Result<Vec<String>, String> {
        let lone = lone(&frame);
        if lone.is_empty() && self.held.is_empty() {
            return Ok(vec![frame]);
        }
        let Ok(mut value) = serde_json::from_str::<Value>(&marked(&frame, &lone)) else {
            // It is no part of any text: the end, most likely.
            self.give_up();
            let mut frames = self.released();
            frames.push(mended(&frame).into_owned());
            return Ok(frames);
        };
        let kind = value["type"].as_str().map(str::to_owned);
        if self.held.back().is_some_and(|held| held.kind != kind && kind.as_deref() != Some("ping"))
            || self.held.len() >= HELD_MAX
        {
            self.give_up();
        }
        let number = self.first + self.held.len();
        let mut opened = Vec::new();
        each_text(&mut value, &mut String::new(), &mut |key, text| {
            self.go_on(key, text);
            if half(text, FIRST).is_some() {
                opened.push(key.to_owned());
            }
        });
        let open = opened.len();
        self.open.extend(opened.into_iter().map(|key| (key, number)));
        let frame = if lone.is_empty() { Frame::AsItCame(frame) } else { Frame::Mended(value) };
        self.held.push_back(Held { frame, open, kind });
        Ok(self.released())
    }

    fn finish(&mut self) -> Result<Vec<String>, String> {
        self.give_up();
        Ok(self.released())
    }
}

impl Joined {
    /// Takes the next piece of a text, which may begin with the second half of a character.
    fn go_on(&mut self, key: &str, text: &mut String) {
        let second = half(text, SECOND);
        if !text.is_empty()
            && let Some(number) = self.open.remove(key)
        {
            if second.is_some() {
                text.drain(..SECOND.len_utf8() + 4);
            }
            self.close(number, key, second);
        } else if second.is_some() {
            text.replace_range(..SECOND.len_utf8() + 4, "\u{fffd}");
        }
    }

    /// Completes the text of a held frame that ends in half a character.
    fn close(&mut self, number: usize, key: &str, second: Option<u16>) {
        let Some(held) = number.checked_sub(self.first).and_then(|at| self.held.get_mut(at)) else { return };
        held.open = held.open.saturating_sub(1);
        let Frame::Mended(value) = &mut held.frame else { return };
        each_text(value, &mut String::new(), &mut |at, text| {
            if let Some(first) = half(text, FIRST).filter(|_| at == key) {
                let whole = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
                text.truncate(text.len() - FIRST.len_utf8() - 4);
                text.push(whole.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        });
    }

    /// Waits for no other half any more.
    fn give_up(&mut self) {
        for (key, number) in std::mem::take(&mut self.open) {
            self.close(number, &key, None);
        }
    }

    /// The frames before the first one that still waits.
    fn released(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(held) = self.held.pop_front_if(|held| held.open == 0) {
            self.first += 1;
            frames.push(match held.frame {
                Frame::AsItCame(text) => text,
                Frame::Mended(value) => value.to_string(),
            });
        }
        frames
    }
}

/// A JSON text in which a half is marked that may have another one in another frame.
fn marked<'a>(json: &'a str, lone: &[(usize, u16)]) -> Cow<'a, str> {
    if lone.is_empty() {
        return Cow::Borrowed(json);
    }
    let bytes = json.as_bytes();
    Cow::Owned(replaced(json, lone, |at, code| {
        if code < 0xdc00 && bytes.get(at.end) == Some(&b'"') {
            Some(format!("{FIRST}{code:04x}"))
        } else {
            let begins = code >= 0xdc00 && at.start.checked_sub(1).map(|before| bytes[before]) == Some(b'"');
            begins.then(|| format!("{SECOND}{code:04x}"))
        }
    }))
}

/// The half of a character at the end of a text, or at its beginning.
fn half(text: &str, mark: char) -> Option<u16> {
    let digits = match mark {
        FIRST => text.get(text.len().checked_sub(FIRST.len_utf8() + 4)?..)?.strip_prefix(FIRST)?,
        _ => text.strip_prefix(mark)?.get(..4)?,
    };
    u16::try_from(hexadecimal(digits)?).ok()
}

/// Goes through the texts of a frame, each with what tells its pieces from those of another text.
fn each_text(value: &mut Value, key: &mut String, each: &mut dyn FnMut(&str, &mut String)) {
    let length = key.len();
    match value {
        Value::String(text) => each(key, text),
        Value::Array(list) => {
            for (place, item) in list.iter_mut().enumerate() {
                // An item that says which it is may come at any place.
                if item.get("index").is_none() {
                    key.push_str(&place.to_string());
                }
                key.push('/');
                each_text(item, key, each);
                key.truncate(length);
            }
        }
        Value::Object(members) => {
            for told_by in TOLD_BY {
                if let Some(told) = members.get(told_by).filter(|told| !told.is_null()) {
                    // Writing to a string cannot fail.
                    let _ = write!(key, "{told_by}={told}/");
                }
            }
            let object = key.len();
            for (name, member) in members.iter_mut().filter(|(name, _)| !TOLD_BY.contains(&name.as_str())) {
                key.push_str(name);
                key.push('/');
                each_text(member, key, each);
                key.truncate(object);
            }
            key.truncate(length);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_half_is_the_character_that_says_so() {
        for (json, expected) in [
            (r#""broken \ud83d emoji""#, "broken \u{fffd} emoji"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\u0041 \ud83d\\ude00""#, "\u{fffd}A \u{fffd}\\ude00"),
            (r#""\\ud83d \\\ud83d""#, "\\ud83d \\\u{fffd}"),
            (r#""\uD83D\uDE00 \uD83D""#, "😀 \u{fffd}"),
            (r#""\ud83""#, ""),
        ] {
            let text = serde_json::from_str::<String>(&mended(json)).unwrap_or_default();
            assert_eq!(text, expected, "{json}");
        }
        for whole in [r#""\ud83d\ude00 \\ud83d \n""#, "\"\\", "\\u", "é\\ud8", ""] {
            assert!(matches!(mended(whole), Cow::Borrowed(_)), "{whole}");
        }
    }

    /// All that comes of frames.
    fn joined(frames: &[String]) -> Vec<String> {
        let mut joined = Joined::default();
        let mut all: Vec<String> =
            frames.iter().flat_map(|frame| joined.push(frame.clone()).unwrap()).collect();
        all.extend(joined.finish().unwrap());
        all
    }

    fn delta(index: u32, text: &str) -> String {
        format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{index},"text":"{text}"}}]}}}}]}}"#)
    }

    fn text_of(frames: &[String], index: u32) -> String {
        let values = frames.iter().map(|frame| serde_json::from_str::<Value>(frame).unwrap());
        let calls = values.map(|value| value["choices"][0]["delta"]["tool_calls"][0].clone());
        calls
            .filter(|call| call["index"] == index)
            .map(|call| call["text"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_halves_of_one_text_meet_and_those_of_two_do_not() {
        let frames = [
            delta(0, r"a \ud83d"),
            delta(1, r"b \ud83c"),
            delta(0, ""),
            delta(0, r"\ude00 c"),
            delta(1, "d"),
        ];
        let all = joined(&frames);
        assert_eq!(all.len(), frames.len());
        assert_eq!((text_of(&all, 0).as_str(), text_of(&all, 1).as_str()), ("a 😀 c", "b \u{fffd}d"));
        assert_eq!(text_of(&joined(&[delta(0, r"a \ud83d")]), 0), "a \u{fffd}");
        assert_eq!(text_of(&joined(&[delta(0, r"\ude00 a")]), 0), "\u{fffd} a");
    }

    #[test]
    fn what_is_whole_stays_as_it_came_and_does_not_wait() {
        let mut all = Joined::default();
        let odd = r#"{ "a" : 1.0, "b":"\u00e9" }"#.to_owned();
        assert_eq!(all.push(odd.clone()).unwrap(), [odd.as_str()]);
        assert!(all.push(delta(0, r"\ud83d")).unwrap().is_empty());
        assert!(all.push(delta(1, "x")).unwrap().is_empty(), "what comes meanwhile keeps its place");
        assert_eq!(
            all.push("[DONE]".to_owned()).unwrap().len(),
            3,
            "but nothing waits for what will not come"
        );
        let stop = r#"{"type":"content_block_stop"}"#.to_owned();
        all.push(r#"{"type":"content_block_delta","delta":{"text":"\ud83d"}}"#.to_owned()).unwrap();
        assert_eq!(all.push(stop).unwrap().len(), 2);
    }

    proptest! {
        /// However a text is cut, it is what it was; and any half that stays alone is U+FFFD.
        #[test]
        fn a_text_that_is_cut_anywhere_is_put_together(
            units in prop::collection::vec(prop_oneof![0xd800..=0xdfff_u16, 0x61..=0x7a_u16, Just(0x5c_u16)], 0..24),
            cuts in prop::collection::vec(0..25_usize, 0..4),
            other in "[a-z]{0,3}",
        ) {
            let escaped = |units: &[u16]| {
                let escapes: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
                escapes.concat()
            };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(units.len())).chain([0, units.len()]).collect();
            cuts.sort_unstable();
            let mut frames = Vec::new();
            for cut in cuts.windows(2) {
                frames.push(delta(0, &escaped(&units[cut[0]..cut[1]])));
                frames.push(delta(1, &other));
            }
            let all = joined(&frames);
            prop_assert_eq!(text_of(&all, 0), String::from_utf16_lossy(&units));
            prop_assert_eq!(text_of(&all, 1), other.repeat(cuts.len() - 1));
        }

        #[test]
        fn any_text_is_mended_without_a_panic(text in "[\\\\ud8D3cCfF0\"é{}:,]{0,40}") {
            let all = joined(&[text.clone(), text.clone(), mended(&text).into_owned()]);
            prop_assert_eq!(all.len(), 3);
        }
    }
}
