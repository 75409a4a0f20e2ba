//! Programs and servers that die.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::name;
use super::program::{Program, Task, text_of};
use crate::serve::server::Server;
use crate::support::{Agent, until};

/// A provider that asks for three calls, and counts who asks it.
#[derive(Clone, Default)]
struct Provider {
    asked: Arc<AtomicUsize>,
    slow: bool,
}

const CITIES: [&str; 3] = ["New York", "San Francisco", "New York"];

impl Respond for Provider {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let has_results =
            body["messages"].as_array().unwrap().iter().any(|message| message["role"] == "tool");
        let call = |(index, city): (usize, &str)| {
            let arguments = json!({ "city": city }).to_string();
            json!({ "id": format!("call_{index}"), "type": "function",
                "function": { "name": "get_weather", "arguments": arguments } })
        };
        let message = if has_results {
            json!({ "role": "assistant", "content": "done" })
        } else {
            let calls: Vec<Value> = CITIES.into_iter().enumerate().map(call).collect();
            json!({ "role": "assistant", "content": null, "tool_calls": calls })
        };
        let reason = if has_results { "stop" } else { "tool_calls" };
        let reply = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "message": message, "finish_reason": reason }],
            "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 } });
        let answer = ResponseTemplate::new(200).set_body_json(reply);
        if self.slow { answer.set_delay(Duration::from_millis(30)) } else { answer }
    }
}

async fn provided(slow: bool) -> (Provider, MockServer, Agent) {
    let (provider, server) = (Provider { slow, ..Provider::default() }, MockServer::start().await);
    Mock::given(wiremock::matchers::any()).respond_with(provider.clone()).mount(&server).await;
    let toml = format!(
        "version = 1\n[model]\nprovider = \"openai\"\nname = \"m\"\nbase_url = \"{}/v1\"\n\n[gateway]\n",
        server.uri()
    );
    (provider, server, Agent::raw(&toml).guest("weather"))
}

fn serve(agent: &Agent, listen: &str) -> Server {
    let directory = agent.dir.path().to_str().unwrap();
    let mut command = agent.command(&["serve", directory, "--listen", listen]);
    command.env("OPENAI_API_KEY", "sk");
    Server::spawned(command)
}

/// How often each slot of the last run began, and ended.
fn attempts(agent: &Agent) -> String {
    agent.host(&["runs", "show", "last"]).ok().stdout.clone()
}

const TASK: Task<'_> = Task { prompt: "go", stream: false };

/// A program that does so many steps and dies: it asks, makes one call after the other, and asks again.
fn dies_after(program: &Program, steps: usize) {
    let mut left = steps;
    let mut step = || {
        let goes_on = left > 0;
        left = left.saturating_sub(1);
        goes_on
    };
    let user = json!({ "role": "user", "content": TASK.prompt });
    if !step() {
        return;
    }
    let body = json!({ "model": "m", "messages": [user], "stream": false });
    let message = program.chat(&body).ok()["choices"][0]["message"].clone();
    let mut messages = vec![user, message];
    for (index, city) in CITIES.into_iter().enumerate() {
        if !step() {
            return;
        }
        let result = program.call(index as u64, "get_weather", &json!({ "city": city })).unwrap();
        let id = format!("call_{index}");
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": text_of(&result) }));
    }
    if step() {
        program.chat(&json!({ "model": "m", "messages": messages, "stream": false })).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_dies_at_any_step_is_where_it_was_when_it_is_started_again() {
    let (provider, _server, agent) = provided(false).await;
    tokio::task::spawn_blocking(move || {
        let server = serve(&agent, "127.0.0.1:0");
        for steps in 0..=5 {
            let before = provider.asked.load(Ordering::SeqCst);
            let program = Program::new(&server, &name(&agent));
            dies_after(&program, steps);
            let again = Program::of(&server, &program.run);
            assert_eq!(again.until_answer(&TASK).unwrap().unwrap(), "done", "after {steps} steps");
            assert_eq!(provider.asked.load(Ordering::SeqCst) - before, 2, "after {steps} steps");
            let shown = attempts(&agent);
            assert!(!shown.contains("attempt 2"), "after {steps} steps:\n{shown}");
            assert_eq!(shown.lines().filter(|line| line.contains("  tool(")).count(), 3, "{shown}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_under_way_when_its_program_dies_is_joined_by_the_next_start() {
    let (provider, _server, agent) = provided(true).await;
    tokio::task::spawn_blocking(move || {
        let server = serve(&agent, "127.0.0.1:0");
        let program = Program::new(&server, &name(&agent));
        let first = program.clone();
        let asks = thread::spawn(move || {
            let body =
                json!({ "model": "m", "messages": [{ "role": "user", "content": "go" }], "stream": false });
            first.try_send("/v1/chat/completions", &[], &body)
        });
        until("the provider is asked", || (provider.asked.load(Ordering::SeqCst) == 1).then_some(()));
        let again = Program::of(&server, &program.run);
        assert_eq!(again.until_answer(&TASK).unwrap().unwrap(), "done");
        asks.join().unwrap();
        assert_eq!(provider.asked.load(Ordering::SeqCst), 2);
    })
    .await
    .unwrap();
}

/// The server is killed again and again while a program works; whoever starts the program starts it again when it fails,
/// as `host exec` does. What has ended is not done again, and the answer is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let (provider, _server, agent) = provided(true).await;
    tokio::task::spawn_blocking(move || {
        let server = serve(&agent, "127.0.0.1:0");
        let address = server.address().to_owned();
        let place = Mutex::new(Some(server));
        for round in 0..6_u64 {
            let before = provider.asked.load(Ordering::SeqCst);
            let run = Program::new(place.lock().unwrap().as_ref().unwrap(), &name(&agent)).run;
            let (done, kills) = (AtomicBool::new(false), AtomicUsize::new(0));
            thread::scope(|scope| {
                scope.spawn(|| {
                    for wait in [3 + 9 * round, 20 + 7 * round, 45] {
                        thread::sleep(Duration::from_millis(wait));
                        if done.load(Ordering::SeqCst) {
                            return;
                        }
                        let mut place = place.lock().unwrap();
                        place.take().unwrap().kill();
                        kills.fetch_add(1, Ordering::SeqCst);
                        *place = Some(serve(&agent, &address));
                    }
                });
                let answer = until("the program answers", || {
                    let program = {
                        let place = place.lock().unwrap();
                        Program::of(place.as_ref().unwrap(), &run)
                    };
                    program.until_answer(&TASK)?.ok()
                });
                assert_eq!(answer, "done");
                done.store(true, Ordering::SeqCst);
            });
            let asked = provider.asked.load(Ordering::SeqCst) - before;
            let kills = kills.load(Ordering::SeqCst);
            // A reply that was on its way when the server died is lost, and asked for again.
            assert!((2..=2 + kills).contains(&asked), "{asked} requests after {kills} kills");
            let ended =
                place.lock().unwrap().as_ref().unwrap().post(&format!("/runs/{run}/end"), &json!({})).ok();
            assert_eq!(ended["answer"], "done", "{ended}");
            let shown = agent.host(&["replay", &run]).ok().stdout.clone();
            assert!(shown.contains("done"), "{shown}");
        }
    })
    .await
    .unwrap();
}

/// The server dies at each commit, one after the other, while the program works.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_at_any_commit_loses_and_doubles_nothing() {
    let (provider, _server, agent) = provided(false).await;
    tokio::task::spawn_blocking(move || {
        let mut deaths = 0;
        for point in ["journal-before-write", "journal-before-ack"] {
            for commit in 0.. {
                let before = provider.asked.load(Ordering::SeqCst);
                let directory = agent.dir.path().to_str().unwrap();
                let mut command = agent.command(&["serve", directory, "--listen", "127.0.0.1:0"]);
                command.env("OPENAI_API_KEY", "sk");
                command.env("FAILPOINTS", format!("{point}={commit}*off->1*return"));
                let dying = Server::spawned(command);
                let address = dying.address().to_owned();
                // What of it was recorded when the server died, the next one has.
                let begun = crate::serve::server::ask_any(
                    &address,
                    "POST",
                    "/runs",
                    &[],
                    Some(&json!({ "agent": name(&agent) }).to_string()),
                );
                let run = begun.map(|begun| begun.is(202)["run"].as_str().unwrap().to_owned());
                let start = run.as_ref().and_then(|run| Program::try_of(&dying, run));
                let answer = start.and_then(|start| start.until_answer(&TASK));
                let survived = matches!(answer, Some(Ok(_)));
                dying.kill();
                deaths += usize::from(!survived);
                let server = serve(&agent, &address);
                if let Some(run) = &run {
                    let again = Program::of(&server, run);
                    assert_eq!(again.until_answer(&TASK).unwrap().unwrap(), "done", "{point} {commit}");
                    let asked = provider.asked.load(Ordering::SeqCst) - before;
                    // A reply that was on its way when the server died is lost, and asked for again.
                    assert!((2..=3).contains(&asked), "{asked} requests, {point} {commit}");
                    server.post(&format!("/runs/{run}/end"), &json!({})).ok();
                    agent.host(&["replay", run]).ok();
                }
                if survived {
                    break;
                }
            }
        }
        assert!(deaths > 10, "{deaths}");
    })
    .await
    .unwrap();
}

/// A program that lives on tells its model that a tool failed, when the server died in the middle of the call.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_broke_off_with_the_server_is_told_no_model() {
    let (_provider, _server, agent) = provided(false).await;
    let agent = agent.table("[approval]\nask = [{ tool = \"get_weather\" }]");
    tokio::task::spawn_blocking(move || {
        let server = serve(&agent, "127.0.0.1:0");
        let address = server.address().to_owned();
        let program = Program::new(&server, &name(&agent));
        let run = program.run.clone();
        let works = thread::spawn(move || program.until_answer(&TASK));
        until("the calls wait", || {
            let waiting = server.get("/waiting").ok();
            (waiting["runs"][0]["waiting"].as_array()?.len() == 3).then_some(())
        });
        server.kill();
        let server = serve(&agent, &address);
        // The program asks the server that is gone, or the one that is back: neither has it go on.
        if let Some(answer) = works.join().unwrap() {
            let refused = answer.unwrap_err();
            assert_eq!(refused.status, 422, "{}", refused.body);
            assert!(refused.body.contains("result_not_given"), "{}", refused.body);
        }
        let again = Program::of(&server, &run);
        let works = thread::spawn(move || again.until_answer(&TASK));
        let waiting = until("the calls wait again", || {
            let waiting = server.get("/waiting").ok();
            let calls = waiting["runs"][0]["waiting"].as_array()?.clone();
            (calls.len() == 3).then_some(calls)
        });
        for call in waiting {
            server.post(&format!("/runs/{run}/approve"), &json!({ "slot": call["slot"] })).taken();
        }
        assert_eq!(works.join().unwrap().unwrap().unwrap(), "done");
    })
    .await
    .unwrap();
}

/// A person is asked about a call once, under whatever id another start of the program makes it, and what they made of its
/// input is what another start is given.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_about_a_call_once_however_often_the_server_starts() {
    let (_provider, _server, agent) = provided(false).await;
    let agent = agent.table("[approval]\nask = [{ tool = \"get_weather\" }]");
    tokio::task::spawn_blocking(move || {
        let mut server = serve(&agent, "127.0.0.1:0");
        let address = server.address().to_owned();
        let program = Program::new(&server, &name(&agent));
        let run = program.run.clone();
        let first = json!({ "model": "m", "messages": [{ "role": "user", "content": TASK.prompt }] });
        let calls = |program: &Program, number: u64| {
            let reply = program.chat(&first).ok();
            let calls = reply["choices"][0]["message"]["tool_calls"].as_array().unwrap().clone();
            let arguments = |call: &Value| {
                serde_json::from_str::<Value>(call["function"]["arguments"].as_str().unwrap()).unwrap()
            };
            let call = |(at, call): (u64, &Value)| {
                let (program, arguments) = (program.clone(), arguments(call));
                thread::spawn(move || program.call(number + at, "get_weather", &arguments))
            };
            (0..).zip(&calls).map(call).collect::<Vec<_>>()
        };
        let waits = |server: &Server| {
            until("the calls wait", || {
                let waiting = server.get("/waiting").ok();
                let calls = waiting["runs"][0]["waiting"].as_array()?.clone();
                (calls.len() == CITIES.len()).then_some(calls)
            })
        };
        let mut works = calls(&program, 0);
        for start in 1..3 {
            waits(&server);
            server.kill();
            for call in works {
                assert_eq!(call.join().unwrap(), None);
            }
            server = serve(&agent, &address);
            works = calls(&Program::of(&server, &run), start * 100);
        }
        for call in waits(&server) {
            let input = json!({ "city": "San Francisco" });
            server
                .post(&format!("/runs/{run}/approve"), &json!({ "slot": call["slot"], "input": input }))
                .taken();
        }
        let told: Vec<String> =
            works.into_iter().map(|call| text_of(&call.join().unwrap().unwrap())).collect();
        assert!(told.iter().all(|text| text.contains("San Francisco")), "{told:?}");
        server.kill();
        let server = serve(&agent, &address);
        let again: Vec<_> = calls(&Program::of(&server, &run), 700);
        let again: Vec<String> =
            again.into_iter().map(|call| text_of(&call.join().unwrap().unwrap())).collect();
        assert_eq!(again, told);
        drop(server);
        let shown = agent.host(&["runs", "show", &run]).ok().stdout.clone();
        for slot in ["tool(0,0)", "tool(0,1)", "tool(0,2)"] {
            for slot in [slot.to_owned(), format!("{slot}/approval")] {
                let lines: Vec<&str> =
                    shown.lines().filter(|line| line.contains(&format!("{slot} "))).collect();
                assert_eq!(lines.len(), 1, "{slot} in\n{shown}");
            }
        }
    })
    .await
    .unwrap();
}
