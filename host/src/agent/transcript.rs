use std::sync::Arc;

use super::shortened::{RESULT_BYTES_MIN, result_bytes, shortened};
use crate::message::{
    Digest, Hasher, Manifest, Message, MessageRef, ModelAsk, Reply, Rules, Shared, Slot, Stop, Told,
    ToolResult, ToolSpec, Topic, Words,
};

/// The conversation of one run, and the digest over all of it.
///
/// The digest is a chain: each message is hashed once, when it is appended, so a request of turn n costs
/// what turn n added and not what the n turns before it said.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The run's slot, below which the messages are recorded.
    run: Slot,
    messages: Vec<Message>,
    instructions: String,
    tools: Shared<ToolSpec>,
    rules: Rules,
    words: Arc<Words>,
    /// The digest of what is said before any message.
    beginning: Digest,
    digest: Digest,
    /// What came since the last request. As many messages are the last ones, but for what stands for several of them,
    /// which is the first of these.
    appended: Vec<MessageRef>,
    /// The notes in which the model was told that it said nothing.
    said_nothing: Vec<String>,
    /// What the last request and its reply took together.
    tokens: u64,
    compact_at_tokens: Option<u64>,
    /// Whether the model replied in this run: then the prompt is part of what a summary is of.
    has_replied: bool,
    /// The origin of what the model replied last in this run, also of a reply that was left aside; the rest of it is blank.
    answered: Option<Reply>,
    length: Length,
}

/// What the model says of the length of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// It replied, or was not asked yet.
    Fits,
    /// The last request was too long, or left no room for a reply.
    TooLong,
    /// So was the one before it, although the conversation had been shortened.
    StillTooLong,
    /// The last request was too long, and the conversation is shorter now: its beginning is summed up, if that was of
    /// any use, and no result has more bytes than these.
    Shortened { result_bytes_max: u64 },
}

impl Transcript {
    /// The conversation of the run at a slot, at its start: what was said in the runs before.
    #[must_use]
    pub fn begin(manifest: &Manifest, run: &Slot) -> Self {
        let mut transcript = Self::empty(manifest, run);
        if !manifest.earlier.is_empty() {
            for message in manifest.earlier.iter().cloned() {
                transcript.add(message);
            }
            transcript.appended.push(MessageRef::Earlier);
        }
        transcript
    }

    fn empty(manifest: &Manifest, run: &Slot) -> Self {
        let tools = manifest.offered();
        let Manifest { model, fallbacks, output_schema, compact_at_tokens, .. } = manifest;
        let words = manifest.words.clone().unwrap_or_else(|| Arc::new(Words::first().clone()));
        let instructions = words.instructed(&manifest.instructions, output_schema.as_ref());
        let digest = if fallbacks.is_empty() {
            Digest::of_json(&(&instructions, model, &tools))
        } else {
            Digest::of_json(&(&instructions, model, fallbacks, &tools))
        };
        let (run, messages, appended) = (run.clone(), Vec::new(), Vec::new());
        let compact_at_tokens = *compact_at_tokens;
        let (tokens, has_replied, length) = (0, false, Length::Fits);
        Self {
            run,
            messages,
            instructions,
            tools,
            rules: manifest.rules,
            words,
            beginning: digest,
            digest,
            appended,
            said_nothing: Vec::new(),
            tokens,
            compact_at_tokens,
            has_replied,
            answered: None,
            length,
        }
    }

    /// The request that asks for a reply to everything said so far.
    pub fn ask(&mut self) -> ModelAsk {
        let appended = std::mem::take(&mut self.appended);
        ModelAsk {
            messages: u32::try_from(self.messages.len()).unwrap_or(u32::MAX),
            conversation: self.digest,
            appended: appended.into_iter().map(|at| at.by(self.rules)).collect(),
        }
    }

    /// Appends what the person says before a turn: at first the prompt, and its pictures before it.
    pub fn push_said(&mut self, manifest: &Manifest, turn: u32) {
        if turn == 0 {
            self.push_prompt(manifest);
        }
        for said in manifest.said.iter().filter(|said| said.turn == turn) {
            self.push(Message::User(said.text.clone()), MessageRef::Said(said.turn));
        }
    }

    fn push_prompt(&mut self, manifest: &Manifest) {
        for (index, image) in (0..).zip(&manifest.images) {
            self.push(Message::Image(image.clone()), MessageRef::Image(index));
        }
        self.push(Message::User(manifest.prompt.clone()), MessageRef::Prompt);
    }

    /// Appends what the host says in its own name.
    pub fn push_word(&mut self, told: Told) {
        self.note_said_nothing(&told);
        self.push(Message::User(told.text.clone()), MessageRef::Told(told));
    }

    /// Appends what the model replied.
    pub fn push_reply(&mut self, turn: u32, reply: Reply) {
        let at = MessageRef::At(self.run.model_of(turn));
        self.note_answered(&reply);
        self.push(Message::Assistant(reply), at);
        (self.has_replied, self.length) = (true, Length::Fits);
    }

    /// Notes who replied, also where the reply is left aside.
    pub fn note_answered(&mut self, reply: &Reply) {
        self.answered = Some(Reply { origin: reply.origin.clone(), ..Reply::default() });
    }

    /// The origin of what the model replied last in this run; the rest of the reply is blank.
    #[must_use]
    pub fn last_reply(&self) -> Option<&Reply> {
        self.answered.as_ref()
    }

    /// Notes that the last request was too long for the model, or left it no room for its reply.
    pub fn push_too_long(&mut self) {
        self.length = match self.length {
            Length::Fits | Length::TooLong => Length::TooLong,
            Length::Shortened { .. } | Length::StillTooLong => Length::StillTooLong,
        };
    }

    /// Appends the results of a turn's calls, in call order.
    pub fn push_results(&mut self, turn: u32, results: impl IntoIterator<Item = ToolResult>) {
        for (index, result) in (0..).zip(results) {
            let at = MessageRef::At(self.run.tool_of(turn, index));
            self.push(Message::Tool(result), at);
        }
    }

    /// Appends results that the host gives in its own name, for calls it did not make.
    pub fn push_not_made(&mut self, topic: Topic, results: impl IntoIterator<Item = ToolResult>) {
        for result in results {
            let told = Told { topic, text: result.model_text() };
            self.push(Message::Tool(result), MessageRef::Told(told));
        }
    }

    fn note_said_nothing(&mut self, told: &Told) {
        if told.topic == Topic::EmptyReply {
            self.said_nothing.push(told.text.clone());
        }
    }

    /// Whether the conversation has grown so long that it has to go on from a summary, and a summary would shorten it.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        let replies = self.messages.iter().filter(|message| matches!(message, Message::Assistant(_)));
        self.compact_at_tokens.is_some_and(|max| self.tokens >= max) && replies.count() > 1 && !self.pauses()
    }

    /// Whether the last request was too long for the model.
    #[must_use]
    pub fn was_too_long(&self) -> bool {
        matches!(self.length, Length::TooLong | Length::StillTooLong)
    }

    /// Whether there is anything to sum up or to leave out. Between two replies the beginning is summed up once, and more
    /// and more of long results is left out.
    #[must_use]
    pub fn can_be_shortened(&self) -> bool {
        let has_long = || self.messages.iter().filter_map(result_bytes).any(|bytes| bytes > RESULT_BYTES_MIN);
        let shortens = match self.length {
            Length::Fits => self.has_beginning() || has_long(),
            Length::Shortened { result_bytes_max } => result_bytes_max > RESULT_BYTES_MIN && has_long(),
            Length::TooLong | Length::StillTooLong => false,
        };
        shortens && !self.pauses()
    }

    /// Whether the last reply pauses: it is to be continued as it is.
    fn pauses(&self) -> bool {
        matches!(self.messages.last(), Some(Message::Assistant(reply)) if reply.stop == Stop::Paused)
    }

    /// Where the last reply stands. What stands before it did fit when that was asked for.
    fn last_reply_at(&self) -> usize {
        let is_reply = |message: &Message| matches!(message, Message::Assistant(_));
        self.messages.iter().rposition(is_reply).unwrap_or_default()
    }

    /// Whether anything is said before the last reply that a summary would shorten: the prompt stays.
    fn has_beginning(&self) -> bool {
        let beginning = self.messages.iter().take(self.last_reply_at());
        let mut said =
            beginning.filter(|message| !self.has_replied || matches!(message, Message::Assistant(_)));
        said.next().is_some()
    }

    /// What was said before the last reply, with one more word of the host, if there is anything to sum up that was not
    /// just summed up. Long results are shortened in it, so that the model can read it and has room for a summary.
    #[must_use]
    pub fn aside_of_beginning(&self, manifest: &Manifest, word: Told) -> Option<Self> {
        if !self.has_beginning() || self.length == Length::StillTooLong {
            return None;
        }
        let beginning = self.messages.iter().take(self.last_reply_at()).cloned().collect();
        let mut aside = Self { answered: self.answered.clone(), ..Self::empty(manifest, &self.run) };
        let (messages, _) = shortened(beginning, &self.words);
        for message in messages {
            aside.add(message);
        }
        Some(aside.asking(manifest, word))
    }

    /// Makes a conversation shorter that was too long: the summary that was made before a turn, if there is one, stands
    /// for everything before the last reply, as in [`Self::compact`], and the middle of long results is left out.
    pub fn shorten(&mut self, manifest: &Manifest, turn: u32, summary: Option<&str>) {
        let (has_replied, compact_at_tokens) = (self.has_replied, self.compact_at_tokens);
        let (answered, said_nothing) = (self.answered.clone(), std::mem::take(&mut self.said_nothing));
        if let Some(summary) = summary {
            self.compact(manifest, turn, summary);
        }
        let appended = std::mem::take(&mut self.appended);
        let (messages, result_bytes_max) = shortened(std::mem::take(&mut self.messages), &self.words);
        let empty = Self::empty(manifest, &self.run);
        *self = Self { appended, said_nothing, compact_at_tokens, has_replied, answered, ..empty };
        for message in messages {
            self.add(message);
        }
        (self.tokens, self.length) = (0, Length::Shortened { result_bytes_max });
    }

    /// The same conversation with one more word of the host, that is not part of it.
    #[must_use]
    pub fn aside(&mut self, manifest: &Manifest, word: Told) -> Self {
        let aside = Self { appended: std::mem::take(&mut self.appended), ..self.clone() };
        aside.asking(manifest, word)
    }

    /// The conversation with a word that asks for a summary. Which model is asked, if summaries have one of their own, is
    /// part of what is asked for.
    fn asking(mut self, manifest: &Manifest, word: Told) -> Self {
        if let Some(summary) = &manifest.summary {
            let model = Digest::of_json(&summary.model);
            self.digest = Hasher::default().part(self.digest.as_bytes()).part(model.as_bytes()).finish();
        }
        self.push_word(word);
        self
    }

    /// Lets the summary that was made before a turn stand for everything before the last reply, but for the prompt.
    pub fn compact(&mut self, manifest: &Manifest, turn: u32, summary: &str) {
        let (has_replied, answered) = (self.has_replied, self.answered.take());
        let said_nothing = std::mem::take(&mut self.said_nothing);
        let kept = self.messages.split_off(self.last_reply_at());
        *self = Self { said_nothing, has_replied, answered, ..Self::empty(manifest, &self.run) };
        if has_replied {
            self.push_prompt(manifest);
        }
        self.add(Message::User(self.words.summed_up(summary)));
        for message in kept {
            self.add(message);
        }
        self.tokens = 0;
        self.appended = vec![MessageRef::Compacted(self.run.summary_of(turn))];
    }

    /// Lets the conversation grow from now on.
    pub fn keep_whole(&mut self) {
        self.compact_at_tokens = None;
    }

    /// What the next run of a conversation begins with: all that was said, but for calls without results.
    #[must_use]
    pub fn into_earlier(mut self) -> Vec<Message> {
        let is_open = |reply: &Reply| !reply.calls.is_empty() || reply.text.is_empty();
        // Neither is a reply that says nothing brought up again, nor what was said of it.
        while self
            .messages
            .pop_if(|last| matches!(last, Message::Assistant(reply) if is_open(reply)))
            .is_some()
        {
            let told = &self.said_nothing;
            self.messages.pop_if(|last| matches!(last, Message::User(text) if told.contains(text)));
        }
        let shown = |message| match message {
            Message::Tool(result) => Message::Tool(result.as_shown()),
            Message::User(_) | Message::Image(_) | Message::Assistant(_) => message,
        };
        self.messages.into_iter().map(shown).collect()
    }

    /// What the model is instructed, the form of its answer included.
    #[must_use]
    pub fn instructions(&self) -> &str {
        &self.instructions
    }

    /// Every message, oldest first.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The tools the model is offered.
    #[must_use]
    pub fn tools(&self) -> &[ToolSpec] {
        &self.tools
    }

    /// Takes over the words in which the host said what came since the last request, from the record of that request, if
    /// the host says something about the same there now. Nothing is taken over if anything else differs.
    pub fn take_over(&mut self, recorded: &[MessageRef]) {
        if self.appended.len() != recorded.len() {
            return;
        }
        let said = self.appended.iter().zip(recorded).map(|(own, recorded)| own.as_recorded(recorded));
        let Some(said) = said.collect::<Option<Vec<_>>>().filter(|said| *said != self.appended) else {
            return;
        };
        for (message, at) in self.messages.iter_mut().rev().zip(said.iter().rev()) {
            if let MessageRef::Told(told) = at {
                told.say_in(message);
            }
        }
        for at in &said {
            if let MessageRef::Told(told) = at {
                self.note_said_nothing(told);
            }
        }
        self.appended = said;
        self.digest = self.messages.iter().fold(self.beginning, chained);
    }

    fn push(&mut self, message: Message, at: MessageRef) {
        self.add(message);
        self.appended.push(at);
    }

    fn add(&mut self, message: Message) {
        self.digest = chained(self.digest, &message);
        if let Message::Assistant(Reply { tokens, .. }) = &message {
            self.tokens = tokens.input.saturating_add(tokens.output);
        }
        self.messages.push(message);
    }
}

/// The digest of a conversation with one more message.
fn chained(digest: Digest, message: &Message) -> Digest {
    Hasher::default().part(digest.as_bytes()).part(Digest::of_json(message).as_bytes()).finish()
}
