//! The command at a terminal: what goes on is shown, the person is asked, and Ctrl-C stops it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;

use crate::approval::{ASK_NEW_YORK, TWO, asking};
use crate::shells::slow_to_build;
use crate::support::{Agent, outcome, root, tool_error, tool_output};

/// What the person does, or somebody else.
pub enum Does<'a> {
    /// Types a line.
    Types(&'a str),
    /// Types a line after so many seconds.
    Thinks(u64, &'a str),
    /// Presses these keys.
    Presses(&'a str),
    /// Presses Ctrl-C while a run goes on.
    Interrupts,
    /// Ends the process, as it can: with this signal.
    Kills(Signal),
    /// Something happens elsewhere.
    Elsewhere(&'a dyn Fn()),
    /// Nothing yet.
    Looks,
}

use Does::{Elsewhere, Interrupts, Kills, Looks, Presses, Thinks, Types};

/// A terminal, and what is set in the environment of who runs there.
#[derive(Clone, Copy)]
pub struct Terminal<'a> {
    pub columns: u16,
    pub env: &'a [(&'a str, &'a str)],
}

const ROWS: u16 = 40;

/// 80 columns, and no editor.
pub const USUAL: Terminal<'static> = Terminal { columns: 80, env: &[] };

/// What the question of an approval ends with.
pub const ASKED: &str = "[s]uspend: ";

/// Runs the agent at a terminal, where the person does these things, each after what is to be on the screen first, behind
/// what was awaited before.
fn at_a_terminal(agent: &Agent, args: &[&str], does: &[(&str, Does<'_>)]) -> (Option<i32>, String) {
    at(USUAL, agent, args, does)
}

/// The same at some terminal.
pub fn at(
    Terminal { columns, env }: Terminal<'_>,
    agent: &Agent,
    args: &[&str],
    does: &[(&str, Does<'_>)],
) -> (Option<i32>, String) {
    // Another test's process must not keep this terminal.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::openpt(flags).unwrap();
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let line = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child = agent
        .command(args)
        .env("TERM", "xterm")
        .env_remove("VISUAL")
        .env_remove("EDITOR")
        .env_remove("NO_COLOR")
        .envs(env.iter().copied())
        .stdin(Stdio::from(line.try_clone().unwrap()))
        .stderr(Stdio::from(line.try_clone().unwrap()))
        .stdout(if args.iter().any(|arg| ["show", "chat"].contains(arg)) {
            line.try_clone().unwrap().into()
        } else {
            Stdio::piped()
        })
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
                Presses(keys) => terminal.write_all(keys.as_bytes()).unwrap(),
                Interrupts => kill_process(Pid::from_child(&child), Signal::INT).unwrap(),
                Kills(signal) => kill_process(Pid::from_child(&child), *signal).unwrap(),
                Elsewhere(happens) => happens(),
                Looks => {}
            }
        }
    }
    assert!(does.next().is_none(), "not everything that was awaited was seen: {screen}");
    let code = child.wait().unwrap().code();
    if code.is_none() {
        return (code, screen);
    }
    // Asked of its other end, a terminal says how it was left.
    let left = tcgetattr(&terminal).unwrap().local_modes;
    assert!(left.contains(LocalModes::ICANON | LocalModes::ECHO), "{left:?}");
    (code, screen)
}

/// What is to be seen in the end of all that was written to a terminal, line by line.
pub fn left_on(columns: u16, written: &str) -> Vec<String> {
    let mut parser = vt100::Parser::new(ROWS, columns, 1000);
    parser.process(written.as_bytes());
    let screen = parser.screen();
    screen.rows(0, columns).map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
}

#[test]
fn at_a_terminal_the_person_sees_the_call_its_grants_and_what_changed_since() {
    let agent = asking(ASK_NEW_YORK);
    let (code, screen) = at_a_terminal(
        &agent,
        &["run"],
        &[(ASKED, Types("what")), ("\"what\" is no answer", Looks), (ASKED, Types("y"))],
    );
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("tool(0,0) asks to call get_weather with"), "{screen}");
    assert!(
        screen.contains("\"city\": \"New York\"") && screen.contains("no files, no environment, no network"),
        "{screen}"
    );
    let other = TWO.replace("New York", "New Delhi");
    std::fs::write(agent.dir.path().join("script.toml"), other).unwrap();
    let (code, screen) =
        at_a_terminal(&agent, &["run"], &[(ASKED, Types("n")), ("why not (", Types("not there"))]);
    assert_eq!(code, Some(0), "{screen}");
    assert!(
        screen.contains("-  \"city\": \"New York\"") && screen.contains("+  \"city\": \"New Delhi\""),
        "{screen}"
    );
    assert!(tool_error(&agent.show(), "tool(0,0)").1.ends_with("not there"));

    let (code, screen) = at_a_terminal(&agent, &["run"], &[(ASKED, Types("s"))]);
    assert_eq!(code, Some(3), "{screen}");
    let (code, screen) = at_a_terminal(&agent, &["resume", "last"], &[(ASKED, Types("w"))]);
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
    at_a_terminal(&agent, &["run"], &[(ASKED, Types("y"))]);
    std::fs::write(agent.dir.path().join("script.toml"), script("Par\\u200Bis\\u202E\\u009B")).unwrap();
    let (code, screen) = at_a_terminal(&agent, &["run"], &[(ASKED, Types("s"))]);
    assert_eq!(code, Some(3), "{screen}");
    let written = "Par\\u{200b}is\\u{202e}\\u{9b}";
    assert!(screen.matches(written).count() >= 2, "in the call, and in what waits: {screen}");
    assert!(screen.contains("+  \"city\": \"Par\\u200bis\\u202e\\u009b\""), "in the difference: {screen}");
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
    let (code, screen) =
        at_a_terminal(&agent, &["run"], &[("asks: Which city?", Looks), ("answer later): ", Types(""))]);
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
    let busy = |ms: u32| format!("{{ name = \"slow\", input = {{ pause_ms = {ms} }} }}");
    let script = format!("[[reply]]\ncalls = [{}, {}]\n[[reply]]\ntext = \"done\"", busy(2500), busy(2501));
    let agent = Agent::scripted(&script).guest("hostile");
    agent.host(&["check"]).ok();
    let (code, screen) = at_a_terminal(&agent, &["run"], &[]);
    assert_eq!(code, Some(0), "{screen}");
    for line in ["tool(0,0) slow {\"pause_ms\":2500}", "tool(0,1) slow {\"pause_ms\":2501}"] {
        let drawn = screen.split(line).skip(1).map(|rest| rest.split(['\r', '\n']).next().unwrap());
        let drawn: Vec<&str> = drawn.collect();
        for time in ["0s", "1s"] {
            assert!(drawn.iter().any(|rest| rest.contains(time)), "{line} at {time}: {screen}");
        }
        assert!(drawn.iter().any(|rest| rest.contains('█')), "{line} has a bar: {screen}");
    }
}

/// What is longer than the terminal is high is shown by a pager, and only that.
#[test]
fn a_long_result_is_paged() {
    let call = "{ name = \"get_weather\", input = { city = \"New York\" } }";
    let script = |count: usize| {
        let calls = vec![call; count].join(", ");
        format!("[[reply]]\ncalls = [{calls}]\n[[reply]]\ntext = \"done\"")
    };
    let shown = |agent: &Agent, pager: &str, args: &[&str]| {
        let env = [("HOST_PAGER", pager)];
        let (code, screen) = at(Terminal { env: &env, ..USUAL }, agent, args, &[]);
        assert_eq!(code, Some(0), "{screen}");
        screen
    };
    let show = ["runs", "show", "last"];
    let agent = Agent::scripted(&script(20)).guest("weather");
    agent.host(&["run"]).ok();
    let marks = "sed s/^/paged:/";
    let screen = shown(&agent, marks, &show);
    assert!(screen.starts_with("paged:") && screen.matches("paged:").count() > 40, "{screen}");
    assert!(!shown(&agent, "", &show).contains("paged:"));
    assert!(!shown(&agent, marks, &["runs"]).contains("paged:"), "one line fits");
    assert!(!agent.host(&show).ok().stdout.contains("paged:"), "there is no terminal");
}

#[test]
fn ctrl_c_while_the_person_is_asked_says_how_to_go_on() {
    let agent = asking(ASK_NEW_YORK);
    let (code, screen) = at_a_terminal(&agent, &["run"], &[(ASKED, Interrupts)]);
    assert_eq!(code, Some(130), "{screen}");
    assert!(screen.contains("interrupted; go on with: host resume"), "{screen}");
    let (code, screen) = at_a_terminal(&agent, &["resume", "last"], &[(ASKED, Types("y"))]);
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
        "[[reply]]\ncalls = [{ name = \"slow\", input = { pause_ms = 20000 } }]\n[[reply]]\ntext = \"x\"";
    let agent = Agent::scripted(script).guest("hostile").table("[tools.hostile.limits]\ncpu = \"30s\"");
    agent.host(&["check"]).ok();
    let run = ["run", "--otlp", &url];
    let (code, screen) = at_a_terminal(&agent, &run, &[("tool(0,0) slow", Interrupts)]);
    assert_eq!(code, Some(130), "{screen}");
    assert!(screen.contains("host resume") && screen.contains("traces"), "{screen}");
    // Both at once, while keys are taken.
    let agent_asked = asking(ASK_NEW_YORK);
    let at_once = [(ASKED, Interrupts), ("", Interrupts)];
    let (code, screen) = at_a_terminal(&agent_asked, &["run", "--otlp", &url], &at_once);
    assert_eq!(code, Some(130), "{screen}");
    let twice = [("tool(0,0) slow", Interrupts), ("host resume", Interrupts)];
    let (code, screen) = at_a_terminal(&agent, &run, &twice);
    assert_eq!(code, Some(130), "{screen}");
    assert!(!screen.contains("traces"), "{screen}");
}

/// What the person makes of the input is checked, shown, recorded, and what the tool gets; a replay has it, too.
#[test]
fn a_call_is_edited_in_an_editor_and_made_as_it_was_edited() {
    let agent = asking(ASK_NEW_YORK);
    let editor = agent.dir.path().join("editor");
    let edit = "#!/bin/sh\nn=$(cat count 2>/dev/null || echo 0); echo $((n + 1)) > count\n\
                case $n in 0) sed -i 's/\"city\"/\"town\"/' \"$2\" ;; *) sed -i 's/New York/New Delhi/' \"$2\" ;; esac\n";
    std::fs::write(&editor, edit).unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o700)).unwrap();
    let command = format!("{} --wait", editor.display());
    let terminal = Terminal { env: &[("EDITOR", &command)], ..USUAL };
    let (code, screen) = at(
        terminal,
        &agent,
        &["run"],
        &[
            (ASKED, Types("e")),
            ("the edited input is not one of get_weather", Looks),
            (ASKED, Types("e")),
            ("+  \"city\": \"New Delhi\"", Looks),
            (ASKED, Types("w")),
            ("approve it with `y`", Looks),
            (ASKED, Types("y")),
        ],
    );
    assert_eq!(code, Some(0), "{screen}");
    let shown = agent.show();
    let decision = json!({ "decision": { "approved": { "input": { "city": "New Delhi" } } } });
    assert_eq!(outcome(&shown, "tool(0,0)/approval"), &decision);
    let asked = shown.iter().find(|report| report["slot"] == "tool(0,0)").unwrap();
    assert!(asked["request"].to_string().contains("New Delhi"), "{asked:#}");
    agent.host(&["replay", "last"]).ok();
    agent.host(&["journal", "verify", "last"]).ok();
    assert!(agent.host(&["approvals"]).ok().stdout.is_empty(), "what was edited is approved once");
}

#[test]
fn without_an_editor_the_input_is_typed_and_an_editor_that_fails_changes_nothing() {
    let agent = asking(ASK_NEW_YORK);
    let (code, screen) = at_a_terminal(
        &agent,
        &["run"],
        &[
            (ASKED, Types("e")),
            ("as JSON: ", Types("{\"city\": ")),
            ("asked again: the edited input is not one", Looks),
            (ASKED, Types("edit")),
            ("as JSON: ", Types("{\"city\": \"Oslo\"}")),
            ("asked again, with the input as you edited it", Looks),
            (ASKED, Types("y")),
        ],
    );
    assert_eq!(code, Some(0), "{screen}");
    let shown = agent.show();
    let decided = &outcome(&shown, "tool(0,0)/approval")["decision"]["approved"]["input"];
    assert_eq!(decided, &json!({ "city": "Oslo" }));
    let failing = Terminal { env: &[("VISUAL", "false"), ("EDITOR", "true")], ..USUAL };
    let does = [(ASKED, Types("e")), ("asked again: the editor `false` failed", Looks), (ASKED, Types("y"))];
    let (code, screen) = at(failing, &agent, &["run"], &does);
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(outcome(&agent.show(), "tool(0,0)/approval")["decision"], json!({ "approved": {} }));
}

#[test]
fn details_are_what_the_tool_says_of_itself_and_takes() {
    let agent = asking(ASK_NEW_YORK);
    let does = [(ASKED, Types("d")), ("it takes:", Looks), (ASKED, Types("y"))];
    let (code, screen) = at_a_terminal(&agent, &["run"], &does);
    assert_eq!(code, Some(0), "{screen}");
    for said in
        ["get_weather says of itself:", "it is get_weather of [tools.weather]", "sha256 ", "\"required\""]
    {
        assert!(screen.contains(said), "{said:?}: {screen}");
    }
}

/// A call that was approved always is asked about again when its component has changed, and it is said why.
#[test]
fn it_is_said_why_a_call_is_asked_about_again() {
    let agent = asking(ASK_NEW_YORK);
    let (code, screen) = at_a_terminal(&agent, &["run"], &[(ASKED, Types("w"))]);
    assert_eq!(code, Some(0), "{screen}");
    agent.host(&["run"]).ok();
    let agent = agent.table("[tools.weather.limits]\ntimeout = \"29s\"");
    let again =
        [("approved always, and its component or its grants have changed", Looks), (ASKED, Types("y"))];
    let terminal = Terminal { columns: 200, ..USUAL };
    let (code, screen) = at(terminal, &agent, &["run"], &again);
    assert_eq!(code, Some(0), "{screen}");
}

/// While the person is asked, other calls are drawn with their time, and what ends is shown at once.
#[test]
fn live_calls_stay_visible_while_the_person_is_asked() {
    let question = "{ name = \"ask_human\", input = { question = \"Well?\" } }";
    let busy = |ms: u32| format!("{{ name = \"slow\", input = {{ pause_ms = {ms} }} }}");
    let script = format!(
        "[[reply]]\ncalls = [{question}, {}, {}]\n[[reply]]\ntext = \"done\"",
        busy(1500),
        busy(4000)
    );
    let agent = Agent::scripted(&script).builtins(&["ask_human"]).guest("hostile");
    agent.host(&["check"]).ok();
    let (code, screen) = at_a_terminal(
        &agent,
        &["run"],
        &[
            ("answer later): ", Looks),
            ("tool(0,0) ask_human", Looks),
            ("waiting ", Looks),
            // One ends while the question stands, and the other goes on.
            ("tool(0,1) slow {\"pause_ms\":1500} → null", Looks),
            ("tool(0,2) slow", Looks),
            ("answer later): ", Types("Yes")),
        ],
    );
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("waited "), "{screen}");
    let left = left_on(80, &screen);
    let waited = left.iter().find(|line| line.contains("✓ tool(0,0) ask_human")).unwrap();
    assert!(waited.contains("  waited "), "{left:#?}");
    assert_eq!(left.iter().filter(|line| line.contains("answer later): Yes")).count(), 1, "{left:#?}");
}

/// A line that was typed before the question stood is no answer to it.
#[test]
fn what_was_typed_before_the_question_answers_nothing() {
    let busy = "{ name = \"slow\", input = { pause_ms = 1500 } }";
    let call = "{ name = \"echo\", input = { value = 1 } }";
    let script =
        format!("[[reply]]\ncalls = [{busy}]\n[[reply]]\ncalls = [{call}]\n[[reply]]\ntext = \"done\"");
    let agent = Agent::scripted(&script).guest("hostile").table("[[approval.ask]]\ntool = \"echo\"");
    agent.host(&["check"]).ok();
    let does = [("tool(0,0) slow", Types("y")), (ASKED, Types("n")), ("why not (", Types("no"))];
    let (code, screen) = at_a_terminal(&agent, &["run"], &does);
    assert_eq!(code, Some(0), "{screen}");
    assert!(tool_error(&agent.show(), "tool(1,0)").1.ends_with("no"));
}

/// What begins while an editor has the terminal is drawn once the editor is gone.
#[test]
fn what_begins_behind_an_editor_is_seen_after_it() {
    let busy = |ms: u32| format!("{{ name = \"slow\", input = {{ pause_ms = {ms} }} }}");
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"echo\", input = {{ value = 1 }} }}, {}, {}]\n[[reply]]\ntext = \"x\"",
        busy(1500),
        busy(20_000)
    );
    let agent = Agent::scripted(&script)
        .guest("hostile")
        .table("[tools.hostile.limits]\ncpu = \"30s\"")
        .table("[limits]\nmax_parallel_tools = 1")
        .table("[[approval.ask]]\ntool = \"echo\"");
    agent.host(&["check"]).ok();
    // It stays open until the second call has ended, and so until the third one has begun.
    let editor = agent.dir.path().join("editor");
    let waits = format!(
        "#!/bin/sh\nuntil {} runs show last | grep -q '→ null'; do sleep 0.05; done\n",
        env!("CARGO_BIN_EXE_host")
    );
    std::fs::write(&editor, waits).unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o700)).unwrap();
    let command = editor.display().to_string();
    let terminal = Terminal { env: &[("EDITOR", &command)], ..USUAL };
    let does = [
        ("tool(0,1) slow", Looks),
        (ASKED, Types("e")),
        ("asked again: the input is what the model wrote", Looks),
        ("tool(0,2) slow", Interrupts),
    ];
    let (code, screen) = at(terminal, &agent, &["run"], &does);
    assert_eq!(code, Some(130), "{screen}");
}

#[test]
fn ctrl_c_leaves_no_line_of_what_went_on() {
    let busy = |ms: u32| format!("{{ name = \"slow\", input = {{ pause_ms = {ms} }} }}");
    let question = "{ name = \"ask_human\", input = { question = \"Well?\" } }";
    for (calls, awaited) in [
        (format!("{}, {}", busy(20_000), busy(20_001)), "tool(0,1) slow"),
        (format!("{}, {question}", busy(20_000)), "answer later): "),
    ] {
        let script = format!("[[reply]]\ncalls = [{calls}]\n[[reply]]\ntext = \"x\"");
        let agent = Agent::scripted(&script)
            .builtins(&["ask_human"])
            .guest("hostile")
            .table("[tools.hostile.limits]\ncpu = \"30s\"");
        agent.host(&["check"]).ok();
        for columns in [60, 120] {
            let terminal = Terminal { columns, ..USUAL };
            let does = [(awaited, Looks), ("0s", Interrupts)];
            let (code, screen) = at(terminal, &agent, &["run"], &does);
            assert_eq!(code, Some(130), "{screen}");
            let left = left_on(columns, &screen);
            let stale = |line: &&String| line.contains(" slow {") || line.contains("answer later");
            assert!(!left.iter().any(|line| stale(&line)), "{left:#?}");
            assert!(left.iter().any(|line| line.contains("host resume 01")), "on one line: {left:#?}");
        }
    }
}

/// At 60 columns no word, id or command is broken, and what goes on in a further line is set in.
#[test]
fn at_60_columns_lines_go_on_set_in() {
    let agent = asking(ASK_NEW_YORK);
    let narrow = Terminal { columns: 60, ..USUAL };
    let (code, screen) = at(narrow, &agent, &["run"], &[(ASKED, Types("s"))]);
    assert_eq!(code, Some(3), "{screen}");
    let left = left_on(60, &screen);
    let run = agent.show()[0]["slot"].as_str().map(|_| agent.host(&["runs", "--json"]).stdout).unwrap();
    let run = serde_json::from_str::<serde_json::Value>(&run).unwrap()[0]["run"].as_str().unwrap().to_owned();
    for whole in [
        format!("run {run}"),
        format!("host approve {run} 'tool(0,0)'"),
        format!("host deny {run} 'tool(0,0)'"),
        format!("host resume {run}"),
    ] {
        assert!(left.iter().any(|line| line.contains(&whole)), "{whole}: {left:#?}");
    }
    let (code, screen) = at(narrow, &agent, &["runs", "show", "last"], &[]);
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("\u{1b}[32m✓"), "marks have colours: {screen:?}");
    let left = left_on(60, &screen);
    // What happened stands in a column of its own, and goes on there.
    let from = left.iter().position(|line| line.contains(" model(0) ")).unwrap();
    let bars: Vec<&String> = left[..from].iter().filter(|line| line.contains(['█', '▒'])).collect();
    assert_eq!(bars.len(), 3, "a bar for each thing that happened: {left:#?}");
    for line in &left[from..] {
        let begins = line.starts_with(['✓', '⧖', '✗', '↻']) || line.starts_with("              ");
        assert!(begins, "{line:?} in {left:#?}");
    }
    assert!(left.iter().any(|line| line.starts_with("⧖      waits  tool(0,0)/approval")), "{left:#?}");
    // Off a terminal each thing is one line, without colours.
    let plain = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(!plain.contains('\u{1b}') && plain.lines().any(|line| line.chars().count() > 60), "{plain}");
}

#[test]
fn at_60_columns_a_mistake_is_shown_without_breaking_a_word() {
    let agent = Agent::scripted("[[reply]]\ntext = \"x\"");
    let source = root().join("guest-tools/weather");
    let agent =
        agent.table(&format!("[tools.w]\nsource = {source:?}\ninclude = [\"set_a_rather_long_name_*\"]"));
    let (code, screen) = at(Terminal { columns: 60, ..USUAL }, &agent, &["check"], &[]);
    assert_eq!(code, Some(2), "{screen}");
    let left = left_on(60, &screen);
    assert!(left.iter().any(|line| line.contains("`set_a_rather_long_name_*`")), "{left:#?}");
    assert!(left.iter().any(|line| line.trim_start().starts_with("help: ")), "{left:#?}");
}
