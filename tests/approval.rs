//! Calls that a person has to approve, questions to a person, and waiting for a moment: unattended, a run suspends and
//! goes on after a word is recorded.

use serde_json::Value;

use crate::rerun::next_version;
use crate::support::{Agent, outcome, root, tool_error, tool_output};

/// Two calls, and an answer that quotes nothing of them.
pub const TWO: &str = r#"
[[reply]]
calls = [
    { name = "get_weather", input = { city = "New York" } },
    { name = "get_weather", input = { city = "San Francisco" } },
]
[[reply]]
text = "done"
"#;

pub const ASK_NEW_YORK: &str = "[[approval.ask]]\ntool = \"get_*\"\ninput = { city = \"New*\" }";

pub fn asking(rules: &str) -> Agent {
    Agent::scripted(TWO).guest("weather").table(rules)
}

fn slots(shown: &[Value]) -> Vec<&str> {
    shown.iter().filter_map(|report| report["slot"].as_str()).collect()
}

#[test]
fn a_call_waits_its_siblings_do_not_and_the_run_goes_on_once_it_is_approved() {
    let agent = asking(ASK_NEW_YORK);
    let checked = agent.host(&["check"]);
    let said = "a call of get_* with city = New* waits for a person's approval";
    assert!(checked.ok().stdout.contains(said), "{}", checked.stdout);
    let ran = agent.host(&["run"]);
    ran.exits(3).says("tool(0,0) get_weather {\"city\":\"New York\"}  waits for approval");
    ran.says("host approve").says("host deny").says("then go on with: host resume");
    let shown = agent.show();
    assert_eq!(slots(&shown), ["run", "model(0)", "tool(0,0)/approval", "tool(0,1)"]);
    tool_output(&shown, "tool(0,1)");
    agent.host(&["resume", "last"]).exits(3).says("waits for approval");
    agent.host(&["replay", "last"]).exits(1).says("the recording ends at tool(0,0)/approval");
    assert!(agent.host(&["runs"]).ok().stdout.contains("suspended"));

    agent.host(&["approve", "last"]).ok().says("approved").says("host resume");
    agent.host(&["approve", "last"]).exits(2).says("nothing in this run waits for approval");
    let resumed = agent.host(&["resume", "last"]);
    assert_eq!(resumed.ok().stdout, "done\n");
    resumed.says("= tool(0,1)").says("✓ tool(0,0)");
    let shown = agent.show();
    assert_eq!(outcome(&shown, "tool(0,0)/approval")["decision"], serde_json::json!({"approved": {}}));
    let waits = shown.iter().find(|report| report["slot"] == "tool(0,0)/approval").unwrap();
    assert_eq!((&waits["attempt"], &waits["finished"]["settled"]), (&1.into(), &true.into()));
    agent.host(&["replay", "last"]).ok();
    agent.host(&["journal", "verify", "last"]).ok();
    agent.host(&["deny", "last"]).exits(2).says("has ended");
}

#[test]
fn the_model_is_told_what_is_denied_and_why() {
    let agent = asking(ASK_NEW_YORK);
    agent.host(&["run"]).exits(3);
    agent
        .host(&["deny", "last", "tool(0,0)", "--reason", "we do not ask about New York"])
        .ok()
        .says("denied");
    agent.host(&["resume", "last"]).ok();
    let shown = agent.show();
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert_eq!(kind, "not_approved");
    assert!(message.contains("we do not ask about New York"), "{message}");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn what_agent_toml_denies_nobody_is_asked_about() {
    let agent = asking(
        "[approval]\ndefault = \"ask\"\nauto = [{ tool = \"get_weather\" }]\ndeny = [{ tool = \"*\", input = { city = \"New*\" } }]",
    );
    agent.host(&["run"]).ok();
    let shown = agent.show();
    assert_eq!(tool_error(&shown, "tool(0,0)").0, "not_approved");
    tool_output(&shown, "tool(0,1)");
    let typo = asking("[[approval.deny]]\ntool = \"delete_*\"");
    typo.host(&["run"]).exits(2).says("`deny` in [approval] matches no tool of this agent: `delete_*`");
}

#[test]
fn an_input_can_be_edited_and_everybody_sees_that_it_was() {
    let script = TWO.replace(
        "[[reply]]\ntext",
        "[[reply]]\nexpect = [\"the person changed the input\", \"Paris\"]\ntext",
    );
    let agent = Agent::scripted(&script).guest("weather").table(ASK_NEW_YORK);
    agent.host(&["run"]).exits(3);
    let file = agent.dir.path().join("edit.json");
    for (content, said) in [("{", "is not an input of get_weather"), (r#"{"town":"Paris"}"#, "does not fit")]
    {
        std::fs::write(&file, content).unwrap();
        agent.host(&["approve", "last", "--edit", "edit.json"]).exits(2).says(said);
    }
    std::fs::write(&file, r#"{ "city": "Paris" }"#).unwrap();
    agent.host(&["approve", "last", "--edit", "edit.json"]).ok().says("approved with {\"city\":\"Paris\"}");
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "done\n");
    let shown = agent.show();
    let call = shown.iter().find(|report| report["slot"] == "tool(0,0)").unwrap();
    assert_eq!(call["request"]["tool"]["arguments"]["json"]["city"], "Paris");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn an_approval_is_bound_to_component_grants_and_arguments() {
    let agent = asking(ASK_NEW_YORK);
    agent.host(&["run"]).exits(3);
    agent.host(&["approve", "last", "--always"]).ok();
    // Something else is granted now: what was approved is not what would be called.
    let agent = agent.table("[tools.weather.limits]\ntimeout = \"7s\"");
    agent.host(&["resume", "last"]).exits(6).says("what get_weather is granted");
    agent.host(&["resume", "last", "--accept-changes"]).exits(3).says("waits for approval");
    agent.host(&["approve", "last"]).ok();
    assert_eq!(agent.host(&["resume", "last", "--accept-changes"]).ok().stdout, "done\n");
    agent.host(&["replay", "last"]).ok();

    // And so is another component, whatever was approved always.
    agent.host(&["run"]).exits(3);
    agent.host(&["approve", "last", "--always"]).ok();
    let next = next_version(&agent);
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    let guest = root().join("guest-tools/weather");
    std::fs::write(agent.toml(), toml.replace(guest.to_str().unwrap(), next.to_str().unwrap())).unwrap();
    agent.host(&["resume", "last"]).exits(6).says("the component of get_weather");
    agent.host(&["resume", "last", "--accept-changes"]).exits(3).says("waits for approval");
    agent.host(&["run"]).exits(3).says("waits for approval");
}

#[test]
fn what_is_approved_always_is_not_asked_again() {
    let agent = asking(ASK_NEW_YORK);
    agent.host(&["run"]).exits(3);
    agent.host(&["approve", "last", "--always"]).ok();
    agent.host(&["resume", "last"]).ok();
    let ran = agent.host(&["run"]);
    assert_eq!(ran.ok().stdout, "done\n");
    let shown = agent.show();
    assert!(slots(&shown).contains(&"tool(0,0)/approval"), "it is recorded that it was approved");
    let other = TWO.replace("New York", "New Delhi");
    std::fs::write(agent.dir.path().join("script.toml"), other).unwrap();
    agent.host(&["run"]).exits(3).says("New Delhi");

    std::fs::write(agent.dir.path().join("script.toml"), TWO).unwrap();
    let listed = agent.host(&["approvals"]);
    assert!(
        listed.ok().stdout.starts_with("  1  get_weather {\"city\":\"New York\"}  of "),
        "{}",
        listed.stdout
    );
    agent.host(&["approvals", "revoke", "2"]).exits(2).says("no approval has the number 2");
    agent.host(&["approvals", "revoke", "1"]).ok().says("asked about again: get_weather");
    assert_eq!(agent.host(&["approvals", "--json"]).ok().stdout, "[]\n");
    agent.host(&["run"]).exits(3).says("waits for approval");
}

#[test]
fn several_calls_are_named() {
    let agent = asking("[approval]\ndefault = \"ask\"");
    agent.host(&["run"]).exits(3);
    agent.host(&["approve", "last"]).exits(2).says("more than one call waits").says("tool(0,1) get_weather");
    agent.host(&["approve", "last", "tool(1,0)"]).exits(2).says("tool(1,0) does not wait for this");
    agent.host(&["approve", "last", "tool(0,1)"]).ok();
    agent.host(&["resume", "last"]).exits(3).says("tool(0,0) get_weather");
    tool_output(&agent.show(), "tool(0,1)");
    agent.host(&["approve", "last", "tool(0,0)"]).ok();
    agent.host(&["resume", "last"]).ok();
}

#[test]
fn a_call_that_is_named_twice_is_decided_once() {
    for word in ["approve", "deny"] {
        let agent = asking(ASK_NEW_YORK);
        agent.host(&["run"]).exits(3);
        let decided = agent.host(&[word, "last", "tool(0,0)", "tool(0,0)/approval", "tool(0,0)"]);
        assert_eq!(decided.ok().stderr.matches("tool(0,0) get_weather").count(), 1, "{}", decided.stderr);
        agent.host(&["journal", "verify"]).ok();
        assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "done\n");
        agent.host(&["replay", "last"]).ok();
    }
}

#[test]
fn nobody_is_asked_about_a_call_that_comes_to_nothing() {
    let script = "[[reply]]\ncalls = [{ name = \"get_weather\", input = { town = \"x\" } }, { name = \"nothing\" }]\n\
                  [[reply]]\ntext = \"done\"";
    let agent = Agent::scripted(script).guest("weather").table("[approval]\ndefault = \"ask\"");
    agent.host(&["run"]).ok();
}

#[test]
fn calls_of_tools_wait_too_and_what_ended_beside_them_is_kept() {
    let script = std::fs::read_to_string(root().join("examples/claims-orchestrated/script.toml")).unwrap();
    let toml = std::fs::read_to_string(root().join("examples/claims-orchestrated/agent.toml")).unwrap();
    let guests = root().join("guest-tools");
    let toml = toml.replace("../../guest-tools", guests.to_str().unwrap());
    let toml = toml.trim_start_matches("#:schema ../agent.schema.json\n");
    let agent = Agent::raw(toml).table("[[approval.ask]]\ntool = \"check_fraud\"");
    std::fs::write(agent.dir.path().join("script.toml"), script).unwrap();
    agent.host(&["run"]).exits(3).says("tool(0,0)/call(2) check_fraud").says("waits for approval");
    let before = agent.show();
    tool_output(&before, "tool(0,0)/call(0)");
    agent.host(&["approve", "last", "tool(0,0)/call(2)"]).ok();
    let resumed = agent.host(&["resume", "last"]);
    resumed.ok().says("= tool(0,0)/call(0)").says("✓ tool(0,0)/call(2)");
    agent.host(&["replay", "last"]).ok();
}
