//! Every model request of a run can be shown as it was sent: streamed ones, those for summaries, and those of agents
//! that are called.

use host::journal::RunFile;
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::fallbacks::message;
use crate::providers::events;
use crate::support::{Agent, InTurn, root};
use crate::words::{notes, say_otherwise, set_digests};

/// A chat completion that comes piece by piece.
fn streamed(delta: &Value, reason: &str) -> ResponseTemplate {
    let chunk = |choices: &Value, usage: &Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "choices": choices, "usage": usage}).to_string()
    };
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
    let pieces = [
        chunk(&json!([{"index": 0, "delta": delta}]), &Value::Null),
        chunk(&json!([{"index": 0, "delta": {}, "finish_reason": reason}]), &Value::Null),
        chunk(&json!([]), &usage),
        "[DONE]".to_owned(),
    ];
    events(&pieces.each_ref().map(String::as_str))
}

/// An agent whose model streams, and asks another agent, whose conversation grows too long.
fn asking(uri: &str) -> Agent {
    let agent = Agent::raw(&format!(
        "version = 1\n[agent]\nprompt = \"go on\"\n[model]\nprovider = \"openai\"\nname = \"m\"\n\
         base_url = \"{uri}\"\nstream = true\n[tools.other]\nagent = \"other/agent.toml\"\n"
    ));
    let weather = root().join("guest-tools/weather").to_str().unwrap().to_owned();
    let other = agent.dir.path().join("other");
    std::fs::create_dir_all(&other).unwrap();
    let toml = format!(
        "version = 1\n[agent]\ndescription = \"Does one thing.\"\ninstructions = \"Be brief.\"\n[model]\n\
         provider = \"anthropic\"\nname = \"c\"\nbase_url = \"{uri}\"\n[limits]\ncompact_at_tokens = 1000\n\
         [tools.weather]\nsource = {weather:?}\n"
    );
    std::fs::write(other.join("agent.toml"), toml).unwrap();
    agent
}

#[test]
fn wherever_a_model_was_asked() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let function = json!({"name": "other", "arguments": "{\"prompt\":\"look it up\"}"});
    let call = json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function}]});
    let outer = vec![streamed(&call, "tool_calls"), streamed(&json!({"content": "the end"}), "stop")];
    let inner =
        vec![message(None), message(None), message(Some("It was sunny.")), message(Some("still sunny"))];
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        for (at, answers) in [("/chat/completions", outer), ("/v1/messages", inner)] {
            Mock::given(path(at)).respond_with(InTurn::new(answers)).mount(&server).await;
        }
        server
    });
    let agent = asking(&server.uri());
    assert_eq!(agent.host(&["run"]).ok().stdout, "the end\n");
    let sent: Vec<String> = runtime
        .block_on(server.received_requests())
        .unwrap()
        .into_iter()
        .map(|request| String::from_utf8(request.body).unwrap())
        .collect();
    let slots = [
        "model(0)",
        "tool(0,0)/model(0)",
        "tool(0,0)/model(1)",
        "tool(0,0)/summary(2)",
        "tool(0,0)/model(2)",
        "model(1)",
    ];
    assert_eq!(sent.len(), slots.len());
    assert!(sent[0].contains("\"stream\":true") && !sent[1].contains("\"stream\":true"));
    assert!(sent[3].contains("Sum up what was said so far") && sent[4].contains("It was sunny."));
    let shown =
        |args: &[&str]| agent.host(&[&["runs", "request", "last"], args].concat()).ok().stdout.clone();
    for (slot, sent) in slots.iter().zip(&sent) {
        assert_eq!(shown(&[slot]).trim_end(), sent, "{slot}");
    }
    assert_eq!(shown(&[]).trim_end(), sent[5], "the last one of the run's own agent");
    for wrong in ["summary(0)", "tool(0,0)", "tool(0,0)/model(3)", "tool(1,0)/model(0)", "7"] {
        let refused = agent.host(&["runs", "request", "last", wrong]);
        refused.exits(2).says("no model was asked at").says("lists where one was");
    }
    agent.host(&["runs", "request", "last", "turn 1"]).exits(2).says("turn 1");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    in_other_words(&runtime, &agent, &sent[3]);
    let asked = runtime.block_on(server.received_requests()).unwrap().len();
    assert_eq!(asked, slots.len(), "none was sent again");
}

/// The same run, as if the host had asked for the summary in other words: these are shown, and replayed.
fn in_other_words(runtime: &tokio::runtime::Runtime, agent: &Agent, sent: &str) {
    let path = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", path.to_str().unwrap()]).ok();
    let mut run = RunFile::read(&path).unwrap();
    let before = notes(&run.entries);
    assert_eq!(before.len(), 1);
    say_otherwise(&mut run.entries, &["Be brief about it.".to_owned()]);
    let manifest = host::engine::recorded_manifest(run.summary.run, &run.entries).unwrap().clone();
    assert_eq!(
        runtime.block_on(set_digests(&manifest, &mut run.entries)),
        1,
        "it belongs to that request alone"
    );
    run.write(&mut std::fs::File::create(&path).unwrap()).unwrap();
    let elsewhere = Agent::raw("version = 1");
    elsewhere.host(&["journal", "import", path.to_str().unwrap()]).ok();
    let shown = elsewhere.host(&["runs", "request", "last", "tool(0,0)/summary(2)"]).ok().stdout.clone();
    assert_eq!(shown.trim_end(), sent.replace(&before[0], "Be brief about it."));
    assert_eq!(elsewhere.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn also_where_no_reply_came() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        Mock::given(path("/chat/completions")).respond_with(ResponseTemplate::new(400)).mount(&server).await;
        server
    });
    let agent = asking(&server.uri());
    agent.host(&["run"]).exits(4);
    let sent = runtime.block_on(server.received_requests()).unwrap();
    let sent = String::from_utf8(sent[0].body.clone()).unwrap();
    assert!(sent.contains("\"stream\":true"), "{sent}");
    assert_eq!(agent.host(&["runs", "request", "last"]).ok().stdout.trim_end(), sent);
}
