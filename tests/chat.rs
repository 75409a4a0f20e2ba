//! `host chat`: a conversation at a terminal, prompt by prompt, and through a pipe.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::approval::{ASK_NEW_YORK, asking};
use crate::providers::KEY;
use crate::recorded::ids;
use crate::sessions::said;
use crate::support::{Agent, Ran, tool_error};
use crate::terminal::Does::{Elsewhere, Interrupts, Kills, Looks, Presses, Types};
use crate::terminal::{ASKED, Does, Terminal, USUAL, at, left_on};

/// What the editor of lines writes when it is ready: from then on it is told what is pasted.
const READY: &str = "\u{1b}[?2004h";

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const UP: &str = "\u{1b}[A";

const ADA: [&str; 3] = ["chat", "--session", "ada"];

/// An agent that says this.
fn saying(text: &str) -> Agent {
    Agent::scripted(&script(text))
}

fn says_now(agent: &Agent, text: &str) {
    std::fs::write(agent.dir.path().join("script.toml"), script(text)).unwrap();
}

/// A script of one reply. A string of JSON is one of TOML, too.
fn script(text: &str) -> String {
    format!("[[reply]]\ntext = {}", serde_json::to_string(text).unwrap())
}

fn chat(agent: &Agent, does: &[(&str, Does<'_>)]) -> String {
    chat_at(USUAL, agent, &ADA, does)
}

fn chat_at(terminal: Terminal<'_>, agent: &Agent, args: &[&str], does: &[(&str, Does<'_>)]) -> String {
    let (code, screen) = at(terminal, agent, args, does);
    assert_eq!(code, Some(0), "{screen}");
    screen
}

/// The keys of all conversations.
fn keys(agent: &Agent) -> Vec<String> {
    let listed: Value = serde_json::from_str(&agent.host(&["sessions", "--json"]).ok().stdout).unwrap();
    let keys = listed.as_array().unwrap().iter().map(|it| it["session"].as_str().unwrap().to_owned());
    keys.collect()
}

/// What is asked in the runs of a conversation.
fn prompts(agent: &Agent, key: &str) -> Vec<String> {
    let shown = agent.host(&["sessions", "show", key, "--json"]);
    let shown: Value = serde_json::from_str(&shown.ok().stdout).unwrap();
    let runs = shown.as_array().unwrap().iter();
    runs.map(|run| run["summary"]["prompt"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_prompt_is_a_run_of_the_conversation() {
    let agent = saying("# It is *four*.");
    let screen = chat_at(
        USUAL,
        &agent,
        &["chat"],
        &[
            ("come back to it with:", Looks),
            (READY, Types("What is it?")),
            ("four", Elsewhere(&|| says_now(&agent, "I am."))),
            (READY, Types("Are you sure?")),
            ("I am.", Looks),
            // Up, and up again, and what was typed first is changed.
            (READY, Presses(&format!("{UP}{UP}\u{8}, then?\n"))),
            ("I am.", Looks),
            (READY, Presses(CTRL_D)),
            ("come back to it with", Looks),
        ],
    );
    assert!(screen.contains("\u{1b}[1m\u{1b}[3m\u{1b}[4mfour\u{1b}[0m"), "drawn: {screen:?}");
    let left = left_on(80, &screen);
    for line in ["> What is it?", "It is four.", "used: 1 turn, 0 tool calls", "> Are you sure?", "I am."] {
        assert!(left.iter().any(|left| left == line), "{line:?}: {left:#?}");
    }
    let [key] = &keys(&agent)[..] else { panic!("{:?}", keys(&agent)) };
    assert_eq!(prompts(&agent, key), ["What is it?", "Are you sure?", "What is it, then?"]);
    assert!(screen.contains(&format!("--session {key}")), "{key}: {screen}");
    let words =
        ["user: What is it?", "assistant: # It is *four*.", "user: Are you sure?", "assistant: I am."];
    assert_eq!(said(&agent)[..4], words);
    agent.host(&["replay", "last"]).ok();
    // The history is this user's alone.
    let histories: Vec<_> =
        std::fs::read_dir(agent.state().join("chat")).unwrap().map(Result::unwrap).collect();
    assert_eq!(histories.len(), 1);
    assert_eq!(histories[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(histories[0].path()).unwrap();
    assert!(kept.contains("What is it?") && kept.contains("What is it, then?"), "{kept}");
}

/// Somebody who comes back sees what was said last, and what they typed then is still there.
#[test]
fn a_conversation_goes_on_by_its_key() {
    let agent = saying("Four.");
    for prompt in ["one", "two", "three"] {
        agent.host(&["run", "agent.toml", prompt, "--session", "ada"]).ok();
    }
    let screen = chat(
        &agent,
        &[
            ("… 1 exchange before", Looks),
            ("> two", Looks),
            ("> three", Looks),
            ("Four.", Looks),
            (READY, Types("/cost")),
            ("3 exchanges: 3 turns, 0 tool calls", Looks),
            (READY, Types("four")),
            ("used: 1 turn", Looks),
            (READY, Presses(CTRL_D)),
        ],
    );
    assert!(!screen.contains("> one"), "{screen}");
    assert_eq!(prompts(&agent, "ada"), ["one", "two", "three", "four"]);
    let kept =
        [(READY, Presses(UP)), ("four", Presses("\n")), ("used: 1 turn", Looks), (READY, Types("/quit"))];
    chat(&agent, &kept);
    assert_eq!(prompts(&agent, "ada").len(), 5);
}

#[test]
fn a_prompt_can_have_lines_and_begin_like_a_command() {
    let agent = saying("Yes.");
    chat(
        &agent,
        &[
            (READY, Types("one \\")),
            ("one", Types("two")),
            ("Yes.", Looks),
            (READY, Presses("\u{1b}[200~pasted\nlines\u{1b}[201~\n")),
            ("Yes.", Looks),
            (READY, Types("//etc/hosts")),
            ("Yes.", Looks),
            (READY, Types("/etc/hosts")),
            ("there is no command /etc/hosts; there are /help, /tools", Looks),
            (READY, Presses(CTRL_D)),
        ],
    );
    assert_eq!(prompts(&agent, "ada"), ["one \ntwo", "pasted\nlines", "/etc/hosts"]);
}

/// An endpoint that streams a reply in two halves, the second one when it is told to.
fn in_halves(halves: [&'static str; 2], told: mpsc::Receiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let piece = |delta: &str, reason: &str| {
            format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
            )
        };
        for half in halves {
            let delta = serde_json::json!({ "content": half }).to_string();
            stream.write_all(piece(&delta, "null").as_bytes()).unwrap();
            stream.flush().unwrap();
            let _ = told.recv();
        }
        let end = piece("{}", "\"stop\"") + "data: [DONE]\n\n";
        stream.write_all(end.as_bytes()).unwrap();
    });
    url
}

/// Reads a request whole: its head, and as much as that says.
fn read_request(stream: &mut TcpStream) {
    let (mut request, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut bytes).unwrap();
        request.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length:").nth(1).and_then(|rest| rest.split_whitespace().next());
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return;
        }
    }
}

/// Words are drawn as they come, and stand there once when they are whole.
#[test]
fn words_are_drawn_as_they_come() {
    let (tell, told) = mpsc::channel();
    let url = in_halves(["Half of it is **bo", "ld**, and the rest plain."], told);
    let agent = Agent::raw(&format!(
        "version = 1\n[model]\nprovider = \"openai\"\nname = \"m\"\nbase_url = \"{url}\"\napi_key_env = \"THE_KEY\"\nstream = true"
    ));
    let terminal = Terminal { env: &[("THE_KEY", KEY)], ..USUAL };
    let screen = chat_at(
        terminal,
        &agent,
        &ADA,
        &[
            (READY, Types("Go on")),
            ("Half of it is **bo", Elsewhere(&|| tell.send(()).unwrap())),
            ("\u{1b}[1mbold\u{1b}[0m, and the rest plain.", Elsewhere(&|| tell.send(()).unwrap())),
            ("used: 1 turn", Looks),
            (READY, Presses(CTRL_D)),
        ],
    );
    let left = left_on(80, &screen);
    let lines: Vec<&String> = left.iter().filter(|line| line.contains("Half of it")).collect();
    assert_eq!(lines, ["Half of it is bold, and the rest plain."], "{left:#?}");
}

#[test]
fn a_call_is_approved_or_waits_within_the_conversation() {
    let agent = asking(ASK_NEW_YORK);
    chat(
        &agent,
        &[
            (READY, Types("How is the weather?")),
            (ASKED, Types("s")),
            ("waits for approval", Looks),
            ("the run is suspended: /retry goes on with it", Looks),
            (READY, Types("/retry")),
            (ASKED, Types("n")),
            ("why not (", Types("not there")),
            ("done", Looks),
            (READY, Presses(CTRL_D)),
        ],
    );
    assert!(tool_error(&agent.show(), "tool(0,0)").1.ends_with("not there"));
    assert_eq!(ids(&agent).len(), 1);
}

/// An agent whose tool takes 20 seconds.
fn busy(grants: &str) -> Agent {
    let script =
        "[[reply]]\ncalls = [{ name = \"slow\", input = { pause_ms = 20000 } }]\n[[reply]]\ntext = \"done\"";
    let agent =
        Agent::scripted(script).guest("hostile").table("[tools.hostile.limits]\ncpu = \"30s\"").table(grants);
    std::fs::create_dir(agent.dir.path().join("w")).unwrap();
    agent.host(&["check"]).ok();
    agent
}

#[test]
fn ctrl_c_ends_the_run_and_at_the_prompt_it_leaves() {
    let agent = busy("");
    let screen = chat(
        &agent,
        &[
            (READY, Types("Compute")),
            ("tool(0,0) slow", Interrupts),
            ("interrupted: /retry goes on where it stopped", Looks),
            (READY, Types("/runs")),
            ("interrupted", Elsewhere(&|| says_now(&agent, "Hello."))),
            (READY, Types("Hi")),
            ("the last run has not ended (interrupted): Compute", Looks),
            ("[b]ack: ", Types("b")),
            (READY, Types("Hi")),
            ("[b]ack: ", Types("l")),
            ("left out; it stays recorded", Looks),
            ("Hello.", Looks),
            (READY, Presses("half a line")),
            ("half a line", Presses(CTRL_C)),
            ("(Ctrl-C again, or Ctrl-D, leaves)", Looks),
            (READY, Presses(CTRL_C)),
            ("come back to it with", Looks),
        ],
    );
    assert!(!left_on(80, &screen).iter().any(|line| line.contains("slow {")), "{screen}");
    assert_eq!(prompts(&agent, "ada"), ["Hi"]);
    assert_eq!(ids(&agent).len(), 2);
}

/// What else asks the process to end is not for the run alone; the harness looks at how the terminal is left.
#[test]
fn the_process_ends_in_good_order_when_it_is_asked_to() {
    let agent = busy("");
    for does in [
        &[(READY, Kills(Signal::TERM))][..],
        &[(READY, Types("Compute")), ("tool(0,0) slow", Kills(Signal::TERM)), ("interrupted", Looks)],
        &[(READY, Looks), ("[b]ack: ", Kills(Signal::HUP))],
    ] {
        let does = if does.len() == 2 { &does[1..] } else { does };
        let (code, screen) = at(USUAL, &agent, &ADA, does);
        assert_eq!(code, Some(130), "{screen}");
    }
    assert_eq!(prompts(&agent, "ada"), ["Compute"]);
}

#[test]
fn after_a_kill_the_conversation_goes_on_where_it_was() {
    let agent = asking(ASK_NEW_YORK);
    let killed = [
        (READY, Types("How is the weather?")),
        ("✓", Looks),
        ("San Francisco", Looks),
        (ASKED, Kills(Signal::KILL)),
    ];
    assert_eq!(at(USUAL, &agent, &ADA, &killed).0, None);
    let screen = chat(
        &agent,
        &[
            ("> How is the weather?", Looks),
            ("the last run has not ended", Looks),
            ("[b]ack: ", Types("g")),
            (ASKED, Types("y")),
            ("done", Looks),
            (READY, Types("Thanks")),
            (ASKED, Types("y")),
            ("done", Looks),
            (READY, Presses(CTRL_D)),
        ],
    );
    assert!(screen.contains("→ {\"city\":\"San Fr…  recorded"), "what was done is not done again: {screen}");
    assert_eq!(prompts(&agent, "ada"), ["How is the weather?", "Thanks"]);
    assert_eq!(ids(&agent).len(), 2);
}

/// Of a call that may have taken effect it is asked what became of it.
#[test]
fn a_call_in_doubt_is_settled_by_asking() {
    let agent =
        busy("[tools.hostile.permissions]\ndirs = [{ host = \"w\", guest = \"/w\", access = \"rw\" }]");
    let killed = [(READY, Types("Compute")), ("tool(0,0) slow", Looks), ("1s", Kills(Signal::KILL))];
    assert_eq!(at(USUAL, &agent, &ADA, &killed).0, None);
    chat(
        &agent,
        &[
            ("[b]ack: ", Types("g")),
            ("the host stopped in the middle of tool(0,0) slow", Looks),
            ("[l]ater: ", Types("f")),
            ("done", Looks),
            (READY, Presses(CTRL_D)),
        ],
    );
    assert_eq!(tool_error(&agent.show(), "tool(0,0)").0, "in_doubt");
}

#[test]
fn a_fork_goes_on_from_an_earlier_exchange_and_leaves_the_conversation() {
    let agent = saying("One.");
    chat(
        &agent,
        &[
            (READY, Types("first")),
            ("One.", Elsewhere(&|| says_now(&agent, "Two."))),
            (READY, Types("second")),
            ("Two.", Looks),
            (READY, Types("/fork 3")),
            ("this conversation has 2 exchanges", Looks),
            (READY, Types("/fork 1")),
            ("goes on from exchange 1 of ada", Looks),
            (READY, Types("other")),
            ("Two.", Looks),
            (READY, Types("/retry")),
            ("asking again: other", Looks),
            ("Two.", Looks),
            (READY, Types("/clear")),
            (READY, Types("new")),
            ("Two.", Looks),
            (READY, Types("/session ada")),
            ("> second", Looks),
            (READY, Types("/session")),
            ("→ ada", Looks),
            (READY, Presses(CTRL_D)),
        ],
    );
    assert_eq!(prompts(&agent, "ada"), ["first", "second"]);
    let others: Vec<String> = keys(&agent).into_iter().filter(|key| key != "ada").collect();
    let mut asked: Vec<Vec<String>> = others.iter().map(|key| prompts(&agent, key)).collect();
    asked.sort();
    assert_eq!(asked, [["new"], ["other"]]);
    let runs = ids(&agent);
    let other = agent.host(&["runs", "request", &runs[3]]).ok().stdout.clone();
    assert!(other.contains("One.") && other.contains("first") && !other.contains("second"), "{other}");
    assert!(!agent.host(&["runs", "request", &runs[4]]).ok().stdout.contains("first"));
    for run in runs {
        agent.host(&["replay", &run]).ok();
    }
}

#[test]
fn tools_are_listed_with_what_they_are_granted_and_completed() {
    let agent = saying("Hi.").guest("weather").table("[approval]\ndefault = \"ask\"");
    agent.host(&["check"]).ok();
    chat(
        &agent,
        &[
            (READY, Presses("/too\t\n")),
            ("[tools.weather] may reach: no files, no environment, no network, no secrets", Looks),
            ("get_weather (you are asked before each call): ", Looks),
            (READY, Presses("/tools get_w\t\n")),
            ("it takes {", Looks),
            (READY, Types("/tools nothing")),
            ("the agent has no tool nothing", Looks),
            (READY, Types("/help")),
            ("/quit", Looks),
            (READY, Types("/quit")),
        ],
    );
}

const HOSTILE: &str = "# Look\u{1b}]0;owned\u{7}\n\n- a **long** item that takes more than one line, with &#27;[2J and \u{202e}more\n\n| a | b |\n|---|---|\n| [bank](https://evil.example/a/very/long/path/that/goes/on) | x |\n\n```\nlet a = \"\u{9b}31m and a line that is longer than the terminal\";\n```";

/// Whatever the model says, no command of it arrives, and no line is wider than a narrow terminal.
#[test]
fn hostile_markdown_is_drawn_within_a_narrow_terminal() {
    for columns in [32, 60] {
        let agent = saying(HOSTILE);
        let terminal = Terminal { columns, ..USUAL };
        let screen = chat_at(
            terminal,
            &agent,
            &ADA,
            &[(READY, Types("Go on")), ("used: 1 turn", Looks), (READY, Presses(CTRL_D))],
        );
        assert!(!screen.contains("owned\u{7}") && !screen.contains(['\u{9b}', '\u{202e}']), "{screen:?}");
        let answer = &screen[screen.find("Look").unwrap()..screen.find("used: 1 turn").unwrap()];
        assert!(!answer.contains("\u{1b}[2J"), "{answer:?}");
        let bare = console::strip_ansi_codes(answer).into_owned();
        for line in bare.lines() {
            assert!(console::measure_text_width(line) <= usize::from(columns), "{line:?}");
        }
        let left = left_on(columns, &screen);
        assert!(left.iter().any(|line| line.starts_with("• a long item")), "{left:#?}");
        assert!(left.iter().any(|line| line.starts_with("  ") && line.contains("more")), "{left:#?}");
    }
}

#[test]
fn without_colours_there_are_none() {
    let agent = saying("It is **four**.");
    let terminal = Terminal { env: &[("NO_COLOR", "1")], ..USUAL };
    let does = [(READY, Types("Go on")), ("It is four.", Looks), (READY, Presses(CTRL_D))];
    chat_at(terminal, &agent, &ADA, &does);
}

/// What a script says, line by line, and what comes of it.
fn piped(agent: &Agent, args: &[&str], lines: &str) -> Ran {
    let mut child = agent
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_script_says_a_prompt_a_line_and_reads_the_answers() {
    let agent = saying("It is **four**.");
    let ran = piped(&agent, &ADA, "What is it?\n\nIs it\\\nso?\n/quit\nnever\n");
    assert_eq!(ran.ok().stdout, "It is **four**.\nIt is **four**.\n");
    assert_eq!(prompts(&agent, "ada"), ["What is it?", "Is it\nso?"]);
    let ran = piped(&agent, &["chat", "--session", "ada", "--json"], "And?");
    let events: Vec<Value> =
        ran.ok().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.last().unwrap()["ending"]["answer"], "It is **four**.");
    piped(&agent, &ADA, "/nonsense\nWhat?\n").exits(2).says("there is no command /nonsense");
    piped(&agent, &ADA, "\u{fffd}").ok();
    assert_eq!(prompts(&agent, "ada").len(), 4);
}

/// A script is not asked: the run that has no answer ends the conversation, and says how it goes on.
#[test]
fn a_script_is_told_why_there_is_no_answer() {
    let agent = asking(ASK_NEW_YORK);
    let ran = piped(&agent, &ADA, "How is it?\nAnd now?\n");
    ran.exits(3).says("then go on with: host resume");
    assert_eq!(prompts(&agent, "ada"), ["How is it?"]);
    piped(&agent, &ADA, "Well?\n").exits(2).says("has not ended").says("host resume");
}

/// A script goes on with no run of another agent, and is not kept from its own conversation by what is damaged elsewhere.
#[test]
fn a_script_keeps_to_its_agent_and_to_its_conversation() {
    let agent = asking(ASK_NEW_YORK);
    agent.host(&["run", "--session", "ada"]).exits(3);
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), toml.replace("[agent]", "[agent]\nname = \"another\"")).unwrap();
    piped(&agent, &ADA, "/retry\n").exits(2).says("is with another agent");
    piped(&agent, &ADA, "/runs\n").exits(2).says("is with another agent");

    let agent = saying("Hi.");
    agent.host(&["run", "--session", "other"]).ok();
    let runs = agent.state().join("runs");
    for run in std::fs::read_dir(&runs).unwrap() {
        std::fs::write(run.unwrap().path(), "garbage").unwrap();
    }
    assert_eq!(piped(&agent, &ADA, "Hello?\n").ok().stdout, "Hi.\n");
}

/// Where no editor takes the key, Ctrl-C ends the conversation also while nothing goes on.
#[test]
fn ctrl_c_ends_a_script_that_says_nothing() {
    let agent = saying("Hi.");
    let mut child = agent
        .command(&ADA)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut child_stdin = child.stdin.take().unwrap();
    child_stdin.write_all(b"Hello\n").unwrap();
    let mut lines = String::new();
    while !lines.contains("used: 1 turn") {
        assert!(said.read_line(&mut lines).unwrap() > 0, "{lines}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // Either in the run that is about to end, or behind it.
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(child_stdin);
}

#[test]
fn a_conversation_is_with_one_agent() {
    let agent = saying("Hi.");
    piped(&agent, &ADA, "Hello\n").ok();
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), toml.replace("[agent]", "[agent]\nname = \"other\"")).unwrap();
    let (code, screen) = at(USUAL, &agent, &ADA, &[("is with another agent", Looks)]);
    assert_eq!(code, Some(2), "{screen}");
}
