use std::borrow::Cow;
use std::fmt::Write as _;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::secret::json_escaped;
use crate::message::Json;

/// A shorter form of a value is too likely to be something else.
const FORM_BYTES_MIN: usize = 8;

/// Finds the values of secrets, as they are and in the encodings that services and tools put them in, and
/// puts `[secret NAME]` in their place.
#[derive(Clone, Default)]
pub struct Masker(Option<Forms>);

#[derive(Clone)]
struct Forms {
    search: AhoCorasick,
    /// For each form that is searched, what stands for it.
    labels: Vec<String>,
    longest: usize,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The automaton is made of the values.
        f.debug_tuple("Masker").field(&self.0.as_ref().map(|forms| forms.labels.len())).finish()
    }
}

impl Masker {
    /// Masks these secrets: name and value.
    pub fn new<'s>(secrets: impl Iterator<Item = (&'s str, &'s str)>) -> Self {
        let (mut patterns, mut labels) = (Vec::new(), Vec::new());
        for (name, value) in secrets {
            for form in forms(value) {
                patterns.push(form);
                labels.push(format!("[secret {name}]"));
            }
        }
        let Some(longest) = patterns.iter().map(String::len).max() else { return Self(None) };
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns);
        // It fails on more patterns than there can be in an agent.toml of 1 MiB.
        Self(search.ok().map(|search| Forms { search, labels, longest }))
    }

    /// Whether there is nothing to mask.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// The text without any secret in it.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &self.0 {
            Some(forms) if forms.search.is_match(text) => {
                Cow::Owned(forms.search.replace_all(text, &forms.labels))
            }
            Some(_) | None => Cow::Borrowed(text),
        }
    }

    /// The value without any secret in it, whatever JSON escapes it is spelt with. It stays JSON: where a
    /// number would have to be masked, all of it becomes a string.
    #[must_use]
    pub fn json(&self, json: Json) -> Json {
        if self.is_idle() {
            return json;
        }
        let masked = self.text(json.as_str());
        let spelt = json.as_str().contains("\\u").then(|| self.strings(&json)).flatten();
        match (masked, spelt) {
            (Cow::Borrowed(_), None) => json,
            (_, Some(json)) => json,
            (Cow::Owned(masked), None) => {
                Json::parse(masked.clone()).unwrap_or_else(|_| Json::canonical(&masked.into()))
            }
        }
    }

    /// Masks string by string; none if that changes nothing.
    fn strings(&self, json: &Json) -> Option<Json> {
        let value = json.to_value();
        let masked = self.walk(value.clone());
        (masked != value).then(|| Json::canonical(&masked))
    }

    fn walk(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.text(&text).into_owned()),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.walk(item)).collect()),
            Value::Object(entries) => {
                let masked = |(key, item): (String, Value)| (self.text(&key).into_owned(), self.walk(item));
                Value::Object(entries.into_iter().map(masked).collect())
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
        }
    }

    /// Masks bytes that come in pieces.
    #[must_use]
    pub fn stream(&self) -> MaskStream {
        MaskStream { masker: self.clone(), held: Vec::new() }
    }
}

/// Masks bytes that come in pieces: what could be the beginning of a secret is held back until it is clear.
#[derive(Debug)]
pub struct MaskStream {
    masker: Masker,
    held: Vec<u8>,
}

impl MaskStream {
    /// Takes the next piece and gives what can be passed on.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let Some(forms) = &self.masker.0 else { return std::mem::take(&mut self.held) };
        // A match that begins before this has all the bytes it could want.
        let clear = self.held.len().saturating_sub(forms.longest - 1);
        self.pass(clear)
    }

    /// Gives what was held back, when no more pieces come.
    pub fn finish(&mut self) -> Vec<u8> {
        self.pass(self.held.len())
    }

    fn pass(&mut self, clear: usize) -> Vec<u8> {
        let Some(forms) = &self.masker.0 else { return std::mem::take(&mut self.held) };
        let (mut passed, mut at) = (Vec::new(), 0);
        for found in forms.search.find_iter(&self.held).take_while(|found| found.start() < clear) {
            passed.extend_from_slice(self.held.get(at..found.start()).unwrap_or_default());
            passed.extend(
                forms.labels.get(found.pattern().as_usize()).map_or(&b""[..], |label| label.as_bytes()),
            );
            at = found.end();
        }
        let rest = at.max(clear).min(self.held.len());
        passed.extend_from_slice(self.held.get(at..rest).unwrap_or_default());
        self.held.drain(..rest);
        passed
    }
}

fn hex(value: &str) -> String {
    value.bytes().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A value as it is and as it can be expected to come back.
fn forms(value: &str) -> Vec<String> {
    let hex = hex(value);
    let percent = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
    let mut forms =
        vec![value.to_owned(), json_escaped(value), percent.to_lowercase(), percent, hex.to_uppercase(), hex];
    // In base64 a value looks different at each of the three places it can stand at; the characters that it
    // shares with its neighbours are left out.
    for shift in 0..3 {
        let shifted = [&[0; 2][..shift], value.as_bytes()].concat();
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let (start, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
            forms.extend(text.get(start..end).map(str::to_owned));
        }
    }
    // Which encodings happen to be alike depends on the value.
    forms.sort_unstable();
    forms.dedup();
    forms.retain(|form| form.len() >= FORM_BYTES_MIN);
    forms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "gh\"p_12/34+5678";

    fn masker() -> Masker {
        Masker::new([("T", VALUE)].into_iter())
    }

    #[test]
    fn every_form_is_masked() {
        for shift in 0..4 {
            let text = format!("{}{VALUE}:and more", "u".repeat(shift));
            for form in [
                text.clone(),
                json_escaped(&text),
                utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string(),
                STANDARD.encode(&text),
                URL_SAFE_NO_PAD.encode(&text),
                hex(&text).to_uppercase(),
            ] {
                assert!(masker().text(&form).contains("[secret T]"), "{form}");
            }
        }
        assert_eq!(masker().text("nothing"), "nothing");
        assert_eq!(Masker::default().text(VALUE), VALUE);
    }

    #[test]
    fn json_stays_json() {
        let mask = |text: &str| masker().json(Json::parse(text.to_owned()).unwrap()).as_str().to_owned();
        assert_eq!(mask(r#"{"a":"x gh\"p_12/34+5678"}"#), r#"{"a":"x [secret T]"}"#);
        assert_eq!(mask(r#"{"a":"\u0067h\"p_12\/34+5678"}"#), r#"{"a":"[secret T]"}"#);
        let digits = Masker::new([("N", "12345678")].into_iter());
        assert_eq!(digits.json(Json::parse("[12345678]".to_owned()).unwrap()).as_str(), r#""[[secret N]]""#);
    }

    proptest! {
        #[test]
        fn pieces_are_masked_like_the_whole(
            parts in prop::collection::vec(prop_oneof![Just(VALUE.to_owned()), "[a-z\"gh_]{0,6}"], 0..8),
            cuts in prop::collection::vec(1..7_usize, 0..60),
        ) {
            let text = parts.concat();
            let (mut stream, mut masked, mut rest) = (masker().stream(), Vec::new(), text.as_bytes());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                masked.extend(stream.push(piece));
                rest = after;
            }
            masked.extend(stream.push(rest));
            masked.extend(stream.finish());
            prop_assert_eq!(String::from_utf8(masked).unwrap(), masker().text(&text).into_owned());
        }
    }
}
