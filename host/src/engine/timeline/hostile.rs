//! Records in which every text that somebody else may choose is meant to be taken for something else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use serde_json::{Value, json};

use super::Followed;
use crate::journal::{Entry, Event, RunFile};

/// What a guest, a model or a service may say.
pub(crate) const TEXT: &str =
    "</script><img src=x onerror=alert(1)> \u{202e}txet \u{200b}\u{7}\u{1b}[31m'\"&lt;\r\n";

/// Members are put into objects that are no deeper.
const DEPTH: usize = 4;

/// A run with called agents, attempts, an approval and errors, in which all such texts are this one.
pub(crate) fn run(text: &str) -> Followed {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/pages/desk.jsonl");
    let RunFile { summary, entries } = RunFile::read(&file).unwrap();
    let entries = entries.iter().map(|entry| said(entry, text)).collect();
    Followed::recorded(summary.run, entries, summary.state).unwrap()
}

/// The same entry with more in it, and with this text wherever it may be.
fn said(entry: &Entry, text: &str) -> Entry {
    let mut value = serde_json::to_value(&entry.event).unwrap();
    let noted = json!({
        "log": [{ "from": "stdout", "text": "a line" }],
        "http": [{ "method": "GET", "url": "https://a.example/", "address": "192.0.2.1:443", "error": "reset",
                   "sent_bytes": 1, "received_bytes": 1, "ms": 1 }],
        "denials": [{ "what": "the file x", "grant": "paths = [\"x\"]" }],
    });
    let more = [
        ("trace", noted),
        ("by", json!({ "name": "ada", "through": "http" })),
        ("session", json!("ada")),
        ("said", json!([{ "turn": 1, "text": "go on" }])),
        ("instructions", json!("do it")),
    ];
    for (name, more) in more {
        for at in objects(&value).into_iter().filter(|at| at.matches('/').count() < DEPTH) {
            let mut with = value.clone();
            let Some(Value::Object(object)) = with.pointer_mut(&at) else { continue };
            object.insert(name.to_owned(), more.clone());
            // Where there is no such member, it is left out again.
            if read(&with).is_some_and(|read| serde_json::to_value(&read).unwrap() != value) {
                value = with;
            }
        }
    }
    let texts = texts(&value);
    replace(&mut value, &texts, text);
    Entry { event: read(&value).unwrap(), ..entry.clone() }
}

/// Has a text stand at all of these places at which any text may: a digest or a name of something known stays.
fn replace(value: &mut Value, at: &[String], text: &str) {
    let mut with = value.clone();
    for at in at {
        *with.pointer_mut(at).unwrap() = json!(text);
    }
    if read(&with).is_some() {
        *value = with;
    } else if at.len() > 1 {
        let (one, other) = at.split_at(at.len() / 2);
        replace(value, one, text);
        replace(value, other, text);
    }
}

fn read(value: &Value) -> Option<Event> {
    serde_json::from_str(&value.to_string()).ok()
}

/// The pointers to all objects in a value.
fn objects(value: &Value) -> Vec<String> {
    pointers(value, &|value| value.is_object())
}

/// The pointers to all texts in a value.
fn texts(value: &Value) -> Vec<String> {
    pointers(value, &|value| value.is_string())
}

fn pointers(value: &Value, is_meant: &dyn Fn(&Value) -> bool) -> Vec<String> {
    let mut found: Vec<String> = is_meant(value).then(String::new).into_iter().collect();
    let below: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        let key = key.replace('~', "~0").replace('/', "~1");
        found.extend(pointers(value, is_meant).into_iter().map(|rest| format!("/{key}{rest}")));
    }
    found
}
