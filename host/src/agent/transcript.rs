use super::answer::instructed;
use crate::message::{
    Digest, Hasher, Manifest, Message, MessageRef, ModelAsk, Reply, Said, Slot, ToolResult, ToolSpec,
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
    tools: Vec<ToolSpec>,
    digest: Digest,
    appended: Vec<MessageRef>,
}

impl Transcript {
    /// The conversation of the run at a slot, at its start: the prompt, and its pictures before it.
    #[must_use]
    pub fn begin(manifest: &Manifest, run: &Slot) -> Self {
        let tools: Vec<ToolSpec> =
            manifest.tools.iter().filter(|tool| !tool.hidden).map(|tool| tool.spec.clone()).collect();
        let Manifest { model, fallbacks, output_schema, .. } = manifest;
        let instructions = instructed(&manifest.instructions, output_schema.as_ref());
        let digest = if fallbacks.is_empty() {
            Digest::of_json(&(&instructions, model, &tools))
        } else {
            Digest::of_json(&(&instructions, model, fallbacks, &tools))
        };
        let (run, messages, appended) = (run.clone(), Vec::new(), Vec::new());
        let mut transcript = Self { run, messages, instructions, tools, digest, appended };
        for (index, image) in (0..).zip(&manifest.images) {
            transcript.push(Message::Image(image.clone()), MessageRef::Image(index));
        }
        transcript.push(Message::User(manifest.prompt.clone()), MessageRef::Prompt);
        transcript
    }

    /// The request that asks for a reply to everything said so far.
    pub fn ask(&mut self) -> ModelAsk {
        ModelAsk {
            messages: u32::try_from(self.messages.len()).unwrap_or(u32::MAX),
            conversation: self.digest,
            appended: std::mem::take(&mut self.appended),
        }
    }

    /// Appends what the person says in the middle of the run.
    pub fn push_said(&mut self, said: &Said) {
        self.push(Message::User(said.text.clone()), MessageRef::Said(said.turn));
    }

    /// Appends what the host says in its own name.
    pub fn push_word(&mut self, text: String) {
        self.push(Message::User(text.clone()), MessageRef::Note(text));
    }

    /// Appends what the model replied.
    pub fn push_reply(&mut self, turn: u32, reply: Reply) {
        let at = MessageRef::At(self.run.model_of(turn));
        self.push(Message::Assistant(reply), at);
    }

    /// Appends the results of a turn's calls, in call order.
    pub fn push_results(&mut self, turn: u32, results: impl IntoIterator<Item = ToolResult>) {
        for (index, result) in (0..).zip(results) {
            let at = MessageRef::At(self.run.tool_of(turn, index));
            self.push(Message::Tool(result), at);
        }
    }

    /// Appends results that the host gives in its own name, for calls it did not make.
    pub fn push_notes(&mut self, results: impl IntoIterator<Item = ToolResult>) {
        for result in results {
            let note = result.model_text();
            self.push(Message::Tool(result), MessageRef::Note(note));
        }
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

    fn push(&mut self, message: Message, at: MessageRef) {
        let message_digest = Digest::of_json(&message);
        self.digest = Hasher::default().part(self.digest.as_bytes()).part(message_digest.as_bytes()).finish();
        self.messages.push(message);
        self.appended.push(at);
    }
}
