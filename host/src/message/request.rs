use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    ApiAsk, Approvals, Arguments, Before, Budgets, Builtin, Decision, Digest, Ending, Image, Json, Message,
    ModelFailure, ModelIdentity, Order, Prices, Reply, Rules, RunId, SessionKey, Shared, Slot, Told,
    ToolOutcome, ToolSpec, Tools, Words,
};

/// What is asked for at a slot. Its digest is what replay compares: everything that could change the
/// answer belongs in here, and nothing that could not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// To carry out a whole run.
    Run(Box<Manifest>),
    /// To ask the model for a reply, or for a summary.
    Model(ModelAsk),
    /// To pass a program's request on to the model.
    Api(Box<ApiAsk>),
    /// To call a tool.
    Tool(ToolAsk),
    /// To let a person decide on a call, before it is made. It is bound to the component, the grants and the
    /// arguments, as the call itself is.
    Approval(ToolAsk),
}

impl Request {
    /// The digest that identifies the request.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Run(manifest) => Digest::of_json(&manifest.identity()),
            Self::Model(ask) => Digest::of_json(ask),
            Self::Api(ask) => ask.identity(),
            Self::Tool(ask) | Self::Approval(ask) => Digest::of_json(ask),
        }
    }
}

/// What a slot's request came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// How the run ended.
    Run(Ending),
    /// What the model replied.
    Model(Reply),
    /// Why it did not.
    NoReply(ModelFailure),
    /// What the tool call came to.
    Tool(ToolOutcome),
    /// What a person decided.
    Decision(Decision),
}

/// Everything a run depends on besides its recorded results, so that a journal alone can be replayed. By default it is of
/// no agent, and nothing is asked in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The agent's name.
    pub agent: String,
    /// The absolute path of the agent.toml that the run was started from; `host resume` reads it again.
    pub config: String,
    /// The system prompt.
    pub instructions: String,
    /// The conversation that the run belongs to, if it is one of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionKey>,
    /// What was said in that conversation before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Message>,
    /// Which run's record holds the beginning of it, so that it is not kept a second time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// What the person asked.
    pub prompt: String,
    /// The pictures that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// The model and its settings.
    pub model: ModelIdentity,
    /// The models that are asked when it fails, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<PricedModel>,
    /// The model that is asked first where the conversation is to be summed up, if it is not the one that replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<PricedModel>,
    /// The most turns the run may take.
    pub max_turns: u32,
    /// The most tool calls one turn may make.
    pub max_calls_per_turn: u32,
    /// What else stops it.
    #[serde(default, skip_serializing_if = "Budgets::is_none")]
    pub budgets: Budgets,
    /// At how many tokens of conversation it is replaced by a summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compact_at_tokens: Option<u64>,
    /// JSON Schema of the answer, where it has to have a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Json>,
    /// How it was ordered, if it was accepted before it could begin, or may be ordered again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The values that `instructions` and `prompt` were made with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Which calls a person has to approve.
    #[serde(default, skip_serializing_if = "Approvals::is_none")]
    pub approvals: Approvals,
    /// Whether a program outside carries the run out, and the host passes its requests on and makes its calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
    /// What the texts of its requests are compared without: regular expressions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// The tools offered to the model, sorted by name.
    pub tools: Tools,
    /// Seeds the random numbers that guests see.
    pub seed: u64,
    /// What the person said after the prompt, in the order of turns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<Said>,
    /// Where the run comes from, if it shares the beginning of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<Fork>,
    /// What it goes by; an agent that is called goes by the rules of the run that it is called in.
    #[serde(default, skip_serializing_if = "Rules::are_first")]
    pub rules: Rules,
    /// In which words the host says what it says around other texts; an agent that is called is told so in the words of
    /// the run that it is called in. Not recorded of runs that began before there was a choice: see [`Words::first`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Arc<Words>>,
}

/// A model besides the first choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PricedModel {
    /// The model and its settings.
    pub model: ModelIdentity,
    /// What its tokens cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
}

/// What a person said in the middle of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Before the model was asked for this turn.
    pub turn: u32,
    /// The words.
    pub text: String,
}

/// Where a run leaves another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The other run.
    pub run: RunId,
    /// The first turn that is not shared.
    pub turn: u32,
}

impl Manifest {
    /// The models that may reply, the first choice first.
    #[must_use]
    pub fn models(&self) -> Vec<&ModelIdentity> {
        std::iter::once(&self.model).chain(self.fallbacks.iter().map(|fallback| &fallback.model)).collect()
    }

    /// The place of the model that is asked first after this reply, which was the run's last one: that of the model that
    /// gave it, because it is likely to answer again. Where that model is not among the models any more, and before the
    /// first reply, it is the first choice.
    #[must_use]
    pub fn asked_first(&self, rules: Rules, last: Option<&Reply>) -> usize {
        let last = last.filter(|_| rules.stay_with_who_answered());
        last.and_then(|reply| self.models().iter().position(|model| model.gave_reply(reply))).unwrap_or(0)
    }

    /// The models that may sum the conversation up, the first choice first: where the one that is meant for it fails,
    /// those that reply stand in.
    #[must_use]
    pub fn summary_models(&self) -> Vec<&ModelIdentity> {
        self.summary.iter().map(|summary| &summary.model).chain(self.models()).collect()
    }

    /// The place among [`Self::summary_models`] of the model that is asked first for a summary after this reply.
    #[must_use]
    pub fn summary_asked_first(&self, rules: Rules, last: Option<&Reply>) -> usize {
        if self.summary.is_some() { 0 } else { self.asked_first(rules, last) }
    }

    /// In which words the host says what it says around other texts.
    #[must_use]
    pub fn words(&self) -> &Words {
        self.words.as_deref().unwrap_or_else(|| Words::first())
    }

    /// The tools that the model is offered.
    #[must_use]
    pub fn offered(&self) -> Shared<ToolSpec> {
        self.tools.offered()
    }

    /// What makes the run what it is: all but where its configuration lies, and that of the agents that it calls, and where
    /// it is kept what was said before.
    #[must_use]
    pub fn identity(&self) -> Self {
        Self { config: String::new(), before: None, tools: self.tools.identity(), ..self.clone() }
    }

    /// The tool, or agent, that is called by a name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&ToolEntry> {
        self.tools.iter().find(|tool| tool.spec.name == name)
    }
}

/// A tool as a run knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolEntry {
    /// What the model is told.
    pub spec: ToolSpec,
    /// The `[tools.NAME]` table it comes from.
    pub source: String,
    /// The name the component itself gives it, without the prefix.
    pub export: String,
    /// SHA-256 of the component; of an agent, the digest of what it is.
    pub component: Digest,
    /// Digest of what the tool is granted, limits included.
    pub grants: Digest,
    /// Whether only other tools may call it, and the model is not told of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// How many turns in a row may make the same call of it with the same result, if it is not as many as of other tools;
    /// 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_repeats: Option<u32>,
    /// Which of the host's own tools it is, if it is one: then there is no component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<Builtin>,
    /// What the run of the agent is that it stands for, if it is one: then there is no component. Its prompt comes
    /// with the call, and its seed is that of the run that calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<Manifest>>,
    /// How much of an outcome the model is shown, in bytes.
    #[serde(default = "super::default_shown", skip_serializing_if = "super::is_default_shown")]
    pub shown_bytes_max: u64,
}

impl ToolEntry {
    /// The same tool, with what the host said of it in its own words when this was recorded. What a tool of the host's, or
    /// an agent, takes and gives is the same as long as the component is; the description of an agent is not the host's.
    #[must_use]
    pub fn told_as(self, recorded: Option<&Self>) -> Self {
        let Some(recorded) = recorded.filter(|it| it.component == self.component) else { return self };
        let description =
            if self.builtin.is_some() { &recorded.spec } else { &self.spec }.description.clone();
        Self { spec: ToolSpec { description, ..recorded.spec.clone() }, ..self }
    }
}

/// A model request, without repeating the conversation: a digest over all of it, and references to the
/// messages that came since the last request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelAsk {
    /// How many messages the conversation has.
    pub messages: u32,
    /// Digest over the model's settings, the tools and every message in order.
    pub conversation: Digest,
    /// The messages since the request before, by where they are recorded.
    pub appended: Vec<MessageRef>,
}

/// Where a message of the conversation is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageRef {
    /// All that the manifest says was said before.
    Earlier,
    /// The summary at this slot, in place of everything before the last reply; but the prompt stays before it, if it
    /// was said.
    Compacted(Slot),
    /// The prompt in the manifest.
    Prompt,
    /// The picture of this number in the manifest, from 0.
    Image(u32),
    /// What the manifest has the person say before this turn.
    Said(u32),
    /// The outcome at this slot.
    At(Slot),
    /// What the host said to the model in its own name, such as the result of a call it did not make; in runs that have
    /// no topics recorded.
    Note(String),
    /// What the host said to the model in its own name.
    Told(Told),
}

/// A tool call as it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolAsk {
    /// The name the model called; it need not exist.
    pub name: String,
    /// The input as the model wrote it, in canonical form if it is JSON.
    pub arguments: Arguments,
    /// The component and grants that the name stands for, if there is such a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The id under which a program outside made the call, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// What exactly a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// SHA-256 of the component.
    pub component: Digest,
    /// Digest of the tool's grants and limits.
    pub grants: Digest,
}
