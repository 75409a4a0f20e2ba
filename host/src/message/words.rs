use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Json;

/// Sentences of the host's that stand around other texts where the model reads them. They are recorded with the run, so
/// that it is told the same whenever it goes on or is replayed, whatever the host says to new runs by then. Whole notes
/// are not among them: each of those is recorded with the request that it came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Before the JSON Schema of the answer, behind the instructions.
    pub form: Cow<'static, str>,
    /// Before a summary.
    pub summary: Cow<'static, str>,
    /// Before and behind the number of bytes that are left out of a result.
    pub left_out: [Cow<'static, str>; 2],
    /// Before the input to which a person changed that of a call.
    pub changed_input: Cow<'static, str>,
}

/// What runs are told that have no words recorded. Their requests are compared with what is recorded of them, so not a
/// character of this may ever change.
static FIRST: Words = Words {
    form: Cow::Borrowed(
        "Your final answer, the one without tool calls, has to be one JSON value that fits this JSON Schema, without \
         any other text:\n",
    ),
    summary: Cow::Borrowed(
        "What was said before has been replaced by this summary of it; what follows it is whole.\n\n",
    ),
    left_out: [Cow::Borrowed("\n[… "), Cow::Borrowed(" bytes left out …]\n")],
    changed_input: Cow::Borrowed("the person changed the input of this call to "),
};

impl Words {
    /// Those of runs that have no words recorded.
    #[must_use]
    pub fn first() -> &'static Self {
        &FIRST
    }

    /// Those of new runs. To say something in other words, set it here.
    #[must_use]
    pub fn now() -> Self {
        Self { ..FIRST.clone() }
    }

    /// What the model is instructed, with the form of its answer.
    #[must_use]
    pub fn instructed(&self, instructions: &str, schema: Option<&Json>) -> String {
        let Some(schema) = schema else { return instructions.to_owned() };
        let form = format!("{}{}", self.form, schema.as_str());
        if instructions.is_empty() { form } else { format!("{instructions}\n\n{form}") }
    }

    /// What the model reads in place of all that a summary sums up.
    #[must_use]
    pub fn summed_up(&self, summary: &str) -> String {
        format!("{}{summary}", self.summary)
    }

    /// What the model reads of a call whose input a person changed.
    #[must_use]
    pub fn changed_input(&self, input: &Json) -> String {
        format!("{}{}", self.changed_input, input.as_str())
    }

    /// The beginning and the end of a text that is longer than `bytes_max`, and between them how much is missing.
    #[must_use]
    pub fn shorten<'a>(&self, text: &'a str, bytes_max: u64) -> Cow<'a, str> {
        let max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        if text.len() <= max {
            return Cow::Borrowed(text);
        }
        // A result says most where it begins; what went wrong stands at the end.
        let head = text.floor_char_boundary(max / 3 * 2);
        let tail = text.ceil_char_boundary(text.len() - max / 3).max(head);
        let (start, end) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
        let [before, after] = &self.left_out;
        Cow::Owned(format!("{start}{before}{}{after}{end}", tail - head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Digest;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let (text, words): (String, _) = (('a'..='z').collect(), Words::first());
        assert_eq!(words.shorten(&text, 26), text);
        assert_eq!(words.shorten(&text, 9), "abcdef\n[… 17 bytes left out …]\nxyz");
        assert!(words.shorten("ääääääää", 5).starts_with('ä'));
        assert!(words.shorten("ä", 0).contains("2 bytes left out"));
    }

    #[test]
    fn what_runs_without_recorded_words_were_told_is_what_they_are_told() {
        let digest = Digest::of_json(Words::first()).to_string();
        assert_eq!(digest, "1581f5996cca3d2b2824cbbb794e0ffccd98d430f6a661d0eabf49b28242d9e4");
    }
}
