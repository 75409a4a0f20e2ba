//! The calls of a chat completion that comes piece by piece.
//!
//! The interface has servers write the arguments of a call in pieces, under the number that the call has. Not all do:
//! arguments begin with `{}` and go on with what they are, come anew and longer each time, or come once more as a whole
//! at the end; a second call comes under a number that is in use, with an id of its own. So the pieces are kept until
//! the stream ends, each call is read as a person would read it, and the wire format is given whole calls. What can be
//! read in no way, or in two, is no reply: the request is sent again, and never is half a call made.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::model::remote::Pieces;

/// The end of a stream, where it has one of its own.
const DONE: &str = "[DONE]";
/// More calls than these are of no use to any run.
const CALLS_MAX: usize = 10_000;

/// Keeps the pieces of calls until the stream ends.
#[derive(Default)]
pub(super) struct Calls {
    pieces: Vec<Vec<Piece>>,
    by_index: HashMap<u64, usize>,
    by_id: HashMap<String, usize>,
    /// Whether anything else was said.
    said: bool,
    /// Whether the server gave a reason to end.
    ended: bool,
}

/// What one frame says of a call.
#[derive(Clone, Debug, Default)]
struct Piece {
    id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    /// All of it, but for where it belongs.
    members: Map<String, Value>,
}

/// Arguments, as they were put together from pieces.
#[derive(Debug, PartialEq)]
enum Arguments {
    /// An object, or nothing at all.
    Whole(String),
    /// What is no object: the model is told so, if the answer is whole.
    Broken(String),
    /// Several objects, of which each could be meant.
    Several,
}

impl Pieces for Calls {
    fn push(&mut self, frame: String) -> Result<Vec<String>, String> {
        if frame.trim() == DONE {
            let calls = self.finish()?;
            return Ok(calls.into_iter().chain([DONE.to_owned()]).collect());
        }
        let Ok(mut value) = serde_json::from_str::<Value>(&frame) else { return Ok(vec![frame]) };
        if value["object"] == "chat.completion" {
            (self.said, self.ended) = (true, true);
            return Ok(vec![frame]);
        }
        let Some(choice) = first_choice(&mut value) else { return Ok(vec![frame]) };
        self.ended |= choice["finish_reason"].as_str().is_some_and(|reason| !reason.is_empty());
        let Some(delta) = choice.get_mut("delta").and_then(Value::as_object_mut) else {
            return Ok(vec![frame]);
        };
        self.said |= says(delta);
        match delta.get_mut("tool_calls") {
            Some(Value::Array(pieces)) if !pieces.is_empty() => {
                for piece in std::mem::take(pieces) {
                    self.take(&piece)?;
                }
                delta.shift_remove("tool_calls");
                Ok(vec![value.to_string()])
            }
            Some(_) | None => Ok(vec![frame]),
        }
    }

    /// The calls, in one frame. A stream that breaks off has said which calls it would have had, and no more.
    fn finish(&mut self) -> Result<Vec<String>, String> {
        let mut calls = Vec::new();
        self.by_index.clear();
        self.by_id.clear();
        for pieces in std::mem::take(&mut self.pieces) {
            calls.extend(read(&pieces)?);
        }
        if !self.ended && calls.iter().any(|call| matches!(call.arguments, Arguments::Broken(_))) {
            return Err("it ends in the middle of a tool call, and without a reason".to_owned());
        }
        if !self.ended && !self.said && calls.is_empty() {
            return Err("it ends without a reason, and nothing was said".to_owned());
        }
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        self.said = true;
        let list: Vec<Value> =
            calls.into_iter().enumerate().map(|(index, call)| call.written(index)).collect();
        let choice = json!({ "index": 0, "delta": { "tool_calls": list } });
        Ok(vec![json!({ "object": "chat.completion.chunk", "choices": [choice] }).to_string()])
    }
}

impl Calls {
    /// Takes a piece to the call that it belongs to.
    fn take(&mut self, piece: &Value) -> Result<(), String> {
        let index = piece["index"].as_u64();
        let piece = Piece::of(piece);
        let place = match (index, &piece.id) {
            (Some(index), _) => self.by_index.get(&index).copied(),
            (None, Some(id)) => self.by_id.get(id).copied(),
            // One that says nothing of where it belongs goes on with the last call, or is the next one.
            (None, None) => self.pieces.len().checked_sub(1),
        };
        let place = match place {
            Some(place) => place,
            None if self.pieces.len() < CALLS_MAX => {
                self.pieces.push(Vec::new());
                self.pieces.len() - 1
            }
            None => return Err(format!("it has more than {CALLS_MAX} tool calls")),
        };
        if let Some(index) = index {
            self.by_index.insert(index, place);
        }
        if let Some(id) = &piece.id {
            self.by_id.entry(id.clone()).or_insert(place);
        }
        self.pieces[place].push(piece);
        Ok(())
    }
}

/// The choice that is the answer: of several, which nobody asks for, the first.
fn first_choice(frame: &mut Value) -> Option<&mut Value> {
    let choices = frame.get_mut("choices")?.as_array_mut()?;
    choices.iter_mut().find(|choice| choice["index"].as_u64().is_none_or(|index| index == 0))
}

/// Whether a piece of a message has something for whoever asked.
fn says(delta: &Map<String, Value>) -> bool {
    ["content", "refusal", "images", "audio"].iter().filter_map(|key| delta.get(*key)).any(
        |value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        },
    )
}

impl Piece {
    fn of(piece: &Value) -> Self {
        let mut members = piece.as_object().cloned().unwrap_or_default();
        members.shift_remove("index");
        let id = match members.shift_remove("id") {
            Some(Value::String(id)) if !id.is_empty() && id != "null" => Some(id),
            Some(Value::Number(id)) => Some(id.to_string()),
            Some(_) | None => None,
        };
        let mut taken = |key: &str| members.get_mut("function")?.as_object_mut()?.shift_remove(key);
        let name = taken("name").and_then(|name| name.as_str().map(str::to_owned));
        let arguments = match taken("arguments") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => Some(other.to_string()),
        };
        Self { id, name: name.filter(|name| !name.is_empty()), arguments, members }
    }
}

/// A call that was put together.
#[derive(Debug, PartialEq)]
struct Read {
    id: Option<String>,
    name: Option<String>,
    arguments: Arguments,
    members: Map<String, Value>,
}

/// The calls that came under one number: one, as a rule.
fn read(pieces: &[Piece]) -> Result<Vec<Read>, String> {
    let parts = parted(pieces);
    let calls: Vec<Read> = parts.iter().map(|part| Read::of(part)).collect();
    if calls.iter().all(|call| matches!(call.arguments, Arguments::Whole(_))) {
        return Ok(calls);
    }
    // Servers that give each piece another id mean one call all the same, where the pieces make one object.
    let together = Read::of(pieces);
    let joined: String = pieces.iter().filter_map(|piece| piece.arguments.as_deref()).collect();
    match (&together.arguments, calls.as_slice()) {
        (Arguments::Whole(_), calls) if calls.len() == 1 || is_object(&joined) => Ok(vec![together]),
        (Arguments::Broken(_), [_]) => Ok(vec![together]),
        (Arguments::Whole(_) | Arguments::Broken(_) | Arguments::Several, _) => {
            let name = together.name.as_deref().unwrap_or("a tool without a name");
            Err(format!("its calls of {name} can be read in more than one way, or in none"))
        }
    }
}

/// Pieces, parted where another call begins: with a name, where the id is another one, or what came before is whole and
/// is not what comes.
fn parted(pieces: &[Piece]) -> Vec<&[Piece]> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let mut before = String::new();
    let mut id: Option<&str> = None;
    for (at, piece) in pieces.iter().enumerate() {
        let arguments = piece.arguments.as_deref().unwrap_or_default();
        let other_id = id.zip(piece.id.as_deref()).is_some_and(|(before, now)| before != now);
        let is_new = piece.name.is_some() && !arguments.starts_with(&before) && is_object(&before);
        let same_id = id.is_some() && piece.id.is_some() && !other_id;
        if at > from && (other_id && (piece.name.is_some() || is_object(&before)) || is_new && !same_id) {
            parts.push(&pieces[from..at]);
            (from, id) = (at, None);
            before.clear();
        }
        id = id.or(piece.id.as_deref());
        before.push_str(arguments);
    }
    parts.push(&pieces[from..]);
    parts
}

impl Read {
    fn of(pieces: &[Piece]) -> Self {
        let texts: Vec<&str> = pieces.iter().filter_map(|piece| piece.arguments.as_deref()).collect();
        let mut members = Map::new();
        for piece in pieces {
            merge(&mut members, &piece.members);
        }
        Self {
            id: pieces.iter().find_map(|piece| piece.id.clone()),
            name: name(pieces),
            arguments: Arguments::of(&texts),
            members,
        }
    }

    /// The call as one piece, under its number.
    fn written(self, index: usize) -> Value {
        let Self { id, name, arguments, mut members } = self;
        members.insert("index".to_owned(), index.into());
        if let Some(id) = id {
            members.insert("id".to_owned(), id.into());
        }
        let has_function = members.contains_key("function") || name.is_some();
        if has_function
            && let Value::Object(function) = members.entry("function").or_insert_with(|| json!({}))
        {
            if let Some(name) = name {
                function.insert("name".to_owned(), name.into());
            }
            let (Arguments::Whole(text) | Arguments::Broken(text)) = arguments else {
                return Value::Object(members);
            };
            function.insert("arguments".to_owned(), text.into());
        }
        Value::Object(members)
    }
}

/// The name of a call, which is said once, or again and again, or in pieces.
fn name(pieces: &[Piece]) -> Option<String> {
    let mut names = pieces.iter().filter_map(|piece| piece.name.as_deref());
    let first = names.next()?.to_owned();
    Some(names.fold(first, |name, more| {
        if more.starts_with(&name) {
            more.to_owned()
        } else if name.ends_with(more) {
            name
        } else {
            name + more
        }
    }))
}

/// What else is said of a call: the last word counts, but the input of a custom tool comes in pieces.
fn merge(members: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (key, value) in more {
        match (members.get_mut(key), value) {
            (Some(Value::Object(there)), Value::Object(inner)) => merge(there, inner),
            (Some(Value::String(there)), Value::String(piece)) if key == "input" => there.push_str(piece),
            (Some(_), Value::Null) => {}
            (Some(_) | None, value) => drop(members.insert(key.clone(), value.clone())),
        }
    }
}

impl Arguments {
    fn of(texts: &[&str]) -> Self {
        let texts: Vec<&str> = texts.iter().copied().filter(|text| !text.is_empty()).collect();
        let all = texts.concat();
        if all.trim().is_empty() || is_object(&all) {
            return Self::Whole(all);
        }
        if let Some(whole) = grown(&texts).or_else(|| repeated(&texts)) {
            return Self::Whole(whole.to_owned());
        }
        // An empty object is what some servers begin with.
        if let Some((&first, rest)) = texts.split_first()
            && is_empty_object(first)
            && let Self::Whole(whole) = Self::of(rest)
        {
            return Self::Whole(whole);
        }
        let several = serde_json::Deserializer::from_str(&all).into_iter::<Value>();
        let objects = several.take_while(Result::is_ok).take(2).count();
        if objects > 1 { Self::Several } else { Self::Broken(all) }
    }
}

/// The last of texts that each go on where the one before did, from the beginning.
fn grown<'a>(texts: &[&'a str]) -> Option<&'a str> {
    let grows = texts.windows(2).all(|two| two[1].starts_with(two[0]));
    texts.last().copied().filter(|last| grows && is_object(last))
}

/// The last of texts that says what all before it said together.
fn repeated<'a>(texts: &[&'a str]) -> Option<&'a str> {
    let (last, before) = texts.split_last()?;
    let (before, whole) = (object(&before.concat())?, object(last)?);
    (before == whole).then_some(last)
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && object(text).is_some()
}

fn is_empty_object(text: &str) -> bool {
    object(text).is_some_and(|members| members.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn arguments(texts: &[&str]) -> Arguments {
        Arguments::of(texts)
    }

    #[test]
    fn arguments_are_what_a_person_would_read() {
        let whole = |text: &str| Arguments::Whole(text.to_owned());
        let q = r#"{"q":"x"}"#;
        for texts in [
            &[q][..],
            &[r#"{"q""#, r#":"x"}"#],
            &["{}", q],
            &["{}", r#"{"q""#, r#":"x"}"#],
            &["{}", "", r#"{"q""#, q],
            &[r#"{"q""#, r#"{"q":"#, q],
            &[q, q],
            &[r#"{"q""#, r#":"x"}"#, q],
        ] {
            assert_eq!(arguments(texts), whole(q), "{texts:?}");
        }
        assert_eq!(arguments(&[]), whole(""));
        assert_eq!(arguments(&["{}", "{}"]), whole("{}"));
        assert_eq!(arguments(&[q, r#"{"q":"y"}"#]), Arguments::Several);
        assert_eq!(arguments(&[r#"{"q""#, ":"]), Arguments::Broken(r#"{"q":"#.to_owned()));
        assert_eq!(arguments(&["[1]"]), Arguments::Broken("[1]".to_owned()));
    }

    fn any_object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map(
            "[a-z{}:\",\\\\]{0,4}",
            prop_oneof![
                any::<i32>().prop_map(|it| json!(it)),
                "[a-z{}\":,\\\\é😀]{0,6}".prop_map(|it| json!(it)),
                Just(json!({"a": [1, {}]})),
                Just(json!({})),
            ],
            0..4,
        )
        .prop_map(|it| json!(it))
    }

    /// Cuts a text, never in the middle of a character.
    fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
        let mut cuts: Vec<usize> = cuts
            .iter()
            .map(|cut| text.floor_char_boundary(cut % (text.len() + 1)))
            .chain([0, text.len()])
            .collect();
        cuts.sort_unstable();
        cuts.windows(2).map(|cut| text[cut[0]..cut[1]].to_owned()).collect()
    }

    fn strs(texts: &[String]) -> Vec<&str> {
        texts.iter().map(String::as_str).collect()
    }

    proptest! {
        #[test]
        fn however_a_server_writes_an_object_it_is_read(object in any_object(), cuts in prop::collection::vec(any::<usize>(), 0..5)) {
            let text = object.to_string();
            let whole = |arguments: Arguments| match arguments {
                Arguments::Whole(text) => serde_json::from_str::<Value>(&text).unwrap_or_default(),
                Arguments::Broken(_) | Arguments::Several => Value::Null,
            };
            let plain = pieces(&text, &cuts);
            prop_assert_eq!(whole(arguments(&strs(&plain))), object.clone());
            let mut so_far = String::new();
            let grown: Vec<String> = plain.iter().map(|piece| { so_far.push_str(piece); so_far.clone() }).collect();
            prop_assert_eq!(whole(arguments(&strs(&grown))), object.clone());
            for rest in [plain.clone(), grown] {
                let begun: Vec<String> = ["{}".to_owned()].into_iter().chain(rest).collect();
                prop_assert_eq!(whole(arguments(&strs(&begun))), object.clone());
            }
            let again: Vec<String> = plain.into_iter().chain([text]).collect();
            prop_assert_eq!(whole(arguments(&strs(&again))), object);
        }
    }
}
