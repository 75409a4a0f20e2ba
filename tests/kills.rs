//! Kills at random times, under load: nothing is lost and nothing that ended is done again, as an external witness
//! has it. `HOST_TEST_KILLS=1000 cargo test --release --test main kills -- --nocapture` is the long form.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::attacks::{Server, hostile};
use crate::support::{Agent, Ran};

const TURNS: usize = 4;
const CALLS: usize = 3;

/// Runs at once. When one has ended another begins, until no kills are left.
const RUNS: usize = 32;

/// An agent each of whose calls tells the witness which one it is, with its idempotency key.
fn agent(server: &Server, run: usize) -> Agent {
    let call = |turn: usize, call: usize| {
        let url = format!("http://127.0.0.1:{}/allowed/ok?at={run}-{turn}-{call}", server.port());
        format!(
            "{{ name = \"attack\", input = {{ url = \"{url}\", headers = {{ idempotency-key = \"{{KEY}}\" }} }} }}"
        )
    };
    let turn = |turn| {
        let calls: Vec<String> = (0..CALLS).map(|index| call(turn, index)).collect();
        format!("[[reply]]\ncalls = [{}]\n", calls.join(", "))
    };
    let script: String = (0..TURNS).map(turn).collect();
    Agent::scripted(&format!("{script}[[reply]]\ntext = \"the end\"")).table(&format!(
        "[tools.t]\nsource = \"{}\"\nretry.idempotent = [\"attack\"]\n[[tools.t.permissions.network]]\n\
         host = \"http://127.0.0.1:{}\"\nmethods = [\"GET\"]\nallow_private = true",
        hostile("request").display(),
        server.port()
    ))
}

/// Carries a run out, killing it at random times while there are kills left. Says how often it was killed.
fn carry_out(agent: &Agent, kills_left: &AtomicUsize, random: &AtomicU64) -> usize {
    let mut kills = 0;
    let mut command = ["run"].as_slice();
    loop {
        let kill =
            kills_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        let mut child = agent.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if kill {
            std::thread::sleep(Duration::from_millis(next(random) % 400));
            child.kill().unwrap();
        }
        let ended = child.wait_with_output().unwrap();
        if ended.status.signal() == Some(9) {
            kills += 1;
            command = &["resume", "last"];
            continue;
        }
        if kill {
            kills_left.fetch_add(1, Ordering::Relaxed);
        }
        let ran = Ran::from(ended);
        // Killed before the run had begun: nothing of it was done.
        if ran.stderr.contains("is recorded\n  start it anew") || ran.stderr.contains("no run `last`") {
            command = &["run"];
            continue;
        }
        assert_eq!(ran.ok().stdout, "the end\n");
        return kills;
    }
}

fn next(random: &AtomicU64) -> u64 {
    let next =
        |it: u64| Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap() >> 33
}

/// What the witness says of one run: which requests came, with which keys, in which order. The number of requests
/// that came more than once.
fn testify(requests: &[&String], run: usize) -> usize {
    let mut keys: BTreeMap<(usize, usize), BTreeSet<String>> = BTreeMap::new();
    let (mut turn, mut count) = (0, 0);
    for request in requests {
        let numbers = place(request);
        // A turn begins when all calls of the one before it have ended; none of those may come again.
        assert!(numbers[1] >= turn, "run {run}: a call of turn {} came in turn {turn}", numbers[1]);
        turn = numbers[1];
        count += 1;
        let key = request.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap();
        keys.entry((numbers[1], numbers[2])).or_default().insert(key.to_owned());
    }
    assert_eq!(keys.len(), TURNS * CALLS, "run {run}: every call reached the witness");
    for (call, keys) in &keys {
        assert_eq!(keys.len(), 1, "run {run}: the key of {call:?} is the same in every attempt");
    }
    count - keys.len()
}

/// The run, turn and call that a request tells of.
fn place(request: &str) -> Vec<usize> {
    let at = request.split("at=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    at.split('-').map(|number| number.parse().unwrap()).collect()
}

#[test]
fn random_kills_lose_nothing_and_double_nothing() {
    let kills: usize = std::env::var("HOST_TEST_KILLS").map_or(64, |kills| kills.parse().unwrap());
    let server = Server::start();
    agent(&server, 0).host(&["check"]).ok();
    let (kills_left, random, runs) = (AtomicUsize::new(kills), AtomicU64::new(7), AtomicUsize::new(0));
    let work = || {
        let mut killed = 0;
        while kills_left.load(Ordering::Relaxed) > 0 {
            let agent = agent(&server, runs.fetch_add(1, Ordering::Relaxed));
            killed += carry_out(&agent, &kills_left, &random);
            assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
            agent.host(&["journal", "verify", "last"]).ok();
        }
        killed
    };
    let killed: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..RUNS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    let requests = server.requests();
    let mut by_run: BTreeMap<usize, Vec<&String>> = BTreeMap::new();
    for request in &requests {
        by_run.entry(place(request)[0]).or_default().push(request);
    }
    let runs = runs.into_inner();
    let repeated: usize = (0..runs).map(|run| testify(&by_run[&run], run)).sum();
    println!(
        "{killed} kills over {runs} runs of {TURNS} turns x {CALLS} calls, {RUNS} at once: 0 lost, 0 doubled; \
         {repeated} calls in flight were made again with their key"
    );
    assert!(killed > 0);
}
