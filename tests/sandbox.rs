//! A guest that misbehaves comes to an outcome of its own, and its neighbour does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use host::config::Config;
use host::dispatch::ToolRunner as _;
use host::message::{Json, RunId, Slot, ToolOutcome};
use host::sandbox::Sandbox;
use host::session::{Attempt, NoCalls};
use host::toolbox::Toolbox;

use crate::support::{Agent, component_cache, tool_error, tool_output};

/// One turn with a hostile call and a neighbour, with these limits for both.
fn beside_a_neighbour(call: &str, limits: &str) -> Vec<Value> {
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"echo\", input = {{ value = \"before\" }} }}, {call}, \
         {{ name = \"echo\", input = {{ value = \"after\" }} }}]\n\n[[reply]]\ntext = \"done\""
    );
    let agent = Agent::scripted(&script).guest("hostile").table(&format!("[tools.hostile.limits]\n{limits}"));
    let (ran, shown) = agent.run_and_show();
    assert_eq!(ran.ok().stdout, "done\n");
    assert_eq!(tool_output(&shown, "tool(0,0)"), "before");
    assert_eq!(tool_output(&shown, "tool(0,2)"), "after");
    shown
}

#[test]
fn an_infinite_loop_meets_its_timeout() {
    let shown = beside_a_neighbour("{ name = \"spin\" }", "timeout = \"200ms\"");
    assert_eq!(tool_error(&shown, "tool(0,1)").0, "timeout");
    assert!(tool_error(&shown, "tool(0,1)").1.contains("200 ms"));
}

#[test]
fn a_memory_bomb_meets_its_limit() {
    let shown = beside_a_neighbour("{ name = \"eat_memory\" }", "memory = \"8MiB\"");
    let (kind, message) = tool_error(&shown, "tool(0,1)");
    assert_eq!(kind, "memory", "{message}");
    assert!(message.contains("8388608 bytes"), "{message}");
}

#[test]
fn a_panic_is_a_trap_with_its_message() {
    let shown = beside_a_neighbour("{ name = \"panic_now\" }", "timeout = \"5s\"");
    let (kind, message) = tool_error(&shown, "tool(0,1)");
    assert_eq!(kind, "trap");
    assert!(message.contains("panicked at"), "{message}");
}

#[test]
fn deep_recursion_is_a_trap() {
    let shown = beside_a_neighbour("{ name = \"recurse\" }", "timeout = \"5s\"");
    assert_eq!(tool_error(&shown, "tool(0,1)").0, "trap");
}

#[test]
fn stdout_and_log_are_kept_up_to_their_bound() {
    for call in [
        "{ name = \"flood_stdout\", input = { bytes = 5000000 } }",
        "{ name = \"flood_log\", input = { lines = 20000 } }",
    ] {
        let shown = beside_a_neighbour(call, "log = \"4KiB\"");
        let log =
            shown.iter().find(|report| report["slot"] == "tool(0,1)").unwrap()["finished"]["trace"]["log"]
                .as_array()
                .unwrap();
        let bytes: usize = log.iter().map(|line| line["text"].as_str().unwrap().len()).sum();
        assert!((500..6000).contains(&bytes), "{bytes}");
        assert!(log.last().unwrap()["text"].as_str().unwrap().contains("bytes were dropped"));
    }
}

#[test]
fn an_output_over_its_limit_is_refused() {
    let shown =
        beside_a_neighbour("{ name = \"big_output\", input = { bytes = 100000 } }", "output = \"10kB\"");
    let (kind, message) = tool_error(&shown, "tool(0,1)");
    assert_eq!(kind, "output_size");
    assert!(message.contains("10000 bytes (limits.output)"), "{message}");
}

#[test]
fn nothing_of_the_machine_is_reachable() {
    let shown = beside_a_neighbour("{ name = \"peek\" }", "timeout = \"5s\"");
    let seen = tool_output(&shown, "tool(0,1)").to_string();
    assert!(!seen.contains("root:"), "{seen}");
    assert!(!seen.contains("PATH"), "{seen}");
}

#[test]
fn every_call_has_an_instance_of_its_own() {
    let call = "{ name = \"counter\" }";
    let script =
        format!("[[reply]]\ncalls = [{call}, {call}]\n[[reply]]\ncalls = [{call}]\n[[reply]]\ntext = \"ok\"");
    let (ran, shown) = Agent::scripted(&script).guest("hostile").run_and_show();
    ran.ok();
    for slot in ["tool(0,0)", "tool(0,1)", "tool(1,0)"] {
        assert_eq!(tool_output(&shown, slot), &Value::from(1), "{slot}");
    }
}

#[test]
fn a_call_knows_its_context() {
    let script =
        "[[reply]]\ncalls = [{ name = \"context\" }, { name = \"context\" }]\n[[reply]]\ntext = \"ok\"";
    let (ran, shown) = Agent::scripted(script).guest("hostile").run_and_show();
    ran.ok();
    let (first, second) = (tool_output(&shown, "tool(0,0)"), tool_output(&shown, "tool(0,1)"));
    assert_eq!(first["call_id"], "tool(0,0)");
    assert_eq!(second["call_id"], "tool(0,1)");
    assert_eq!(first["attempt"], 1);
    assert_eq!(first["idempotency_key"].as_str().unwrap().len(), 64);
    assert_ne!(first["idempotency_key"], second["idempotency_key"]);
    let started =
        shown.iter().find(|report| report["slot"] == "tool(0,0)").unwrap()["at_ms"].as_u64().unwrap();
    assert_eq!(first["deadline_ms"].as_u64().unwrap(), started + 30_000);
}

/// The hostile tools, loaded in this process, to look at the sandbox itself.
fn hostile(limits: &str) -> (Sandbox, Arc<Toolbox>) {
    toolbox(Agent::scripted("").guest("hostile").table(&format!("[tools.hostile.limits]\n{limits}")))
}

#[allow(clippy::needless_pass_by_value, reason = "its directory goes with it")]
fn toolbox(agent: Agent) -> (Sandbox, Arc<Toolbox>) {
    let config = Config::load(&agent.toml()).unwrap();
    let sandbox = Sandbox::new().unwrap();
    let cache = component_cache();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let toolbox = runtime.block_on(Toolbox::load(&config, &sandbox, &cache, &|_| {})).unwrap();
    (sandbox, Arc::new(toolbox))
}

async fn call(toolbox: &Toolbox, name: &str, input: &str) -> ToolOutcome {
    let entry = toolbox.entries().iter().find(|entry| entry.export == name).unwrap();
    let attempt = Attempt::new(RunId::from_bytes([1; 16]), 7, &Slot::tool(0, 0), 1, 1_700_000_000_000);
    toolbox
        .call(entry, &Json::parse(input.to_owned()).unwrap(), &attempt, Arc::<NoCalls>::default())
        .await
        .value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_is_gone_and_not_only_ignored() {
    let (sandbox, toolbox) = tokio::task::spawn_blocking(|| hostile("timeout = \"1h\"")).await.unwrap();
    assert_eq!(sandbox.live_instances(), 0);
    let spinning = tokio::spawn({
        let toolbox = Arc::clone(&toolbox);
        async move { call(&toolbox, "spin", "{}").await }
    });
    while sandbox.live_instances() == 0 {
        assert!(!spinning.is_finished(), "the call spins until it is cancelled");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    spinning.abort();
    let aborted = Instant::now();
    assert!(spinning.await.unwrap_err().is_cancelled());
    assert_eq!(sandbox.live_instances(), 0, "the store is dropped with the call");
    // Far less than the call's hour.
    assert!(aborted.elapsed() < crate::support::PATIENCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_drops_the_instance() {
    let (sandbox, toolbox) = tokio::task::spawn_blocking(|| hostile("timeout = \"50ms\"")).await.unwrap();
    let outcome = call(&toolbox, "spin", "{}").await;
    assert!(outcome.text().contains("timed out"), "{}", outcome.text());
    assert_eq!(sandbox.live_instances(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_the_pool_has_places_wait_their_turn() {
    let (sandbox, toolbox) = tokio::task::spawn_blocking(|| hostile("timeout = \"30s\"")).await.unwrap();
    let calls = (0..500).map(|n| {
        let toolbox = Arc::clone(&toolbox);
        tokio::spawn(async move { (n, call(&toolbox, "echo", &format!("{{\"value\":{n}}}")).await) })
    });
    for task in calls.collect::<Vec<_>>() {
        let (n, outcome) = task.await.unwrap();
        assert_eq!(outcome.text(), n.to_string());
    }
    assert_eq!(sandbox.live_instances(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_call_sees_the_same_random_numbers_and_the_same_time() {
    let (_sandbox, toolbox) = tokio::task::spawn_blocking(|| hostile("timeout = \"30s\"")).await.unwrap();
    let now = |outcome: ToolOutcome| serde_json::from_str::<Value>(&outcome.text()).unwrap();
    let (first, second) = (now(call(&toolbox, "now", "{}").await), now(call(&toolbox, "now", "{}").await));
    assert_eq!(first, second);
    assert_eq!(first["now_ms"], 1_700_000_000_000_u64, "a look takes a microsecond");
}

/// Keeps the processors busy for as long as it lives.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn new() -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        for _ in 0..4 {
            let goes_on = Arc::clone(&goes_on);
            std::thread::spawn(move || while goes_on.load(Ordering::Relaxed) {});
        }
        Self(goes_on)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_reads_its_own_time_and_the_machines_only_where_it_has_to() {
    const START: u64 = 1_700_000_000_000_000_000;
    let watch = async |permissions: &str| {
        let permissions = format!("[tools.hostile.permissions]\n{permissions}");
        let loaded = move || toolbox(Agent::scripted("").guest("hostile").table(&permissions));
        let (_sandbox, toolbox) = tokio::task::spawn_blocking(loaded).await.unwrap();
        let shown = call(&toolbox, "watch", r#"{"naps_us":[2000,0,300]}"#).await.text();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let read = |clock: &str| -> Vec<u64> {
            let read = shown[clock].as_array().unwrap().iter();
            read.map(|it| it.as_str().unwrap().parse().unwrap()).collect()
        };
        (read("wall"), read("monotonic"))
    };
    let (wall, monotonic) = watch("clock = \"steps\"").await;
    // Two looks each time, and no time for the work.
    let wall: Vec<u64> = wall.iter().map(|it| it - START).collect();
    assert_eq!(wall[1] - wall[0], 2_000_000 + 2_000, "{wall:?}");
    assert_eq!(wall[4] - wall[3], 2_000, "{wall:?}");
    assert_eq!(monotonic[4] - monotonic[3], 2_000, "{monotonic:?}");
    for needs in ["clock = \"os\"", "network = [\"https://example.com\"]"] {
        let (wall, monotonic) = watch(needs).await;
        assert!(wall[0] >= START && wall[1] - wall[0] >= 2_000_000, "{needs}: {wall:?}");
        assert!(wall[4] - wall[3] > 10_000, "the work takes its time. {needs}: {wall:?}");
        assert!(monotonic.is_sorted(), "{needs}: {monotonic:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_listed_by_name() {
    let names = ["zebra", "b", "Ärger", "a", "B", "a.txt", "0"];
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let dirs = format!("[[tools.hostile.permissions.dirs]]\npath = {:?}\nguest = \"/d\"", dir.path());
    let dirs = format!("{dirs}\naccess = \"read\"");
    let loaded = move || toolbox(Agent::scripted("").guest("hostile").table(&dirs));
    let (_sandbox, toolbox) = tokio::task::spawn_blocking(loaded).await.unwrap();
    let listed: Vec<String> =
        serde_json::from_str(&call(&toolbox, "list", r#"{"path":"/d"}"#).await.text()).unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(listed, sorted);
}

/// Calls a tool again as a run recorded it.
async fn again(toolbox: &Toolbox, run: RunId, report: &Value) -> String {
    let ask = &report["request"]["tool"];
    let name = ask["name"].as_str().unwrap();
    let entry = toolbox.entries().iter().find(|entry| entry.spec.name == name).unwrap();
    let slot = report["slot"].as_str().unwrap();
    let at_ms = report["at_ms"].as_u64().unwrap();
    let attempt = Attempt::new(run, run.seed(), &slot.parse().unwrap(), 1, at_ms);
    let input = Json::parse(ask["arguments"]["json"].to_string()).unwrap();
    toolbox.call(entry, &input, &attempt, Arc::<NoCalls>::default()).await.value.text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pure_tool_called_again_as_recorded_answers_the_same_byte_by_byte() {
    let call = "{ name = \"dice\" }, { name = \"context\" }, { name = \"echo\", input = { value = [0.1, \"ü\"] } }, \
                { name = \"now\" }, { name = \"watch\", input = { naps_us = [1500, 0, 1, 700] } }";
    let script = format!("[[reply]]\ncalls = [{call}, {call}]\n[[reply]]\ntext = \"ok\"");
    let (ran, shown) =
        tokio::task::spawn_blocking(move || Agent::scripted(&script).guest("hostile").run_and_show())
            .await
            .unwrap();
    let run: RunId = ran.ok().stderr.split_whitespace().nth(1).unwrap().parse().unwrap();
    let load = move |random: &str| {
        let permissions = format!("[tools.hostile.permissions]\nrandom = \"{random}\"");
        toolbox(Agent::scripted("").guest("hostile").table(&permissions))
    };
    let (_seeded_sandbox, seeded) = tokio::task::spawn_blocking(move || load("seeded")).await.unwrap();
    let calls: Vec<&Value> =
        shown.iter().filter(|it| it["slot"].as_str().unwrap().starts_with("tool")).collect();
    assert_eq!(calls.len(), 10);
    // The machine is slower than it was.
    let _busy = Busy::new();
    for report in &calls {
        let slot = report["slot"].as_str().unwrap();
        assert_eq!(again(&seeded, run, report).await, tool_output(&shown, slot).to_string(), "{slot}");
    }
    assert_ne!(
        tool_output(&shown, "tool(0,0)"),
        tool_output(&shown, "tool(0,5)"),
        "another slot, other numbers"
    );
    let (_os_sandbox, os) = tokio::task::spawn_blocking(move || load("os")).await.unwrap();
    assert_ne!(
        again(&os, run, calls[0]).await,
        again(&os, run, calls[0]).await,
        "the system's numbers differ"
    );
}
