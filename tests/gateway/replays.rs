//! What a program gets that is started again.

use serde_json::json;

use super::program::{Program, Task, text_of};
use super::{SCRIPT, agent, name};
use crate::serve::server::Server;

const WEATHER: Task<'_> = Task { prompt: "How is the weather?", stream: false };

#[test]
fn a_program_is_answered_and_its_run_is_one_like_any_other() {
    for stream in [false, true] {
        let agent = agent(SCRIPT, "");
        let server = Server::of(&agent);
        let program = Program::new(&server, &name(&agent));
        let task = Task { stream, ..WEATHER };
        let answer = program.until_answer(&task).unwrap().unwrap_or_else(|answer| panic!("{}", answer.body));
        assert_eq!(answer, "foggy and cloudy");
        // Another start gets the same, and nothing is done for it.
        let again = Program::of(&server, &program.run);
        assert!(again.start > program.start);
        assert_eq!(again.until_answer(&task).unwrap().unwrap(), answer);
        let ended = server.post(&format!("/runs/{}/end", program.run), &json!({})).ok();
        assert_eq!((&ended["state"], &ended["answer"]), (&json!("answered"), &json!(answer)), "{ended}");
        let record = server.get(&format!("/runs/{}/file", program.run));
        let record = if record.status == 200 { record.body } else { String::new() };
        server.kill();
        let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
        for (slot, times) in [("model(0)", 1), ("model(1)", 1), ("tool(0,0)", 1), ("tool(0,1)", 1)] {
            let lines = shown.lines().filter(|line| line.contains(&format!("  {slot} "))).count();
            assert_eq!(lines, times, "{slot} in\n{shown}\n{record}");
        }
        assert!(!shown.contains("model(2)"), "{shown}");
        let replayed = agent.host(&["replay", "last"]).ok().stdout.clone();
        assert!(replayed.contains("foggy and cloudy"), "{replayed}");
    }
}

#[test]
fn a_run_that_has_ended_gives_what_is_recorded_and_nothing_more() {
    let agent = agent(SCRIPT, "");
    let server = Server::of(&agent);
    let program = Program::new(&server, &name(&agent));
    program.until_answer(&WEATHER).unwrap().unwrap();
    server.post(&format!("/runs/{}/end", program.run), &json!({ "answer": "mine" })).ok();
    let again = Program::of(&server, &program.run);
    let other = again.chat(&json!({ "model": "m", "messages": [{ "role": "user", "content": "other" }] }));
    assert_eq!(other.status, 410, "{}", other.body);
    again.until_answer(&WEATHER).unwrap().unwrap();
    let other = again.chat(&json!({ "model": "m", "messages": [{ "role": "user", "content": "other" }] }));
    assert_eq!(other.status, 410, "{}", other.body);
    assert!(other.head.contains("x-should-retry: false"), "{}", other.head);
}

#[test]
fn a_server_that_is_started_again_goes_on_for_a_program_that_lives_on() {
    let agent = agent(SCRIPT, "");
    let server = Server::of(&agent);
    let program = Program::new(&server, &name(&agent));
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "u" }] });
    let message = program.chat(&body).ok()["choices"][0]["message"].clone();
    let address = server.address().to_owned();
    server.kill();
    let server = super::again(&agent, &address);
    let calls = message["tool_calls"].as_array().unwrap();
    let mut messages = vec![json!({ "role": "user", "content": "u" }), message.clone()];
    for (id, call) in (0..).zip(calls) {
        let arguments = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        let result = program.call(id, "get_weather", &arguments).unwrap();
        messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": text_of(&result) }));
    }
    let answer = program.chat(&json!({ "model": "m", "messages": messages })).ok();
    assert_eq!(answer["choices"][0]["message"]["content"], "foggy and cloudy", "{answer}");
    let again = Program::of(&server, &program.run);
    assert_eq!(again.chat(&body).ok()["choices"][0]["message"], message);
}

#[test]
fn identical_calls_have_slots_of_their_own_in_whatever_order_they_come() {
    let call = "{ name = \"get_weather\", input = { city = \"New York\" } }";
    let script = format!("[[reply]]\ncalls = [{call}, {call}, {call}]\n[[reply]]\ntext = \"done\"");
    let agent = agent(&script, "");
    let server = Server::of(&agent);
    let program = Program::new(&server, &name(&agent));
    program.until_answer(&WEATHER).unwrap().unwrap();
    let again = Program::of(&server, &program.run);
    let first =
        json!({ "model": "m", "messages": [{ "role": "user", "content": WEATHER.prompt }], "stream": false });
    again.chat(&first).ok();
    for id in [2, 0, 1] {
        again.call(id, "get_weather", &json!({ "city": "New York" })).unwrap();
    }
    server.kill();
    let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert_eq!(shown.lines().filter(|line| line.contains("  tool(")).count(), 3, "{shown}");
}
