//! Whoever has a token of one agent learns nothing of another one: over every path of the description.

use serde_json::{Value, json};

use super::beginning::name;
use super::server::{Answer, Server};
use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::Agent;

/// A run of each of two agents, the one of the other agent later; and a token of the first agent alone.
struct Two {
    own: Agent,
    other: Agent,
    server: Server,
    /// A run of the first agent.
    run: String,
    /// Runs of the other one: one that has ended, in the session `bob`, and one that waits.
    foreign: [String; 2],
}

const SCOPES: &str = "scopes = [\"run\", \"read\", \"decide\", \"admin\"]";

fn token(name: &str, more: &str) -> String {
    let digest = host::message::Digest::of(name.as_bytes());
    format!("[[server.tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n{SCOPES}\n{more}\n")
}

fn as_token(server: &Server, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let body = body.map(Value::to_string);
    server.ask(method, path, &[("authorization", &format!("Bearer {token}"))], body.as_deref())
}

impl Two {
    fn serve() -> Self {
        let own = Agent::scripted("[[reply]]\ntext = \"own\"");
        let other = asking(ASK_NEW_YORK);
        let config = [token("root", ""), token("own", &format!("agents = [{:?}]", name(&own)))].concat();
        std::fs::write(own.dir.path().join("host.toml"), config).unwrap();
        let directory = other.dir.path().to_str().unwrap();
        let server = Server::with(&own, &["--listen", "127.0.0.1:0", "--config", "host.toml", directory]);
        let begin = |agent: &Agent, body: &Value| {
            let path = format!("/agents/{}/runs?wait=5m", name(agent));
            let run = as_token(&server, "root", "POST", &path, Some(body));
            serde_json::from_str::<Value>(&run.body).unwrap()["run"].as_str().unwrap().to_owned()
        };
        let run = begin(&own, &json!({}));
        let ended = begin(&other, &json!({ "session": "bob" }));
        let waiting = begin(&other, &json!({}));
        let path = format!("/runs/{ended}/cancel");
        as_token(&server, "root", "POST", &path, Some(&json!({}))).ok();
        Self { own, other, server, run, foreign: [ended, waiting] }
    }

    fn own(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        as_token(&self.server, "own", method, path, body)
    }

    fn described(&self) -> Vec<(String, String)> {
        let described = as_token(&self.server, "root", "GET", "/openapi.json", None).ok();
        let mut found = Vec::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
            found.extend(methods.as_object().unwrap().keys().map(|it| (it.to_uppercase(), path.clone())));
        }
        found
    }
}

/// A body that a request takes, as far as the run is there.
fn body(method: &str, path: &str) -> Option<Value> {
    let last = path.rsplit('/').next().unwrap();
    (method == "POST").then(|| match last {
        "answer" => json!({ "text": "42" }),
        "settle" => json!({ "slot": "tool(0,0)", "how": "retry" }),
        "rerun" => json!({ "tool": "get_weather" }),
        "fork" => json!({ "turn": 0 }),
        _ => json!({}),
    })
}

#[test]
fn a_run_of_another_agent_is_no_run_on_any_path() {
    let two = Two::serve();
    let unknown = "01JD5Q0Z3N8B1M4W6V2YT7XK9C";
    let of_runs: Vec<_> = two.described().into_iter().filter(|(_, path)| path.contains("{run}")).collect();
    assert!(of_runs.len() >= 14, "{of_runs:?}");
    for (method, path) in of_runs {
        let ask = |run: &str| {
            let answer = two.own(&method, &path.replace("{run}", run), body(&method, &path).as_ref());
            (answer.status, answer.body.replace(run, "RUN"))
        };
        let expected = ask(unknown);
        assert_eq!(expected.0, 404, "{method} {path}: {}", expected.1);
        for run in &two.foreign {
            assert_eq!(ask(run), expected, "{method} {path}");
            assert_eq!(ask(&run[..25]), expected, "{method} {path} by a prefix");
            assert_eq!(ask(&run.to_lowercase()), expected, "{method} {path} in small letters");
        }
        // Nobody's run is the last one but the token's own.
        let last = two.own(&method, &path.replace("{run}", "last"), body(&method, &path).as_ref());
        assert!(!two.foreign.iter().any(|run| last.body.contains(run)), "{method} {path}: {}", last.body);
    }
    // All of it is as it was, and whoever may see it does.
    for (run, state) in two.foreign.iter().zip(["cancelled", "suspended"]) {
        let shown = as_token(&two.server, "root", "GET", &format!("/runs/{run}"), None).ok();
        assert_eq!(shown["state"], state, "{shown}");
    }
}

#[test]
fn the_last_run_and_a_prefix_are_looked_for_among_those_that_one_may_see() {
    let two = Two::serve();
    assert_eq!(two.own("GET", "/runs/last", None).ok()["run"], two.run.as_str());
    // Runs that begin in the same second begin alike: what is the beginning of one that is seen is no riddle.
    let common = |other: &str| two.run.bytes().zip(other.bytes()).take_while(|(one, two)| one == two).count();
    let common = two.foreign.iter().map(|run| common(run)).max().unwrap();
    assert_eq!(two.own("GET", &format!("/runs/{}", &two.run[..common]), None).ok()["run"], two.run.as_str());
    let ambiguous = as_token(&two.server, "root", "GET", &format!("/runs/{}", &two.run[..common]), None);
    ambiguous.problem(400, "begins");
    assert!(!ambiguous.body.contains(two.own.dir.path().to_str().unwrap()), "{}", ambiguous.body);
}

#[test]
fn no_list_has_anything_of_another_agent() {
    let two = Two::serve();
    let lists = two.described().into_iter().filter(|(method, path)| method == "GET" && !path.contains('{'));
    let lists: Vec<String> = lists.map(|(_, path)| path).collect();
    assert!(
        ["/runs", "/waiting", "/sessions", "/agents"].iter().all(|path| lists.contains(&(*path).to_owned()))
    );
    let secret = [two.foreign[0].clone(), two.foreign[1].clone(), name(&two.other), "bob".to_owned()];
    let shows = |answer: &Answer| secret.iter().find(|it| answer.body.contains(it.as_str())).cloned();
    for path in &lists {
        let answer = two.own("GET", path, None);
        assert!([200, 403].contains(&answer.status), "{path}: {}", answer.body);
        assert_eq!(shows(&answer), None, "{path}: {}", answer.body);
    }
    for path in ["/runs", "/waiting", "/sessions", "/agents"] {
        assert!(shows(&as_token(&two.server, "root", "GET", path, None)).is_some(), "{path}");
    }
    // No filter leads to them either, and what is refused names nobody.
    let name = name(&two.other);
    for query in [format!("agent={name}"), "session=bob".to_owned(), "state=cancelled".to_owned()] {
        for path in ["/runs", "/waiting"] {
            let answer = two.own("GET", &format!("{path}?{query}"), None);
            assert_eq!(answer.ok()["runs"], json!([]), "{path}?{query}");
        }
    }
    two.own("GET", "/sessions/bob", None).problem(404, "there is no session bob");
    let own = super::beginning::name(&two.own);
    let refused = two.own("POST", &format!("/{own}/bob/run"), Some(&json!({})));
    refused.problem(409, "take another key");
    assert!(!secret[..3].iter().any(|it| refused.body.contains(it)), "{}", refused.body);
    two.own("POST", "/agents/reload", None).problem(403, "all of them");
}

#[test]
fn an_agent_that_one_may_not_use_is_answered_like_one_that_there_is_not() {
    let two = Two::serve();
    let there = name(&two.other);
    for (method, path) in
        [("POST", "/agents/{agent}/runs"), ("POST", "/{agent}/run"), ("GET", "/agents/{agent}")]
    {
        let ask = |agent: &str| {
            let answer = two.own(method, &path.replace("{agent}", agent), body(method, path).as_ref());
            (answer.status, answer.body.replace(agent, "AGENT"))
        };
        assert_eq!(ask(&there), ask("nobody"), "{method} {path}");
    }
}

#[test]
fn what_cannot_be_read_is_nobodys() {
    let two = Two::serve();
    let [ended, _] = &two.foreign;
    let sealed = two.own.state().join(format!("runs/{ended}.jsonl.gz"));
    crate::support::until("the run is sealed", || sealed.is_file().then_some(()));
    std::fs::write(&sealed, "damaged").unwrap();
    let all = as_token(&two.server, "root", "GET", "/runs", None);
    assert_eq!(all.ok()["unreadable"][0]["run"], ended.as_str(), "{}", all.body);
    for path in ["/runs", "/waiting"] {
        let seen = two.own("GET", path, None).ok();
        assert!(seen.get("unreadable").is_none(), "{path}: {seen}");
    }
    let answer = two.own("GET", &format!("/runs/{ended}"), None);
    answer.problem(404, &format!("there is no run {ended}"));
    two.own("GET", "/sessions/bob", None).problem(404, "there is no session bob");
    // Where it is kept, no answer says; the log does.
    let failed = as_token(&two.server, "root", "GET", &format!("/runs/{ended}"), None);
    failed.problem(500, "its log says why");
    assert!(!failed.body.contains(two.own.dir.path().to_str().unwrap()), "{}", failed.body);
    assert!(two.server.says("a request failed").contains(ended.as_str()));
}
