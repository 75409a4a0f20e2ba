//! The loop over a journal that goes by positions and not by slots: what was issued, and what ended, in the order in
//! which it happened. Whoever wants to put such a journal behind the loop finds here what that takes.

mod journal;

use std::sync::Arc;

use futures::future::BoxFuture;
use host::agent::{Agent, CalledAgent, CalledAgents};
use host::dispatch::{Dispatcher, Person, Spoken, ToolRunner, agent_entry};
use host::message::{
    Approvals, Arguments, Decision, Ending, Json, Manifest, Reply, Retry, Slot, ToolAsk, ToolCall, ToolEntry,
    ToolOutcome, Verdict,
};
use host::model::{Model, ModelError, ModelRequest, Models};
use host::session::{Attempt, Conduct, Done, Doubt, Execution, FanOut, Reach};
use journal::{Positional, issued, reopened};
use proptest::prelude::*;

use crate::interleavings;

/// Makes so many calls in each turn, and then answers with all that it was told.
struct Planned {
    plan: Vec<usize>,
    tools: Vec<&'static str>,
}

impl Model for Planned {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        let turn = usize::try_from(request.turn).unwrap();
        let call = |index: usize| ToolCall {
            id: format!("{turn}-{index}"),
            name: self.tools[index % self.tools.len()].to_owned(),
            arguments: Arguments::parse(&format!("{{\"prompt\":\"{turn} {index}\"}}")),
        };
        let calls: Vec<ToolCall> = (0..self.plan.get(turn).copied().unwrap_or_default()).map(call).collect();
        let text = if calls.is_empty() { format!("{:?}", request.messages) } else { String::new() };
        Box::pin(std::future::ready(Ok(Reply { text, calls, ..Reply::default() })))
    }

    fn reaches_outside(&self) -> bool {
        false
    }
}

/// A tool that gives back what it is called with.
struct Echo;

impl ToolRunner for Echo {
    fn call<'a>(
        &'a self,
        _tool: &'a ToolEntry,
        input: &'a Json,
        _attempt: &'a Attempt,
        _fan_out: Arc<dyn FanOut>,
    ) -> BoxFuture<'a, Done<ToolOutcome>> {
        Box::pin(std::future::ready(ToolOutcome::Output(input.clone()).into()))
    }

    fn conduct(&self, _tool: &ToolEntry) -> Conduct<'static> {
        Conduct { reach: Reach::Pure, doubt: Doubt::Repeat, retry: Retry::NEVER, room: None }
    }
}

/// Somebody who approves everything.
struct Agrees;

impl Person for Agrees {
    fn decide<'a>(&'a self, _slot: &'a Slot, _ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        Box::pin(std::future::ready(Some(Decision::Approved { input: None }.into())))
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, _question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(std::future::ready(None))
    }
}

fn agent(plan: &[usize], default: Verdict, session: Arc<dyn Execution>) -> Agent {
    let below = interleavings::manifest();
    let called = CalledAgent {
        manifest: below.clone(),
        models: models(&[2, 1], vec!["echo"]),
        dispatcher: Arc::new(Dispatcher::new(&below, Arc::new(Echo), 4)),
        wall_time: None,
    };
    let mut manifest = Manifest { approvals: Approvals { default, ..Approvals::default() }, ..below.clone() };
    let helper = agent_entry("helper", "", "", below);
    manifest.tools = manifest.tools.iter().cloned().chain([helper]).collect();
    let dispatcher = Dispatcher::new(&manifest, Arc::new(Echo), 4).attended_by(Arc::new(Agrees));
    let dispatcher = dispatcher.calling(Arc::new(CalledAgents::new([("helper".to_owned(), called)])));
    let models = models(plan, vec!["echo", "leaf", "helper"]);
    Agent { manifest: Arc::new(manifest), session, models, dispatcher: Arc::new(dispatcher), slot: Slot::RUN }
}

fn models(plan: &[usize], tools: Vec<&'static str>) -> Models {
    Models::only(Arc::new(Planned { plan: plan.to_vec(), tools }), Retry::NEVER)
}

/// What a run has come to in one process, and its journal.
fn work(
    plan: &[usize],
    default: Verdict,
    journal: &Arc<Positional>,
    lines_max: usize,
    mut random: u64,
) -> Option<Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let agent = agent(plan, default, Arc::clone(journal) as _);
    let ended = runtime.block_on(journal.drive(lines_max, &mut random, agent.run(None)));
    ended.map(|ended| ended.unwrap().ending)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn effects_are_issued_in_program_order_whatever_order_they_end_in(
        plan in prop::collection::vec(0_usize..6, 1..4),
        seed in any::<u64>(),
    ) {
        let journal = Positional::new(Vec::new());
        work(&plan, Verdict::Auto, &journal, usize::MAX, seed).unwrap();
        let turns = plan.iter().position(|calls| *calls == 0).unwrap_or(plan.len());
        let turn = |turn: usize| {
            let calls = plan.get(turn).copied().unwrap_or_default();
            let turn = u32::try_from(turn).unwrap();
            let calls = (0..calls).map(move |index| Slot::tool(turn, u32::try_from(index).unwrap()));
            std::iter::once(Slot::model(turn)).chain(calls)
        };
        prop_assert_eq!(issued(&journal), (0..=turns).flat_map(turn).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_over_positions_comes_to_the_same_end_wherever_it_was_broken_off(
        plan in prop::collection::vec(0_usize..6, 1..4),
        crashes in prop::collection::vec(1_usize..40, 0..4),
        seeds in prop::collection::vec(any::<u64>(), 5),
        asks in any::<bool>(),
    ) {
        let default = if asks { Verdict::Ask } else { Verdict::Auto };
        let undisturbed = work(&plan, default, &Positional::new(Vec::new()), usize::MAX, seeds[4]).unwrap();
        let mut journal = Positional::new(Vec::new());
        let mut limits = crashes.into_iter().chain([usize::MAX]);
        let mut seeds = seeds.iter();
        let ended = loop {
            let (lines_max, seed) = (limits.next().unwrap(), *seeds.next().unwrap());
            if let Some(ended) = work(&plan, default, &journal, lines_max, seed) {
                break ended;
            }
            journal = reopened(&journal);
        };
        prop_assert_eq!(&ended, &undisturbed);
        // Nothing is carried out of a run that has ended, and it comes to the same.
        let again = reopened(&journal);
        prop_assert_eq!(work(&plan, default, &again, usize::MAX, 0).unwrap(), undisturbed);
        prop_assert!(again.state.lock().unwrap().carried_out.is_empty());
    }
}

/// An input that takes a thread and some time to be checked comes first, and small ones after it.
#[tokio::test]
async fn how_long_an_input_is_checked_has_no_say_in_the_order_of_effects() {
    let mut manifest = interleavings::manifest();
    manifest.approvals.default = Verdict::Ask;
    let schema = r#"{"type":"object","properties":{"texts":{"uniqueItems":true,"items":{"type":"string"}}}}"#;
    let mut tools = manifest.tools.to_vec();
    tools[0].spec.input_schema = Json::parse(schema.to_owned()).unwrap();
    manifest.tools = tools.into();
    // Nobody lets anything end.
    let journal = Positional::new(Vec::new());
    let session = Arc::clone(&journal) as Arc<dyn Execution>;
    let dispatcher = Arc::new(Dispatcher::new(&manifest, Arc::new(Echo), 4));
    let texts: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let call = |name: &str, input: &str| {
        let (id, name, arguments) = (String::new(), name.to_owned(), Arguments::parse(input));
        (ToolCall { id, name, arguments }, None)
    };
    let large = serde_json::json!({ "texts": texts }).to_string();
    let calls = vec![call("echo", &large), call("leaf", "{}"), call("leaf", "{}")];
    let three = async {
        while issued(&journal).len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    let top = Slot::RUN;
    tokio::select! {
        ended = dispatcher.dispatch(&session, &top, 0, calls) => panic!("{ended:?}"),
        () = three => {}
    }
    let expected: Vec<Slot> = (0..3).map(|index| Slot::tool(0, index).approval()).collect();
    assert_eq!(issued(&journal), expected);
}
