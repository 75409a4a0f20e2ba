//! Whenever the process dies, nothing acknowledged is lost and nothing that ended is done again: kills at every step
//! of the journal, those of the recovery included, and kills at random times under load, with an external witness.
//! `HOST_TEST_KILLS=1000 cargo test --release --test main kills -- --nocapture` is the long form.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::attacks::{Server, hostile};
use crate::support::{Agent, Ran};

pub const SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "echo", input = { value = 1 } }, { name = "echo", input = { value = 2 } }, { name = "counter" }]

[[reply]]
expect = ["echo: 2"]
calls = [{ name = "echo", input = { value = 3 } }]

[[reply]]
expect = ["echo: 3"]
text = "the end"
"#;

/// What is recorded of each slot: its attempts, and its end if it has one.
pub fn slots(agent: &Agent) -> BTreeMap<String, (u64, Value)> {
    let report = |report: Value| {
        let slot = report["slot"].as_str().unwrap().to_owned();
        (slot, (report["attempt"].as_u64().unwrap(), report["finished"].clone()))
    };
    agent.shown_so_far().into_iter().map(report).collect()
}

/// Kills a run at the n-th commit, at one of the points of a commit, and resumes it. Says whether the run
/// was killed at all.
fn kill_and_resume(point: &str, nth: usize) -> bool {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    let failpoint = format!("{point}={nth}*off->1*return");
    let killed = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
    if killed.status.success() {
        return false;
    }
    assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
    let listed: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    let before = slots(&agent);
    if let Some((_, ended)) = before.get("run") {
        assert_eq!(listed[0]["state"], if ended.is_null() { "interrupted" } else { "answered" });
    }
    let resumed = agent.host(&["resume", "last"]);
    if before.is_empty() {
        never_began(&resumed);
        return true;
    }
    assert_eq!(resumed.ok().stdout, "the end\n", "{point} at commit {nth}");
    let after = slots(&agent);
    for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null()) {
        assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot} had ended and is as it was");
    }
    assert_eq!(after.len(), 8, "the run, 3 replies, 4 calls");
    agent.host(&["replay", "last"]).ok();
    sealed(&agent);
    true
}

/// Killed before the manifest was durable: nothing was begun, and the message says so; or before it was durable that
/// there is to be a run.
pub fn never_began(resumed: &Ran) {
    resumed.exits(2);
    let said = ["interrupted before it began", "no run `last`"];
    assert!(said.iter().any(|said| resumed.stderr.contains(said)), "{}", resumed.stderr);
}

/// All that is left of an agent's only run is one file.
fn sealed(agent: &Agent) {
    agent.host(&["journal", "compact"]).ok();
    let names = std::fs::read_dir(agent.state().join("runs")).unwrap().map(|it| it.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(matches!(names.as_slice(), [name] if name.ends_with(".jsonl.gz")), "{names:?}");
}

#[test]
fn a_kill_at_every_write_loses_nothing_and_repeats_nothing() {
    for point in
        ["journal-before-write", "journal-before-sync", "journal-before-insert", "journal-before-ack"]
    {
        let kills = (0..100).take_while(|nth| kill_and_resume(point, *nth)).count();
        // That there is a run, its beginning, 3 replies, the end, and the two turns' calls, which share commits as they
        // fall.
        assert!((8..=10).contains(&kills), "{point}: killed at {kills} commits");
    }
}

/// Kills an example at the n-th commit and resumes it. Says whether it was killed at all.
fn kill_example(example: &str, point: &str, nth: usize) -> bool {
    let agent = Agent::raw("");
    let toml = crate::support::root().join("examples").join(example).join("agent.toml");
    let run = ["run", toml.to_str().unwrap()];
    let failpoint = format!("{point}={nth}*off->1*return");
    let killed = agent.command(&run).env("FAILPOINTS", failpoint).output().unwrap();
    if killed.status.success() {
        return false;
    }
    assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
    let before = slots(&agent);
    if before.is_empty() {
        never_began(&agent.host(&["resume", "last"]));
        return true;
    }
    let resumed = agent.host(&["resume", "last"]);
    assert_eq!(resumed.ok().stdout, agent.host(&run).ok().stdout, "{example}: {point} at commit {nth}");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, resumed.stdout);
    let id = resumed.stderr.split_whitespace().skip_while(|word| *word != "run").nth(1).unwrap().to_owned();
    let shown: Vec<Value> =
        serde_json::from_str(&agent.host(&["runs", "show", &id, "--json"]).ok().stdout).unwrap();
    for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null()) {
        let after = shown.iter().find(|report| report["slot"] == **slot).unwrap();
        assert_eq!((after["attempt"].as_u64(), &after["finished"]), (Some(*attempts), finished), "{slot}");
    }
    agent.host(&["journal", "verify"]).ok();
    true
}

#[test]
fn the_examples_survive_a_kill_at_every_write() {
    for (example, commits) in
        [("weather", 6..=7), ("claims", 6..=9), ("claims-orchestrated", 7..=11), ("desk", 8..=17)]
    {
        for point in
            ["journal-before-write", "journal-before-sync", "journal-before-insert", "journal-before-ack"]
        {
            let kills = (0..100).take_while(|nth| kill_example(example, point, *nth)).count();
            assert!(commits.contains(&kills), "{example}, {point}: killed at {kills} commits");
        }
    }
}

#[test]
fn a_kill_while_a_run_is_opened_or_sealed_loses_nothing() {
    for point in ["journal-before-index", "journal-before-seal", "journal-before-remove"] {
        assert_eq!((0..9).take_while(|nth| kill_and_resume(point, *nth)).count(), 1, "{point}");
    }
}

#[test]
fn a_kill_at_every_write_of_a_recovery_loses_nothing_either() {
    let points = [
        "journal-before-write",
        "journal-before-sync",
        "journal-before-insert",
        "journal-before-ack",
        "journal-before-index",
    ];
    for (point, first) in points.into_iter().zip([4, 5, 3, 4, 5]) {
        let agent = Agent::scripted(SCRIPT).guest("hostile");
        let kill = |command: &str, point: &str, nth: usize| {
            let mut command = agent.command(&[command]);
            let command =
                if command.get_args().any(|it| it == "resume") { command.arg("last") } else { &mut command };
            let killed = command.env("FAILPOINTS", format!("{point}={nth}*off->1*return")).output().unwrap();
            killed.status.signal() == Some(9)
        };
        assert!(kill("run", "journal-before-ack", first));
        let before = slots(&agent);
        // Every recovery is killed, one commit later each time, until one gets through.
        let kills = (0..20).take_while(|nth| kill("resume", point, *nth)).count();
        assert!(kills >= 1, "{point}");
        let after = slots(&agent);
        for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null()) {
            assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot} had ended and is as it was");
        }
        assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
        sealed(&agent);
    }
}

#[test]
fn a_kill_while_a_run_is_imported_leaves_all_of_it_or_nothing() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    let kill = |args: &[&str], failpoint: &str| {
        let killed = agent.command(args).env("FAILPOINTS", failpoint).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{failpoint}");
    };
    kill(&["run"], "journal-before-ack=4*off->1*return");
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    let import = ["journal", "import", file.to_str().unwrap()];
    for (point, is_there) in [
        ("journal-before-index", false),
        ("journal-before-write", false),
        ("journal-before-insert", true),
        ("journal-before-ack", true),
    ] {
        std::fs::remove_dir_all(agent.state()).unwrap();
        kill(&import, &format!("{point}=1*return"));
        let again = agent.host(&import);
        if is_there {
            again.exits(2).says("is already in");
        } else {
            again.ok();
        }
        assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n", "{point}");
    }
}

pub const TURNS: usize = 4;
pub const CALLS: usize = 3;

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
        if ran.stderr.contains("nothing of it is recorded") || ran.stderr.contains("no run `last`") {
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
pub fn testify(requests: &[&String], run: usize) -> usize {
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
pub fn place(request: &str) -> Vec<usize> {
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
