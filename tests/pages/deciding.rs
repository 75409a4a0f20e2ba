//! What a person says by clicking of runs that wait, are in doubt, or broke off.

use serde_json::json;

use super::browser::Browser;
use crate::attacks::Server as Service;
use crate::attempts::{in_a_request, report};
use crate::serve::beginning::name;
use crate::serve::server::Server;
use crate::support::{Agent, tool_output};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered() {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    let script = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Which?\" } }]\n\
                  [[reply]]\nexpect = [\"the blue one\"]\ntext = \"done\"\n";
    let agent = Agent::scripted(script).builtins(&["ask_human"]);
    let server = Server::of(&agent);
    server.post(&format!("/agents/{}/runs?wait=5m", name(&agent)), &json!({})).is(202);
    browser.goto(&format!("{}/ui", server.url)).await;
    browser.says("Which?").await;
    browser.write("form[action$='/answer'] textarea", "the blue one").await;
    browser.click("form[action$='/answer'] button").await;
    browser.says("answered").await;
    assert_eq!(server.get("/runs/last").ok()["answer"], "done");
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.end().await;
}

/// A run whose process was killed in the middle of a request: whether it arrived is not known.
fn in_doubt() -> (Agent, Service) {
    let (agent, service) = in_a_request();
    agent.run_until_killed(|| !service.requests().is_empty());
    (agent, service)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_doubt_is_settled() {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    for (how, count) in [("retry", 2), ("failed", 1), ("result", 1)] {
        let (agent, service) = in_doubt();
        let server = Server::of(&agent);
        browser.goto(&format!("{}/ui/runs/last", server.url)).await;
        browser.says("In doubt, because the host died in the middle of it: fetch").await;
        assert_eq!(browser.barriers().await, Vec::<String>::new(), "{how}");
        if how == "result" {
            browser.open("It came to something").await;
            browser.write("textarea[name=result]", r#"{"status":200,"body":"by hand"}"#).await;
            browser.click("form:has([name=result]) button").await;
        } else {
            browser.click_and_confirm(&format!("form:has([name=how][value={how}]) button")).await;
        }
        browser.says("answered").await;
        assert_eq!(service.requests().len(), count, "{how}");
        assert_eq!(browser.console().await, Vec::<String>::new());
        browser.goto("about:blank").await;
        server.kill();
        let shown = agent.show();
        assert_eq!(report(&shown, "tool(0,0)")["attempt"], count, "{how}");
        if how == "result" {
            assert_eq!(tool_output(&shown, "tool(0,0)")["body"], "by hand");
        }
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_broke_off_goes_on() {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    let agent = Agent::scripted("[[reply]]\nexpect = [\"something else\"]\ntext = \"never\"\n");
    agent.host(&["run", "agent.toml", "this"]);
    std::fs::write(agent.dir.path().join("script.toml"), "[[reply]]\ntext = \"done\"\n").unwrap();
    let server = Server::of(&agent);
    browser.goto(&format!("{}/ui", server.url)).await;
    browser.says("failed").await;
    browser.goto(&format!("{}/ui/runs/last", server.url)).await;
    browser.says("given up").await;
    browser.click_and_confirm("form[action$='/resume'] button").await;
    browser.says("answered").await;
    assert_eq!(server.get("/runs/last").ok()["answer"], "done");
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.end().await;
}
