//! Whatever order parallel calls end in, and wherever the process dies, a run comes to the same end: over random
//! interleavings, crashes and resumes of the real loop, with a store that loses what a crash may lose.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use host::agent::Agent;
use host::dispatch::{Dispatcher, ToolRunner};
use host::journal::{Ack, Durability, Entry, Event, JournalError, JournalStore, MemoryStore};
use host::message::{
    Approvals, Arguments, Budgets, Digest, Ending, ErrorKind, Json, Manifest, Message, ModelIdentity, Reply,
    Retry, Rules, RunId, Slot, ToolCall, ToolEntry, ToolOutcome, ToolSpec, Words,
};
use host::model::{Model, ModelError, ModelRequest, Models};
use host::session::{Attempt, Conduct, Decisions, Done, Doubt, FanOut, Mode, Reach, Session};
use proptest::prelude::*;
use tokio::sync::Notify;

/// A journal on a disk that loses, in a crash, what nobody waited for.
#[derive(Default)]
struct LossyStore {
    disk: MemoryStore,
    cached: Mutex<Vec<Entry>>,
}

impl LossyStore {
    /// Keeps the first so many of the events that nobody waited for; the order of a log is kept by a crash.
    fn crash(&self, keep: usize) {
        for entry in self.cached.lock().unwrap().drain(..).take(keep) {
            drop(self.disk.append(&entry, Durability::Now));
        }
    }
}

impl JournalStore for LossyStore {
    fn append(&self, entry: &Entry, when: Durability) -> Ack {
        let mut cached = self.cached.lock().unwrap();
        cached.push(entry.clone());
        if when == Durability::Now {
            for entry in cached.drain(..) {
                drop(self.disk.append(&entry, Durability::Now));
            }
        }
        Ack::ready(Ok(()))
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        self.disk.read(run)
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        self.disk.runs()
    }
}

/// What the calls of a run do: how long they take, in turns of the scheduler, and how often they fail first.
struct World {
    random: AtomicU64,
    steps: AtomicU64,
    crash_at: AtomicU64,
    crash: Notify,
    attempts: Mutex<HashMap<Slot, Vec<u32>>>,
}

impl World {
    fn random(&self, below: u64) -> u64 {
        // An LCG: its low bits are poor, its high ones are not.
        let next =
            |it: u64| it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let before = self.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| Some(next(it)));
        (before.unwrap() >> 33) % below
    }

    async fn step(&self) {
        if self.steps.fetch_add(1, Ordering::Relaxed) + 1 == self.crash_at.load(Ordering::Relaxed) {
            self.crash.notify_one();
        }
        tokio::task::yield_now().await;
    }
}

impl ToolRunner for World {
    fn call<'a>(
        &'a self,
        _tool: &'a ToolEntry,
        input: &'a Json,
        attempt: &'a Attempt,
        fan_out: Arc<dyn FanOut>,
    ) -> BoxFuture<'a, Done<ToolOutcome>> {
        Box::pin(async move {
            for _ in 0..self.random(6) {
                self.step().await;
            }
            self.attempts.lock().unwrap().entry(attempt.slot.clone()).or_default().push(attempt.number);
            if attempt.slot.steps().len() == 1 && input.as_str().len().is_multiple_of(2) {
                return self.pass_on(input, attempt, &*fan_out).await;
            }
            // What an attempt comes to is the call's own, whenever it is made: some fail for ever.
            let failing = input.as_str().len().is_multiple_of(3) && input.as_str().contains('7');
            if failing {
                return ToolOutcome::error(ErrorKind::Transient, "not now").into();
            }
            ToolOutcome::Output(
                Json::parse(format!("[{},{:?}]", input.as_str(), attempt.slot.to_string())).unwrap(),
            )
            .into()
        })
    }

    fn conduct(&self, _tool: &ToolEntry) -> Conduct<'static> {
        let retry = Retry { max_attempts: 3, initial_delay_ms: 0, max_delay_ms: 0, max_asked_ms: 0 };
        Conduct { reach: Reach::Pure, doubt: Doubt::Repeat, retry, room: None }
    }
}

impl World {
    /// Calls others, twice; the first attempts are broken off anywhere, or fail when all calls have ended.
    async fn pass_on(&self, input: &Json, attempt: &Attempt, fan_out: &dyn FanOut) -> Done<ToolOutcome> {
        let leaf = |n: usize| ToolCall {
            id: String::new(),
            name: "leaf".to_owned(),
            arguments: Arguments::parse(&format!("{{\"m\":{n},\"of\":{}}}", input.as_str())),
        };
        let calls = async {
            let mut outcomes = fan_out.call_all((0..3).map(leaf).collect()).await.unwrap().outcomes;
            outcomes.extend(fan_out.call_all((5..8).map(leaf).collect()).await.unwrap().outcomes);
            outcomes
        };
        let early = attempt.number <= 2;
        let patience = async {
            for _ in 0..self.random(if early { 12 } else { 1 }) {
                self.step().await;
            }
            // What is not broken off early is waited for.
            if !early || self.random(2) == 0 {
                std::future::pending::<()>().await;
            }
        };
        let outcomes = tokio::select! {
            outcomes = calls => outcomes,
            () = patience => return ToolOutcome::error(ErrorKind::Timeout, "too slow").into(),
        };
        if early && self.random(2) == 0 {
            return ToolOutcome::error(ErrorKind::Transient, "not now").into();
        }
        let outcomes: Vec<String> = outcomes.iter().map(ToolOutcome::text).collect();
        ToolOutcome::Output(Json::parse(format!("{outcomes:?}")).unwrap()).into()
    }
}

/// Makes as many calls in each turn as the plan says, and then tells everything it was told.
struct Planned {
    world: Arc<World>,
    plan: Vec<usize>,
}

impl Model for Planned {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move {
            self.world.step().await;
            let turn = usize::try_from(request.turn).unwrap();
            let told: Vec<String> = request.messages.iter().map(said).collect();
            let call = |index: usize| ToolCall {
                id: format!("{turn}-{index}"),
                name: "echo".to_owned(),
                arguments: Arguments::parse(&format!("{{\"n\":{}}}", turn * 100 + index * 7 + told.len())),
            };
            let calls = self.plan.get(turn).map(|calls| (0..*calls).map(call).collect()).unwrap_or_default();
            Ok(Reply { text: told.join("\n"), calls, ..Reply::default() })
        })
    }

    fn reaches_outside(&self) -> bool {
        false
    }
}

fn said(message: &Message) -> String {
    match message {
        Message::User(text) => text.clone(),
        Message::Image(image) => image.in_words(),
        Message::Assistant(reply) => format!("{} calls", reply.calls.len()),
        Message::Tool(result) => format!("{}: {}", result.call_id, result.outcome.text()),
    }
}

pub fn manifest() -> Manifest {
    let spec = ToolSpec {
        name: "echo".to_owned(),
        description: String::new(),
        input_schema: Json::parse("{\"type\":\"object\"}".to_owned()).unwrap(),
        output_schema: None,
    };
    let leaf = ToolSpec { name: "leaf".to_owned(), ..spec.clone() };
    let tool = |spec| ToolEntry {
        builtin: None,
        agent: None,
        spec,
        source: "t".to_owned(),
        export: "echo".to_owned(),
        component: Digest::of(b"component"),
        grants: Digest::of(b"grants"),
        hidden: false,
        max_repeats: None,
        shown_bytes_max: 1000,
    };
    Manifest {
        agent: "a".to_owned(),
        config: String::new(),
        instructions: String::new(),
        prompt: "go".to_owned(),
        images: vec![],
        model: ModelIdentity {
            provider: "p".to_owned(),
            name: "m".to_owned(),
            base_url: None,
            temperature: None,
            max_tokens: None,
            structured_output: false,
            extra: None,
            omit: Vec::new(),
        },
        fallbacks: Vec::new(),
        summary: None,
        max_turns: 10,
        max_calls_per_turn: 10,
        budgets: Budgets::default(),
        approvals: Approvals::default(),
        output_schema: None,
        parameters: BTreeMap::default(),
        outside: false,
        ignored: Vec::new(),
        tools: vec![tool(spec), tool(leaf)].into(),
        seed: 1,
        said: Vec::new(),
        session: None,
        earlier: Vec::new(),
        before: None,
        compact_at_tokens: None,
        forked: None,
        order: None,
        rules: Rules::NOW,
        words: Some(Arc::new(Words::now())),
    }
}

/// The run, from what the store has of it up to its end or a crash.
async fn work(
    run: RunId,
    store: &Arc<LossyStore>,
    world: &Arc<World>,
    plan: &[usize],
    parallel: u32,
) -> Option<Ending> {
    let entries = store.read(run).unwrap();
    let manifest = manifest();
    let mode = Mode::Live(Arc::clone(store) as Arc<dyn JournalStore>);
    let session =
        Session::open(run, mode, entries, &manifest, Decisions::default(), Box::new(|_| {})).await.unwrap();
    if let Some(ending) = session.recorded_ending() {
        return Some(ending.clone());
    }
    let agent = Agent {
        dispatcher: Arc::new(Dispatcher::new(&manifest, Arc::clone(world) as Arc<dyn ToolRunner>, parallel)),
        manifest: Arc::new(manifest),
        session: Arc::new(session),
        models: Models::only(
            Arc::new(Planned { world: Arc::clone(world), plan: plan.to_vec() }),
            Retry::NEVER,
        ),
        slot: Slot::RUN,
    };
    tokio::select! {
        biased;
        () = world.crash.notified() => None,
        ended = agent.run(None) => Some(ended.unwrap().ending),
    }
}

/// Everything the run came to: its ending, and the outcome of every slot.
fn transcript(store: &LossyStore, run: RunId) -> BTreeMap<Slot, String> {
    let entries = store.read(run).unwrap();
    let ends = entries.into_iter().filter_map(|entry| match entry.event {
        Event::Finished(finished) => Some((entry.slot, format!("{:?}", finished.outcome))),
        Event::Started(_) | Event::Failed(_) => None,
    });
    ends.collect()
}

fn finished(store: &LossyStore, run: RunId) -> Vec<Slot> {
    transcript(store, run).into_keys().collect()
}

/// Carries a run out with these crashes, each after so many steps.
fn carry_out(
    plan: &[usize],
    parallel: u32,
    crashes: &[(u64, usize)],
    seed: u64,
) -> (Ending, BTreeMap<Slot, String>) {
    let (run, store) = (RunId::from_bytes([7; 16]), Arc::new(LossyStore::default()));
    let world = Arc::new(World {
        random: AtomicU64::new(seed),
        steps: AtomicU64::new(0),
        crash_at: AtomicU64::new(0),
        crash: Notify::new(),
        attempts: Mutex::default(),
    });
    let mut crashes = crashes.iter();
    loop {
        let crash = crashes.next();
        world.steps.store(0, Ordering::Relaxed);
        world.crash_at.store(crash.map_or(u64::MAX, |(at, _)| *at), Ordering::Relaxed);
        let before = finished(&store, run);
        world.attempts.lock().unwrap().clear();
        // With the runtime goes every task, as with a process: none writes after the crash.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let ended = runtime.block_on(work(run, &store, &world, plan, parallel));
        drop(runtime);
        for slot in before {
            let again = world.attempts.lock().unwrap().get(&slot).cloned();
            assert_eq!(again, None, "{slot} had ended, and was carried out again");
        }
        if let Some(ending) = ended {
            return (ending, transcript(&store, run));
        }
        store.crash(crash.map_or(0, |(_, keep)| *keep));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_run_comes_to_the_same_end_whatever_happens_to_it(
        plan in prop::collection::vec(0_usize..6, 1..5),
        parallel in 1_u32..8,
        crashes in prop::collection::vec((1_u64..40, 0_usize..8), 0..6),
        seeds in (any::<u64>(), any::<u64>()),
    ) {
        let undisturbed = carry_out(&plan, 16, &[], seeds.0);
        let disturbed = carry_out(&plan, parallel, &crashes, seeds.1);
        prop_assert_eq!(disturbed, undisturbed);
    }
}
