//! What fails around the journal: the disk, the directory, another process, the clock. The run stops with a clear
//! error, and nothing that was acknowledged is lost.

use std::process::{Command, Stdio};

use serde_json::Value;

use host::journal::{Event, RunFile, RunState};
use host::message::{Ending, ErrorKind, Outcome, Request, Slot, ToolOutcome};

use crate::kills::{SCRIPT, slots};
use crate::subagents::one;
use crate::support::{Agent, Ran, tool_output};

#[test]
fn the_index_may_be_anything_when_a_run_is_resumed() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    let failpoint = "journal-before-ack=5*off->1*return";
    assert!(!agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap().status.success());
    let index = agent.state().join("journal/1.index");
    // A run of this size needs none.
    std::fs::create_dir_all(&index).unwrap();
    for file in ["db", "conf", "snap.0000000000000000"] {
        std::fs::write(index.join(file), vec![0xa5; 100_000]).unwrap();
    }
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    // Each result is large, so the file meets the limit in the middle of the run. A limit on file size
    // fails a write as a full disk does, and needs no disk.
    let reply = "[[reply]]\ncalls = [{ name = \"big_output\", input = { bytes = 300000 } }]\n";
    let script = format!("{}\n[[reply]]\ntext = \"the end\"", reply.repeat(6));
    let agent = Agent::scripted(&script).guest("hostile").table("[limits]\nmax_repeats = 9");
    agent.host(&["check"]).ok();
    let run = agent.command(&["run"]);
    let mut limited = Command::new("bash");
    let program = format!("trap '' XFSZ; ulimit -f 1400; exec {:?} run", run.get_program());
    limited.args(["-c", &program]).current_dir(agent.dir.path()).stdin(Stdio::null());
    for (key, value) in run.get_envs() {
        if let Some(value) = value {
            limited.env(key, value);
        }
    }
    let full: Ran = limited.output().unwrap().into();
    full.exits(1).says("the journal stopped: ").says("host resume");
    let before = slots(&agent);
    let ended = before.values().filter(|(_, finished)| !finished.is_null()).count();
    assert!(ended >= 2, "some results were acknowledged before the disk was full: {ended}");
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    let after = slots(&agent);
    for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null()) {
        assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot}");
    }
}

#[test]
fn after_a_write_or_a_sync_that_failed_nothing_more_is_acknowledged() {
    for fault in ["journal-write-fails", "journal-sync-fails"] {
        for nth in 0..8 {
            let agent = Agent::scripted(SCRIPT).guest("hostile");
            // It fails once; whatever is tried after that would succeed.
            let failed = agent
                .command(&["run"])
                .env("FAILPOINTS", format!("{fault}={nth}*off->1*return"))
                .output()
                .unwrap();
            let failed = Ran::from(failed);
            failed.exits(1).says("the journal stopped: Input/output error");
            let before = slots(&agent);
            if before.is_empty() {
                continue;
            }
            assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n", "{fault} at {nth}");
            let after = slots(&agent);
            for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null())
            {
                assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot} had ended and is as it was");
            }
            agent.host(&["replay", "last"]).ok();
        }
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    std::fs::write(agent.dir.path().join("file"), "").unwrap();
    // A file in its place, and a file system that lets nobody make a directory, root included.
    for (state, why, help) in [
        (agent.dir.path().join("file"), "file is a file", "choose a directory with --state DIR"),
        ("/sys/kernel/host".into(), "cannot write the journal in ", "choose another with --state DIR"),
    ] {
        let run = agent.command(&["run"]).env("HOST_STATE", state).output().unwrap();
        Ran::from(run).exits(1).says(why).says(help);
    }
}

#[test]
fn one_process_has_a_run_at_a_time() {
    let script =
        "[[reply]]\ncalls = [{ name = \"slow\", input = { pause_ms = 8000 } }]\n[[reply]]\ntext = \"ok\"";
    let agent = Agent::scripted(script).guest("hostile");
    agent.host(&["check"]).ok();
    let mut child = agent.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = || agent.host(&["runs", "show", "last"]).stdout.contains("model(0)");
    crate::support::until("the beginning of the call", || begun().then_some(()));
    let in_use = format!("is in use by process {}", child.id());
    agent.host(&["resume", "last"]).exits(1).says(&in_use);
    agent.host(&["replay", "last"]).exits(1).says("the recording ends at tool(0,0)");
    let listed: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    assert_eq!(listed[0]["state"], "running");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_clock_that_was_set_back_delays_nothing_and_changes_nothing() {
    let script = "[[reply]]\ncalls = [{ name = \"flaky\", input = { fail_attempts = 2 } }]\n\
                  [[reply]]\ntext = \"the end\"";
    let agent = Agent::scripted(script)
        .guest("hostile")
        .table("[tools.hostile.retry]\nmax_attempts = 3\ninitial_delay = \"10ms\"\nmax_delay = \"20ms\"");
    // After the first attempt failed: the next one is due at a moment that is recorded.
    agent.run_killed_once(|shown| {
        shown.iter().any(|report| !report["failures"].as_array().is_none_or(Vec::is_empty))
    });
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    let mut run = RunFile::read(&file).unwrap();
    // As if all of it had been recorded two days ahead of now.
    let ahead = |at_ms: &mut u64| *at_ms += 2 * 24 * 3600 * 1000;
    let mut failed = 0;
    for entry in &mut run.entries {
        match &mut entry.event {
            Event::Started(started) => ahead(&mut started.at_ms),
            Event::Finished(finished) => ahead(&mut finished.at_ms),
            Event::Failed(it) => {
                failed += 1;
                ahead(&mut it.at_ms);
            }
        }
    }
    assert_eq!(failed, 1);
    run.write(&mut std::fs::File::create(&file).unwrap()).unwrap();
    std::fs::remove_dir_all(agent.state()).unwrap();
    agent.host(&["journal", "import", file.to_str().unwrap()]).ok();
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(0,0)"), 3, "the third attempt");
    agent.host(&["replay", "last"]).ok();
}

/// What the last run recorded, in a file, as if `wall_time` had ended it.
fn ended_by_wall_time(agent: &Agent, alter: impl Fn(&mut RunFile)) -> std::path::PathBuf {
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    let mut run = RunFile::read(&file).unwrap();
    run.summary.state = RunState::Limited;
    for entry in run.entries.iter_mut().filter(|entry| entry.slot == Slot::RUN) {
        if let Event::Finished(finished) = &mut entry.event {
            finished.outcome =
                Outcome::Run(Ending::Limit(format!("{TOO_LONG}; used: 1 turns, 0 tool calls")));
        }
    }
    alter(&mut run);
    run.write(&mut std::fs::File::create(&file).unwrap()).unwrap();
    file
}

const TOO_LONG: &str = "the run took longer than wall_time = \"5s\"";

#[test]
fn a_time_limit_that_came_while_the_last_record_was_synced_is_how_the_run_ended() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    agent.host(&["run", "agent.toml", "count", "--session", "ada"]).ok();
    // The answer is there, and so is the end that came in its place.
    let file = ended_by_wall_time(&agent, |_| {});
    let path = file.to_str().unwrap();
    agent.host(&["replay", path]).exits(5).says(TOO_LONG);
    // Likewise if it was the results of the last calls that any turn may make.
    let fewer = agent.dir.path().join("fewer.jsonl");
    let mut run = RunFile::read(&file).unwrap();
    run.entries.retain(|entry| entry.slot != Slot::model(2));
    for entry in &mut run.entries {
        if let Event::Started(started) = &mut entry.event
            && let Request::Run(manifest) = &mut started.request
        {
            manifest.max_turns = 2;
            started.digest = started.request.digest();
        }
    }
    run.write(&mut std::fs::File::create(&fewer).unwrap()).unwrap();
    agent.host(&["replay", fewer.to_str().unwrap()]).exits(5).says(TOO_LONG);
    // The session goes on from it.
    std::fs::remove_dir_all(agent.state().join("runs")).unwrap();
    agent.host(&["journal", "import", path]).ok();
    std::fs::write(agent.dir.path().join("script.toml"), "[[reply]]\ntext = \"So.\"").unwrap();
    agent.host(&["run", "agent.toml", "So?", "--session", "ada"]).ok();
    // Any other end has to be that which the rest comes to.
    let other = ended_by_wall_time(&agent, |run| {
        for entry in run.entries.iter_mut().filter(|entry| entry.slot == Slot::RUN) {
            if let Event::Finished(finished) = &mut entry.event {
                finished.outcome =
                    Outcome::Run(Ending::Limit("the run reached max_total_tokens = 1".to_owned()));
            }
        }
    });
    agent.host(&["replay", other.to_str().unwrap()]).exits(6).says("the run ended otherwise than recorded");
}

#[test]
fn a_time_limit_of_an_agent_that_came_with_its_answer_is_what_its_call_came_to() {
    let agent = one("[[reply]]\ntext = \"done\"", &[]);
    agent.host(&["run"]).ok();
    let altered = |message: &str| {
        let file = ended_by_wall_time(&agent, |run| {
            run.entries.retain(|entry| entry.slot != Slot::model(1));
            for entry in run.entries.iter_mut().filter(|entry| entry.slot == Slot::tool(0, 0)) {
                if let Event::Finished(finished) = &mut entry.event {
                    finished.outcome = Outcome::Tool(ToolOutcome::error(ErrorKind::Failed, message));
                }
            }
        });
        agent.host(&["replay", file.to_str().unwrap()])
    };
    altered(&format!("the agent was stopped by a limit: {TOO_LONG}")).exits(5).says(TOO_LONG);
    altered("the agent refused: no").exits(6).says("what is recorded below it comes to something else");
}
