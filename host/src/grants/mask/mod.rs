//! Finds the values of secrets in whatever a tool, a service or a log says, and masks them.
//!
//! Owns [`Masker`] and its stream. `forms` says what is looked for, `reading` as what a text can be read, `search`
//! brings the two together. Its invariants: no spelling of a value that docs/SECURITY.md promises to find is passed on,
//! whole or in pieces; time is linear in the text; and no more of it is held back than a value can be long.

mod forms;
mod reading;
mod search;

use std::borrow::Cow;
use std::sync::Arc;

use crate::message::{Json, ToolOutcome};
use forms::Forms;
use search::Search;

/// Finds the values of secrets, as they are and in the encodings that services and tools put them in, and
/// puts `[secret NAME]` in their place.
#[derive(Clone, Default)]
pub struct Masker(Option<Arc<Forms>>);

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The forms are made of the values.
        f.debug_tuple("Masker").field(&self.0.as_ref().map(|forms| forms.len())).finish()
    }
}

impl Masker {
    /// Masks these secrets: name and value.
    pub fn new<'s>(secrets: impl Iterator<Item = (&'s str, &'s str)>) -> Self {
        Self::of(secrets.map(|(name, value)| (format!("[secret {name}]"), value)))
    }

    /// Masks one value with this in its place.
    #[must_use]
    pub fn labelled(label: &str, value: &str) -> Self {
        Self::of(std::iter::once((label.to_owned(), value)))
    }

    fn of<'s>(values: impl Iterator<Item = (String, &'s str)>) -> Self {
        let forms = Forms::new(values);
        Self((!forms.is_empty()).then(|| Arc::new(forms)))
    }

    /// Whether there is nothing to mask.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// The text without any secret in it.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(forms) = &self.0 else { return Cow::Borrowed(text) };
        let mut search = Search::default();
        search.go_on(forms, text.as_bytes(), 0, true);
        if !search.has_found() {
            return Cow::Borrowed(text);
        }
        search.end();
        let mut masked = Vec::with_capacity(text.len());
        search.pass(forms, text.as_bytes(), 0, &mut masked);
        // What is masked are whole characters, so that nothing is lost here.
        Cow::Owned(String::from_utf8_lossy(&masked).into_owned())
    }

    /// The value without any secret in it, whatever JSON escapes it is spelt with. It stays JSON: where that is not
    /// possible, because a number would have to be masked, all of it becomes a string.
    #[must_use]
    pub fn json(&self, json: Json) -> Json {
        match self.text(json.as_str()) {
            Cow::Borrowed(_) => json,
            Cow::Owned(masked) => {
                Json::parse(masked.clone()).unwrap_or_else(|_| Json::canonical(&masked.into()))
            }
        }
    }

    /// What a call came to, without any secret in it.
    #[must_use]
    pub fn outcome(&self, outcome: ToolOutcome) -> ToolOutcome {
        match outcome {
            ToolOutcome::Output(json) => ToolOutcome::Output(self.json(json)),
            ToolOutcome::Error(mut error) => {
                error.message = self.text(&error.message).into_owned();
                ToolOutcome::Error(error)
            }
        }
    }

    /// Masks bytes that come in pieces.
    #[must_use]
    pub fn stream(&self) -> MaskStream {
        MaskStream { masker: self.clone(), search: Search::default(), held: Vec::new(), base: 0 }
    }
}

/// Masks bytes that come in pieces: what could be the beginning of a secret is held back until it is clear.
pub struct MaskStream {
    masker: Masker,
    search: Search,
    /// What is not passed on yet.
    held: Vec<u8>,
    /// How much was passed on, or masked.
    base: u64,
}

impl std::fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is held may be the value.
        f.debug_struct("MaskStream").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl MaskStream {
    /// Takes the next piece and gives what can be passed on.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let Some(forms) = &self.masker.0 else { return piece.to_vec() };
        self.held.extend_from_slice(piece);
        self.search.go_on(forms, &self.held, self.base, false);
        self.pass()
    }

    /// Gives what was held back, when no more pieces come.
    pub fn finish(&mut self) -> Vec<u8> {
        let Some(forms) = &self.masker.0 else { return Vec::new() };
        self.search.go_on(forms, &self.held, self.base, true);
        self.search.end();
        self.pass()
    }

    fn pass(&mut self) -> Vec<u8> {
        let mut passed = Vec::new();
        if let Some(forms) = &self.masker.0 {
            let done = self.search.pass(forms, &self.held, self.base, &mut passed);
            self.held.drain(..done);
            self.base += done as u64;
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "gh\"p_12/34+5678";

    fn masker_of(value: &str) -> Masker {
        Masker::new([("T", value)].into_iter())
    }

    fn masker() -> Masker {
        masker_of(VALUE)
    }

    /// One of the ways in which an encoder writes a character.
    fn encoded(c: char, way: usize) -> String {
        let code = u32::from(c);
        let bytes = |form: fn(u8) -> String| c.to_string().bytes().map(form).collect::<String>();
        let units = |form: fn(u16) -> String| {
            c.encode_utf16(&mut [0; 2]).iter().map(|unit| form(*unit)).collect::<String>()
        };
        match way {
            1 => bytes(|byte| format!("%{byte:02X}")),
            2 => bytes(|byte| format!("%{byte:02x}")),
            3 if c == ' ' => "+".to_owned(),
            4 => units(|unit| format!("\\u{unit:04x}")),
            5 => units(|unit| format!("\\u{unit:04X}")),
            6 if c.is_ascii_punctuation() => format!("\\{c}"),
            7 => format!("&#{code};"),
            8 => format!("&#x{code:x};"),
            9 => format!("&#X{code:06X};"),
            10 => format!("\\u{{{code:x}}}"),
            11 => match c {
                '&' => "&amp;".to_owned(),
                '<' => "&lt;".to_owned(),
                '"' => "&quot;".to_owned(),
                '\'' => "&apos;".to_owned(),
                '/' => "&sol;".to_owned(),
                _ => c.to_string(),
            },
            _ => c.to_string(),
        }
    }

    /// A text in which every character is written in some way, by these numbers.
    fn mixture(text: &str, ways: &[usize]) -> String {
        let mut ways = ways.iter().cycle();
        text.chars().map(|c| encoded(c, *ways.next().unwrap())).collect()
    }

    fn masked_in_pieces(masker: &Masker, text: &[u8], cuts: &[usize]) -> String {
        let (mut stream, mut passed, mut rest) = (masker.stream(), Vec::new(), text);
        for cut in cuts {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            passed.extend(stream.push(piece));
            rest = after;
        }
        passed.extend(stream.push(rest));
        passed.extend(stream.finish());
        String::from_utf8(passed).unwrap()
    }

    /// Values with whatever means something to some encoding in them.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            "[!-~]{8,40}",
            "[a-zA-Z0-9_+/=.-]{8,40}",
            "[%&\\\\+/\"' ;#u0-9a-f]{8,24}",
            "[ -~äß€🚀]{8,30}",
            "(ab|%25|\\\\n|aa){4,12}",
        ]
        .prop_filter("it can be a secret", |value| value.len() >= 8)
    }

    #[test]
    fn every_form_is_masked() {
        for shift in 0..4 {
            let text = format!("{}{VALUE}:and more", "u".repeat(shift));
            let base64 = STANDARD.encode(&text);
            let lines = |line: usize, with: &str| {
                base64
                    .as_bytes()
                    .chunks(line)
                    .map(|it| str::from_utf8(it).unwrap())
                    .collect::<Vec<_>>()
                    .join(with)
            };
            for form in [
                text.clone(),
                URL_SAFE_NO_PAD.encode(&text),
                lines(4, "\r\n"),
                lines(7, "\n    "),
                lines(5, "\\r\\n"),
                base64.replace('/', "\\/").replace('+', "%2B"),
                base64,
                hex(&text),
                hex(&text).to_uppercase(),
            ] {
                assert!(masker().text(&form).contains("[secret T]"), "{form}");
            }
        }
        assert_eq!(masker().text("nothing"), "nothing");
        assert_eq!(Masker::default().text(VALUE), VALUE);
    }

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    #[test]
    fn what_encoders_leave_alone_or_change_does_not_matter() {
        let masker = masker_of("ghp_AbC123/x+y=z9 é");
        for form in [
            "ghp_AbC123%2Fx%2By%3Dz9%20%C3%A9",
            "ghp_AbC123/x+y=z9+%C3%A9",
            "%67%68%70%5f%41%62%43%31%32%33%2f%78%2b%79%3d%7a%39%20%c3%a9",
            "%2567%2568%2570%255F%2541%2562%2543%2531%2532%2533%252F%2578%252B%2579%253D%257A%2539%2520%25C3%25A9",
            "ghp_AbC123\\/x+y=z9 \\u00e9",
            "ghp_AbC123\\\\\\/x+y=z9 \\\\u00e9",
            "ghp_AbC123&#47;x&plus;y&equals;z9 &#233;",
            "ghp_AbC123\\u002fx\\u002By\\u003Dz9\\u0020\\u00E9",
        ] {
            assert_eq!(masker.text(&format!("<{form}>")), "<[secret T]>", "{form}");
        }
    }

    #[test]
    fn what_stands_before_it_changes_nothing() {
        for value in ["deadbeef00", "u0041bcdef", "#x41;abcdef", "n/a-secret", "x41secrets", "2Fdeadbeef"] {
            let masker = masker_of(value);
            for before in ["%", "%2", "\\", "\\\\", "\\u", "&", "&#", "%25", "\\u00"] {
                for way in 0..12 {
                    let text = format!("{before}{}", mixture(value, &[way]));
                    let shown = masker.text(&text);
                    assert!(shown.contains("[secret T]"), "{text} came out as {shown}");
                }
            }
        }
    }

    #[test]
    fn secrets_that_overlap_are_masked_together() {
        let masker = Masker::new([("A", "abcdefgh"), ("B", "abcdefghij"), ("C", "ghijklmnop")].into_iter());
        assert_eq!(masker.text("-abcdefgh-"), "-[secret A]-");
        assert_eq!(masker.text("-abcdefghij-"), "-[secret B]-");
        assert_eq!(masker.text("-abcdefghijklmnop-"), "-[secret B]-");
        assert_eq!(masker.text("abcdefghabcdefgh"), "[secret A][secret A]");
    }

    #[test]
    fn json_stays_json() {
        let mask = |text: &str| masker().json(Json::parse(text.to_owned()).unwrap()).as_str().to_owned();
        assert_eq!(mask(r#"{"a":"x gh\"p_12/34+5678"}"#), r#"{"a":"x [secret T]"}"#);
        assert_eq!(mask(r#"{"a":"\u0067h\"p_12\/34+5678"}"#), r#"{"a":"[secret T]"}"#);
        assert_eq!(mask(r#"{"gh\"p_12/34+5678":[1e300]}"#), r#"{"[secret T]":[1e300]}"#);
        let digits = masker_of("12345678");
        assert_eq!(digits.json(Json::parse("[12345678]".to_owned()).unwrap()).as_str(), r#""[[secret T]]""#);
        let deep = format!("{}\"gh\\\"p_12/34+5678\"{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(mask(&deep), deep.replace("gh\\\"p_12/34+5678", "[secret T]"));
    }

    /// Counted, not timed: the work for a text grows with its length, and not with what it is made of.
    #[test]
    fn no_text_takes_more_than_a_bounded_time_for_each_byte() {
        let values =
            ["a".repeat(200), "ab".repeat(4000), "%25".repeat(50), "\\\\".repeat(20), VALUE.to_owned()];
        for value in &values {
            let masker = masker_of(value);
            let forms = masker.0.as_ref().unwrap();
            for text in ["a", "ab", "%", "%25", "%2525", "\\", "\\u005c", "&amp;", "&#", "YWFh\n", "616"] {
                let steps = |times: usize| {
                    let (mut search, text) = (Search::default(), text.repeat(times));
                    search.go_on(forms, text.as_bytes(), 0, true);
                    search.steps / text.len() as u64
                };
                let (few, many) = (steps(1_000), steps(10_000));
                assert!(many <= few.max(100) * 2 && many < 3_000, "{value:.8} in {text}: {few}, then {many}");
            }
        }
    }

    #[test]
    fn no_more_is_held_back_than_a_value_can_be_long() {
        for value in ["a".repeat(100), VALUE.to_owned(), "%25".repeat(20)] {
            let masker = masker_of(&value);
            for text in ["a", "\n", "gh\"p_", "%25", "\\", "YWFh\n", "gh%22p_12 "] {
                let mut stream = masker.stream();
                for _ in 0..2_000 {
                    stream.push(text.as_bytes());
                    assert!(stream.held.len() < 64 * value.len(), "{}", stream.held.len());
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_mixture_of_encodings_is_masked(
            value in value(),
            ways in prop::collection::vec(0..12_usize, 1..40),
            again in prop::collection::vec(0..12_usize, 1..40),
            before in "[ -~]{0,8}",
            after in "[ -~]{0,8}",
        ) {
            let masker = masker_of(&value);
            let once = mixture(&value, &ways);
            let twice = mixture(&once, &again);
            for spelt in [once, twice] {
                let masked = masker.text(&format!("{before}{spelt}{after}")).into_owned();
                prop_assert!(masked.contains("[secret T]"), "{spelt} came out as {masked}");
                // What is left beside the label is no more than what stood there.
                prop_assert!(masked.len() <= before.len() + after.len() + "[secret T]".len() * 2, "{masked}");
            }
        }

        #[test]
        fn what_is_no_secret_stays_as_it_is(text in "[ -~\\n]{0,200}") {
            let masker = masker_of("ghp_AbC123/x+y=z9");
            prop_assert_eq!(masker.text(&text), &text[..]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn pieces_are_masked_like_the_whole(
            value in value(),
            ways in prop::collection::vec(0..12_usize, 1..40),
            parts in prop::collection::vec("[a-z\"%&\\\\u0-9]{0,6}", 1..6),
            cuts in prop::collection::vec(1..7_usize, 0..60),
        ) {
            let masker = masker_of(&value);
            let text = parts.join(&mixture(&value, &ways));
            let whole = masker.text(&text).into_owned();
            prop_assert_eq!(&masked_in_pieces(&masker, text.as_bytes(), &cuts), &whole);
            for cut in 0..text.len() {
                prop_assert_eq!(&masked_in_pieces(&masker, text.as_bytes(), &[cut]), &whole);
            }
        }
    }
}
