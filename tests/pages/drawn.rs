//! What is drawn: on a terminal, on a page, and in the file that a run is shared as.

use crate::approval::{ASK_NEW_YORK, TWO, asking};
use crate::serve::server::Server;
use crate::support::Agent;

/// What a guest or a model may say to be taken for something else.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)> \u{202e}txet \u{200b}\u{7}\u{1b}[31m'\"&lt;";

/// A run in which everything that is said is hostile.
fn hostile() -> Agent {
    let said = toml::Value::from(HOSTILE).to_string();
    let script = format!(
        "[[reply]]\ntext = {said}\ncalls = [{{ name = \"get_weather\", input = {{ city = {said} }} }}, {{ name = {said}, input = {{ {said} = {said} }} }}]\n[[reply]]\ntext = {said}\n"
    );
    Agent::scripted(&script).guest("weather")
}

fn is_harmless(page: &str) {
    assert!(page.contains("&lt;/script&gt;&lt;img src=x"), "it is said somewhere: {page}");
    assert!(!page.contains("<img src=x"), "{page}");
    assert!(
        !page.contains(['\u{202e}', '\u{200b}', '\u{7}', '\u{1b}']),
        "nothing is hidden or reordered: {page}"
    );
    assert!(page.contains("\\u{202e}") && page.contains("\\u{1b}"), "it is written out: {page}");
}

#[test]
fn whatever_is_said_is_text() {
    let agent = hostile();
    agent.host(&["run", "agent.toml", HOSTILE]);
    is_harmless(&agent.host(&["runs", "export", "last", "--html"]).ok().stdout);
    let server = Server::of(&agent);
    let run = server.get("/runs/last").ok()["run"].as_str().unwrap().to_owned();
    for part in
        ["", "/chat", "/whole/tool-0-1", "/at/tool-0-0", "/at/tool-0-1", "/at/model-0", "/request/model-1"]
    {
        let page = server.get(&format!("/ui/runs/{run}{part}"));
        assert_eq!(page.status, 200, "{part}: {}", page.body);
        is_harmless(&page.body);
    }
    is_harmless(&server.get("/ui").body);
    // What somebody is to change is written out, too.
    let waits = hostile().table("[[approval.ask]]\ntool = \"get_weather\"");
    waits.host(&["run", "agent.toml", HOSTILE]).exits(3);
    let waiting = Server::of(&waits);
    is_harmless(&waiting.get("/ui").body);
    is_harmless(&waiting.get("/ui/runs/last").body);
    let found = server.get(&format!("/ui?text={}", "%3C%2Fscript%3E"));
    assert!(found.body.contains(&run) && !found.body.contains("value=\"</script>"), "{}", found.body);
}

#[test]
fn a_run_is_one_file_that_loads_nothing() {
    let agent = asking(ASK_NEW_YORK);
    agent.host(&["run"]).exits(3);
    let file = agent.dir.path().join("run.html");
    agent.host(&["runs", "export", "last", "--html", "-o", "run.html"]).ok();
    let page = std::fs::read_to_string(&file).unwrap();
    let printed = agent.host(&["runs", "export", "last", "--html"]);
    // What waits has grown since.
    assert_eq!(page.split_once("<body").unwrap().0, printed.ok().stdout.split_once("<body").unwrap().0);
    assert!(
        page.contains("default-src 'none'; style-src 'sha256-") && page.contains("script-src 'sha256-"),
        "{page}"
    );
    assert!(!page.contains("src=\"http") && !page.contains("<link") && !page.contains("@import"), "{page}");
    assert!(
        page.contains("waits for approval")
            && page.contains("New York")
            && page.contains("id=\"at-tool-0-1\"")
    );
    agent
        .host(&["runs", "export", "last", "--html", "-o", "no/such/dir.html"])
        .exits(1)
        .says("cannot write no/such/dir.html");
    // As lines, it is what the journal exports.
    let lines = agent.host(&["runs", "export", "last"]);
    assert_eq!(lines.ok().stdout, agent.host(&["journal", "export", "last"]).ok().stdout);
}

#[test]
fn a_terminal_shows_bars() {
    let agent = Agent::scripted(TWO).guest("weather");
    agent.host(&["run"]).ok();
    let drawn = agent.host(&["runs", "show", "last", "--timeline"]);
    let lines: Vec<&str> = drawn.ok().stdout.lines().collect();
    let names: Vec<&str> = lines[1..].iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(names, ["turn", "model", "get_weather", "get_weather", "turn", "model"], "{}", drawn.stdout);
    assert!(lines[3].contains('█') && lines[1].contains('─'), "{}", drawn.stdout);
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{}", drawn.stdout);
    agent.host(&["runs", "show", "last", "--timeline", "--log"]).exits(2);
    // Nobody reads bars in a file.
    assert!(!agent.host(&["runs", "show", "last"]).ok().stdout.contains('█'));
    let watched = agent.host(&["runs", "watch", "last"]);
    assert!(watched.ok().stdout.contains("get_weather"), "{}", watched.stdout);
}

#[test]
fn a_list_finds_what_is_meant() {
    let agent = Agent::scripted(
        "[[reply]]\ncalls = [{ name = \"nothing_like_it\", input = {} }]\n[[reply]]\ntext = \"done\"\n",
    )
    .guest("weather");
    agent.host(&["run", "agent.toml", "the first"]).ok();
    let server = Server::of(&agent);
    let run = server.get("/runs/last").ok()["run"].as_str().unwrap().to_owned();
    let has = |query: &str| server.get(&format!("/ui?{query}")).body.contains(&format!("/ui/runs/{run}"));
    for (query, is_found) in [
        ("", true),
        ("text=FIRST", true),
        ("text=second", false),
        ("state=answered", true),
        ("state=failed", false),
        ("tool=nothing_like", true),
        ("tool=weather", false),
        ("error=no+tool", true),
        ("error=timeout", false),
        ("cost=0.01", false),
        ("agent=nobody", false),
    ] {
        assert_eq!(has(query), is_found, "{query}");
    }
    // What cannot be read is said, and nothing is passed over in silence.
    let sealed = agent.state().join(format!("runs/{run}.jsonl.gz"));
    let whole = std::fs::read(&sealed).unwrap();
    std::fs::write(&sealed, &whole[..whole.len() / 2]).unwrap();
    let found = server.get("/ui?tool=nothing_like").body;
    assert!(found.contains("class=\"trouble\"") && found.contains("damaged"), "{found}");
    std::fs::write(&sealed, &whole).unwrap();
    // A page that has the list already is told that nothing has changed.
    let page = server.get("/ui").body;
    let (_, rest) = page.split_once("hx-get=\"").unwrap();
    let again = rest.split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(server.ask("GET", &again, &[("hx-request", "true")], None).status, 204);
}

#[test]
fn a_long_text_is_read_in_pages() {
    let script = "[[reply]]\ncalls = [{ name = \"big_output\", input = { bytes = 200000 } }]\n[[reply]]\ntext = \"done\"\n";
    let agent = Agent::scripted(script).guest("hostile");
    agent.host(&["run"]).ok();
    let server = Server::of(&agent);
    let page = |from: &str| server.get(&format!("/ui/runs/last/whole/tool-0-0{from}")).body;
    assert!(server.get("/ui/runs/last/at/tool-0-0").body.contains("/whole/tool-0-0"));
    let first = page("");
    assert!(
        first.contains("Bytes 0 to 65536 of 200")
            && first.contains("?from=65536")
            && !first.contains("Earlier")
    );
    let (mut count, mut from) = (0, String::new());
    loop {
        let shown = page(&from);
        count += shown.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap().matches('x').count();
        let Some((before, _)) = shown.split_once("\">Later") else { break };
        from = format!("?from={}", before.rsplit("?from=").next().unwrap());
    }
    assert_eq!(count, 200_000);
}

#[test]
fn a_long_run_is_shown_in_parts() {
    let calls: Vec<String> =
        (0..120).map(|n| format!("{{ name = \"get_weather\", input = {{ city = \"{n}\" }} }}")).collect();
    let turn = format!("[[reply]]\ncalls = [{}]\n", calls.join(", "));
    let script = format!("{turn}{turn}{turn}[[reply]]\ntext = \"done\"\n");
    let agent = Agent::scripted(&script).guest("weather").table("[limits]\nmax_calls_per_turn = 200");
    agent.host(&["run"]).ok();
    let server = Server::of(&agent);
    let run = server.get("/runs/last").ok()["run"].as_str().unwrap().to_owned();
    let lines = |page: &str| page.matches("<tr class=\"line ").count();
    let first = server.get(&format!("/ui/runs/{run}")).body;
    assert_eq!(lines(&first), 150);
    assert!(first.contains("?from=150"), "the way to the rest");
    let rest = server.get(&format!("/ui/runs/{run}?from=300")).body;
    assert_eq!(lines(&rest), 3 * 122 + 2 - 300, "{rest}");
    assert_eq!(rest.matches("<tr class=\"around ").count(), 1, "with the turn that goes on there");
    assert!(rest.contains("?from=150"), "the way back");
    let text = server.get(&format!("/ui/runs/{run}/chat?from=300")).body;
    assert!(text.contains("chat?from=0") && text.matches("<details class=\"call").count() < 70, "{text}");
    let file = agent.host(&["runs", "export", "last", "--html"]);
    assert_eq!(lines(&file.ok().stdout), 3 * 122 + 2, "the file has all of it");
}
