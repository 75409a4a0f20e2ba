//! Leaving out the middle of long results, so that a conversation fits a model that found it too long.

use crate::message::{Message, Words};

/// A result is shortened to so many bytes at the least: that much says what it is.
pub(super) const RESULT_BYTES_MIN: u64 = 512;

/// The messages with the middle of the longest results left out, so that results are half as long together as they were,
/// or no result is long any more; and how many bytes a result has by then at the most.
pub(super) fn shortened(messages: Vec<Message>, words: &Words) -> (Vec<Message>, u64) {
    let lengths: Vec<u64> = messages.iter().filter_map(result_bytes).collect();
    let total = |result_max: u64| -> u64 { lengths.iter().map(|bytes| result_max.min(*bytes)).sum() };
    let mut result_max = lengths.iter().copied().max().unwrap_or_default();
    let room = total(result_max) / 2;
    while result_max > RESULT_BYTES_MIN && total(result_max) > room {
        result_max = (result_max / 2).max(RESULT_BYTES_MIN);
    }
    let shorter = |message| match message {
        Message::Tool(result) => Message::Tool(result.shown_shorter(result_max, words)),
        Message::User(_) | Message::Image(_) | Message::Assistant(_) => message,
    };
    (messages.into_iter().map(shorter).collect(), result_max)
}

/// How much the model reads of a result, if it is one.
pub(super) fn result_bytes(message: &Message) -> Option<u64> {
    match message {
        Message::Tool(result) => Some(u64::try_from(result.model_text().len()).unwrap_or(u64::MAX)),
        Message::User(_) | Message::Image(_) | Message::Assistant(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;
    use crate::message::{Json, SHOWN_BYTES_MAX, ToolOutcome, ToolResult};

    fn result(bytes: usize) -> Message {
        let json = Json::parse(format!("\"{}\"", "ü".repeat(bytes / 2))).unwrap();
        Message::Tool(ToolResult {
            call_id: "c".to_owned(),
            name: "n".to_owned(),
            outcome: ToolOutcome::Output(json),
            shown_bytes_max: SHOWN_BYTES_MAX,
            note: Some("a note".to_owned()),
            shown: None,
            is_whole: true,
        })
    }

    fn total(messages: &[Message]) -> u64 {
        messages.iter().filter_map(result_bytes).sum()
    }

    /// What is said of what was left out.
    const REMARK_BYTES: u64 = 40;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn results_are_halved_until_none_is_long(
            lengths in prop::collection::vec(prop_oneof![0..2000_usize, 0..100_000_usize], 1..12),
        ) {
            let mut messages = vec![Message::User("x".repeat(1000))];
            messages.extend(lengths.iter().map(|bytes| result(*bytes)));
            let count = u64::try_from(lengths.len()).unwrap();
            let mut rounds = 0;
            loop {
                let before = total(&messages);
                let (shorter, result_max) = shortened(messages.clone(), Words::first());
                prop_assert_eq!(&shorter[0], &messages[0], "what is no result stays");
                let after = total(&shorter);
                prop_assert!(after <= before);
                let short = result_max <= RESULT_BYTES_MIN;
                prop_assert!(short || after <= before / 2 + count * REMARK_BYTES, "{} after {}", after, before);
                messages = shorter;
                rounds += 1;
                prop_assert!(rounds < 20, "{:?} takes for ever", lengths);
                if short {
                    break;
                }
            }
            let longest = messages.iter().filter_map(result_bytes).max().unwrap();
            prop_assert!(longest <= RESULT_BYTES_MIN + REMARK_BYTES, "{} bytes", longest);
        }
    }
}
