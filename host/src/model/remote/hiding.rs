//! Keeps the arguments of calls out of a stream, in which they may come in pieces.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kept::Kept;
use super::pieces::Pieces;
use crate::message::JsonPath;

/// The longest arguments that are put together, as the wire formats have it.
const ARGUMENTS_BYTES_MAX: usize = 16 << 20;

/// How the pieces of arguments come.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct InPieces {
    /// What the `type` of a piece is, and where that stands.
    pub(in crate::model) piece: (&'static str, &'static str),
    /// Where its text is.
    pub(in crate::model) text: &'static str,
    /// Where the number is by which the pieces of one call are told from those of another.
    pub(in crate::model) index: &'static str,
    /// The `type` of the frame that ends a call.
    pub(in crate::model) end: &'static str,
    /// How the arguments, put together, are given to who reads the stream.
    pub(in crate::model) whole: Whole,
}

/// Where the arguments of a call go when all of them have come.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) enum Whole {
    /// Into a last piece, before the end.
    InAPiece,
    /// To this place of the end, if it does not say them itself.
    AtTheEnd(&'static str),
}

/// Puts marks in the place of arguments.
pub(super) struct Hiding {
    kept: Kept,
    places: &'static [&'static JsonPath],
    pieces: Option<InPieces>,
    /// By the number of a call: the last piece, and the text so far.
    begun: BTreeMap<u64, (Value, String)>,
}

impl Hiding {
    pub(super) fn new(kept: Kept, places: &'static [&'static JsonPath], pieces: Option<InPieces>) -> Self {
        Self { kept, places, pieces, begun: BTreeMap::new() }
    }

    fn hide(&self, frame: String) -> String {
        // What is no JSON, such as the word that ends a stream, has nothing to hide.
        self.kept.hide(&frame, self.places).unwrap_or(frame)
    }

    /// The calls that have come whole, as their last pieces.
    fn flush(&mut self, text: &str) -> Vec<String> {
        let begun = std::mem::take(&mut self.begun).into_values();
        begun.map(|(piece, arguments)| self.piece(piece, text, &arguments)).collect()
    }

    fn piece(&self, mut piece: Value, at: &str, arguments: &str) -> String {
        if let Some(text) = piece.pointer_mut(at) {
            *text = self.marked(arguments);
        }
        piece.to_string()
    }

    /// A text that holds the mark for arguments, if there are any.
    fn marked(&self, arguments: &str) -> Value {
        if arguments.trim().is_empty() { "".into() } else { self.kept.mark(arguments).to_string().into() }
    }
}

impl Pieces for Hiding {
    fn push(&mut self, frame: String) -> Result<Vec<String>, String> {
        let frame = self.hide(frame);
        let Some(pieces) = self.pieces else { return Ok(vec![frame]) };
        let Ok(mut value) = serde_json::from_str::<Value>(&frame) else { return Ok(vec![frame]) };
        let index = value.pointer(pieces.index).and_then(Value::as_u64).unwrap_or(0);
        let (at, kind) = pieces.piece;
        if value.pointer(at).and_then(Value::as_str) == Some(kind) {
            let Some(text) = value.pointer(pieces.text).and_then(Value::as_str).map(str::to_owned) else {
                return Ok(vec![frame]);
            };
            let (last, begun) = self.begun.entry(index).or_default();
            *last = value;
            begun.push_str(&text);
            if begun.len() > ARGUMENTS_BYTES_MAX {
                return Err(format!("the arguments of a call have more than {ARGUMENTS_BYTES_MAX} bytes"));
            }
            return Ok(vec![]);
        }
        if value["type"] != pieces.end {
            return Ok(vec![frame]);
        }
        let Some((piece, arguments)) = self.begun.remove(&index) else { return Ok(vec![frame]) };
        match pieces.whole {
            Whole::InAPiece => Ok(vec![self.piece(piece, pieces.text, &arguments), frame]),
            Whole::AtTheEnd(at) => {
                let (parent, key) = at.rsplit_once('/').unwrap_or(("", at));
                if let Some(Value::Object(call)) = value.pointer_mut(parent)
                    && call.get(key).is_none_or(|said| said.as_str().is_none_or(str::is_empty))
                {
                    call.insert(key.to_owned(), self.marked(&arguments));
                    return Ok(vec![value.to_string()]);
                }
                Ok(vec![frame])
            }
        }
    }

    fn finish(&mut self) -> Result<Vec<String>, String> {
        match self.pieces {
            Some(InPieces { text, whole: Whole::InAPiece, .. }) => Ok(self.flush(text)),
            Some(InPieces { whole: Whole::AtTheEnd(_), .. }) | None => Ok(vec![]),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
    use serde_json::json;

    use super::*;

    const BLOCKS: InPieces = InPieces {
        piece: ("/delta/type", "input_json_delta"),
        text: "/delta/partial_json",
        index: "/index",
        end: "content_block_stop",
        whole: Whole::InAPiece,
    };

    fn through(pieces: InPieces, frames: &[Value]) -> (Kept, Vec<Value>) {
        let kept = Kept::new();
        let mut hiding = Hiding::new(kept.clone(), &[&["item", "arguments"]], Some(pieces));
        let mut seen = Vec::new();
        for frame in frames {
            seen.extend(hiding.push(frame.to_string()).unwrap());
        }
        seen.extend(hiding.finish().unwrap());
        (kept, seen.iter().map(|frame| serde_json::from_str(frame).unwrap()).collect())
    }

    fn text(kept: &Kept, quoted: &Value) -> Option<String> {
        kept.text(&serde_json::from_str(quoted.as_str()?).ok()?)
    }

    #[test]
    fn pieces_are_put_together_before_anybody_reads_them() {
        let piece = |index: u64, text: &str| json!({"type": "x", "index": index, "delta": {"type": "input_json_delta", "partial_json": text}});
        let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
        let frames = [
            piece(0, ""),
            piece(0, r#"{"a":1"#),
            piece(1, "{"),
            piece(0, "e+30}"),
            stop(0),
            piece(1, "}"),
            stop(1),
        ];
        let (kept, seen) = through(BLOCKS, &frames);
        let [a, _, b, _] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(text(&kept, &a["delta"]["partial_json"]).unwrap(), r#"{"a":1e+30}"#);
        assert_eq!(
            (text(&kept, &b["delta"]["partial_json"]).unwrap().as_str(), &b["index"]),
            ("{}", &json!(1))
        );
    }

    #[test]
    fn an_end_says_what_came_in_pieces_unless_it_says_it_itself() {
        let items = InPieces {
            piece: ("/type", "delta"),
            text: "/delta",
            index: "/output_index",
            end: "done",
            whole: Whole::AtTheEnd("/item/arguments"),
        };
        let piece = |text: &str| json!({"type": "delta", "output_index": 2, "delta": text});
        let done = |item: Value| json!({"type": "done", "output_index": 2, "item": item});
        for (item, expected) in [
            (json!({}), "{\"a\":1}"),
            (json!({"arguments": ""}), "{\"a\":1}"),
            (json!({"arguments": "{}"}), "{}"),
        ] {
            let (kept, seen) = through(items, &[piece("{\"a\""), piece(":1}"), done(item)]);
            assert_eq!(seen.len(), 1);
            assert_eq!(text(&kept, &seen[0]["item"]["arguments"]).unwrap(), expected);
        }
    }
}
