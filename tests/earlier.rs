//! What was said before a run of a session: kept once, by the runs that said it, and never lost.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use host::journal::{Event, RunFile, RunsDir, SessionsDir};
use host::message::{Manifest, Message, Request, RunId, Slot};

use crate::recorded::ids;
use crate::sessions::said;
use crate::support::{Agent, Ran};

/// An agent that says `So.`, and a long thing with it.
fn saying() -> Agent {
    Agent::scripted(&script("So."))
}

fn script(text: &str) -> String {
    format!("[[reply]]\ntext = \"{text}{}\"", " and more".repeat(100))
}

fn ada(agent: &Agent, prompt: &str) -> Ran {
    agent.host(&["run", "agent.toml", prompt, "--session", "ada"])
}

/// An agent with so many runs of the session `ada`, and their ids.
fn talked(runs: usize) -> (Agent, Vec<String>) {
    let agent = saying();
    for nth in 0..runs {
        ada(&agent, &format!("question {nth}")).ok();
    }
    let ids = ids(&agent);
    (agent, ids)
}

fn file(agent: &Agent, run: &str) -> PathBuf {
    agent.state().join("runs").join(format!("{run}.jsonl.gz"))
}

/// A run as its file has it, if nobody else has anything.
fn text(agent: &Agent, run: &str) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    let packed = fs::File::open(file(agent, run)).unwrap();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text
}

fn manifest(agent: &Agent, run: &str) -> Manifest {
    let entries = RunsDir::new(&agent.state()).read(run.parse().unwrap()).unwrap();
    host::journal::manifest(&entries).unwrap().clone()
}

/// The prompts that were said before a run.
fn asked_before(agent: &Agent, run: &str) -> Vec<String> {
    let prompt = |message| if let Message::User(text) = message { Some(text) } else { None };
    manifest(agent, run).earlier.into_iter().filter_map(prompt).collect()
}

fn questions(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|nth| format!("question {nth}")).collect()
}

#[test]
fn a_long_session_takes_up_as_much_for_each_run() {
    let (agent, runs) = talked(100);
    let bytes: Vec<usize> = runs.iter().map(|run| text(&agent, run).len()).collect();
    let (early, late): (usize, usize) = (bytes[10..20].iter().sum(), bytes[90..].iter().sum());
    assert!(late < early + early / 50, "{bytes:?}");
    assert_eq!(asked_before(&agent, &runs[99]), questions(0..99));
    agent.host(&["replay", "last"]).ok();
    agent.host(&["journal", "verify"]).ok().says("100 whole, 0 damaged");
}

#[test]
fn a_run_of_a_session_is_carried_elsewhere_as_one_file() {
    let (agent, runs) = talked(4);
    let lines = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", &runs[3], "-o", lines.to_str().unwrap()]).ok();
    assert!(!fs::read_to_string(&lines).unwrap().contains("\"before\""));
    let forked = agent.host(&["fork", &runs[3], "--at", "0"]);
    forked.ok();
    assert_eq!(asked_before(&agent, ids(&agent).last().unwrap()), questions(0..3));

    let elsewhere = Agent::raw("version = 1");
    elsewhere.host(&["replay", lines.to_str().unwrap()]).ok();
    elsewhere.host(&["journal", "import", lines.to_str().unwrap()]).ok();
    elsewhere.host(&["replay", "last"]).ok();
    assert_eq!(asked_before(&elsewhere, &runs[3]), questions(0..3));
    assert_eq!(manifest(&elsewhere, &runs[3]).before, None);

    // Where the runs before stand beside it, its own file does as well; alone it says what is missing.
    let other = Agent::raw("version = 1");
    other.host(&["replay", file(&agent, &runs[3]).to_str().unwrap()]).ok();
    other.host(&["journal", "import", file(&agent, &runs[3]).to_str().unwrap()]).ok();
    other.host(&["replay", "last"]).ok();
    let alone = agent.dir.path().join("alone.jsonl.gz");
    fs::copy(file(&agent, &runs[3]), &alone).unwrap();
    let refused = other.host(&["replay", alone.to_str().unwrap()]);
    refused.exits(1).says(&runs[3]).says(&runs[2]).says("the export holds all of it");
}

#[test]
fn a_run_that_is_missing_is_named_with_the_one_that_needs_it() {
    let (agent, runs) = talked(5);
    let away = agent.dir.path().join("away");
    fs::rename(file(&agent, &runs[2]), &away).unwrap();
    let needs = format!("run {} goes on from run {}, which is not in", runs[3], runs[2]);
    agent.host(&["replay", &runs[4]]).exits(1).says(&needs).says("put the file of run");
    ada(&agent, "And now?").exits(1).says(&needs);
    agent.host(&["replay", &runs[1]]).ok();
    fs::rename(&away, file(&agent, &runs[2])).unwrap();
    agent.host(&["replay", &runs[4]]).ok();
    ada(&agent, "And now?").ok();
}

/// Changes what the file of a run holds, and signs it anew.
fn change(agent: &Agent, run: &str, change: impl Fn(String) -> String) {
    let whole = text(agent, run);
    let signed: Vec<&str> = whole.lines().filter(|line| !line.starts_with("{\"sha256\"")).collect();
    let lines = change(format!("{}\n", signed.join("\n")));
    let sha256 = host::message::Digest::of(lines.as_bytes());
    let head = lines.lines().next().unwrap().to_owned();
    let packed = fs::File::create(file(agent, run)).unwrap();
    let mut packed = flate2::GzBuilder::new().comment(head).write(packed, flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, format!("{lines}{{\"sha256\":\"{sha256}\"}}\n").as_bytes())
        .unwrap();
    packed.finish().unwrap();
}

#[test]
fn what_was_changed_since_is_not_taken_for_what_was_said() {
    let (agent, runs) = talked(5);
    change(&agent, &runs[2], |lines| lines.replacen("question 1", "question 7", 1));
    let damaged = format!("run {} goes on from run {}", runs[2], runs[1]);
    agent.host(&["replay", &runs[4]]).exits(1).says("is damaged").says(&damaged);
    agent.host(&["replay", &runs[1]]).ok();
    // Nor does a removal make it look whole.
    let error = RunsDir::new(&agent.state()).remove(runs[2].parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
}

#[test]
fn runs_that_go_round_in_a_circle_are_an_error() {
    let (agent, runs) = talked(5);
    change(&agent, &runs[2], |lines| lines.replace(&runs[1], &runs[3]));
    let circle = format!("run {} goes on from run {}, which goes on from it", runs[2], runs[3]);
    agent.host(&["replay", &runs[4]]).exits(1).says(&circle);
}

/// A run of the session `ada` that was cancelled before it asked for anything: its process was killed at the first
/// request. It is told what was said before it by the runs before.
fn cancelled_at_once(agent: &Agent, prompt: &str) -> String {
    let run = ["run", "agent.toml", prompt, "--session", "ada"];
    let failpoint = "journal-before-write=2*off->1*return";
    let killed = agent.command(&run).env("FAILPOINTS", failpoint).output().unwrap();
    assert_eq!(killed.status.signal(), Some(9));
    agent.host(&["cancel", "last"]).ok();
    let run = ids(agent).last().unwrap().clone();
    let recorded = RunsDir::new(&agent.state()).read(run.parse().unwrap()).unwrap();
    assert!(recorded.iter().all(|entry| entry.slot == Slot::RUN), "{recorded:?}");
    run
}

fn revive(agent: &Agent, run: &str) {
    agent.host(&["resume", run, "--again"]).ok();
    for run in ids(agent) {
        agent.host(&["replay", &run]).ok();
    }
    agent.host(&["journal", "verify"]).ok();
}

/// Others went on without it meanwhile, and it goes on from them: never they from it, and it from them.
#[test]
fn a_run_that_was_cancelled_at_once_is_revived_after_what_was_said_since() {
    let (agent, mut runs) = talked(2);
    let late = cancelled_at_once(&agent, "question 4");
    assert_eq!(asked_before(&agent, &late), questions(0..2));
    for nth in 2..4 {
        ada(&agent, &format!("question {nth}")).ok();
        runs.push(ids(&agent).last().unwrap().clone());
        assert_eq!(asked_before(&agent, &runs[nth]), questions(0..nth));
    }
    revive(&agent, &late);
    assert_eq!(asked_before(&agent, &late), questions(0..4));
    let before = |run: &str| manifest(&agent, run).before.map(|before| before.run.to_string());
    assert_eq!((before(&runs[2]), before(&late)), (Some(runs[1].clone()), Some(runs[3].clone())));
    ada(&agent, "question 5").ok();
    assert_eq!(asked_before(&agent, ids(&agent).last().unwrap()), questions(0..5));
    for run in &runs {
        RunsDir::new(&agent.state()).remove(run.parse().unwrap()).unwrap();
    }
    assert_eq!(asked_before(&agent, &late), questions(0..4));
    agent.host(&["replay", &late]).ok();
}

/// Where nobody says anything else any more, what it was told counts.
#[test]
fn a_run_that_was_cancelled_at_once_is_told_what_it_was_told_if_its_session_is_forgotten() {
    let (agent, runs) = talked(2);
    let late = cancelled_at_once(&agent, "question 2");
    agent.host(&["sessions", "forget", "ada"]).ok();
    revive(&agent, &late);
    assert_eq!(asked_before(&agent, &late), questions(0..2));
    for run in &runs {
        RunsDir::new(&agent.state()).remove(run.parse().unwrap()).unwrap();
    }
    agent.host(&["replay", &late]).ok();
    ada(&agent, "question 3").ok();
    assert_eq!(asked_before(&agent, ids(&agent).last().unwrap()), questions(0..3));
}

/// What its agent asks for since, it does not have: its session is as it was.
#[test]
fn a_run_that_cannot_be_revived_leaves_its_session_as_it_was() {
    let (agent, mut runs) = talked(1);
    runs.push(cancelled_at_once(&agent, "question 2"));
    ada(&agent, "question 1").ok();
    runs.push(ids(&agent).last().unwrap().clone());
    let queued = crate::accepted::accepted(&agent, "question 3", "ada").to_string();
    let toml = fs::read_to_string(agent.toml()).unwrap();
    fs::write(agent.toml(), format!("{toml}\n[parameters.city]\ndescription = \"where\"")).unwrap();
    let list = agent.state().join("sessions/ada/runs");
    for args in [&["resume", &runs[1], "--again"][..], &["resume", &queued]] {
        agent.host(args).exits(2).says("city");
        assert_eq!(fs::read_to_string(&list).unwrap().lines().collect::<Vec<_>>(), runs);
    }
    fs::write(agent.toml(), toml).unwrap();
    agent.host(&["resume", &runs[1], "--again"]).ok();
    agent.host(&["resume", &queued]).ok();
    for run in ids(&agent) {
        agent.host(&["replay", &run]).ok();
    }
    assert_eq!(asked_before(&agent, &queued), ["question 0", "question 1", "question 2"]);
}

/// A run that never began, and that its session does not know, is cancelled, and revived after others.
#[test]
fn a_run_that_was_accepted_and_cancelled_is_told_what_was_said_when_it_is_revived() {
    let (agent, runs) = talked(1);
    let late = crate::accepted::accepted_and_cancelled(&agent, "question 2", "ada").to_string();
    ada(&agent, "question 1").ok();
    revive(&agent, &late);
    assert_eq!(asked_before(&agent, &late), questions(0..2));
    assert_eq!(manifest(&agent, &runs[0]).before, None);
    ada(&agent, "question 3").ok();
    assert_eq!(asked_before(&agent, ids(&agent).last().unwrap()), questions(0..3));
}

#[test]
fn a_run_goes_and_those_after_it_hold_what_they_need() {
    let (agent, runs) = talked(6);
    let dir = RunsDir::new(&agent.state());
    let whole: Vec<Manifest> = runs.iter().map(|run| manifest(&agent, run)).collect();
    // In the middle, at the beginning, and the next one of what is left, until only the last one is there.
    for gone in [2, 0, 1, 4, 3] {
        dir.remove(runs[gone].parse().unwrap()).unwrap();
        for run in ids(&agent) {
            let nth = runs.iter().position(|it| *it == run).unwrap();
            assert_eq!(manifest(&agent, &run).earlier, whole[nth].earlier, "{gone} {nth}");
            agent.host(&["replay", &run]).ok();
        }
    }
    assert_eq!(manifest(&agent, &runs[5]).before, None);
    ada(&agent, "And now?").ok();
    assert_eq!(asked_before(&agent, ids(&agent).last().unwrap()), questions(0..6));
}

#[test]
fn a_kill_in_the_middle_of_a_removal_loses_nothing() {
    for point in ["journal-before-seal", "journal-after-fold"] {
        let (agent, runs) = talked(5);
        let failpoint = format!("{point}=1*off->1*return");
        let gc = ["journal", "gc", "--keep-runs", "2"];
        let killed = agent.command(&gc).env("FAILPOINTS", failpoint).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{point}");
        for run in ids(&agent) {
            agent.host(&["replay", &run]).ok();
        }
        agent.host(&gc).ok();
        assert_eq!(ids(&agent), runs[3..]);
        assert_eq!(asked_before(&agent, &runs[4]), questions(0..4));
        ada(&agent, "And now?").ok();
        assert_eq!(asked_before(&agent, ids(&agent).last().unwrap()), questions(0..5));
    }
}

#[test]
fn a_run_that_another_one_needs_stays_until_that_has_ended() {
    let (agent, runs) = talked(3);
    let run = ["run", "agent.toml", "And now?", "--session", "ada"];
    let failpoint = "journal-before-write=3*off->1*return";
    let killed = agent.command(&run).env("FAILPOINTS", failpoint).output().unwrap();
    assert_eq!(killed.status.signal(), Some(9));
    let open = ids(&agent).last().unwrap().clone();
    let dir = RunsDir::new(&agent.state());
    let last: RunId = runs[2].parse().unwrap();
    let error = dir.remove(last).unwrap_err().to_string();
    assert!(error.contains(&runs[2]) && error.contains(&open) && error.contains("has not ended"), "{error}");
    agent.host(&["resume", &open]).ok();
    assert_eq!(asked_before(&agent, &open), questions(0..3));
    dir.remove(last).unwrap();
    assert_eq!(asked_before(&agent, &open), questions(0..3));
    agent.host(&["replay", &open]).ok();

    // Nor does one go while somebody works on the session.
    let sessions = SessionsDir::new(&agent.state());
    let turn = sessions.queue(&"ada".parse().unwrap()).unwrap().wait().unwrap();
    let error = dir.remove(runs[1].parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("somebody works on its session, ada"), "{error}");
    agent.host(&["journal", "gc", "--keep-runs", "0"]).ok().says("0 ended runs removed");
    drop(turn);
    dir.remove(runs[1].parse().unwrap()).unwrap();
}

/// Between the list of what is to go and its going, runs begin and are revived that go on from it.
#[test]
fn a_run_stays_readable_that_began_or_was_revived_while_others_were_removed() {
    let (agent, runs) = talked(2);
    let cancelled = crate::accepted::accepted_and_cancelled(&agent, "question 2", "ada").to_string();
    let queued = crate::accepted::accepted(&agent, "question 3", "ada").to_string();
    let dir = RunsDir::new(&agent.state());
    let mut removal = dir.removal().unwrap();
    agent.host(&["resume", &cancelled, "--again"]).ok();
    agent.host(&["resume", &queued]).ok();
    assert_eq!(manifest(&agent, &cancelled).before.unwrap().run.to_string(), runs[1]);
    // Whether the session knows them or not.
    agent.host(&["sessions", "forget", "ada"]).ok();
    for gone in [&runs[1], &cancelled, &runs[0]] {
        removal.remove(gone.parse().unwrap()).unwrap();
        for run in ids(&agent) {
            agent.host(&["replay", &run]).ok();
        }
    }
    assert_eq!(asked_before(&agent, &queued), questions(0..3));
}

/// A run that is being revived reads what the runs before it hold, also those that its session forgot.
#[test]
fn no_run_goes_while_somebody_works_on_the_session_that_forgot_it() {
    let (agent, runs) = talked(2);
    agent.host(&["sessions", "forget", "ada"]).ok();
    let (dir, sessions) = (RunsDir::new(&agent.state()), SessionsDir::new(&agent.state()));
    let turn = sessions.queue(&"ada".parse().unwrap()).unwrap().wait().unwrap();
    let error = dir.remove(runs[0].parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("somebody works on its session, ada"), "{error}");
    drop(turn);
    dir.remove(runs[0].parse().unwrap()).unwrap();
    agent.host(&["replay", &runs[1]]).ok();
    assert!(!sessions.path().join("ada").exists());
}

#[test]
fn what_follows_a_summary_is_held_by_the_run_after_it() {
    let reply =
        |text: &str, tokens: u32| format!("[[reply]]\ntokens = {{ input = {tokens}, output = 1 }}\n{text}\n");
    let calls = "calls = [{ name = \"echo\", input = { value = \"two\" } }]";
    let agent = Agent::scripted(&reply("text = \"So.\"", 1))
        .table("[limits]\ncompact_at_tokens = 1000")
        .guest("hostile");
    ada(&agent, "question 0").ok();
    ada(&agent, "question 1").ok();
    let summed =
        [reply(calls, 2000), reply("summary = true\ntext = \"It was so.\"", 1), reply("text = \"So.\"", 1)];
    fs::write(agent.dir.path().join("script.toml"), summed.concat()).unwrap();
    ada(&agent, "question 2").ok();
    fs::write(agent.dir.path().join("script.toml"), reply("text = \"So.\"", 1)).unwrap();
    ada(&agent, "question 3").ok();
    ada(&agent, "question 4").ok();
    let runs = ids(&agent);
    let before = |nth: usize| manifest(&agent, &runs[nth]).before.map(|before| before.run.to_string());
    assert_eq!([before(2), before(3), before(4)], [Some(runs[1].clone()), None, Some(runs[3].clone())]);
    assert!(said(&agent).iter().any(|line| line.contains("It was so.")), "{:?}", said(&agent));
    let dir = RunsDir::new(&agent.state());
    for run in &runs[..3] {
        dir.remove(run.parse().unwrap()).unwrap();
    }
    for run in &runs[3..] {
        agent.host(&["replay", run]).ok();
    }
}

#[test]
fn a_run_that_goes_on_and_the_pictures_of_a_conversation_are_kept_once() {
    let agent = saying();
    let picture = agent.dir.path().join("a.png");
    fs::write(&picture, [b"\x89PNG\r\n\x1a\n".as_slice(), &vec![7; 20_000]].concat()).unwrap();
    let shown = ["run", "agent.toml", "question 0", "--session", "ada", "--image", picture.to_str().unwrap()];
    agent.host(&shown).ok();
    for nth in 1..4 {
        ada(&agent, &format!("question {nth}")).ok();
    }
    let runs = ids(&agent);
    let with_picture = |run: &&String| text(&agent, run).len() > 20_000;
    assert_eq!(runs.iter().filter(with_picture).count(), 2, "the one that shows it, and the next one");
    let pictures =
        |run| manifest(&agent, run).earlier.iter().filter(|it| matches!(it, Message::Image(_))).count();
    assert_eq!(pictures(&runs[3]), 1);
    agent.host(&["replay", "last"]).ok();

    // What is recorded is the same run, whatever holds it.
    let read = RunFile::read(&file(&agent, &runs[3])).unwrap();
    for entry in &read.entries {
        if let Event::Started(started) = &entry.event
            && let Request::Run(_) = &started.request
        {
            assert_eq!(started.request.digest(), started.digest);
        }
    }
}
