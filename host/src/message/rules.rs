use serde::{Deserialize, Serialize};

/// The rules that a run goes by, where they have changed since the first runs were recorded. What is recorded of a run
/// has to fit when it is resumed or replayed, so it keeps to those that it began with, and so do the agents it calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rules(u32);

impl Rules {
    /// Those of new runs.
    pub const NOW: Self = Self(4);

    /// Whether they are the first ones, which are not recorded.
    #[must_use]
    pub fn are_first(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a refusal ends a run whatever calls came before it; at first they were made.
    #[must_use]
    pub fn refusal_is_final(self) -> bool {
        self >= Self(1)
    }

    /// Whether a summary counts of which the provider does not say why it stops there; at first it did not.
    #[must_use]
    pub fn summary_needs_no_reason(self) -> bool {
        self >= Self(1)
    }

    /// Whether what a tool passes to another one keeps its numbers as they are; at first they went through 64 bits.
    #[must_use]
    pub fn numbers_are_exact(self) -> bool {
        self >= Self(2)
    }

    /// Whether a reply that says nothing is no answer, and asked for once more; at first it was the answer.
    #[must_use]
    pub fn an_answer_says_something(self) -> bool {
        self >= Self(2)
    }

    /// Whether the model reads what a tool says as the tool says it; before, hidden characters were taken out.
    #[must_use]
    pub fn results_are_whole(self) -> bool {
        self >= Self(2)
    }

    /// Whether a call is repeated only by a reply that says and calls just what the reply before did; at first a call was
    /// repeated whatever came along with it.
    #[must_use]
    pub fn repeats_are_whole(self) -> bool {
        self >= Self(2)
    }

    /// Whether the model that gave the last reply of a run is asked first for the next one; before, every turn began with
    /// the first choice.
    #[must_use]
    pub fn stay_with_who_answered(self) -> bool {
        self >= Self(3)
    }

    /// Whether what a tool passes to another one keeps the sign of a zero, as in `-0.0`; before, it was `0`.
    #[must_use]
    pub fn zeros_have_signs(self) -> bool {
        self >= Self(3)
    }

    /// Whether an answer that a pattern of its schema cannot be tried on is told so in the host's words; before, it was
    /// told in those of the engine that tries.
    #[must_use]
    pub fn patterns_are_explained(self) -> bool {
        self >= Self(3)
    }

    /// Whether a note of the host's is recorded with what it is about, and a result that is cut with what the model is
    /// shown of it; before, the words alone were recorded of the one, and nothing of the other.
    #[must_use]
    pub fn what_is_told_is_recorded(self) -> bool {
        self >= Self(4)
    }

    /// Whether a moment has to say where the clock is that shows it; at first one without an offset was taken for UTC, and
    /// an offset for an error.
    #[must_use]
    pub fn moments_need_a_place(self) -> bool {
        self >= Self(2)
    }

    /// Whether a run goes on where the model says that the conversation is too long, or fills its context, with one that
    /// is shorter; at first it broke off, or ended.
    #[must_use]
    pub fn goes_on_when_too_long(self) -> bool {
        self >= Self(3)
    }
}
