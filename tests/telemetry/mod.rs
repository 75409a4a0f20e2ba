//! Traces, as a collector on loopback gets them: which spans, in which tree, with which attributes; one trace for a
//! run however often it was killed; nothing that is substituted, and nothing that was said unless that is asked for.

mod collector;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1 as proto;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::matchers::{any, body_string_contains};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::attacks::Server;
use crate::support::{Agent, InTurn, Ran, root};
use collector::{Collector, ENDPOINT, Span, at, span, tree};

const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

fn hostile(prefix: &str, lines: &str) -> String {
    let source = root().join("guest-tools/hostile");
    format!("[tools.{prefix}]\nsource = \"{}\"\nprefix = \"{prefix}_\"\n{lines}", source.display())
}

fn fetch(server: &Server, lines: &str) -> String {
    let source = root().join("guest-tools/fetch");
    format!(
        "[tools.fetch]\nsource = \"{}\"\n{lines}\n[[tools.fetch.permissions.network]]\n\
         host = \"http://127.0.0.1:{}\"\nmethods = [\"GET\"]\nallow_private = true",
        source.display(),
        server.port()
    )
}

/// An agent that makes these calls in one turn.
fn agent(calls: &[Value], tables: &[String]) -> Agent {
    let call = |(index, call): (usize, &Value)| {
        format!(
            "{{ id = \"id-{index}\", name = {}, input_text = {:?} }}",
            call["name"],
            call["input"].to_string()
        )
    };
    let calls: Vec<String> = calls.iter().enumerate().map(call).collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"the end\"", calls.join(", "));
    tables.iter().fold(Agent::scripted(&script), |agent, table| agent.table(table))
}

fn answering() -> Agent {
    Agent::scripted("[[reply]]\ntext = \"the end\"")
}

fn example() -> String {
    root().join("examples/claims-orchestrated/agent.toml").to_str().unwrap().to_owned()
}

#[test]
fn a_run_is_a_tree_of_spans() {
    let (collector, agent) = (Collector::start(), Agent::raw(""));
    collector.host(&agent, &["run", &example()]).ok();
    let spans = collector.trace();
    let call = |index| format!("tool(0,0)/call({index})");
    let (a, b, c) = (call(0), call(1), call(2));
    let expected: BTreeMap<&str, Option<&str>> = [
        ("run", None),
        ("model(0)", Some("run")),
        ("tool(0,0)", Some("run")),
        (&a, Some("tool(0,0)")),
        (&b, Some("tool(0,0)")),
        (&c, Some("tool(0,0)")),
        ("model(1)", Some("run")),
    ]
    .into();
    assert_eq!(tree(&spans), expected);
    let root = span(&spans, "invoke_agent claims-orchestrated");
    assert!(root.parent.is_empty(), "{root:#?}");
    assert_eq!(root.kind, proto::span::SpanKind::Internal);
    assert_eq!(root.resource["service.name"], "host");
    assert_eq!(root.text("host.run.state"), "answered");
    assert!(spans.iter().all(|span| !span.failed && span.events.is_empty()));
    let tool = span(&spans, "execute_tool calculate_metrics");
    assert!(at(&spans, "model(0)").end <= tool.start && tool.end <= at(&spans, "model(1)").start);
    for (key, expected) in [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "calculate_metrics"),
        ("gen_ai.tool.type", "function"),
        ("gen_ai.agent.name", "claims-orchestrated"),
        ("gen_ai.conversation.id", root.text("host.run.id")),
    ] {
        assert_eq!(tool.text(key), expected);
    }
    for name in ["check_eligibility", "compare_to_standard_rates", "check_fraud"] {
        span(&spans, &format!("execute_tool {name}"));
    }
    let chat = at(&spans, "model(0)");
    assert_eq!((chat.name.as_str(), chat.kind), ("chat script.toml", proto::span::SpanKind::Internal));
    assert_eq!(chat.attributes["gen_ai.response.finish_reasons"], json!(["tool_call"]));
    assert_eq!(at(&spans, "model(1)").attributes["gen_ai.response.finish_reasons"], json!(["stop"]));
}

#[test]
fn what_is_said_stays_here_unless_it_is_asked_for() {
    let said = ["broken leg", "health insurance", "Approved", "withinStandard", "orthopedic"];
    let (collector, agent) = (Collector::start(), Agent::raw(""));
    collector.host(&agent, &["run", &example()]).ok();
    collector.command(&agent, &["run", &example()]).env(CAPTURE, "event_only").output().unwrap();
    let bytes = collector.bytes();
    assert!(bytes.contains("calculate_metrics") && said.iter().all(|it| !bytes.contains(it)), "{bytes}");

    let collector = Collector::start();
    collector.command(&agent, &["run", &example()]).env(CAPTURE, "True").output().unwrap();
    let bytes = collector.bytes();
    assert!(said.iter().all(|it| bytes.contains(it)), "{bytes}");
    let spans = collector.trace();
    let chat = at(&spans, "model(1)");
    let input = chat.json("gen_ai.input.messages");
    let roles: Vec<&str> = input.as_array().unwrap().iter().map(|it| it["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool"]);
    assert!(input[0]["parts"][0]["content"].as_str().unwrap().starts_with("Decide this claim"));
    let (call, response) = (&input[1]["parts"][0], &input[2]["parts"][0]);
    assert_eq!((&call["type"], &call["name"]), (&json!("tool_call"), &json!("calculate_metrics")));
    assert_eq!((&call["arguments"]["amount"], &call["id"]), (&json!(3000), &response["id"]));
    assert_eq!(response["response"]["eligibility"]["output"]["eligible"], true);
    let output = chat.json("gen_ai.output.messages");
    assert_eq!(output[0]["finish_reason"], "stop");
    assert!(output[0]["parts"][0]["content"].as_str().unwrap().starts_with("Approved"));
    let tool = span(&spans, "execute_tool calculate_metrics");
    assert_eq!(tool.json("gen_ai.tool.call.arguments"), call["arguments"]);
    assert_eq!(tool.json("gen_ai.tool.call.result"), response["response"]);
    assert_eq!(tool.text("gen_ai.tool.call.id"), call["id"]);
    let root = at(&spans, "run");
    assert!(root.json("gen_ai.system_instructions")[0]["content"].as_str().unwrap().contains("health"));
    assert_eq!(root.json("gen_ai.output.messages"), output);
}

#[test]
fn a_conversation_that_was_too_long_is_told_as_it_went_on() {
    let call = "[[reply]]\ntext = \"said\"\ncalls = [{ name = \"nothing\" }]\n";
    let too_long = "[[reply]]\nerror = { message = \"too long\", too_long = true }\n";
    let cut_off = call.replace("said", "half").replace("calls", "stop = \"context_window\"\ncalls");
    for shorter in [too_long, &cut_off] {
        let collector = Collector::start();
        let summary = "[[reply]]\nsummary = true\ntext = \"in short\"\n";
        let script = format!("{call}{call}{shorter}{summary}[[reply]]\ntext = \"the end\"");
        let agent = Agent::scripted(&script);
        collector.command(&agent, &["run"]).env(CAPTURE, "True").output().unwrap();
        let spans = collector.trace();
        let said = |slot: &str| {
            let input = at(&spans, slot).json("gen_ai.input.messages");
            let roles = input.as_array().unwrap().iter().map(|it| it["role"].as_str().unwrap().to_owned());
            (roles.collect::<Vec<_>>(), input.to_string())
        };
        assert_eq!(said("model(2)").0, ["user", "assistant", "tool", "assistant", "tool"]);
        let (roles, text) = said("summary(3)");
        assert_eq!(
            roles,
            ["user", "assistant", "tool", "user"],
            "what came before the last reply, and the word"
        );
        assert!(text.contains("Sum up what was said so far"), "{text}");
        let (roles, text) = said("model(3)");
        assert_eq!(roles, ["user", "user", "assistant", "tool"]);
        assert!(text.contains("in short") && !text.contains("Sum up") && !text.contains("half"), "{text}");
    }
}

#[test]
fn what_a_called_agent_does_is_below_its_call_and_told_as_its_own() {
    let (collector, agent) = (Collector::start(), Agent::raw(""));
    let toml = root().join("examples/desk/agent.toml");
    let run = ["run", toml.to_str().unwrap()];
    assert!(collector.command(&agent, &run).env(CAPTURE, "True").status().unwrap().success());
    let spans = collector.trace();
    let tree = tree(&spans);
    for slot in ["model(0)", "tool(0,0)", "tool(0,1)", "model(1)"] {
        assert_eq!(tree[format!("tool(0,0)/{slot}").as_str()], Some("tool(0,0)"), "{slot}");
    }
    let chat = at(&spans, "tool(0,0)/model(1)");
    assert_eq!(chat.text("gen_ai.agent.name"), "weather");
    let input = chat.json("gen_ai.input.messages");
    let roles: Vec<&str> = input.as_array().unwrap().iter().map(|it| it["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool"]);
    assert_eq!(input[0]["parts"][0]["content"], "What is the weather like in San Francisco and New York?");
    let own = at(&spans, "model(1)");
    assert_eq!(own.text("gen_ai.agent.name"), "desk");
    let input = own.json("gen_ai.input.messages");
    assert!(
        input[2]["parts"][0]["response"]["answer"].as_str().unwrap().starts_with("San Francisco is foggy")
    );
}

/// A provider that answers in turn with these statuses, the last one again and again.
fn provider(runtime: &Runtime, statuses: &[u16]) -> (MockServer, Agent) {
    let answer = |status: u16| {
        let body = match status {
            200 => json!({
                "id": "c1", "object": "chat.completion", "model": "m-2",
                "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
                "choices": [{
                    "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "the end" }
                }],
            }),
            _ => json!({ "error": { "message": "secretive reasons" } }),
        };
        ResponseTemplate::new(status).set_body_json(body)
    };
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        let answers = InTurn::new(statuses.iter().map(|status| answer(*status)).collect());
        Mock::given(any()).and(body_string_contains("go on")).respond_with(answers).mount(&server).await;
        server
    });
    let agent = Agent::raw(&format!(
        "version = 1\n[agent]\nname = \"asker\"\nprompt = \"go on\"\n[model]\nprovider = \"openai\"\nname = \"m\"\n\
         base_url = \"{}/v1\"\ntemperature = 0.5\nmax_tokens = 99\n[model.retry]\ninitial_delay = \"1ms\"",
        server.uri()
    ));
    (server, agent)
}

#[test]
fn a_model_request_is_one_span_with_all_its_attempts() {
    let collector = Collector::start();
    let (server, agent) = provider(&collector.runtime, &[503, 429, 200]);
    collector.host(&agent, &["run"]).ok();
    let spans = collector.trace();
    let chat = span(&spans, "chat m");
    let common = [
        ("gen_ai.agent.name", json!("asker")),
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.request.model", json!("m")),
        ("gen_ai.request.temperature", json!(0.5)),
        ("gen_ai.request.max_tokens", json!(99)),
        ("server.address", json!("127.0.0.1")),
        ("server.port", json!(server.address().port())),
    ];
    let own = [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.conversation.id", chat.attributes["host.run.id"].clone()),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("gen_ai.response.model", json!("m")),
        ("gen_ai.usage.input_tokens", json!(11)),
        ("gen_ai.usage.output_tokens", json!(7)),
        ("host.attempt", json!(3)),
        ("host.run.id", chat.attributes["host.run.id"].clone()),
        ("host.slot", json!("model(0)")),
    ];
    let expected = common.iter().chain(&own).map(|(key, value)| ((*key).to_owned(), value.clone()));
    assert_eq!(chat.attributes, expected.collect(), "these and no others");
    assert_eq!((chat.kind, chat.failed), (proto::span::SpanKind::Client, false), "it was mended");
    let attempts: Vec<_> =
        chat.events.iter().map(|(name, it)| (name.as_str(), &it["host.attempt"])).collect();
    assert_eq!(attempts, [("host.attempt_failed", &json!(1)), ("host.attempt_failed", &json!(2))]);
    let errors: Vec<_> = chat.events.iter().map(|(_, it)| it["error.type"].as_str().unwrap()).collect();
    assert_eq!(errors, ["503", "429"]);
    assert!(chat.events.iter().all(|(_, it)| it["host.retry_ms"].is_u64() && it.len() == 3));
    let root = span(&spans, "invoke_agent asker");
    assert!(common.iter().all(|(key, value)| root.attributes[*key] == *value), "{root:#?}");
}

#[test]
fn a_request_for_a_summary_is_traced_as_one_to_the_model_that_it_is_for() {
    let collector = Collector::start();
    let (server, _) = provider(&collector.runtime, &[200]);
    let call = "[[reply]]\ncalls = [{ name = \"nothing\" }]\ntokens = { input = 900, output = 100 }\n";
    let script = format!("{call}{call}[[reply]]\ntext = \"the end\"");
    let agent = Agent::scripted(&script).table("[limits]\ncompact_at_tokens = 1000").table(&format!(
        "[model.summary]\nprovider = \"openai\"\nname = \"m\"\nbase_url = \"{}/v1\"\nmax_tokens = 99",
        server.uri()
    ));
    collector.host(&agent, &["run"]).ok();
    let spans = collector.trace();
    let summary = span(&spans, "chat m");
    for (key, value) in [
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.request.model", json!("m")),
        ("gen_ai.request.max_tokens", json!(99)),
        ("host.slot", json!("summary(2)")),
    ] {
        assert_eq!(summary.attributes[key], value, "{key}");
    }
    assert_eq!(summary.kind, proto::span::SpanKind::Client);
    assert_eq!(spans.iter().filter(|span| span.name == "chat script.toml").count(), 3);
    let root = spans.iter().find(|span| span.name.starts_with("invoke_agent")).unwrap();
    assert_eq!(root.attributes["gen_ai.provider.name"], json!("scripted"));
}

#[test]
fn a_run_that_the_model_breaks_off_is_an_error_and_its_resume_a_span_of_its_own() {
    let collector = Collector::start();
    let (_server, agent) = provider(&collector.runtime, &[401, 200]);
    collector.host(&agent, &["run"]).exits(4);
    let spans = collector.trace();
    let (root, chat) = (at(&spans, "run"), at(&spans, "model(0)"));
    assert_eq!((root.text("host.run.state"), root.text("error.type")), ("failed", "401"));
    assert_eq!((chat.text("error.type"), chat.events.len()), ("401", 1));
    assert!(!chat.attributes.contains_key("gen_ai.usage.input_tokens"));
    assert!(!collector.bytes().contains("secretive"), "the provider's words are not exported");
    collector.host(&agent, &["resume", "last"]).ok();
    let spans = collector.trace();
    let roots: Vec<&Span> = spans.iter().filter(|span| span.name == "invoke_agent asker").collect();
    let states: Vec<&str> = roots.iter().map(|root| root.text("host.run.state")).collect();
    assert_eq!(states, ["failed", "answered"]);
    assert_eq!(spans.iter().filter(|span| span.parent == roots[1].id).count(), 1, "what was done then");

    let collector = Collector::start();
    let (_server, agent) = provider(&collector.runtime, &[400]);
    collector.command(&agent, &["run"]).env(CAPTURE, "true").output().unwrap();
    let chat = at(&collector.trace(), "model(0)").clone();
    assert!(chat.says.contains("HTTP 400: secretive reasons"), "unless they are asked for: {chat:#?}");
}

#[test]
fn a_run_says_in_the_course_of_what_it_was_started() {
    let parent = |digit: &str| format!("00-{}-{}-01", digit.repeat(32), digit.repeat(16));
    let link = |byte: u8| vec![(vec![byte; 16], vec![byte; 8])];
    let collector = Collector::start();
    let (server, agent) = provider(&collector.runtime, &[401, 200]);
    let mut run = collector.command(&agent, &["run"]);
    Ran::from(run.env("TRACEPARENT", parent("a")).env("TRACESTATE", "x=1").output().unwrap()).exits(4);
    let mut resume = collector.command(&agent, &["resume", "last"]);
    Ran::from(resume.env("TRACEPARENT", parent("b")).output().unwrap()).ok();
    let spans = collector.trace();
    let roots: Vec<_> = spans.iter().filter(|span| span.name == "invoke_agent asker").collect();
    assert_eq!(
        (&roots[0].links, &roots[1].links),
        (&link(0xaa), &link(0xbb)),
        "one trace, each its own link"
    );
    assert!(spans.iter().all(|span| span.links.is_empty() || span.name == "invoke_agent asker"));
    let requests = collector.runtime.block_on(server.received_requests()).unwrap();
    let header =
        |at: usize, name: &str| requests[at].headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    // A request is sent in the course of its own span, which is in the run's trace.
    let chats: Vec<_> = spans.iter().filter(|span| span.text("host.slot") == "model(0)").collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let own = |at: usize| format!("00-{}-{}-01", hex(&chats[at].trace), hex(&chats[at].id));
    assert_eq!((chats.len(), requests.len()), (2, 2));
    for at in 0..2 {
        assert_eq!((header(at, "traceparent"), header(at, "tracestate")), (Some(own(at)), None));
    }

    // Where that is not exported, it is the caller's.
    let (server, agent) = provider(&collector.runtime, &[200]);
    let mut plain = agent.command(&["run"]);
    Ran::from(plain.env("TRACEPARENT", parent("a")).env("TRACESTATE", "x=1").output().unwrap()).ok();
    let mut unsampled = collector.command(&agent, &["run"]);
    unsampled.env("TRACEPARENT", parent("a")).env("TRACESTATE", "x=1");
    Ran::from(unsampled.env("OTEL_TRACES_SAMPLER", "always_off").output().unwrap()).ok();
    let requests = collector.runtime.block_on(server.received_requests()).unwrap();
    assert_eq!(requests.len(), 2);
    for request in requests {
        let header = |name: &str| request.headers.get(name).map(|it| it.to_str().unwrap());
        assert_eq!((header("traceparent"), header("tracestate")), (Some(&*parent("a")), Some("x=1")));
    }

    let (server, agent) = provider(&collector.runtime, &[200]);
    agent.host(&["run"]).ok();
    let mut wrong = agent.command(&["run"]);
    Ran::from(wrong.env("TRACEPARENT", "00-0-0-00").output().unwrap())
        .ok()
        .says("TRACEPARENT is \"00-0-0-00\"");
    let requests = collector.runtime.block_on(server.received_requests()).unwrap();
    assert!(requests.iter().all(|request| !request.headers.contains_key("traceparent")));
}

#[test]
fn a_call_that_fails_is_an_error_and_an_attempt_that_fails_an_event() {
    let collector = Collector::start();
    let inner = json!({ "batches": [[{ "name": "b_slow", "input": { "pause_ms": 20000 } }]] });
    let calls = [
        json!({ "name": "b_flaky", "input": { "fail_attempts": 2 } }),
        json!({ "name": "b_flaky", "input": { "fail_attempts": 9 } }),
        json!({ "name": "b_panic_now", "input": {} }),
        json!({ "name": "b_nothing", "input": {} }),
        json!({ "name": "a_relay", "input": inner }),
    ];
    let fast = "retry = { max_attempts = 3, initial_delay = \"10ms\", max_delay = \"20ms\" }";
    let caller = "permissions.calls = [\"b_*\"]\nlimits.timeout = \"500ms\"\nretry.max_attempts = 2";
    let agent = agent(&calls, &[hostile("a", caller), hostile("b", fast)]);
    collector.host(&agent, &["run"]).ok();
    let spans = collector.trace();
    let errors = |slot| {
        let span = at(&spans, slot);
        let events = span.events.iter().map(|(_, it)| it["error.type"].as_str().unwrap()).collect::<Vec<_>>();
        (
            span.attributes.get("error.type").and_then(Value::as_str),
            events,
            span.attributes["host.attempt"].clone(),
        )
    };
    assert_eq!(errors("tool(0,0)"), (None, vec!["transient"; 2], json!(3)));
    assert_eq!(errors("tool(0,1)"), (Some("transient"), vec!["transient"; 2], json!(3)));
    assert_eq!(errors("tool(0,2)"), (Some("trap"), vec![], json!(1)));
    assert_eq!(errors("tool(0,3)"), (Some("unknown_tool"), vec![], json!(1)));
    assert_eq!(errors("tool(0,4)"), (Some("timeout"), vec!["timeout"], json!(2)));
    assert_eq!(at(&spans, "tool(0,3)").text("gen_ai.tool.call.id"), "id-3");
    // Nobody waits for what a caller that was stopped had called, in either of its attempts.
    let caller = at(&spans, "tool(0,4)");
    let nested: Vec<&Span> = spans.iter().filter(|span| span.parent == caller.id).collect();
    assert_eq!(nested.len(), 2, "{spans:#?}");
    for nested in nested {
        assert_eq!((nested.text("host.slot"), nested.text("error.type")), ("tool(0,4)/call(0)", "cancelled"));
    }
    assert!(spans.iter().all(|span| span.says.is_empty()), "the tools' words are not exported");
    assert!(!at(&spans, "run").failed, "the model was told, and the run went on");
}

/// A run that hangs in a request, its sibling's span at the collector.
fn hanging(collector: &Collector, lines: &str) -> (Agent, Server, Child) {
    let server = Server::start();
    let url = format!("http://127.0.0.1:{}/allowed/first-hangs", server.port());
    let nested = json!({ "batches": [[
        { "name": "fetch", "input": { "url": url } }, { "name": "b_echo", "input": { "value": 1 } }
    ]] });
    let calls = [json!({ "name": "a_relay", "input": nested }), json!({ "name": "b_counter", "input": {} })];
    let relay = "permissions.calls = [\"*\"]\nretry.idempotent = [\"*\"]";
    let agent = agent(&calls, &[hostile("a", relay), hostile("b", ""), fetch(&server, lines)]);
    agent.host(&["check"]).ok();
    let mut command = collector.command(&agent, &["run"]);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "20").stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    collector.wait_for(&["execute_tool b_counter", "execute_tool b_echo", "chat script.toml"]);
    let started = Instant::now();
    while server.requests().is_empty() {
        assert!(started.elapsed() < crate::support::PATIENCE, "no request came");
        std::thread::sleep(Duration::from_millis(5));
    }
    (agent, server, child)
}

#[test]
fn a_run_that_was_killed_and_its_resume_are_one_tree() {
    let collector = Collector::start();
    let (agent, _server, mut child) = hanging(&collector, "retry.idempotent = [\"fetch\"]");
    child.kill().unwrap();
    child.wait().unwrap();
    let before = collector.spans();
    assert!(before.iter().all(|span| span.text("host.slot") != "run"), "it could not say that it ended");
    let resumed = collector.command(&agent, &["resume", "last"]).env(CAPTURE, "true").output();
    Ran::from(resumed.unwrap()).ok();
    let spans = collector.trace();
    let expected: BTreeMap<&str, Option<&str>> = [
        ("run", None),
        ("model(0)", Some("run")),
        ("tool(0,0)", Some("run")),
        ("tool(0,0)/call(0)", Some("tool(0,0)")),
        ("tool(0,0)/call(1)", Some("tool(0,0)")),
        ("tool(0,1)", Some("run")),
        ("model(1)", Some("run")),
    ]
    .into();
    assert_eq!((tree(&spans), spans.len()), (expected, 7), "nothing that was substituted came twice");
    for slot in ["tool(0,0)", "tool(0,0)/call(0)"] {
        let again = at(&spans, slot);
        assert_eq!(again.attributes["host.attempt"], 2);
        assert_eq!(
            again.events[0].1,
            [("error.type", json!("killed")), ("host.attempt", json!(1))]
                .map(|(k, v)| (k.to_owned(), v))
                .into()
        );
    }
    assert_eq!(at(&spans, "run").text("host.run.state"), "answered");
    // What was said before is part of what the model is asked now.
    let input = at(&spans, "model(1)").json("gen_ai.input.messages");
    let ids =
        input.as_array().unwrap().iter().map(|it| (&it["role"], &it["parts"][0]["id"])).collect::<Vec<_>>();
    let (none, calls) = (&Value::Null, [json!("id-0"), json!("id-1")]);
    assert_eq!(ids[0], (&json!("user"), none));
    assert_eq!(
        ids[1..],
        [(&json!("assistant"), &calls[0]), (&json!("tool"), &calls[0]), (&json!("tool"), &calls[1])]
    );
}

#[test]
fn each_process_that_stops_says_how_the_run_stands() {
    let collector = Collector::start();
    let (agent, _server, mut child) = hanging(&collector, "");
    child.kill().unwrap();
    child.wait().unwrap();
    collector.host(&agent, &["resume", "last"]).exits(3);
    let spans = collector.trace();
    let suspended = at(&spans, "run").clone();
    assert_eq!((suspended.text("host.run.state"), suspended.failed), ("suspended", false));
    let begun = at(&spans, "tool(0,0)");
    assert_eq!(begun.text("error.type"), "cancelled", "it waits with the call in doubt");
    // A resume that is refused does nothing, so it neither is a span nor changes how the run stands.
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), format!("{toml}\n[limits]\nmax_turns = 9\n")).unwrap();
    collector.host(&agent, &["resume", "last"]).exits(6);
    std::fs::write(agent.toml(), toml).unwrap();
    let listed: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    assert_eq!((&listed[0]["state"], collector.spans().len()), (&json!("suspended"), spans.len()));
    collector.host(&agent, &["resume", "last", "--settle", "tool(0,0)/call(0)=retry"]).ok();
    let spans = collector.trace();
    let roots: Vec<&Span> = spans.iter().filter(|span| span.text("host.slot") == "run").collect();
    assert_eq!(
        roots.iter().map(|it| it.text("host.run.state")).collect::<Vec<_>>(),
        ["suspended", "answered"]
    );
    let below = |root: &Span| -> BTreeSet<&str> {
        let id = root.id.clone();
        spans.iter().filter(|span| span.parent == id).map(|it| it.text("host.slot")).collect()
    };
    assert_eq!(below(roots[0]), ["model(0)", "tool(0,0)", "tool(0,1)"].into());
    assert_eq!(below(roots[1]), ["tool(0,0)", "model(1)"].into());
}

#[test]
fn a_run_that_is_interrupted_or_stopped_by_a_limit_says_so() {
    let collector = Collector::start();
    let (_agent, _server, mut child) = hanging(&collector, "");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let spans = collector.trace();
    let states: Vec<(&str, &str)> =
        spans.iter().filter(|it| it.failed).map(|it| (it.text("host.slot"), it.text("error.type"))).collect();
    assert_eq!(
        states,
        [("run", "interrupted"), ("tool(0,0)", "cancelled"), ("tool(0,0)/call(0)", "cancelled")]
    );

    let collector = Collector::start();
    let calls = [json!({ "name": "b_counter", "input": {} })];
    let agent = agent(&calls, &[hostile("b", ""), "[limits]\nmax_turns = 1".to_owned()]);
    collector.host(&agent, &["run"]).exits(5);
    let root = at(&collector.trace(), "run").clone();
    assert_eq!((root.text("host.run.state"), root.text("error.type")), ("limited", "limit"));
}

#[test]
fn what_is_only_looked_at_again_is_not_exported() {
    let collector = Collector::start();
    let calls = [json!({ "name": "b_counter", "input": {} })];
    let agent = agent(&calls, &[hostile("b", "")]);
    agent.host(&["run"]).ok();
    for again in [
        ["replay", "last"].as_slice(),
        &["replay", "last", "--rerun", "b_counter"],
        &["resume", "last"],
        &["runs", "show", "last"],
    ] {
        collector.host(&agent, again).ok();
    }
    assert_eq!(collector.requests().len(), 0);
    // A fork is a run of its own, and carries out what it does not share.
    collector.host(&agent, &["fork", "last", "--at", "1"]).ok();
    let spans = collector.trace();
    assert_eq!(spans.iter().map(|it| it.text("host.slot")).collect::<Vec<_>>(), ["run", "model(1)"]);
}

#[test]
fn a_collector_that_is_down_fails_nothing_and_is_said_once() {
    let closed = format!("http://127.0.0.1:{}", Server::closed().port());
    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = (format!("http://{}", silent.local_addr().unwrap()), silent);
    let refusing = Collector::answering(403);
    for (url, why) in [
        (closed, "Connection refused"),
        (silent.0.clone(), "it took longer than 2 s to answer"),
        (refusing.server.uri(), "status code: 403"),
    ] {
        let agent = answering();
        let ran = agent.host(&["run", "--otlp", &url]);
        assert_eq!(ran.ok().stdout, "the end\n");
        let lines: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("export")).collect();
        assert_eq!(lines.len(), 1, "{}", ran.stderr);
        let said = format!("2 of 2 spans were not exported to {url}/v1/traces: ");
        assert!(lines[0].starts_with(&said) && lines[0].contains(why), "{}", lines[0]);
    }
}

#[test]
fn the_standard_environment_and_the_argument_say_where_to() {
    let (collector, agent) = (Collector::start(), answering());
    agent.host(&["run"]).ok();
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_SAMPLER", "always_off")] {
        let ran = Ran::from(collector.command(&agent, &["run"]).env(off.0, off.1).output().unwrap());
        assert!(!ran.ok().stderr.contains("export"), "{}", ran.stderr);
    }
    assert_eq!(collector.requests().len(), 0);
    let output = agent
        .command(&["run", "--otlp", &collector.server.uri()])
        .env(ENDPOINT, "http://127.0.0.1:1")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=open%20sesame")
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        .env("OTEL_SERVICE_NAME", "claims")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .output();
    let ran = Ran::from(output.unwrap());
    assert!(!ran.ok().stderr.contains("export"), "{}", ran.stderr);
    assert_eq!(collector.requests()[0].headers["x-key"], "open sesame");
    let resource = &collector.trace()[0].resource;
    assert_eq!(
        (&resource["service.name"], &resource["deployment.environment.name"]),
        (&json!("claims"), &json!("test"))
    );

    agent.host(&["run", "--otlp", "localhost:4318"]).exits(2).says("is neither http: nor https:");
    let wrong = agent.command(&["run"]).env(ENDPOINT, "collector").output().unwrap();
    Ran::from(wrong).ok().says("no traces are exported: OTEL_EXPORTER_OTLP_ENDPOINT is not the address");
}
