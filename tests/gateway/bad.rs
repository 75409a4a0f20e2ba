//! Requests that do not fit, and programs that do what they should not.

use serde_json::{Value, json};

use super::program::{Program, Task, text_of};
use super::{SCRIPT, agent, name};
use crate::serve::server::Server;

const WEATHER: Task<'_> = Task { prompt: "How is the weather?", stream: false };

fn body(text: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
}

#[test]
fn a_program_that_asks_for_something_else_than_before_is_told_what_differs() {
    let agent = agent(SCRIPT, "");
    let server = Server::of(&agent);
    let program = Program::new(&server, &name(&agent));
    program.chat(&body("It is 10:00.")).ok();
    let again = Program::of(&server, &program.run);
    let refused = again.chat(&body("It is 10:01."));
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.head.contains("x-should-retry: false"), "{}", refused.head);
    let message = refused.is(422)["error"]["message"].as_str().unwrap().to_owned();
    for said in ["model(0)", "-      \"content\": \"It is 10:00.\"", "+      \"content\": \"It is 10:01.\""] {
        assert!(message.contains(said), "{said:?} in {message}");
    }
    // It can still ask for what it asked for.
    again.chat(&body("It is 10:00.")).ok();
}

#[test]
fn what_an_agent_ignores_makes_no_other_request_and_a_divergence_may_go_on() {
    for gateway in ["ignore = ['\\d\\d:\\d\\d']", "on_divergence = \"continue\""] {
        let agent = agent(SCRIPT, gateway);
        let server = Server::of(&agent);
        let program = Program::new(&server, &name(&agent));
        let first = program.chat(&body("It is 10:00.")).ok();
        let again = Program::of(&server, &program.run);
        let second = again.chat(&body("It is 10:01.")).ok();
        assert_eq!(first["id"] == second["id"], gateway.starts_with("ignore"), "{gateway}");
        server.post(&format!("/runs/{}/end", program.run), &json!({ "answer": "x" })).ok();
        server.kill();
        agent.host(&["replay", "last"]).ok();
    }
}

#[test]
fn an_earlier_start_is_over_once_there_is_another_one() {
    let agent = agent(SCRIPT, "");
    let server = Server::of(&agent);
    let first = Program::new(&server, &name(&agent));
    first.chat(&body("u")).ok();
    let second = Program::of(&server, &first.run);
    let refused = first.chat(&body("u"));
    assert_eq!(refused.status, 410, "{}", refused.body);
    assert!(refused.body.contains(&format!("start {} took its place", second.start)), "{}", refused.body);
    let call = first.call(0, "get_weather", &json!({ "city": "New York" })).unwrap();
    assert!(text_of(&call).contains("took its place"), "{call}");
    second.chat(&body("u")).ok();
    // Also after the server was started again.
    let address = server.address().to_owned();
    server.kill();
    let _server = super::again(&agent, &address);
    assert_eq!(first.chat(&body("u")).status, 410);
    second.chat(&body("u")).ok();
}

#[test]
fn a_result_that_the_program_was_not_given_is_not_told_a_model() {
    let agent = agent(SCRIPT, "");
    let server = Server::of(&agent);
    let program = Program::new(&server, &name(&agent));
    let message = program.chat(&body("u")).ok()["choices"][0]["message"].clone();
    let calls = message["tool_calls"].as_array().unwrap();
    let told = |texts: [&str; 2]| {
        let results = calls.iter().zip(texts);
        let results = results
            .map(|(call, text)| json!({ "role": "tool", "tool_call_id": call["id"], "content": text }));
        let messages: Vec<Value> =
            [json!({ "role": "user", "content": "u" }), message.clone()].into_iter().chain(results).collect();
        json!({ "model": "m", "messages": messages })
    };
    let refused = program.chat(&told(["Connection closed", "Connection closed"]));
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("was never made"), "{}", refused.body);
    for (id, city) in [(0, "San Francisco"), (1, "New York")] {
        program.call(id, "get_weather", &json!({ "city": city })).unwrap();
    }
    // A program may tell the model in its own words what it was given.
    let answered = program.chat(&told(["foggy, they say", "partly cloudy, they say"]));
    assert_eq!(answered.status, 200, "{}", answered.body);
}

#[test]
fn calls_that_nobody_asked_for_are_made_or_refused_as_the_agent_says() {
    for (gateway, is_made) in [("", true), ("calls = \"asked\"", false)] {
        let agent = agent(SCRIPT, gateway);
        let server = Server::of(&agent);
        let program = Program::new(&server, &name(&agent));
        let city = json!({ "city": "New York" });
        let made = program.call(0, "get_weather", &city).unwrap();
        assert_eq!(text_of(&made).contains("partly cloudy"), is_made, "{made}");
        let again = Program::of(&server, &program.run);
        assert_eq!(text_of(&again.call(0, "get_weather", &city).unwrap()), text_of(&made));
        let unknown = program_error(&again, "no_such_tool");
        assert_eq!(unknown["code"], -32602, "{unknown}");
        let unfit = again.call(2, "get_weather", &json!({ "town": 1 })).unwrap();
        assert_eq!(unfit["result"]["isError"] == true, is_made, "{unfit}");
    }
}

fn program_error(program: &Program, tool: &str) -> Value {
    program.call(1, tool, &json!({})).unwrap()["error"].clone()
}

#[test]
fn a_run_that_is_not_there_or_not_the_programs_is_refused() {
    let agent = agent(SCRIPT, "");
    let server = Server::of(&agent);
    let program = Program::new(&server, &name(&agent));
    for path in ["/runs/01JD5Q0Z3N8B1M4W6V2YT7XK9C/v1/responses", "/runs/nonsense/v1/responses"] {
        assert_eq!(server.post(path, &body("u")).status, 404, "{path}");
    }
    let plain = server.post(&format!("/agents/{}/runs?wait=5m", name(&agent)), &json!({})).ok();
    let plain = plain["run"].as_str().unwrap();
    assert_eq!(server.post(&format!("/runs/{plain}/v1/chat/completions"), &body("u")).status, 409);
    server.post(&format!("/runs/{plain}/starts"), &json!({})).problem(409, "not carried out by a program");
    for wrong in ["", "{", "[]", "{\"messages\":[]}", "\u{0}"] {
        let bearer = format!("Bearer {}", program.token);
        let path = format!("{}/v1/chat/completions", program.path);
        let answer = server.ask("POST", &path, &[("authorization", &bearer)], Some(wrong));
        assert_eq!(answer.status, 400, "{wrong:?}: {}", answer.body);
    }
    let taken = server.post("/runs", &json!({ "agent": name(&agent), "run": program.run })).is(202);
    assert_eq!(taken["run"], json!(program.run), "the same run twice is the same run");
    server.post("/runs", &json!({ "agent": name(&agent), "run": plain })).problem(409, "is another run");
    server.post("/runs", &json!({ "agent": "nobody" })).problem(404, "there is no agent nobody");
}

#[test]
fn the_token_of_a_run_opens_that_run_alone() {
    let agent = agent(SCRIPT, "");
    let made = agent.host(&["token", "ada", "--scope", "run"]);
    let lines = made.ok().stderr.split_once("[[server.tokens]]").unwrap().1;
    let (secret, table) = (made.stdout.trim().to_owned(), format!("[[server.tokens]]{lines}\n"));
    std::fs::write(agent.dir.path().join("host.toml"), table).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let bearer = format!("Bearer {secret}");
    let as_ada = [("authorization", bearer.as_str())];
    let begin = || {
        let order = json!({ "agent": name(&agent) }).to_string();
        let run =
            server.ask("POST", "/runs", &as_ada, Some(&order)).is(202)["run"].as_str().unwrap().to_owned();
        let started = server.ask("POST", &format!("/runs/{run}/starts"), &as_ada, Some("{}")).ok();
        (started["path"].as_str().unwrap().to_owned(), started["token"].as_str().unwrap().to_owned(), run)
    };
    let ((one, own, run), (other, _, _)) = (begin(), begin());
    let asked = |path: &str, header: (&str, &str)| {
        let path = format!("{path}/v1/chat/completions");
        server.ask("POST", &path, &[header], Some(&body("u").to_string())).status
    };
    assert_eq!(asked(&one, ("authorization", &format!("Bearer {own}"))), 200);
    assert_eq!(asked(&one, ("x-api-key", &own)), 200);
    assert_eq!(asked(&one, ("x-goog-api-key", &own)), 200);
    assert_eq!(asked(&one, ("authorization", &bearer)), 200);
    assert_eq!(asked(&other, ("authorization", &format!("Bearer {own}"))), 401);
    assert_eq!(asked(&one, ("authorization", "Bearer wrong")), 401);
    let own = format!("Bearer {own}");
    let shown = server.ask("GET", &format!("/runs/{run}"), &[("authorization", &own)], None);
    assert_eq!(shown.status, 401, "it opens nothing else: {}", shown.body);
}

#[test]
fn budgets_stop_a_program_as_they_stop_an_agent() {
    let agent = agent(SCRIPT, "").table("[limits]\nmax_tool_calls = 1");
    let server = Server::of(&agent);
    let program = Program::new(&server, &name(&agent));
    let Err(refused) = program.until_answer(&WEATHER).unwrap() else { panic!("it went on") };
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("max_tool_calls = 1"), "{}", refused.body);
}

#[test]
fn a_call_waits_for_whoever_approves_it() {
    let agent = agent(SCRIPT, "").table("[approval]\nask = [{ tool = \"get_weather\" }]");
    let server = Server::of(&agent);
    let program = Program::new(&server, &name(&agent));
    std::thread::scope(|scope| {
        let answered = scope.spawn(|| program.until_answer(&WEATHER).unwrap().unwrap());
        let waiting = crate::support::until("both calls wait", || {
            let waiting = server.get("/waiting").ok();
            let slots = waiting["runs"][0]["waiting"].as_array()?.clone();
            (slots.len() == 2).then_some(slots)
        });
        for call in waiting {
            let path = format!("/runs/{}/approve", program.run);
            // A failure here would leave the program waiting.
            server.post(&path, &json!({ "slot": call["slot"] }));
        }
        assert_eq!(answered.join().unwrap(), "foggy and cloudy");
    });
}
