//! Runs that were begun when the loop made something else of a reply: they go on, and are replayed, as they began.

use std::path::Path;
use std::sync::Arc;

use host::agent::Agent;
use host::config::RemoteConfig;
use host::dispatch::{Dispatcher, NoRunner};
use host::journal::{Entry, Event, JournalStore as _, MemoryStore};
use host::message::{
    Arguments, Budgets, Ending, Json, Manifest, ModelIdentity, Origin, PricedModel, Reply, Request, Retry,
    Rules, RunId, Slot, Tools,
};
use host::model::{Clients, Models, Script, Scripted};
use host::session::{Decisions, Mode, Session};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::interleavings::manifest;
use crate::providers::{CHAT, Server, api, config, no_rules};
use crate::replies::completion;

/// A refusal after a call, and a summary of which nobody says why it ends.
const SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "nothing" }]
stop = "refusal"
tokens = { input = 50, output = 1 }

[[reply]]
calls = [{ name = "nothing" }]
tokens = { input = 90, output = 20 }

[[reply]]
summary = true
text = "a summary"
stop = { other = "unknown" }

[[reply]]
text = "the end"
"#;

/// What a run of these rules comes to, and what is recorded of it.
async fn run(rules: Rules, script: &str) -> (Ending, Vec<Entry>) {
    run_of(Manifest { rules, tools: Tools::default(), compact_at_tokens: Some(100), ..manifest() }, script)
        .await
}

async fn run_of(manifest: Manifest, script: &str) -> (Ending, Vec<Entry>) {
    let script = Script::parse(script, Path::new("script.toml")).unwrap();
    run_with(manifest, Models::only(Arc::new(Scripted::new(script)), Retry::NEVER)).await
}

async fn run_with(manifest: Manifest, models: Models) -> (Ending, Vec<Entry>) {
    let (id, store) = (RunId::from_bytes([9; 16]), Arc::new(MemoryStore::default()));
    let session = open(id, Mode::Live(Arc::clone(&store) as _), vec![], &manifest).await;
    let agent = Agent {
        dispatcher: Arc::new(Dispatcher::new(&manifest, Arc::new(NoRunner), 4)),
        manifest: Arc::new(manifest.clone()),
        session: Arc::new(session),
        models,
        slot: Slot::RUN,
    };
    let ending = agent.run(None).await.unwrap().ending;
    let entries = store.read(id).unwrap();
    let session = open(id, Mode::Replay, entries.clone(), &manifest).await;
    let (again, _) = Agent::recorded(manifest, session).again().await.unwrap();
    assert_eq!(again.ending, ending, "a replay comes to the same");
    (ending, entries)
}

async fn open(id: RunId, mode: Mode, entries: Vec<Entry>, manifest: &Manifest) -> Session {
    Session::open(id, mode, entries, manifest, Decisions::default(), Box::new(|_| {})).await.unwrap()
}

/// A result with a hidden character in it, and the model's next reply if it was told this of it.
fn hidden(told: &str) -> String {
    format!(
        "[[reply]]\ncalls = [{{ name = \"no\\u200bthing\" }}]\n\n[[reply]]\nexpect = [\"{told}\"]\ntext = \"the end\""
    )
}

#[tokio::test]
async fn what_a_tool_says_is_told_whole_to_runs_that_began_so() {
    for (rules, told) in [(Rules::default(), "nothing"), (Rules::NOW, "no\\u200bthing")] {
        let (ending, _) = run(rules, &hidden(told)).await;
        assert_eq!(ending, Ending::Answer("the end".to_owned()));
    }
}

/// What was asked for first at a slot.
fn request<'a>(entries: &'a [Entry], slot: &str) -> Option<&'a Request> {
    entries.iter().filter(|entry| entry.slot.to_string() == slot).find_map(|entry| match &entry.event {
        Event::Started(started) => Some(&started.request),
        Event::Failed(_) | Event::Finished(_) => None,
    })
}

fn messages(entries: &[Entry], slot: &str) -> Option<u32> {
    match request(entries, slot)? {
        Request::Model(ask) => Some(ask.messages),
        Request::Run(_) | Request::Api(_) | Request::Tool(_) | Request::Approval(_) => None,
    }
}

#[tokio::test]
async fn a_run_keeps_to_the_rules_it_began_with() {
    let (ending, entries) = run(Rules::default(), SCRIPT).await;
    assert_eq!(ending, Ending::Answer("the end".to_owned()), "a refusal with calls was not the end");
    assert_eq!(messages(&entries, "model(2)"), Some(5), "nor did that summary stand for anything");
    let text = serde_json::to_string(request(&entries, "run").unwrap()).unwrap();
    assert!(!text.contains("rules"), "it is recorded as it was then: {text}");

    let refused = SCRIPT.split("\n\n").next().unwrap();
    let (ending, entries) = run(Rules::NOW, refused).await;
    assert_eq!((ending, messages(&entries, "model(1)")), (Ending::Refused(String::new()), None));
    let (ending, entries) = run(Rules::NOW, &SCRIPT.replace("stop = \"refusal\"\n", "")).await;
    assert_eq!(ending, Ending::Answer("the end".to_owned()));
    assert_eq!(
        messages(&entries, "model(2)"),
        Some(4),
        "the prompt, the summary, the last reply and its result"
    );
}

#[tokio::test]
async fn an_empty_reply_was_an_answer_by_the_rules_before() {
    let empty = "[[reply]]\n[[reply]]\ntext = \"the end\"\n";
    for before in ["0", "1"] {
        let rules: Rules = serde_json::from_str(before).unwrap();
        let (ending, _) = run(rules, "[[reply]]\n").await;
        assert_eq!(ending, Ending::Answer(String::new()));
    }
    let (ending, entries) = run(Rules::NOW, empty).await;
    assert_eq!((ending, messages(&entries, "model(1)")), (Ending::Answer("the end".to_owned()), Some(3)));
}

#[tokio::test]
async fn a_run_that_began_before_breaks_off_where_a_conversation_is_too_long() {
    let script = "[[reply]]\ncalls = [{ name = \"nothing\" }]\n[[reply]]\ncalls = [{ name = \"nothing\" }]\n\
                  [[reply]]\nerror = { message = \"too long\", too_long = true }\n\
                  [[reply]]\nsummary = true\ntext = \"a summary\"\n[[reply]]\ntext = \"the end\"";
    for before in ["0", "1", "2"] {
        let rules: Rules = serde_json::from_str(before).unwrap();
        let old = tokio::spawn(async move { run(rules, script).await });
        let broke_off = old.await.unwrap_err().into_panic();
        let why = broke_off.downcast_ref::<String>().unwrap();
        assert!(why.contains("Model { turn: 2") && why.contains("too long"), "{why}");
    }
    let (ending, entries) = run(Rules::NOW, script).await;
    assert_eq!(ending, Ending::Answer("the end".to_owned()));
    assert!(request(&entries, "summary(3)").is_some());
}

#[tokio::test]
async fn a_run_that_began_before_ends_where_its_answer_is_cut_off_because_the_context_is_full() {
    let script = "[[reply]]\ncalls = [{ name = \"nothing\" }]\n[[reply]]\ncalls = [{ name = \"nothing\" }]\n\
                  [[reply]]\ntext = \"It is so th\"\nstop = \"context_window\"\n";
    let before: Rules = serde_json::from_str("2").unwrap();
    let (ending, _) = run(before, script).await;
    assert!(matches!(&ending, Ending::Limit(why) if why.contains("It is so th")), "{ending:?}");
    let more = "[[reply]]\nsummary = true\ntext = \"a summary\"\n[[reply]]\ntext = \"the end\"";
    let (ending, _) = run(Rules::NOW, &format!("{script}{more}")).await;
    assert_eq!(ending, Ending::Answer("the end".to_owned()));
}

#[tokio::test]
async fn a_run_that_began_before_breaks_off_where_a_summary_is_too_long() {
    let script = "[[reply]]\ncalls = [{ name = \"nothing\" }]\ntokens = { input = 50, output = 1 }\n\
                  [[reply]]\ncalls = [{ name = \"nothing\" }]\ntokens = { input = 90, output = 20 }\n\
                  [[reply]]\nsummary = true\nerror = { message = \"too long\", too_long = true }\n\
                  [[reply]]\ntext = \"the end\"";
    let before: Rules = serde_json::from_str("2").unwrap();
    let old = tokio::spawn(async move { run(before, script).await });
    let broke_off = old.await.unwrap_err().into_panic();
    let why = broke_off.downcast_ref::<String>().unwrap();
    assert!(why.contains("Model { turn: 2") && why.contains("too long"), "{why}");
    let (ending, entries) = run(Rules::NOW, script).await;
    assert_eq!(ending, Ending::Answer("the end".to_owned()));
    assert_eq!(messages(&entries, "model(2)"), Some(5), "the conversation goes on whole");
}

/// Turns that make the same call, each with other words.
fn the_same_call(turns: usize) -> String {
    let turn = |turn| format!("[[reply]]\ntext = \"At {turn}.\"\ncalls = [{{ name = \"nothing\" }}]\n");
    (0..turns).map(turn).collect::<String>() + "[[reply]]\ntext = \"the end\"\n"
}

#[tokio::test]
async fn a_call_was_repeated_by_the_rules_before_whatever_came_along_with_it() {
    for before in ["0", "1"] {
        let rules: Rules = serde_json::from_str(before).unwrap();
        let (ending, entries) = repeating(rules).await;
        assert!(
            matches!(&ending, Ending::Limit(why) if why.contains("max_repeats = 2") && why.contains("4 turns")),
            "{ending:?}"
        );
        let text = serde_json::to_string(request(&entries, "run").unwrap()).unwrap();
        assert_eq!(text.matches("max_repeats").count(), 1, "tools have no number of their own: {text}");
    }
    let (ending, entries) = repeating(Rules::NOW).await;
    assert_eq!(ending, Ending::Answer("the end".to_owned()));
    assert_eq!(messages(&entries, "model(5)"), Some(11), "every call was made");
}

async fn repeating(rules: Rules) -> (Ending, Vec<Entry>) {
    let budgets = Budgets { max_repeats: Some(2), ..Budgets::default() };
    run_of(Manifest { rules, budgets, tools: Tools::default(), ..manifest() }, &the_same_call(5)).await
}

/// A reply of a model at this address.
fn reply_from(base_url: &str) -> Reply {
    let (provider, name) = ("openai".to_owned(), "m".to_owned());
    let origin = Origin { provider, name, base_url: base_url.to_owned(), streamed: false };
    Reply { origin: Some(origin), ..Reply::default() }
}

#[test]
fn a_turn_began_with_the_first_model_by_the_rules_before() {
    let other = |base_url: &str| ModelIdentity {
        provider: "openai".to_owned(),
        name: "m".to_owned(),
        base_url: Some(base_url.to_owned()),
        ..manifest().model
    };
    let fallback = |base_url| PricedModel { model: other(base_url), prices: None };
    let manifest = Manifest { fallbacks: vec![fallback("http://a/"), fallback("http://b/")], ..manifest() };
    let script = Reply::default();
    for (reply, place) in [
        (None, 0),
        (Some(&script), 0),
        (Some(&reply_from("http://b/")), 2),
        (Some(&reply_from("http://c/")), 0),
    ] {
        for before in ["0", "1", "2"] {
            assert_eq!(manifest.asked_first(serde_json::from_str(before).unwrap(), reply), 0);
        }
        assert_eq!(manifest.asked_first(Rules::NOW, reply), place);
    }
}

/// How often each of two models is asked in a run of two turns, of which the first one always fails.
async fn asked_in_two_turns(rules: Rules) -> (usize, usize) {
    let call = json!({"id": "a", "type": "function", "function": {"name": "nothing", "arguments": "{}"}});
    let calling = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    let ending = json!({"role": "assistant", "content": "the end"});
    let answers = vec![completion(&calling, "tool_calls"), completion(&ending, "stop")];
    let down = Server::start(no_rules, vec![ResponseTemplate::new(503)]).await;
    let up = Server::start(no_rules, answers).await;
    let remote = |server: &Server| config(RemoteConfig::new(api(CHAT), "m", &server.uri()));
    let identity = |server: &Server| ModelIdentity {
        provider: CHAT.to_owned(),
        name: "m".to_owned(),
        base_url: Some(server.uri()),
        ..manifest().model
    };
    let fallbacks = vec![PricedModel { model: identity(&up), prices: None }];
    let manifest =
        Manifest { rules, tools: Tools::default(), model: identity(&down), fallbacks, ..manifest() };
    let models =
        Models::connect([&remote(&down), &remote(&up)], None, Retry::NEVER, &Clients::default()).unwrap();
    let (ending, _) = run_with(manifest, models).await;
    assert_eq!(ending, Ending::Answer("the end".to_owned()));
    (down.bodies().await.len(), up.bodies().await.len())
}

#[tokio::test]
async fn a_model_that_fails_was_asked_in_every_turn_by_the_rules_before() {
    assert_eq!(asked_in_two_turns(serde_json::from_str("2").unwrap()).await, (2, 2));
    assert_eq!(asked_in_two_turns(Rules::NOW).await, (1, 2));
}

#[test]
fn a_zero_had_no_sign_by_the_rules_before() {
    let text = r#"{"b":-0.0,"a":[-0e1,"-0.0"]}"#;
    for (rules, expected) in [("2", r#"{"a":[0,"-0.0"],"b":0}"#), ("3", r#"{"a":[-0.0,"-0.0"],"b":-0.0}"#)] {
        let read = Arguments::parse_by(serde_json::from_str(rules).unwrap(), text);
        assert_eq!(read, Arguments::Json(Json::parse(expected.to_owned()).unwrap()), "{rules}");
    }
}
