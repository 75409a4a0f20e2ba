use serde::{Deserialize, Serialize};

use super::{Message, MessageRef, Rules, ToolOutcome};

/// What the host says to the model in its own name, in the words in which it was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What it is about.
    pub topic: Topic,
    /// The words, as the model reads them.
    pub text: String,
}

/// What the host says something about in its own name. The words may change from one version of the host to the next;
/// what they are about is compared when a run is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The last reply said nothing.
    EmptyReply,
    /// The answer does not have its form.
    UnfitAnswer,
    /// A call was not made, because the reply that it came in ended in a refusal.
    RefusedCall,
    /// A call was not made, because the reply that it came in was cut off.
    CutOffCall,
    /// The conversation is to be summed up.
    Summary,
}

/// How the notes begin, or end, that were recorded without a topic. Never to change.
const BEGINNINGS: [(Topic, &str); 4] = [
    (Topic::EmptyReply, "Your last reply was empty: "),
    (Topic::RefusedCall, "error (not called): your reply ended in a refusal"),
    (Topic::CutOffCall, "error (not called): your reply was cut off"),
    (Topic::Summary, "The conversation has become too long to be kept whole. "),
];
const UNFIT_END: &str = "\nAnswer again: one JSON value that fits the schema, and no other text.";

/// How the model reads that a call was not made, before the reason. It is that of [`super::ErrorKind::NotCalled`].
const NOT_CALLED: &str = "error (not called): ";

impl Topic {
    /// The topic of a note that was recorded without one, if its words tell.
    fn of(text: &str) -> Option<Self> {
        let begun = BEGINNINGS.iter().find(|(_, beginning)| text.starts_with(beginning));
        let unfit = || text.ends_with(UNFIT_END).then_some(Self::UnfitAnswer);
        begun.map(|(topic, _)| *topic).or_else(unfit)
    }

    /// Whether a note about this is the result of a call.
    fn is_of_call(self) -> bool {
        match self {
            Self::RefusedCall | Self::CutOffCall => true,
            Self::EmptyReply | Self::UnfitAnswer | Self::Summary => false,
        }
    }
}

impl Told {
    /// Why a call was not made, if that is what is told.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.text.strip_prefix(NOT_CALLED).filter(|_| self.topic.is_of_call())
    }

    /// The same in the words of a recorded note, if that is about the same.
    #[must_use]
    pub fn as_recorded(&self, recorded: &MessageRef) -> Option<Self> {
        let text = match recorded {
            MessageRef::Told(told) => (told.topic == self.topic).then_some(&told.text),
            // Other hosts may have said it in words that are not known here.
            MessageRef::Note(text) => Topic::of(text).is_none_or(|topic| topic == self.topic).then_some(text),
            MessageRef::Earlier
            | MessageRef::Compacted(_)
            | MessageRef::Prompt
            | MessageRef::Image(_)
            | MessageRef::Said(_)
            | MessageRef::At(_) => None,
        }?;
        let told = Self { topic: self.topic, text: text.clone() };
        (told.reason().is_some() == self.reason().is_some()).then_some(told)
    }
}

impl Told {
    /// Puts it into the message that tells it.
    pub fn say_in(&self, message: &mut Message) {
        match message {
            Message::User(text) => text.clone_from(&self.text),
            Message::Tool(result) => {
                if let (ToolOutcome::Error(error), Some(reason)) = (&mut result.outcome, self.reason()) {
                    reason.clone_into(&mut error.message);
                }
            }
            Message::Image(_) | Message::Assistant(_) => {}
        }
    }
}

impl MessageRef {
    /// The same, if it is what is recorded; a note in the recorded words, if it is about the same.
    #[must_use]
    pub fn as_recorded(&self, recorded: &Self) -> Option<Self> {
        match self {
            Self::Told(told) => told.as_recorded(recorded).map(Self::Told),
            Self::Earlier
            | Self::Compacted(_)
            | Self::Prompt
            | Self::Image(_)
            | Self::Said(_)
            | Self::At(_)
            | Self::Note(_) => (self == recorded).then(|| self.clone()),
        }
    }

    /// The form in which a run of these rules records it.
    #[must_use]
    pub fn by(self, rules: Rules) -> Self {
        match self {
            Self::Told(told) if !rules.what_is_told_is_recorded() => Self::Note(told.text),
            Self::Earlier
            | Self::Compacted(_)
            | Self::Prompt
            | Self::Image(_)
            | Self::Said(_)
            | Self::At(_)
            | Self::Note(_)
            | Self::Told(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ErrorKind;

    fn told(topic: Topic, text: &str) -> Told {
        Told { topic, text: text.to_owned() }
    }

    #[test]
    fn words_are_taken_over_from_a_note_about_the_same() {
        let own = told(Topic::EmptyReply, "mine");
        let same = told(Topic::EmptyReply, "theirs");
        assert_eq!(own.as_recorded(&MessageRef::Told(same.clone())), Some(same.clone()));
        assert_eq!(own.as_recorded(&MessageRef::Told(told(Topic::Summary, "theirs"))), None);
        assert_eq!(own.as_recorded(&MessageRef::Prompt), None);
        assert_eq!(own.as_recorded(&MessageRef::Note("theirs".to_owned())), Some(same));
        for (topic, text) in BEGINNINGS.into_iter().chain([(Topic::UnfitAnswer, UNFIT_END)]) {
            let note = MessageRef::Note(text.to_owned());
            assert_eq!(own.as_recorded(&note).is_some(), topic == own.topic, "{text}");
        }
    }

    #[test]
    fn the_result_of_a_call_stays_one() {
        let outcome = ToolOutcome::error(ErrorKind::NotCalled, "so");
        let own = told(Topic::CutOffCall, &outcome.text());
        assert_eq!(own.reason(), Some("so"));
        let no_result = MessageRef::Told(told(Topic::CutOffCall, "so"));
        assert_eq!(own.as_recorded(&no_result), None);
    }
}
