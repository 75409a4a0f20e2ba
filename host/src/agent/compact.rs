//! Going on from a summary, where a conversation has grown too long to be sent whole with every request.

use super::spending::Spending;
use super::transcript::Transcript;
use super::{Agent, RunError};
use crate::message::{Ending, Reply, Stop, Told, Topic};
use crate::model::Purpose;

impl Agent {
    /// Whether a reply was cut off because the conversation fills the model's context, and the run can go on from a
    /// shorter one: then the reply is no part of it.
    pub(super) fn lacks_room(&self, reply: &Reply, talk: &Transcript) -> bool {
        reply.stop == Stop::ContextWindow
            && self.facts().rules.goes_on_when_too_long()
            && talk.can_be_shortened()
    }

    /// Shortens the conversation before a turn, if it has grown too long; the end, if that took more than the run may.
    pub(super) async fn shorten_if_due(
        &self,
        turn: u32,
        talk: &mut Transcript,
        spending: &mut Spending,
    ) -> Result<Option<Ending>, RunError> {
        if talk.was_too_long() {
            return self.shorten(turn, talk, spending).await;
        }
        self.compact_if_due(turn, talk, spending).await
    }

    /// Makes room after a request that was too long for the model: has it sum up as much as it replied to before, and
    /// leaves out the middle of long results. Without a summary that is of use, the results alone have to do.
    async fn shorten(
        &self,
        turn: u32,
        talk: &mut Transcript,
        spending: &mut Spending,
    ) -> Result<Option<Ending>, RunError> {
        let word = self.asks_for_summary(turn, talk);
        let Some(mut aside) = talk.aside_of_beginning(&self.manifest, word) else {
            talk.shorten(&self.manifest, turn, None);
            return Ok(None);
        };
        let Some(reply) = self.ask(turn, Purpose::Summary, &mut aside).await? else {
            talk.shorten(&self.manifest, turn, None);
            return Ok(None);
        };
        spending.count_tokens(&reply, Purpose::Summary);
        let summary = reply.is_summary(self.facts().rules).then_some(reply.text.as_str());
        talk.shorten(&self.manifest, turn, summary);
        Ok(spending.judge_tokens(&reply))
    }

    /// Has the model sum the conversation up before a turn, if it has grown too long; the end, if that took more than
    /// the run may. Without a summary that is of use the conversation stays as it is, and no other is asked for until it
    /// is too long for the model.
    async fn compact_if_due(
        &self,
        turn: u32,
        talk: &mut Transcript,
        spending: &mut Spending,
    ) -> Result<Option<Ending>, RunError> {
        if !talk.is_too_long() {
            return Ok(None);
        }
        let word = self.asks_for_summary(turn, talk);
        let mut aside = talk.aside(&self.manifest, word);
        let Some(reply) = self.ask(turn, Purpose::Summary, &mut aside).await? else {
            talk.keep_whole();
            return Ok(None);
        };
        spending.count_tokens(&reply, Purpose::Summary);
        if reply.is_summary(self.facts().rules) {
            talk.compact(&self.manifest, turn, &reply.text);
        } else {
            talk.keep_whole();
        }
        Ok(spending.judge_tokens(&reply))
    }

    /// The word that asks for a summary before a turn. If it was asked for before, it is the same word, and what the host
    /// said since the last request stands in the conversation as it was said then.
    fn asks_for_summary(&self, turn: u32, talk: &mut Transcript) -> Told {
        let word = Told { topic: Topic::Summary, text: SUMMARISE.to_owned() };
        let recorded = self.session.said_at(&self.slot.summary_of(turn));
        let Some((last, before)) = recorded.split_last() else { return word };
        talk.take_over(before);
        word.as_recorded(last).unwrap_or(word)
    }
}

/// What asks for a summary. It is recorded with each request that it comes with.
const SUMMARISE: &str = "\
The conversation has become too long to be kept whole. Do not go on with the task now, and call no tool. Sum up what \
was said so far, for yourself, to go on from it without having read the rest: what was asked for, with every \
constraint; what was found out, with the exact names, numbers, identifiers and quotations that are still needed; what \
was decided and done, and how it came out; what is still open. Answer with the summary alone.";
