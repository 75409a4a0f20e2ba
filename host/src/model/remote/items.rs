//! The provider's own form of a reply, as it goes back.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::request::as_object;
use super::surrogates::mended;
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

/// Makes arguments that `OpenAI` would not take back, because there are none or they are no object in a text, into some
/// that it takes. The model still sees what it wrote.
pub(in crate::model) fn mend_arguments(call: &mut Map<String, Value>) {
    let arguments = call.entry("arguments").or_insert(Value::Null);
    if arguments.is_null() {
        *arguments = "{}".into();
    }
    if let Value::String(text) = arguments
        && !matches!(serde_json::from_str(text), Ok(Value::Object(_)))
    {
        *text = as_object(&mended(text)).to_string();
    }
}
