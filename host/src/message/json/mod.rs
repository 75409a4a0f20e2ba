//! JSON as text, with the bytes it was written in.
//!
//! Owns what is taken for JSON, and the one way to write a value by which equal values are equal bytes. Numbers are
//! exact: no number goes through a float on its way from a model to a tool, or back. The work is linear, and a value
//! that is nested too deeply is refused before anything recurses into it.

mod number;
mod places;
mod reader;
mod tree;

pub(crate) use number::whole_number;
pub use places::{JsonPath, changed_at};
pub(crate) use reader::Reader;
pub use tree::{DEPTH_MAX, JsonError};

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use tree::{Tree, Zeros};

/// Stands before a number that is a text for a while: a noncharacter, which no text has that is for others to read.
const NUMBER: char = '\u{fdd2}';

/// One JSON value, kept as the text it was written in: bytes that were recorded are bytes that replay.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

/// A value as a parser of floats sees it.
#[derive(Debug)]
pub struct Floats {
    /// The value. What 64 bits do not hold is the nearest float in it.
    pub value: Value,
    /// The numbers that 64 bits do not hold, as they were written.
    pub inexact: Vec<Inexact>,
}

/// A number that 64 bits do not hold.
#[derive(Debug)]
pub struct Inexact {
    /// As it was written.
    pub text: String,
    /// Whether it is a whole number.
    pub is_whole: bool,
    /// The float nearest to it.
    pub nearest: f64,
}

impl Json {
    /// Takes text as it stands, if it is one well-formed JSON value, nested at most [`DEPTH_MAX`] deep, in which no
    /// object has a key twice.
    ///
    /// # Errors
    /// The position and reason at which the text stops being JSON.
    pub fn parse(text: String) -> Result<Self, JsonError> {
        let json = Self::verbatim(text)?;
        Tree::of(&json.0)?;
        Ok(json)
    }

    /// Takes text that this host wrote from a value of a bounded depth, in which no object has a key twice: of what
    /// [`Json::parse`] looks for, it can only have a key that is reserved.
    pub(crate) fn written(text: String) -> Result<Self, JsonError> {
        if text.contains(tree::RESERVED) { Self::parse(text) } else { Ok(Self::verbatim(text)?) }
    }

    /// Takes text as it stands, if it is one well-formed JSON value: for what is passed back as it came, to whom it
    /// came from.
    ///
    /// # Errors
    /// The position and reason at which the text stops being JSON.
    pub fn verbatim(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Takes text that [`Json::parse`] takes, in canonical form: sorted keys, no white space, each number in the one
    /// way there is to write it, with every digit. RFC 8785 would round integers beyond 2^53, and a tool would be
    /// called with the id of something else.
    ///
    /// # Errors
    /// The position and reason at which the text stops being JSON.
    pub fn parse_canonical(text: &str) -> Result<Self, JsonError> {
        Self::written_anew(text, Zeros::AsWritten)
    }

    /// The same as it was before zeros had signs: `-0.0` is `0`.
    pub(super) fn parse_with_plain_zeros(text: &str) -> Result<Self, JsonError> {
        Self::written_anew(text, Zeros::Plain)
    }

    fn written_anew(text: &str, zeros: Zeros) -> Result<Self, JsonError> {
        let tree = Tree::of(serde_json::from_str(text)?)?;
        let mut canonical = String::with_capacity(text.len());
        tree.write_canonical(zeros, &mut canonical);
        Ok(Self::verbatim(canonical)?)
    }

    /// Writes a value with sorted keys and without white space. Its numbers stay as the value has them, `5.0` as
    /// `5.0`: what is recorded of settings was written so from the beginning.
    #[must_use]
    pub fn canonical(value: &Value) -> Self {
        let mut value = value.clone();
        value.sort_all_objects();
        // What was written from a value is JSON again.
        Self::verbatim(value.to_string()).unwrap_or_else(|_| Self(RawValue::NULL.to_owned()))
    }

    /// `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self::canonical(&Value::Object(serde_json::Map::new()))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// What goes through the text, in which every number has all of its digits.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::of(&self.0)
    }

    /// The value the text stands for. What 64 bits do not hold of a number is lost, and a value that [`Json::parse`]
    /// does not take is its text: earlier versions recorded some. What decides on a value uses [`Json::to_floats`].
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::from_str(self.as_str()).unwrap_or_else(|_| Value::String(self.as_str().to_owned()))
    }

    /// The value, and in what it differs from the text.
    ///
    /// # Errors
    /// It is not what [`Json::parse`] takes.
    pub fn to_floats(&self) -> Result<Floats, JsonError> {
        let inexact = tree::inexact(&Tree::of(&self.0)?).into_iter().map(|(text, is_whole)| {
            let nearest = text.parse().unwrap_or(f64::NAN);
            Inexact { text, is_whole, nearest }
        });
        let inexact = inexact.collect();
        Ok(Floats { value: serde_json::from_str(self.as_str())?, inexact })
    }

    /// The value changed, with sorted keys. Numbers that 64 bits do not hold are texts for who changes it, and numbers
    /// again after that.
    #[must_use]
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> Self {
        let marked = match Tree::of(&self.0) {
            // A text that looks like a number that is one for a while would become a number.
            Ok(tree) if !self.as_str().contains(NUMBER) => tree.with_numbers_as_texts(NUMBER),
            Ok(_) | Err(_) => None,
        };
        let Some(mut value) = marked.and_then(|text| serde_json::from_str(&text).ok()) else {
            let mut value = self.to_value();
            change(&mut value);
            return Self::canonical(&value);
        };
        change(&mut value);
        let text = Self::canonical(&value).as_str().replace(&format!("\"{NUMBER}"), &NUMBER.to_string());
        let numbers = text.split(NUMBER).enumerate().map(|(index, part)| {
            // What follows a mark is a number, and the quote that ended its text.
            if index == 0 { part.to_owned() } else { part.replacen('"', "", 1) }
        });
        Self::verbatim(numbers.collect()).unwrap_or_else(|_| Self::canonical(&value))
    }

    /// Whether a value made of 64-bit numbers is the same value.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        Tree::of(&self.0).is_ok_and(|tree| tree::inexact(&tree).is_empty())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        Json::parse_canonical(text).unwrap().as_str().to_owned()
    }

    #[test]
    fn equal_values_have_equal_text() {
        for text in
            [r#"{ "b": [1, {"d":2,"c":3}], "a": 1.5 }"#, r#"{"a":15e-1,"\u0062":[1.0,{"c":3,"d":2}]}"#]
        {
            assert_eq!(canonical(text), r#"{"a":1.5,"b":[1,{"c":3,"d":2}]}"#);
        }
        assert_eq!(
            canonical(r#" [ "\u0041\/\n" , true , null , [ ] , { } ] "#),
            r#"["A/\n",true,null,[],{}]"#
        );
    }

    #[test]
    fn numbers_keep_every_digit() {
        for text in [
            r#"{"id":9007199254740993}"#,
            r#"{"wei":1000000000000000000001}"#,
            "[1e-400]",
            "[0.1234567890123456789012345678901]",
        ] {
            assert_eq!(canonical(text), text);
            assert_eq!(Json::parse(text.to_owned()).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_others_would_read_differently_is_refused_with_its_place() {
        for (text, why) in [
            (r#"{"a":{"b/c":[0,{"x":1,"\u0078":2}]}}"#, r#"at /a/b~1c/1: an object has the key "x" twice"#),
            (r#"{"a":["ok \ud83d"]}"#, "at /a/0: "),
            (r#"{"\udc00":1}"#, "surrogate"),
            ("[1e99999999999999999999]", "at /0: the number 1e99999999999999999999 is beyond"),
            ("[-1e400]", "at /0: the number -1e400 is beyond"),
            (r#"{"a":{"$serde_json::private::RawValue":"\"x\""}}"#, "at /a: the key"),
            ("[1,]", "line 1 column 4"),
            ("[1] [2]", "trailing"),
            ("", "EOF"),
            ("NaN", "expected"),
        ] {
            let error = Json::parse(text.to_owned()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn depth_is_bounded_and_costs_no_more_than_length() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(Json::parse(nested(DEPTH_MAX)).is_ok());
            for depth in [DEPTH_MAX + 1, 200, 1_000_000] {
                let text = nested(depth);
                let error = Json::parse(text.clone()).unwrap_err().to_string();
                assert!(error.contains("nested more than 100 deep"), "{error}");
                // As earlier versions recorded it.
                let recorded = Json::verbatim(text.clone()).unwrap();
                assert!(recorded.to_floats().is_err());
                assert!(depth < 128 || recorded.to_value() == Value::String(text));
            }
        }
    }

    #[test]
    fn what_64_bits_do_not_hold_is_named() {
        let json = Json::parse("[1, 1e-400, 18446744073709551616, 0.5]".to_owned()).unwrap();
        let Floats { value, inexact } = json.to_floats().unwrap();
        assert_eq!(value, serde_json::json!([1, 0.0, 18_446_744_073_709_551_616.0, 0.5]));
        let named: Vec<(&str, bool)> = inexact.iter().map(|it| (it.text.as_str(), it.is_whole)).collect();
        assert_eq!(named, [("1e-400", false), ("18446744073709551616", true)]);
        assert!(!json.is_exact());
    }

    #[test]
    fn a_change_changes_no_number() {
        let json =
            Json::parse("{\"b\":[1000000000000000000001,\"x\u{fdd3}\"],\"a\":0.1}".to_owned()).unwrap();
        let changed = json.changed(|value| {
            let b = value["b"].take();
            value["c"] = b;
            value.as_object_mut().unwrap().remove("b");
        });
        assert_eq!(changed.as_str(), "{\"a\":0.1,\"c\":[1000000000000000000001,\"x\u{fdd3}\"]}");
        let odd = Json::parse("[\"\u{fdd2}5\"]".to_owned()).unwrap();
        assert_eq!(odd.changed(|_| {}).to_value(), serde_json::json!(["\u{fdd2}5"]));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..12)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The value with each whole float as the integer it is, which is how it is written.
    fn whole(value: &Value) -> String {
        Json::parse_canonical(&value.to_string()).unwrap().as_str().to_owned()
    }

    proptest! {
        #[test]
        fn a_value_goes_through(value in value(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let json = Json::parse(text.clone()).unwrap();
            prop_assert_eq!(json.as_str(), text.trim());
            prop_assert_eq!(&json.to_floats().unwrap().value, &value);
            prop_assert!(json.is_exact());
            let canonical = Json::parse_canonical(&text).unwrap();
            prop_assert_eq!(whole(&serde_json::from_str(canonical.as_str()).unwrap()), canonical.as_str());
            prop_assert_eq!(whole(&value), canonical.as_str());
        }

        #[test]
        fn no_text_does_any_harm(text in "[\\[\\]{}:,\"\\\\0-9eE.+\\-tfnu \n]{0,40}") {
            let taken = Json::parse(text.clone());
            let value = serde_json::from_str::<Value>(&text);
            prop_assert!(taken.is_err() || value.is_ok(), "what is taken is what others read");
        }
    }
}
