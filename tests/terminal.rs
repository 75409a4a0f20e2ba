//! The command at a terminal: what goes on is shown, the person is asked, and Ctrl-C stops it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;

use crate::approval::{ASK_NEW_YORK, TWO, asking};
use crate::shells::slow_to_build;
use crate::support::{Agent, tool_error, tool_output};

/// What the person does.
enum Does<'a> {
    /// Types a line.
    Types(&'a str),
    /// Types a line after so many seconds.
    Thinks(u64, &'a str),
    /// Presses Ctrl-C.
    Interrupts,
}

use Does::{Interrupts, Thinks, Types};

/// Runs the agent at a terminal, where the person does these things, each after what is to be on the screen first, behind
/// what was awaited before.
fn at_a_terminal(agent: &Agent, args: &[&str], does: &[(&str, Does<'_>)]) -> (Option<i32>, String) {
    // Another test's process must not keep this terminal.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::openpt(flags).unwrap();
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let line = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child = agent
        .command(args)
        .env("TERM", "xterm")
        .stdin(Stdio::from(line.try_clone().unwrap()))
        .stderr(Stdio::from(line.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(line);
    let mut terminal = std::fs::File::from(terminal);
    let (mut screen, mut seen, mut does) = (String::new(), 0, does.iter().peekable());
    let mut bytes = [0; 4096];
    // The read fails once the last one who holds the other end is gone.
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        screen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        while let Some((awaited, doing)) = does.next_if(|(awaited, _)| screen[seen..].contains(awaited)) {
            seen += screen[seen..].find(awaited).unwrap() + awaited.len();
            let mut types = |line: &str| terminal.write_all(format!("{line}\n").as_bytes()).unwrap();
            match doing {
                Types(line) => types(line),
                Thinks(seconds, line) => {
                    std::thread::sleep(Duration::from_secs(*seconds));
                    types(line);
                }
                Interrupts => kill_process(Pid::from_child(&child), Signal::INT).unwrap(),
            }
        }
    }
    assert!(does.next().is_none(), "not everything that was awaited was seen: {screen}");
    (child.wait().unwrap().code(), screen)
}

#[test]
fn at_a_terminal_the_person_sees_the_call_its_grants_and_what_changed_since() {
    let agent = asking(ASK_NEW_YORK);
    let (code, screen) = at_a_terminal(
        &agent,
        &["run"],
        &[("to decide later?", Types("what")), ("to decide later?", Types("a"))],
    );
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("tool(0,0) asks to call get_weather with"), "{screen}");
    assert!(
        screen.contains("\"city\": \"New York\"") && screen.contains("no files, no environment, no network"),
        "{screen}"
    );
    assert_eq!(
        screen.matches("to decide later?").count(),
        2,
        "an answer that is none is asked for again: {screen}"
    );

    let other = TWO.replace("New York", "New Delhi");
    std::fs::write(agent.dir.path().join("script.toml"), other).unwrap();
    let (code, screen) =
        at_a_terminal(&agent, &["run"], &[("to decide later?", Types("d")), ("why (", Types("not there"))]);
    assert_eq!(code, Some(0), "{screen}");
    assert!(
        screen.contains("-  \"city\": \"New York\"") && screen.contains("+  \"city\": \"New Delhi\""),
        "{screen}"
    );
    assert!(tool_error(&agent.show(), "tool(0,0)").1.ends_with("not there"));

    let (code, screen) = at_a_terminal(&agent, &["run"], &[("to decide later?", Types("s"))]);
    assert_eq!(code, Some(3), "{screen}");
    let (code, screen) = at_a_terminal(&agent, &["resume", "last"], &[("to decide later?", Types("l"))]);
    assert_eq!(code, Some(0), "{screen}");
    agent.host(&["run"]).ok();
}

#[test]
fn a_build_shows_how_far_it_is_and_what_is_left_of_it() {
    let agent = slow_to_build();
    let (code, screen) = at_a_terminal(&agent, &["run"], &[("1 of 3 crates: slow(build)", Interrupts)]);
    assert_eq!(code, Some(130), "{screen}");
    let left = screen.lines().find(|line| line.contains("stopped building slow after")).unwrap();
    assert!(left.contains(" s, at 1 of 3 crates; what is compiled is kept"), "{screen}");
}

/// What would hide in a call, or look like something else, is written out for who decides on it.
#[test]
fn nothing_hides_from_the_person() {
    let script = |city: &str| {
        let call = format!("calls = [{{ name = \"get_weather\", input = {{ city = \"{city}\" }} }}]");
        format!("[[reply]]\n{call}\n[[reply]]\ntext = \"done\"")
    };
    let agent = Agent::scripted(&script("Paris")).guest("weather").table("[approval]\ndefault = \"ask\"");
    at_a_terminal(&agent, &["run"], &[("to decide later?", Types("a"))]);
    std::fs::write(agent.dir.path().join("script.toml"), script("Par\\u200Bis\\u202E\\u009B")).unwrap();
    let (code, screen) = at_a_terminal(&agent, &["run"], &[("to decide later?", Types("s"))]);
    assert_eq!(code, Some(3), "{screen}");
    let written = "Par\\u{200b}is\\u{202e}\\u{9b}";
    assert!(screen.matches(written).count() >= 3, "in the call, its difference, and what waits: {screen}");
    assert!(!screen.contains(['\u{200b}', '\u{202e}', '\u{9b}']), "{screen}");
}

/// Nor does a name that no tool has do anything to the terminal.
#[test]
fn a_name_that_a_model_makes_up_is_written_out() {
    let script = "[[reply]]\ncalls = [{ name = \"x\\u001b[2J\\u202ey\" }]\n[[reply]]\ntext = \"done\"";
    let agent = Agent::scripted(script);
    let (code, screen) = at_a_terminal(&agent, &["run"], &[]);
    assert_eq!(code, Some(0), "{screen}");
    let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    for said in [screen, shown] {
        assert!(said.contains("x\\u{1b}[2J\\u{202e}y") && !said.contains("x\u{1b}[2J"), "{said}");
        assert!(!said.contains('\u{202e}'), "{said}");
    }
}

#[test]
fn a_question_is_answered_at_the_terminal_and_an_empty_answer_suspends() {
    let script = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Which city?\" } }]\n\
                  [[reply]]\nexpect = [\"Oslo\"]\ntext = \"done\"";
    let agent = Agent::scripted(script).builtins(&["ask_human"]);
    let (code, screen) = at_a_terminal(&agent, &["run"], &[("asks: Which city?", Types(""))]);
    assert_eq!(code, Some(3), "{screen}");
    assert!(screen.contains("host answer"), "{screen}");
    let (code, screen) = at_a_terminal(&agent, &["resume", "last"], &[("answer later): ", Types(" Oslo "))]);
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(tool_output(&agent.show(), "tool(0,0)")["answer"], "Oslo");
    agent.host(&["replay", "last"]).ok();
}

/// Calls that go on are shown with the time they have taken, each on its own line, all the while.
#[test]
fn calls_that_go_on_are_shown_with_their_time() {
    let busy = |ms: u32| format!("{{ name = \"slow\", input = {{ spin_ms = {ms} }} }}");
    let script = format!("[[reply]]\ncalls = [{}, {}]\n[[reply]]\ntext = \"done\"", busy(2500), busy(2501));
    let agent = Agent::scripted(&script).guest("hostile");
    agent.host(&["check"]).ok();
    let (code, screen) = at_a_terminal(&agent, &["run"], &[]);
    assert_eq!(code, Some(0), "{screen}");
    for line in ["tool(0,0) slow {\"spin_ms\":2500}", "tool(0,1) slow {\"spin_ms\":2501}"] {
        let drawn = screen.split(line).skip(1).map(|rest| rest.split(['\r', '\n']).next().unwrap());
        let drawn: Vec<&str> = drawn.collect();
        for time in ["0s", "1s"] {
            assert!(drawn.iter().any(|rest| rest.contains(time)), "{line} at {time}: {screen}");
        }
    }
}

#[test]
fn ctrl_c_while_the_person_is_asked_says_how_to_go_on() {
    let agent = asking(ASK_NEW_YORK);
    let (code, screen) = at_a_terminal(&agent, &["run"], &[("to decide later?", Interrupts)]);
    assert_eq!(code, Some(130), "{screen}");
    assert!(screen.contains("interrupted; go on with: host resume"), "{screen}");
    let (code, screen) = at_a_terminal(&agent, &["resume", "last"], &[("to decide later?", Types("a"))]);
    assert_eq!(code, Some(0), "{screen}");
    agent.host(&["replay", "last"]).ok();
}

/// Time in which the person thinks is not the tool's, nor the run's.
#[test]
fn time_to_think_counts_for_no_limit() {
    let input = r#"{"batches":[[{"name":"ask_human","input":{"question":"Well?"}}]]}"#;
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"relay\", input_text = '{input}' }}]\n\
         [[reply]]\nexpect = [\"Yes\"]\ntext = \"done\""
    );
    let agent = Agent::scripted(&script)
        .builtins(&["ask_human"])
        .guest("hostile")
        .table("[limits]\nwall_time = \"3s\"")
        .table("[tools.hostile.permissions]\ncalls = [\"ask_human\"]")
        .table("[tools.hostile.limits]\ntimeout = \"2s\"");
    agent.host(&["check"]).ok();
    let (code, screen) = at_a_terminal(&agent, &["run"], &[("answer later): ", Thinks(4, "Yes"))]);
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(tool_output(&agent.show(), "tool(0,0)")[0]["output"]["answer"], "Yes");
    agent.host(&["replay", "last"]).ok();
}

/// Nobody answers on the collector's connection, so that the end waits for it; after a second Ctrl-C it does not.
#[test]
fn a_second_ctrl_c_waits_for_nothing() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", collector.local_addr().unwrap());
    let script =
        "[[reply]]\ncalls = [{ name = \"slow\", input = { spin_ms = 20000 } }]\n[[reply]]\ntext = \"x\"";
    let agent = Agent::scripted(script).guest("hostile").table("[tools.hostile.limits]\ncpu = \"30s\"");
    agent.host(&["check"]).ok();
    let run = ["run", "--otlp", &url];
    let (code, screen) = at_a_terminal(&agent, &run, &[("tool(0,0) slow", Interrupts)]);
    assert_eq!(code, Some(130), "{screen}");
    assert!(screen.contains("host resume") && screen.contains("traces"), "{screen}");
    let twice = [("tool(0,0) slow", Interrupts), ("host resume", Interrupts)];
    let (code, screen) = at_a_terminal(&agent, &run, &twice);
    assert_eq!(code, Some(130), "{screen}");
    assert!(!screen.contains("traces"), "{screen}");
}
