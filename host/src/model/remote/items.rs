//! The provider's own form of a reply, as it goes back.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::message::ToolCall;

/// Goes through the items of an answer and keeps each as it came, but for calls that the provider would not take back.
pub(in crate::model) struct Items<'a> {
    calls: std::slice::Iter<'a, ToolCall>,
    kept: Vec<String>,
}

impl<'a> Items<'a> {
    /// Of an answer with these calls.
    pub(in crate::model) fn new(calls: &'a [ToolCall]) -> Self {
        Self { calls: calls.iter(), kept: Vec::new() }
    }

    /// Takes an item that is no call.
    pub(in crate::model) fn push(&mut self, item: &RawValue) {
        self.kept.push(item.get().to_owned());
    }

    /// Takes an item that is a call, and has it mended to fit the call that was read from it. If there is nothing to
    /// mend, it stays the text it was.
    pub(in crate::model) fn push_call(
        &mut self,
        item: &RawValue,
        mend: impl FnOnce(&mut Value, &ToolCall),
    ) -> Result<(), String> {
        let call = self.calls.next().ok_or("it has more tool calls than can be read")?;
        let before: Value = serde_json::from_str(item.get()).map_err(|error| error.to_string())?;
        let mut after = before.clone();
        mend(&mut after, call);
        self.kept.push(if after == before { item.get().to_owned() } else { after.to_string() });
        Ok(())
    }

    /// The items as a list; none if there is none.
    pub(in crate::model) fn list(self) -> Result<Option<String>, String> {
        if self.calls.len() > 0 {
            return Err(format!("{} of its tool calls are in none of its items", self.calls.len()));
        }
        Ok((!self.kept.is_empty()).then(|| format!("[{}]", self.kept.join(","))))
    }
}

/// Gives a call empty arguments that came without any, which `OpenAI` would not take back. What a call did come with was
/// exchanged for a mark before, and goes back as an object whatever it was.
pub(in crate::model) fn fill_arguments(call: &mut Map<String, Value>) {
    let arguments = call.entry("arguments").or_insert(Value::Null);
    if arguments.is_null() || arguments.as_str().is_some_and(|text| text.trim().is_empty()) {
        *arguments = "{}".into();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_call_without_arguments_is_given_some() {
        let mark = "{\"kept-0123\":0}";
        for (came, goes) in [
            (json!({}), json!("{}")),
            (json!({"arguments": null}), json!("{}")),
            (json!({"arguments": ""}), json!("{}")),
            (json!({"arguments": " \n\t"}), json!("{}")),
            (json!({"arguments": mark}), json!(mark)),
            (json!({"arguments": {"kept-0123": 0}}), json!({"kept-0123": 0})),
        ] {
            let mut call = came.as_object().unwrap().clone();
            fill_arguments(&mut call);
            assert_eq!(call["arguments"], goes, "{came}");
        }
    }
}
