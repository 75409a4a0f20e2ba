use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{Link, Span as _, SpanContext, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::attributes::{self, About, Opening};
use super::content::{self, Talk};
use super::ids::{Ids, SpanName};
use super::tally::Tally;
use super::{Begun, Invocation, Stand};
use crate::journal::{Failed, Finished};
use crate::message::{
    Arguments, Caller, Ending, Manifest, ModelFailure, Outcome, Request, RunId, Slot, Step, ToolError,
    ToolOutcome,
};
use crate::session::Notice;

/// The spans of a run that goes on.
///
/// One span is one effect with all its attempts, as who waits for it sees it; an attempt that failed is an event of
/// it. A call made by a tool is below the call of that tool, everything else below the run.
pub(super) struct Spans {
    run: RunId,
    tracer: SdkTracer,
    /// The agents at work: the run's own, and those that were called, by the slots of their runs.
    agents: HashMap<Slot, Agent>,
    invocation: Invocation,
    root: Span,
    /// What is being carried out.
    open: HashMap<Slot, Open>,
    /// How many spans were cut off at a slot that may be called again.
    cut_off: HashMap<Slot, u32>,
    /// The provider's ids of calls that the model asked for and that have not begun.
    call_ids: HashMap<Slot, String>,
    /// How many spans were handed on.
    tally: Arc<Tally>,
}

/// An agent at work.
pub(super) struct Agent {
    run: RunId,
    manifest: Manifest,
    about: About,
    /// What is said, if that is to be exported.
    talk: Option<Talk>,
}

impl Agent {
    pub(super) fn new(run: RunId, manifest: Manifest, captures_content: bool) -> Self {
        let talk = captures_content.then(|| Talk::new(&manifest));
        Self { run, about: About::new(run, &manifest), manifest, talk }
    }

    /// The agent that it calls, if it does.
    fn called(&self, request: &Request) -> Option<Self> {
        let Request::Tool(ask) = request else { return None };
        let called = self.manifest.tool(&ask.name)?.agent.as_deref()?.clone();
        let prompt = match &ask.arguments {
            Arguments::Json(input) => input.to_value()["prompt"].as_str().unwrap_or_default().to_owned(),
            Arguments::Malformed(_) => String::new(),
        };
        Some(Self::new(
            self.run,
            Manifest { prompt, rules: self.manifest.rules, ..called },
            self.talk.is_some(),
        ))
    }
}

/// An effect that is being carried out.
struct Open {
    span: Span,
    attempt: u32,
}

/// How a span ends.
struct Closing {
    attributes: Vec<KeyValue>,
    error: Option<String>,
    /// What went wrong in words, if what is said is exported.
    words: Option<String>,
}

impl Spans {
    pub(super) fn begin(
        tracer: SdkTracer,
        tally: Arc<Tally>,
        agent: Agent,
        invocation: Invocation,
        caller: Option<&Caller>,
    ) -> Self {
        let run = agent.run;
        let name = SpanName { run, invocation: invocation.number, slot: &Slot::RUN, cut_off: 0 };
        let began = invocation.taken_over.get(&Slot::RUN).map_or_else(SystemTime::now, |run| run.at());
        let Opening { name: title, kind, attributes } = agent.about.run();
        let said = agent.talk.iter().flat_map(|talk| {
            let instructions =
                talk.instructions().map(|it| KeyValue::new(attributes::SYSTEM_INSTRUCTIONS, it));
            instructions.into_iter().chain([KeyValue::new(attributes::INPUT_MESSAGES, talk.prompt())])
        });
        let attributes: Vec<KeyValue> = attributes.into_iter().chain(said).collect();
        let links = caller.map(|caller| Link::with_context(caller.into())).into_iter().collect();
        let builder =
            tracer.span_builder(title).with_kind(kind).with_attributes(attributes).with_links(links);
        let builder = builder.with_start_time(began);
        let root = Ids::naming(name, || tracer.build_with_context(builder, &Context::new()));
        Self {
            run,
            tracer,
            agents: HashMap::from([(Slot::RUN, agent)]),
            invocation,
            root,
            open: HashMap::new(),
            cut_off: HashMap::new(),
            call_ids: HashMap::new(),
            tally,
        }
    }

    /// Something happens in the run.
    pub(super) fn notice(&mut self, notice: &Notice<'_>) {
        match notice {
            Notice::Started { slot, attempt, request } => self.started(slot, *attempt, request),
            Notice::Failed { slot, failed, .. } => self.failed(slot, failed),
            Notice::Finished { slot, request, finished, substituted } => {
                self.finished(slot, request, finished, *substituted);
            }
            Notice::Heard { .. } => {}
        }
    }

    fn started(&mut self, slot: &Slot, attempt: u32, request: &Request) {
        if let Some(open) = self.open.get_mut(slot) {
            open.attempt = attempt;
            return;
        }
        let called = self.agents.get(&slot.run()).and_then(|agent| agent.called(request));
        self.agents.extend(called.map(|called| (slot.clone(), called)));
        let Some(Opening { name, kind, mut attributes }) = self.opening(slot, request) else { return };
        attributes.extend(self.call_ids.remove(slot).map(|id| KeyValue::new(attributes::TOOL_CALL_ID, id)));
        let cut_off = self.cut_off.get(slot).copied().unwrap_or_default();
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        let above = Context::new().with_remote_span_context(self.above(slot));
        // An attempt that another process began and did not end is one that failed, of this very effect.
        let before = self.invocation.taken_over.remove(slot).filter(|before| before.attempt < attempt);
        let began = before.map_or_else(SystemTime::now, Begun::at);
        let builder = builder.with_start_time(began);
        let name = SpanName { run: self.run, invocation: self.invocation.number, slot, cut_off };
        let mut span = Ids::naming(name, || self.tracer.build_with_context(builder, &above));
        if let Some(before) = before {
            span.add_event(
                attributes::ATTEMPT_FAILED,
                attributes::attempt(before.attempt, Some(attributes::KILLED)),
            );
        }
        self.open.insert(slot.clone(), Open { span, attempt });
    }

    /// How the span of an effect begins; none for the run, which has begun, and for what a person does.
    fn opening(&mut self, slot: &Slot, request: &Request) -> Option<Opening> {
        let Agent { about, talk, .. } = self.agents.get_mut(&slot.run())?;
        let mut opening = match request {
            // A person who decides is none of the agent's own doings; the call that waits has not begun.
            Request::Run(_) | Request::Approval(_) => return None,
            Request::Model(_) | Request::Api(_) => about.chat(slot),
            Request::Tool(ask) => about.tool(slot, &ask.name),
        };
        let Some(talk) = talk else { return Some(opening) };
        let mut say = |name, words| opening.attributes.push(KeyValue::new(name, words));
        match request {
            Request::Run(_) | Request::Approval(_) => {}
            Request::Api(ask) => say(attributes::INPUT_MESSAGES, ask.body.as_str().to_owned()),
            Request::Model(ask) => {
                talk.ask(slot, ask);
                if let Some(instructions) = talk.instructions() {
                    say(attributes::SYSTEM_INSTRUCTIONS, instructions);
                }
                say(attributes::INPUT_MESSAGES, talk.input());
            }
            Request::Tool(ask) => say(attributes::TOOL_CALL_ARGUMENTS, content::arguments(&ask.arguments)),
        }
        Some(opening)
    }

    /// The span of an effect that is being carried out, if it is exported.
    pub(super) fn at(&self, slot: &Slot) -> Option<Caller> {
        let span = self.open.get(slot)?.span.span_context();
        span.is_sampled().then(|| span.into())
    }

    /// The span below which that of an effect is.
    fn above(&self, slot: &Slot) -> SpanContext {
        let caller = slot.callers().last().and_then(|caller| self.open.get(&caller));
        caller.map_or_else(|| self.root.span_context(), |caller| caller.span.span_context()).clone()
    }

    fn failed(&mut self, slot: &Slot, failed: &Failed) {
        self.cut_off_below(slot);
        let Closing { error, words, .. } = self.closing(&failed.outcome);
        let Some(open) = self.open.get_mut(slot) else { return };
        let mut event = attributes::attempt(failed.attempt, error.as_deref());
        event.extend(words.clone().map(|words| KeyValue::new(attributes::ERROR_MESSAGE, words)));
        if !failed.gave_up {
            event.push(KeyValue::new(attributes::RETRY_MS, attributes::int(failed.retry_ms)));
        }
        open.span.add_event(attributes::ATTEMPT_FAILED, event);
        if failed.gave_up {
            self.close(slot, Closing { attributes: Vec::new(), error, words });
        }
    }

    fn finished(&mut self, slot: &Slot, request: &Request, finished: &Finished, substituted: bool) {
        self.cut_off_below(slot);
        self.agents.remove(slot);
        let mut talk = self.agents.get_mut(&slot.run()).and_then(|agent| agent.talk.as_mut());
        if let (Request::Model(ask), Some(talk), true) = (request, &mut talk, substituted) {
            talk.ask(slot, ask);
        }
        if let Some(talk) = talk {
            talk.outcome(slot, &finished.outcome);
        }
        if let ([.., Step::Model { turn }], Outcome::Model(reply)) = (slot.steps(), &finished.outcome) {
            let run = slot.run();
            let ids =
                (0..).zip(&reply.calls).map(|(index, call)| (run.tool_of(*turn, index), call.id.clone()));
            self.call_ids.extend(ids);
        }
        // What was substituted, or said by a person, never began here.
        self.call_ids.remove(slot);
        let closing = self.closing(&finished.outcome);
        self.close(slot, closing);
    }

    /// Whether what is said is to be exported.
    fn captures_content(&self) -> bool {
        self.agents.values().any(|agent| agent.talk.is_some())
    }

    /// How the span of an effect that came to this ends.
    fn closing(&self, outcome: &Outcome) -> Closing {
        let mut attributes = match outcome {
            Outcome::Model(reply) => attributes::reply(reply),
            Outcome::Run(_) | Outcome::NoReply(_) | Outcome::Tool(_) | Outcome::Decision(_) => Vec::new(),
        };
        let mut words = None;
        if self.captures_content() {
            match outcome {
                Outcome::Run(_) | Outcome::Decision(_) => {}
                Outcome::Model(reply) => {
                    attributes.push(KeyValue::new(attributes::OUTPUT_MESSAGES, content::output(reply)));
                }
                Outcome::NoReply(ModelFailure { message, .. }) => words = Some(message.clone()),
                Outcome::Tool(outcome) => {
                    attributes.push(KeyValue::new(attributes::TOOL_CALL_RESULT, content::result(outcome)));
                    words = match outcome {
                        ToolOutcome::Output(_) => None,
                        ToolOutcome::Error(ToolError { message, .. }) => Some(message.clone()),
                    };
                }
            }
        }
        Closing { attributes, error: attributes::error_type(outcome), words }
    }

    fn close(&mut self, slot: &Slot, closing: Closing) {
        let Some(Open { mut span, attempt }) = self.open.remove(slot) else { return };
        span.set_attribute(KeyValue::new(attributes::ATTEMPT, i64::from(attempt)));
        end(&mut span, closing, &self.tally);
    }

    /// Ends the spans of calls that a tool made and that nobody waits for any more.
    fn cut_off_below(&mut self, caller: &Slot) {
        self.cut_off_where(|slot| slot.is_below(caller));
    }

    fn cut_off_where(&mut self, is_over: impl Fn(&Slot) -> bool) {
        let mut over: Vec<Slot> = self.open.keys().filter(|slot| is_over(slot)).cloned().collect();
        // The innermost first, so that none ends before what is below it.
        over.sort_by_key(|slot| std::cmp::Reverse(slot.steps().len()));
        for slot in over {
            let error = Some(attributes::CUT_OFF.to_owned());
            self.close(&slot, Closing { attributes: Vec::new(), error, words: None });
            *self.cut_off.entry(slot).or_default() += 1;
        }
    }

    /// Nothing more is carried out.
    pub(super) fn stop(mut self, stand: Stand<'_>) {
        self.cut_off_where(|_| true);
        let (state, error) = attributes::stand(stand);
        let mut attributes = vec![state];
        let mut words = None;
        if self.captures_content() {
            match stand {
                Stand::Ended(Ending::Answer(answer) | Ending::Refused(answer)) => {
                    attributes.push(KeyValue::new(attributes::OUTPUT_MESSAGES, content::answer(answer)));
                }
                Stand::Ended(Ending::Unfit { answer, why }) => {
                    attributes.push(KeyValue::new(attributes::OUTPUT_MESSAGES, content::answer(answer)));
                    words = Some(why.clone());
                }
                Stand::Ended(Ending::Limit(why) | Ending::Empty(why)) => words = Some(why.clone()),
                Stand::Ended(Ending::Cancelled(cancelled)) => words = Some(cancelled.to_string()),
                Stand::Failed(failure) => words = failure.map(|failure| failure.message.clone()),
                Stand::Suspended | Stand::Interrupted => {}
            }
        }
        end(&mut self.root, Closing { attributes, error, words }, &self.tally);
    }
}

/// Ends a span and hands it on, unless a sampler decided against it.
fn end(span: &mut Span, Closing { attributes, error, words }: Closing, tally: &Tally) {
    span.set_attributes(attributes);
    if let Some(error) = error {
        span.set_status(Status::error(words.unwrap_or_default()));
        span.set_attribute(KeyValue::new(attributes::ERROR_TYPE, error));
    }
    if span.span_context().is_sampled() {
        tally.made_one();
    }
    span.end();
}
