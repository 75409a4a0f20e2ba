//! A model of its own for summaries: who is asked for what, what it costs, and what becomes of a summary that it cannot
//! give.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::path};

use crate::fallbacks::{completion, failing, message, too_long};
use crate::support::{Agent, InTurn, outcome};

/// Where the model is asked, and where the one for summaries.
const MODEL: &str = "/chat/completions";
const SUMMARIES: &str = "/v1/messages";

const AT_1000: &str = "[limits]\ncompact_at_tokens = 1000";

/// Two servers in one: a model that replies, and a cheaper one that sums up.
struct Pair {
    agent: Agent,
    server: MockServer,
    runtime: tokio::runtime::Runtime,
}

impl Pair {
    fn new(model: Vec<ResponseTemplate>, summaries: Vec<ResponseTemplate>, limits: &str) -> Self {
        Self::with(InTurn::new(model), InTurn::new(summaries), limits)
    }

    fn with(model: impl Respond + 'static, summaries: impl Respond + 'static, limits: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            Mock::given(path(MODEL)).respond_with(model).mount(&server).await;
            Mock::given(path(SUMMARIES)).respond_with(summaries).mount(&server).await;
            server
        });
        let uri = server.uri();
        let agent = Agent::raw(&format!(
            "version = 1\n[agent]\nprompt = \"go on\"\n[model]\nprovider = \"openai\"\nname = \"m\"\n\
             base_url = \"{uri}\"\nprices = {{ input = 1.0, output = 10.0 }}\n\
             retry = {{ max_attempts = 2, initial_delay = \"1ms\" }}\n[model.summary]\nprovider = \"anthropic\"\n\
             name = \"s\"\nbase_url = \"{uri}\"\nmax_tokens = 77\nprices = {{ input = 0.1, output = 1.0 }}\n{limits}"
        ))
        .guest("weather");
        Self { agent, server, runtime }
    }

    fn sent(&self, path: &str) -> Vec<String> {
        let requests = self.runtime.block_on(self.server.received_requests()).unwrap();
        let to = requests.into_iter().filter(|request| request.url.path() == path);
        to.map(|request| String::from_utf8(request.body).unwrap()).collect()
    }

    fn asked(&self) -> (usize, usize) {
        (self.sent(MODEL).len(), self.sent(SUMMARIES).len())
    }

    /// The run ends well, and a replay of it asks nobody.
    fn runs_and_replays(&self, asked: (usize, usize)) {
        assert_eq!(self.agent.host(&["run"]).ok().stdout, "the end\n");
        assert_eq!(self.asked(), asked);
        assert_eq!(self.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
        assert_eq!(self.asked(), asked);
        self.agent.host(&["journal", "verify"]).ok();
    }

    /// Who gave the summary at a slot.
    fn summed_up_by(&self, slot: &str) -> Value {
        outcome(&self.agent.show(), slot)["model"]["origin"]["name"].clone()
    }
}

fn called(turns: usize, then: &[ResponseTemplate]) -> Vec<ResponseTemplate> {
    std::iter::repeat_n(completion(None), turns).chain(then.iter().cloned()).collect()
}

#[test]
fn a_cheaper_model_sums_up() {
    let pair =
        Pair::new(called(2, &[completion(Some("the end"))]), vec![message(Some("It was Paris."))], AT_1000);
    let checked = pair.agent.host(&["check"]).ok().stdout.clone();
    assert!(checked.contains("  summed up by anthropic/s at http://"), "{checked}");
    pair.runs_and_replays((3, 1));
    let sent = pair.sent(SUMMARIES).pop().unwrap();
    let body: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(
        (&body["model"], &body["max_tokens"]),
        (&json!("s"), &json!(77)),
        "it has settings of its own"
    );
    assert!(sent.contains("Sum up what was said so far") && !sent.contains("reasoning_content"), "{sent}");
    assert!(pair.sent(MODEL)[2].contains("It was Paris."), "{}", pair.sent(MODEL)[2]);
    assert_eq!(pair.summed_up_by("summary(2)"), "s");

    // Every request can be shown as it was sent, and what they cost goes by who was asked: 3 x 0.002 and 0.0002 USD.
    let shown = pair.agent.host(&["runs", "request", "last", "summary(2)"]);
    assert_eq!(shown.ok().stdout.trim_end(), sent);
    let shown = pair.agent.host(&["runs", "request", "last"]);
    assert_eq!(shown.ok().stdout.trim_end(), pair.sent(MODEL)[2]);
    let shown = pair.agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(shown.contains("model    openai/m\nsummary  anthropic/s\n"), "{shown}");
    assert!(shown.contains("0.006200 USD"), "{shown}");
    assert_eq!(pair.asked(), (3, 1));

    // A script stands for both, in a case as well.
    let tests = pair.agent.dir.path().join("tests");
    std::fs::create_dir(&tests).unwrap();
    pair.agent.host(&["journal", "export", "last", "-o", tests.join("run.jsonl").to_str().unwrap()]).ok();
    std::fs::write(tests.join("same.toml"), "recorded = \"run.jsonl\"").unwrap();
    pair.agent.host(&["test"]).ok();
    assert_eq!(pair.asked(), (3, 1), "a case asks nobody");
}

#[test]
fn a_conversation_that_is_too_long_is_summed_up_by_the_cheaper_model() {
    let long = too_long("no", Some("context_length_exceeded"));
    let model = called(2, &[long, completion(Some("the end"))]);
    let pair = Pair::new(model, vec![message(Some("It was Paris."))], "");
    pair.runs_and_replays((4, 1));
    assert_eq!(pair.summed_up_by("summary(3)"), "s");
}

#[test]
fn the_model_itself_sums_up_where_the_cheaper_one_fails() {
    let summary = completion(Some("It was Paris."));
    let long = too_long("prompt is too long: 200251 tokens > 200000 maximum", None);
    for (failure, asked) in [(failing(401), 1), (failing(503), 2), (long, 1)] {
        let model = called(2, &[summary.clone(), completion(Some("the end"))]);
        let pair = Pair::new(model, vec![failure], AT_1000);
        pair.runs_and_replays((4, asked));
        assert_eq!(pair.summed_up_by("summary(2)"), "m");
        assert!(pair.sent(MODEL)[2].contains("Sum up what was said so far"), "{}", pair.sent(MODEL)[2]);
        let shown = pair.agent.host(&["runs", "request", "last", "summary(2)"]);
        assert_eq!(shown.ok().stdout.trim_end(), pair.sent(MODEL)[2]);
        let shown = pair.agent.host(&["runs", "request", "last", "summary(2)", "--attempt", "1"]);
        assert_eq!(shown.ok().stdout.trim_end(), pair.sent(SUMMARIES)[0]);
    }
}

#[test]
fn a_summary_that_all_fail_to_give_breaks_the_run_off_and_a_resume_begins_with_the_cheaper_one() {
    let model = called(2, &[failing(401), completion(Some("the end"))]);
    let pair = Pair::new(model, vec![failing(401), message(Some("It was Paris."))], AT_1000);
    pair.agent.host(&["run"]).exits(4).says("host resume");
    assert_eq!(pair.asked(), (3, 1));
    assert_eq!(pair.agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    assert_eq!(pair.asked(), (4, 2));
    assert_eq!(pair.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn what_is_too_long_for_every_model_to_sum_up_is_sent_shorter() {
    // The summary that is due cannot be had, so the reply is asked for without; then that is too long, too.
    let long = || too_long("no", Some("context_length_exceeded"));
    let model = called(2, &[long(), long(), completion(Some("the end"))]);
    let summaries = vec![long(), message(Some("It was Paris."))];
    let pair = Pair::new(model, summaries, AT_1000);
    pair.runs_and_replays((5, 2));
    assert_eq!(outcome(&pair.agent.show(), "summary(2)")["no_reply"]["shortens"], true);
    assert_eq!(outcome(&pair.agent.show(), "model(2)")["no_reply"]["shortens"], true);
    assert_eq!(pair.summed_up_by("summary(3)"), "s");
    let messages =
        |body: &str| serde_json::from_str::<Value>(body).unwrap()["messages"].as_array().unwrap().len();
    let summaries = pair.sent(SUMMARIES);
    assert!(messages(&summaries[1]) < messages(&summaries[0]), "what did fit before is summed up");
}

#[test]
fn a_budget_counts_what_a_summary_costs() {
    // 0.002 USD each reply, and 0.0002 the summary, which reaches the budget.
    let limits = format!("{AT_1000}\nmax_cost_usd = 0.0042");
    let pair =
        Pair::new(called(2, &[completion(Some("the end"))]), vec![message(Some("It was Paris."))], &limits);
    let ran = pair.agent.host(&["run"]);
    ran.exits(5).says("max_cost_usd = 0.0042").says("0.004200 USD");
    assert_eq!(pair.asked(), (2, 1));
    pair.agent.host(&["replay", "last"]).exits(5);
}

/// A model whose replies follow from what it is asked, however often a killed run asks.
fn by_what_is_said(request: &Request) -> ResponseTemplate {
    let body = String::from_utf8(request.body.clone()).unwrap();
    let results = body.matches("\"role\":\"tool\"").count();
    if body.contains("It was Paris.") || results > 1 { completion(Some("the end")) } else { completion(None) }
}

#[test]
fn a_kill_at_every_write_goes_on_with_the_same_summary() {
    for point in ["journal-before-write", "journal-before-ack"] {
        let kills = (0..100).take_while(|nth| {
            let summaries = InTurn::new(vec![message(Some("It was Paris."))]);
            let pair = Pair::with(by_what_is_said, summaries, AT_1000);
            let failpoint = format!("{point}={nth}*off->1*return");
            let killed = pair.agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
            if killed.status.success() {
                return false;
            }
            assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
            if !pair.agent.shown_so_far().is_empty() {
                assert_eq!(pair.agent.host(&["resume", "last"]).ok().stdout, "the end\n", "{point} at {nth}");
                assert_eq!(pair.summed_up_by("summary(2)"), "s");
                assert_eq!(pair.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
            }
            true
        });
        assert!(kills.count() >= 5, "{point}");
    }
}

#[test]
fn another_model_for_summaries_is_a_change_of_the_run() {
    let model = called(2, &[failing(401), completion(Some("the end"))]);
    let pair = Pair::new(model, vec![failing(401), message(Some("It was Paris."))], AT_1000);
    pair.agent.host(&["run"]).exits(4);
    let toml = std::fs::read_to_string(pair.agent.toml()).unwrap();
    std::fs::write(pair.agent.toml(), toml.replace("name = \"s\"", "name = \"t\"")).unwrap();
    let refused = pair.agent.host(&["resume", "last"]);
    refused.exits(6).says("the model for summaries");
    assert_eq!(pair.agent.host(&["resume", "last", "--accept-changes"]).ok().stdout, "the end\n");
    assert_eq!(pair.summed_up_by("summary(2)"), "t");
    assert_eq!(pair.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn a_request_without_a_model_for_summaries_is_recorded_as_it_always_was() {
    let pair =
        Pair::new(called(2, &[completion(Some("the end"))]), vec![message(Some("It was Paris."))], AT_1000);
    pair.agent.host(&["run"]).ok();
    let digest = |shown: &[Value], slot: &str| {
        let report = shown.iter().find(|report| report["slot"] == slot).unwrap();
        report["started"]["digest"].clone()
    };
    let with = pair.agent.show();
    let toml = std::fs::read_to_string(pair.agent.toml()).unwrap();
    let (start, end) = (toml.find("[model.summary]").unwrap(), toml.find("[limits]").unwrap());
    std::fs::write(pair.agent.toml(), format!("{}{}", &toml[..start], &toml[end..])).unwrap();
    // Its server goes on with the last answer.
    pair.agent.host(&["run"]).ok();
    let without = pair.agent.show();
    assert!(without[0]["started"]["request"]["run"].get("summary").is_none(), "{:#}", without[0]);
    assert_eq!(
        digest(&with, "model(0)"),
        digest(&without, "model(0)"),
        "a reply is not asked of another model"
    );
}
