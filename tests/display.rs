//! What is shown of texts from elsewhere, and what of them is data and kept whole.

use std::fs;

use host::journal::{Event, RunFile};
use host::message::{Json, Outcome, ToolOutcome};

use crate::attacks::hostile;
use crate::support::{Agent, Ran, tool_output};

/// Whatever steers a terminal, hides text, or ends a line somewhere.
const NASTY: &str = "hi\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{2066}\u{e0041}\u{85}\u{2028}x\r\nended    after 1 s: answer: fake";

fn is_nasty(c: char) -> bool {
    (c.is_control() && c != '\n') || "\u{202e}\u{200b}\u{2066}\u{e0041}\u{85}\u{2028}".contains(c)
}

#[test]
fn no_list_of_runs_or_sessions_shows_what_a_prompt_hides() {
    let script = format!("[[reply]]\ntext = {}", serde_json::to_string(NASTY).unwrap());
    let agent = Agent::scripted(&script);
    fs::write(agent.dir.path().join("prompt.md"), NASTY).unwrap();
    agent.host(&["run", "--prompt-file", "prompt.md", "--session", "ada"]).ok();
    for args in [
        &["runs"][..],
        &["runs", "show", "last"],
        &["runs", "show", "last", "--log"],
        &["sessions"],
        &["sessions", "show", "ada"],
    ] {
        let ran = agent.host(args);
        let shown = &ran.ok().stdout;
        assert!(shown.contains("hi]0;title"), "{args:?}: {shown}");
        assert!(!shown.contains(is_nasty), "{args:?}: {shown:?}");
        // No line of it stands where a line of the host's would.
        let fakes = shown.lines().filter(|line| line.starts_with("ended") && line.contains("fake"));
        let own = usize::from(args.contains(&"show") && args.contains(&"runs"));
        assert_eq!(fakes.count(), own, "{shown}");
    }
    // The data are whole.
    let shown = agent.show();
    assert_eq!(shown[0]["request"]["run"]["prompt"], NASTY);
}

#[test]
fn a_mark_at_the_beginning_of_a_file_is_no_part_of_its_text() {
    let agent = Agent::scripted("[[reply]]\ntext = \"ok\"");
    let here = agent.dir.path();
    fs::write(here.join("prompt.md"), "\u{feff}What now?").unwrap();
    agent.host(&["run", "--prompt-file", "prompt.md"]).ok();
    assert_eq!(agent.show()[0]["request"]["run"]["prompt"], "What now?");
    for name in ["agent.toml", "script.toml"] {
        let text = fs::read_to_string(here.join(name)).unwrap();
        fs::write(here.join(name), format!("\u{feff}{text}")).unwrap();
    }
    agent.host(&["run"]).ok();
}

#[test]
fn a_snippet_of_a_file_shows_it_as_it_is_and_points_at_the_mistake() {
    let agent = Agent::raw(
        "version = 1\n[agent]\n# \u{202e}\u{200b}\u{e0041}\u{2028}\nprompt = \"a\u{202e}b\u{200b}c\" x",
    );
    let checked: Ran = agent.host(&["check"]);
    checked.exits(2);
    let hidden = |c: char| "\u{202e}\u{200b}\u{e0041}\u{2028}".contains(c);
    assert!(!checked.stderr.contains(hidden), "{:?}", checked.stderr);
    assert!(checked.stderr.contains("a\u{fffd}b\u{fffd}c"), "{}", checked.stderr);
}

/// A tool that edits by exact match needs every character; a person at a terminal needs to see none of these.
#[test]
fn the_model_is_told_what_a_tool_said_to_the_character() {
    let hidden = "plain[2J\u{202e}\u{2066}\u{e0068}\u{e0069}\u{200b}";
    let expected = serde_json::to_string(&format!("\"{hidden}\"")).unwrap();
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"attack\" }}]\n[[reply]]\nexpect = [{expected}]\ntext = \"ok\""
    );
    let agent = Agent::scripted(&script)
        .table(&format!("[tools.t]\nsource = \"{}\"", hostile("list_hidden_text").display()));
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)"), hidden);
    assert!(!ran.stderr.contains(is_nasty), "{:?}", ran.stderr);
    agent.host(&["replay", "last"]).ok();
    // What the model is told of the tool itself stays without.
    let description = &shown[0]["request"]["run"]["tools"][0]["spec"]["description"];
    assert_eq!(description, "plain[2J");
    // The run is fit for a script again, with what its results were.
    let again = agent.host(&["runs", "script", "last"]);
    again.ok();
}

/// Programs that end a line at U+2028 read it, and what comes back is the text that was recorded.
#[test]
fn an_exported_line_is_one_line_to_everybody_and_comes_back_byte_for_byte() {
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"attack\" }}]\n[[reply]]\ntext = {}",
        serde_json::to_string(NASTY).unwrap()
    );
    let tool = format!("[tools.t]\nsource = \"{}\"", hostile("list_hidden_text").display());
    let agent = Agent::scripted(&script).table(&tool);
    let events = agent.host(&["run", "agent.toml", NASTY, "--json"]).ok().stdout.clone();
    assert!(!events.contains(is_nasty), "{events:?}");
    for line in events.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    let exported = fs::read_to_string(&file).unwrap();
    assert!(!exported.contains(is_nasty), "{exported:?}");
    // A tool may write its output in several lines.
    let mut run = RunFile::read(&file).unwrap();
    let output = Json::parse("{\r\n\t\"a\": \"\u{2028}\\u2028\"\n}".to_owned()).unwrap();
    for entry in &mut run.entries {
        if let Event::Finished(finished) = &mut entry.event
            && let Outcome::Tool(outcome) = &mut finished.outcome
        {
            *outcome = ToolOutcome::Output(output.clone());
        }
    }
    let changed = agent.dir.path().join("changed.jsonl");
    run.write(&mut fs::File::create(&changed).unwrap()).unwrap();
    assert_eq!(RunFile::read(&changed).unwrap(), run);
    let shown = agent.show();
    let elsewhere = Agent::raw("version = 1");
    elsewhere.host(&["journal", "import", file.to_str().unwrap()]).ok();
    assert_eq!(elsewhere.show(), shown);
    elsewhere.host(&["replay", "last"]).ok();
    elsewhere.host(&["journal", "export", "last", "-o", "again.jsonl"]).ok();
    assert_eq!(fs::read_to_string(elsewhere.dir.path().join("again.jsonl")).unwrap(), exported);
}
