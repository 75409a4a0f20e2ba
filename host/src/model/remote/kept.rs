//! The arguments of calls, as they were written.
//!
//! The wire formats read arguments into floats, and mend those that are broken at a cost that grows with the square of
//! their depth. So they are never shown any: before an answer is read, each call's arguments are taken out of it and a
//! mark put in their place, and when it has been read, the mark is exchanged for what was written. The same way back:
//! a request is written with marks, for which the arguments are put in at the end.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use super::request::as_object;
use super::surrogates::mended;
use crate::message::{Arguments, JsonPath, changed_at};

/// Arguments that are kept while something is read or written. Clones are the same.
#[derive(Clone)]
pub(in crate::model) struct Kept {
    /// The key of a mark. A model cannot know it, so it cannot write a mark itself.
    key: Arc<str>,
    texts: Arc<Mutex<Vec<Text>>>,
}

/// What was written.
#[derive(Clone)]
struct Text {
    text: String,
    /// As it stood in the answer, if that was in quotes.
    quoted: Option<String>,
}

impl Kept {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        // Where the system has no random numbers, the time is hard enough to guess.
        let nonce = getrandom::u64().unwrap_or_else(|_| {
            std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |it| it.subsec_nanos().into())
        });
        Self { key: format!("kept-{nonce:016x}").into(), texts: Arc::default() }
    }

    /// Keeps a text, and gives the mark for it: the same mark for the same text.
    pub(super) fn mark(&self, text: &str) -> Value {
        self.mark_quoted(text, None)
    }

    fn mark_quoted(&self, text: &str, quoted: Option<&str>) -> Value {
        let mut texts = self.texts();
        let place = texts.iter().position(|kept| kept.text == text).unwrap_or_else(|| {
            texts.push(Text { text: text.to_owned(), quoted: quoted.map(str::to_owned) });
            texts.len() - 1
        });
        json!({ &*self.key: place })
    }

    /// Takes the arguments at these places out of an answer: each an object, or a text with one in it.
    pub(in crate::model) fn hide(
        &self,
        answer: &str,
        places: &[&JsonPath],
    ) -> Result<String, serde_json::Error> {
        changed_at(answer, places, &mut |value| {
            if value == "null" {
                return None;
            }
            if !value.starts_with('"') {
                return Some(self.mark(value).to_string());
            }
            let text: String = serde_json::from_str(value).ok()?;
            // No arguments at all are not a mark, because servers say so before they say more.
            if text.trim().is_empty() {
                return None;
            }
            let mark = match mended(&text) {
                Cow::Borrowed(text) => self.mark_quoted(text, Some(value)),
                Cow::Owned(text) => self.mark(&text),
            };
            Some(Value::from(mark.to_string()).to_string())
        })
    }

    /// What stands for a mark, if it is one.
    pub(super) fn text(&self, mark: &Value) -> Option<String> {
        let mark = mark.as_object().filter(|members| members.len() == 1)?;
        let place = usize::try_from(mark.get(&*self.key)?.as_u64()?).ok()?;
        self.texts().get(place).map(|kept| kept.text.clone())
    }

    /// The text with an object in the place of each mark: what was written, if that is one, and else an object that
    /// says it. A mark may stand within a text, where its quotes are escaped.
    pub(super) fn put_back(&self, text: String) -> String {
        let texts = self.texts();
        if texts.is_empty() {
            return text;
        }
        let (mut whole, mut until) = (String::with_capacity(text.len()), 0);
        for (at, key) in text.match_indices(&*self.key) {
            let found = ["\"", "\\\""].into_iter().find_map(|quote| {
                let from = text.get(..at)?.strip_suffix(quote)?.strip_suffix('{')?.len();
                let rest = text.get(at + key.len()..)?.strip_prefix(quote)?.strip_prefix(':')?;
                let (place, _) = rest.split_once('}')?;
                let end = text.len() - rest.len() + place.len() + 1;
                Some((from..end, texts.get(place.parse::<usize>().ok()?)?, quote))
            });
            let Some((range, kept, quote)) = found else { continue };
            let object = object(&kept.text);
            whole.push_str(text.get(until..range.start).unwrap_or_default());
            if quote.len() == 1 {
                whole.push_str(object.as_deref().unwrap_or(kept.text.trim()));
            } else {
                let quoted = match (&object, &kept.quoted) {
                    (None, Some(quoted)) => quoted.clone(),
                    (None, None) => Value::from(&*kept.text).to_string(),
                    (Some(object), _) => Value::from(&**object).to_string(),
                };
                whole.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
            }
            until = range.end;
        }
        whole.push_str(text.get(until..).unwrap_or_default());
        whole
    }

    fn texts(&self) -> MutexGuard<'_, Vec<Text>> {
        self.texts.lock()
    }
}

/// An object that says the arguments, where they are not one themselves: no provider takes anything else back.
fn object(text: &str) -> Option<String> {
    match Arguments::parse(text) {
        Arguments::Json(json) if json.as_str().starts_with('{') && !text.trim().is_empty() => None,
        Arguments::Json(_) | Arguments::Malformed(_) => Some(as_object(text).to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const PLACES: [&JsonPath; 2] = [&["calls", "*", "arguments"], &["input"]];

    #[test]
    fn arguments_come_back_as_they_were_written() {
        let kept = Kept::new();
        let text = r#"{"calls":[{"arguments":"{\"wei\": 1000000000000000000001}"},{"arguments":""}],"input":{"a":1e+30}}"#;
        let hidden = kept.hide(text, &PLACES).unwrap();
        assert!(!hidden.contains("wei") && !hidden.contains("1e+30"), "{hidden}");
        let value: Value = serde_json::from_str(&hidden).unwrap();
        assert_eq!(kept.text(&value["input"]).unwrap(), r#"{"a":1e+30}"#);
        let inner: Value = serde_json::from_str(value["calls"][0]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(kept.text(&inner).unwrap(), r#"{"wei": 1000000000000000000001}"#);
        assert_eq!(kept.put_back(hidden), text);
        assert_eq!(kept.text(&json!({"a": 0})), None);
        assert_eq!(kept.mark("{}"), kept.mark("{}"));
    }

    #[test]
    fn what_is_no_object_goes_back_as_one_that_says_it() {
        let kept = Kept::new();
        let deep = "[".repeat(100_000);
        let hidden =
            kept.hide(&json!({"input": "[1", "calls": [{"arguments": deep}]}).to_string(), &PLACES).unwrap();
        let back: Value = serde_json::from_str(&kept.put_back(hidden)).unwrap();
        let inner = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
        assert_eq!(inner(&back["input"]), as_object("[1"));
        assert_eq!(inner(&back["calls"][0]["arguments"]), as_object(&deep));
    }

    #[test]
    fn a_model_cannot_write_a_mark() {
        let (kept, other) = (Kept::new(), Kept::new());
        let mark = kept.mark("secret");
        assert_eq!(other.text(&mark), None);
        assert_eq!(other.put_back(mark.to_string()), mark.to_string());
    }
}
