#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test may panic, and an end of the axis is exact"
)]

use proptest::prelude::*;

use super::*;
use crate::journal::{Event, Failed, Started};
use crate::message::{
    Arguments, Decision, Digest, ErrorKind, Json, MessageRef, ModelAsk, Outcome, Reply, ToolAsk, ToolEntry,
    ToolOutcome, ToolSpec, Trace, Usage,
};
use crate::session::Wants;

/// A record that grows event by event.
#[derive(Default)]
struct Record {
    entries: Vec<Entry>,
    waiting: Vec<Waiting>,
    going: BTreeMap<Slot, Going>,
    now_ms: u64,
}

fn id() -> RunId {
    RunId::from_bytes([7; 16])
}

fn slot(text: &str) -> Slot {
    text.parse().unwrap()
}

fn model() -> Request {
    Request::Model(ModelAsk {
        messages: 1,
        conversation: Digest::of(b""),
        appended: vec![MessageRef::Prompt],
    })
}

fn ask(name: &str) -> ToolAsk {
    let arguments = Arguments::Json(Json::empty_object());
    ToolAsk { name: name.to_owned(), arguments, target: None, client_id: None }
}

fn output() -> Outcome {
    Outcome::Tool(ToolOutcome::Output(Json::empty_object()))
}

fn error() -> Outcome {
    Outcome::Tool(ToolOutcome::error(ErrorKind::Transient, "not now"))
}

impl Record {
    /// A run of a manifest that begins at this moment.
    fn of(manifest: Manifest, at_ms: u64) -> Self {
        Self::default().begun("run", 1, at_ms, Request::Run(Box::new(manifest)))
    }

    fn new() -> Self {
        Self::of(Manifest::default(), 1000)
    }

    fn add(mut self, at: &str, event: Event) -> Self {
        self.now_ms = self.now_ms.max(event.at_ms());
        self.entries.push(Entry::new(id(), slot(at), event));
        self
    }

    fn begun(self, at: &str, attempt: u32, at_ms: u64, request: Request) -> Self {
        let digest = request.digest();
        let started = Started { attempt, at_ms, digest, request, kept: None, by: None };
        self.add(at, Event::Started(started))
    }

    fn failed(self, at: &str, attempt: u32, at_ms: u64, gave_up: bool) -> Self {
        let (usage, trace) = (Usage::default(), Trace::default());
        let failed = Failed { attempt, at_ms, retry_ms: 0, gave_up, outcome: error(), usage, trace };
        self.add(at, Event::Failed(failed))
    }

    fn ended(self, at: &str, attempt: u32, at_ms: u64, wall_us: u64, outcome: Outcome) -> Self {
        let usage = Usage { wall_us, ..Usage::default() };
        let (trace, settled, by) = (Trace::default(), false, None);
        self.add(at, Event::Finished(Finished { attempt, at_ms, outcome, usage, trace, settled, by }))
    }

    /// A call or a request from one moment to another.
    fn done(self, at: &str, from_ms: u64, until_ms: u64) -> Self {
        let (request, outcome) = match slot(at).steps().last() {
            Some(crate::message::Step::Model { .. }) => (model(), Outcome::Model(Reply::default())),
            Some(crate::message::Step::Approval) => {
                (Request::Approval(ask("t")), Outcome::Decision(Decision::Approved { input: None }))
            }
            _ => (Request::Tool(ask("t")), output()),
        };
        self.begun(at, 1, from_ms, request).ended(at, 1, until_ms, 0, outcome)
    }

    fn waits(mut self, at: &str, wants: Wants) -> Self {
        self.waiting.push(Waiting { slot: slot(at), request: Request::Tool(ask("t")), at_ms: 0, wants });
        self
    }

    fn drawn(&self, state: RunState) -> Timeline<'_> {
        let Self { entries, waiting, going, now_ms } = self;
        Timeline::of(Recorded { run: id(), entries, state, waiting, going, now_ms: *now_ms }).unwrap()
    }
}

fn names(timeline: &Timeline<'_>) -> Vec<String> {
    let place = |span: &Span<'_>| match &span.place {
        Place::Turn { run, turn } => format!("{run}#{turn}"),
        Place::At(slot) => slot.to_string(),
    };
    timeline.spans.iter().map(|span| format!("{}{}", "  ".repeat(span.depth), place(span))).collect()
}

#[test]
fn spans_are_nested_as_the_run_is() {
    let agent = Manifest { agent: "inner".to_owned(), ..Manifest::default() };
    let spec = ToolSpec {
        name: "t".to_owned(),
        description: String::new(),
        input_schema: Json::empty_object(),
        output_schema: None,
    };
    let tool = ToolEntry {
        spec,
        source: String::new(),
        export: String::new(),
        component: Digest::of(b""),
        grants: Digest::of(b""),
        hidden: false,
        max_repeats: None,
        builtin: None,
        agent: Some(Box::new(agent)),
        shown_bytes_max: 0,
    };
    let manifest = Manifest { tools: vec![tool].into(), ..Manifest::default() };
    let record = Record::of(manifest, 1000)
        .done("model(0)", 1000, 1010)
        .done("tool(0,0)/approval", 1010, 1020)
        .begun("tool(0,0)", 1, 1020, Request::Tool(ask("t")))
        .done("tool(0,0)/model(0)", 1021, 1030)
        .done("tool(0,0)/tool(0,0)", 1030, 1040)
        .done("tool(0,0)/tool(0,0)/call(1)", 1032, 1038)
        .ended("tool(0,0)", 1, 1050, 0, output())
        .done("model(1)", 1050, 1060);
    let timeline = record.drawn(RunState::Running);
    assert_eq!(
        names(&timeline),
        [
            "run#0",
            "  model(0)",
            "  tool(0,0)",
            "    tool(0,0)/approval",
            "    tool(0,0)#0",
            "      tool(0,0)/model(0)",
            "      tool(0,0)/tool(0,0)",
            "        tool(0,0)/tool(0,0)/call(1)",
            "run#1",
            "  model(1)",
        ]
    );
    let call = timeline.at(&slot("tool(0,0)")).unwrap();
    assert_eq!((call.kind, call.began_us, call.ended_us), (Kind::Agent, 10_000, Some(50_000)));
    assert_eq!(timeline.around(7), [0, 2, 4, 6]);
    assert!(timeline.spans.iter().all(|span| span.stand == Stand::Done), "{timeline:?}");
}

#[test]
fn the_run_waited_for_the_call_that_ended_last() {
    let record = Record::new()
        .done("model(0)", 1000, 1000)
        .done("tool(0,0)", 1000, 1004)
        .done("tool(0,1)", 1000, 1009)
        .done("tool(0,1)/call(0)", 1001, 1002)
        .done("tool(0,1)/call(1)", 1001, 1005)
        .done("tool(0,1)/call(2)", 1005, 1008)
        .done("model(1)", 1009, 1009);
    let timeline = record.drawn(RunState::Running);
    let slots = timeline.spans.iter().filter(|span| span.is_critical).filter_map(|span| span.slot());
    let slots: Vec<String> = slots.map(ToString::to_string).collect();
    assert_eq!(slots, ["model(0)", "tool(0,1)", "tool(0,1)/call(1)", "tool(0,1)/call(2)", "model(1)"]);
}

#[test]
fn every_attempt_is_there_with_the_waits_between() {
    let record = Record::new()
        .begun("tool(0,0)", 1, 1000, Request::Tool(ask("t")))
        .failed("tool(0,0)", 1, 1010, false)
        .begun("tool(0,0)", 2, 1500, Request::Tool(ask("t")))
        // The process died, and another one goes on.
        .begun("run", 2, 9000, Request::Run(Box::default()))
        .begun("tool(0,0)", 3, 9001, Request::Tool(ask("t")))
        .ended("tool(0,0)", 3, 9003, 1500, output());
    let timeline = record.drawn(RunState::Running);
    let call = timeline.at(&slot("tool(0,0)")).unwrap();
    let ends: Vec<(u32, u64, u64)> =
        call.attempts.iter().map(|it| (it.number, it.began_us, it.until_us)).collect();
    assert_eq!(ends, [(1, 0, 10_000), (2, 500_000, 500_000), (3, 8_001_000, 8_003_000)]);
    assert!(matches!(call.attempts[1].came, Came::CutOff));
    assert_eq!(call.attempts[2].took_us(), 1500);
    let whys: Vec<Why> = timeline.axis.idle().iter().map(|idle| idle.why).collect();
    assert_eq!(whys, [Why::Pause, Why::Pause]);
}

#[test]
fn how_a_call_stands_follows_from_how_its_run_does() {
    let open = || Record::new().begun("tool(0,0)", 1, 1000, Request::Tool(ask("t")));
    let stand = |record: &Record, state| record.drawn(state).at(&slot("tool(0,0)")).unwrap().stand;
    assert_eq!(stand(&open(), RunState::Running), Stand::GoesOn);
    let doubt = open().waits("tool(0,0)", Wants::Settlement);
    assert_eq!(stand(&doubt, RunState::Interrupted), Stand::InDoubt);
    assert_eq!(stand(&doubt, RunState::Running), Stand::GoesOn);
    assert_eq!(
        stand(&open().waits("tool(0,0)", Wants::Answer), RunState::Suspended),
        Stand::Waits(Wants::Answer)
    );
    assert_eq!(stand(&open().failed("tool(0,0)", 1, 1001, false), RunState::Running), Stand::Again);
    assert_eq!(stand(&open().failed("tool(0,0)", 1, 1001, true), RunState::Failed), Stand::GivenUp);
    assert_eq!(stand(&open().ended("tool(0,0)", 1, 1001, 0, error()), RunState::Running), Stand::Failed);
    assert_eq!(stand(&open(), RunState::Cancelled), Stand::Stopped);
    let asked = Record::new().begun("model(0)", 1, 1000, model());
    assert_eq!(asked.drawn(RunState::Interrupted).at(&slot("model(0)")).unwrap().stand, Stand::CutOff);
    // The call is not made before somebody says that it may be.
    let asks = Record::new().begun("tool(0,0)/approval", 1, 1000, Request::Approval(ask("pay")));
    let asks = asks.waits("tool(0,0)/approval", Wants::Approval);
    let timeline = asks.drawn(RunState::Suspended);
    let call = timeline.at(&slot("tool(0,0)")).unwrap();
    assert_eq!((call.stand, call.name.as_ref()), (Stand::Due, "pay"));
    assert_eq!(timeline.spans[0].stand, Stand::Waits(Wants::Approval));
}

#[test]
fn what_goes_on_and_is_not_recorded_is_drawn_up_to_now() {
    let mut record = Record::new();
    let going = Going { attempt: 1, at_ms: 1004, request: model(), heard: "It is".to_owned() };
    record.going.insert(slot("model(0)"), going);
    record.now_ms = 1030;
    let timeline = record.drawn(RunState::Running);
    let asked = timeline.at(&slot("model(0)")).unwrap();
    assert_eq!((asked.began_us, asked.until_us, asked.ended_us), (4000, 30_000, None));
    assert_eq!((asked.stand, asked.heard), (Stand::GoesOn, Some("It is")));
}

#[test]
fn what_another_run_did_is_told_apart() {
    let record = Record::of(Manifest::default(), 500_000)
        .done("model(0)", 1000, 1010)
        .done("tool(0,0)", 1010, 1020)
        .done("model(1)", 500_001, 500_010);
    let timeline = record.drawn(RunState::Running);
    let shared: Vec<bool> = timeline.spans.iter().map(|span| span.is_shared).collect();
    assert_eq!(shared, [true, true, true, false, false]);
    assert_eq!(timeline.axis.folds().len(), 1, "{:?}", timeline.axis);
    assert_eq!(timeline.axis.folds()[0].why, Why::Forked);
}

#[test]
fn a_long_wait_is_folded() {
    let day = 86_400_000;
    let record = Record::new()
        .done("model(0)", 1000, 2000)
        .done("tool(0,0)/approval", 2000, 2000 + 3 * day)
        .done("tool(0,0)", 2000 + 3 * day, 3000 + 3 * day);
    let timeline = record.drawn(RunState::Running);
    assert_eq!(timeline.axis.folds().len(), 1, "{:?}", timeline.axis);
    let fold = timeline.axis.folds()[0];
    assert_eq!((fold.why, fold.until_us - fold.from_us), (Why::Person, 3 * day * 1000));
    let [asked, called] = [fold.from_us, fold.until_us].map(|us| timeline.axis.at(us));
    assert!(asked > 0.45 && called < 0.55, "{asked} {called}");
    assert_eq!((timeline.axis.at(0), timeline.axis.at(timeline.length_us)), (0.0, 1.0));
    let ticks: Vec<u64> = timeline.axis.ticks().iter().map(|tick| tick.us).collect();
    // The moment at which the wait began stands too near to that at which it ended.
    assert_eq!(ticks, [0, 500_000, fold.until_us, timeline.length_us]);
}

proptest! {
    #[test]
    fn any_record_can_be_drawn(
        events in prop::collection::vec((0..12_u8, 0..3_u8, 0..4_u32, 0..5_000_u64), 0..60),
        state in prop::sample::select(vec![
            RunState::Running, RunState::Interrupted, RunState::Suspended, RunState::Failed, RunState::Cancelled,
        ]),
    ) {
        let slots = [
            "model(0)", "tool(0,0)", "tool(0,1)", "tool(0,0)/approval", "tool(0,0)/call(0)", "tool(0,1)/model(0)",
            "tool(0,1)/tool(0,0)", "model(1)", "tool(1,0)", "summary(1)", "tool(0,1)/tool(0,0)/approval", "run",
        ];
        let mut record = Record::new();
        for (at, what, attempt, at_ms) in events {
            let at = slots[usize::from(at)];
            let request = if at == "run" { Request::Run(Box::default()) } else { Request::Tool(ask("t")) };
            record = match what {
                0 => record.begun(at, attempt, at_ms, request),
                1 => record.failed(at, attempt, at_ms, false),
                _ => record.ended(at, attempt, at_ms, at_ms, output()),
            };
        }
        let timeline = record.drawn(state);
        let mut before = 0.0;
        for us in (0..=50).map(|n| timeline.length_us / 50 * n) {
            let at = timeline.axis.at(us);
            prop_assert!((before..=1.0).contains(&at), "{us}: {at}");
            before = at;
        }
        for (index, span) in timeline.spans.iter().enumerate() {
            prop_assert!(span.until_us >= span.began_us && span.until_us <= timeline.length_us, "{span:?}");
            prop_assert!(span.parent.is_none_or(|parent| parent < index));
            let around = timeline.around(index);
            prop_assert_eq!(around.len(), span.depth);
        }
    }
}
