use super::written::{HERMES, PYTHON_TAG, TOOL_CALLS};
use super::{InText, TextCalls};

/// What is heard of a reply while it comes, piece by piece, cut anywhere. What may be the beginning of a tag is kept until
/// it is known what it is.
pub(in crate::model::remote) struct Live<'t> {
    in_text: &'t InText,
    at: At,
    kept: String,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// What the model thought.
    Reasoning,
    /// The model has not said anything yet.
    Start,
    /// What it says.
    Said,
    /// A call.
    Call,
    /// Nothing that is heard.
    Calls,
}

impl<'t> Live<'t> {
    pub(in crate::model::remote) fn new(in_text: &'t InText) -> Self {
        let at = match in_text {
            InText { reasoning: Some(tags), .. } if tags.open.is_empty() => At::Reasoning,
            InText { reasoning: None, calls: None } => At::Said,
            InText { .. } => At::Start,
        };
        Self { in_text, at, kept: String::new() }
    }

    /// What is heard now that this piece has come.
    pub(in crate::model::remote) fn push(&mut self, piece: &str) -> String {
        let text = std::mem::take(&mut self.kept) + piece;
        let (mut rest, mut heard) = (text.as_str(), String::new());
        while let Some(next) = self.step(rest, &mut heard) {
            rest = next;
        }
        heard
    }

    /// What is heard when nothing else comes.
    pub(in crate::model::remote) fn finish(self) -> String {
        match self.at {
            At::Start | At::Said => self.kept,
            At::Reasoning | At::Call | At::Calls => String::new(),
        }
    }

    /// Goes on to the next place of the text; nothing if more has to come first.
    fn step<'a>(&mut self, text: &'a str, heard: &mut String) -> Option<&'a str> {
        match self.at {
            At::Start => self.start(text),
            At::Reasoning => {
                let close = self.in_text.reasoning.as_ref().map_or("", |tags| &*tags.close);
                self.pass(text, close, At::Start, |_| {})
            }
            At::Said => match self.in_text.calls {
                Some(TextCalls::Hermes) => self.pass(text, HERMES.0, At::Call, |said| heard.push_str(said)),
                Some(TextCalls::Mistral) => {
                    self.pass(text, TOOL_CALLS, At::Calls, |said| heard.push_str(said))
                }
                Some(TextCalls::Llama3Json) | None => {
                    heard.push_str(text);
                    None
                }
            },
            At::Call => self.pass(text, HERMES.1, At::Said, |_| {}),
            At::Calls => None,
        }
    }

    /// Passes what comes before a tag, and the tag.
    fn pass<'a>(
        &mut self,
        text: &'a str,
        tag: &str,
        then: At,
        mut passed: impl FnMut(&'a str),
    ) -> Option<&'a str> {
        if let Some((before, behind)) = text.split_once(tag) {
            passed(before);
            self.at = then;
            return Some(behind);
        }
        let (before, kept) = text.split_at(text.len() - begun(text, tag));
        passed(before);
        kept.clone_into(&mut self.kept);
        None
    }

    fn start<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let text = text.trim_start();
        let open = self.in_text.reasoning.as_ref().map_or("", |tags| &*tags.open);
        if let Some(behind) = text.strip_prefix(open).filter(|_| !open.is_empty()) {
            self.at = At::Reasoning;
            return Some(behind);
        }
        let is_llama = self.in_text.calls == Some(TextCalls::Llama3Json);
        if is_llama && (text.starts_with('{') || text.starts_with(PYTHON_TAG)) {
            self.at = At::Calls;
            return None;
        }
        if text.is_empty() || open.starts_with(text) || (is_llama && PYTHON_TAG.starts_with(text)) {
            text.clone_into(&mut self.kept);
            return None;
        }
        self.at = At::Said;
        Some(text)
    }
}

/// How many bytes at the end of a text may be the beginning of a tag.
fn begun(text: &str, tag: &str) -> usize {
    let bytes = text.as_bytes();
    let longest = tag.len().saturating_sub(1).min(bytes.len());
    (1..=longest)
        .rev()
        .find(|len| bytes.ends_with(&tag.as_bytes()[..*len]) && text.is_char_boundary(text.len() - len))
        .unwrap_or(0)
}
