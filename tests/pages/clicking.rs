//! What somebody does on the pages, by clicking in a real browser.

use fantoccini::Locator;
use serde_json::json;

use super::browser::Browser;
use crate::approval::{ASK_NEW_YORK, asking};
use crate::serve::beginning::name;
use crate::serve::server::Server;
use crate::support::Agent;

/// A run that waits for approval, begun by a program.
fn begun(server: &Server, agent: &Agent) -> String {
    let run = server.post(&format!("/agents/{}/runs?wait=5m", name(agent)), &json!({})).is(202);
    run["run"].as_str().unwrap().to_owned()
}

/// Another output of the call than the guest gives.
const OTHER_OUTPUT: &str = r#"{"city": "New York", "country": "USA", "temperature_celsius": 1, "conditions": "snow", "humidity_percent": 1, "wind_kmh": 1}"#;

const STOPPED: [&str; 3] = ["queued", "running", "suspended"];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_begun_looked_at_and_approved() {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    browser.goto(&format!("{}/", server.url)).await;
    browser.says("There are no runs like that.").await;
    browser.client.find(Locator::LinkText("Agents")).await.unwrap().click().await.unwrap();
    browser.client.find(Locator::LinkText(&name(&agent))).await.unwrap().click().await.unwrap();
    browser.says("What it may reach").await;
    browser.open("Run it").await;
    browser.write("textarea[name=prompt]", "What is it like?").await;
    browser.click("form[action$='/run'] button").await;
    // It waits, and the page says so without being asked again.
    browser.says("Waits for approval: get_weather").await;
    browser.see("rect.waits").await;
    assert_eq!(browser.barriers().await, Vec::<String>::new());
    browser.picture("waits-1440").await;
    // A line leads to what is recorded there, and the keyboard goes on there.
    browser.click("[id='row-at-tool-0-1']").await;
    browser.says("San Francisco").await;
    browser.see("#panel:focus").await;
    assert_eq!(browser.barriers().await, Vec::<String>::new());
    browser.click("#panel [data-close]").await;
    browser.see("[id='row-at-tool-0-1']:focus").await;
    browser.click("[data-zoom=in]").await;
    let zoom = "return document.querySelector('.bars').style.getPropertyValue('--zoom')";
    assert_eq!(browser.client.execute(zoom, Vec::new()).await.unwrap(), "1.6");
    browser.click("[data-critical]").await;
    browser.click("[data-zoom=fit]").await;
    browser.click("[data-critical]").await;
    browser.click_and_confirm("#waits form[action$='/approve'] button").await;
    browser.says("answered").await;
    browser.says("Answered").await;
    assert!(!browser.text().await.contains("Waits for approval"));
    let run = server.get("/runs/last").ok();
    assert_eq!((&run["answer"], &run["prompt"]), (&json!("done"), &json!("What is it like?")));
    browser.picture("run-1440").await;
    for part in ["/chat", "/request/model-1", "/at/tool-0-0"] {
        browser.goto(&format!("{}/ui/runs/{}{part}", server.url, run["run"].as_str().unwrap())).await;
        assert_eq!(browser.barriers().await, Vec::<String>::new(), "{part}");
    }
    for path in ["/ui", "/ui/agents", "/ui/sessions", "/ui/costs"] {
        browser.goto(&format!("{}{path}", server.url)).await;
        assert_eq!(browser.barriers().await, Vec::<String>::new(), "{path}");
    }
    browser.picture("costs-1440").await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_says_what_becomes_of_calls() {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    // With another input, from the list of what waits.
    let run = begun(&server, &agent);
    browser.goto(&format!("{}/ui", server.url)).await;
    browser.open("Approve with another input").await;
    browser.write("textarea[name=input]", r#"{"city": "New"}"#).await;
    // Meanwhile the list has changed, and is asked for again: what is written stays.
    let other = begun(&server, &agent);
    browser.asks_twice("seen=").await;
    browser
        .client
        .find(Locator::XPath("//button[.='Approve this input']"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    browser.says("answered").await;
    server.post(&format!("/runs/{other}/cancel"), &json!({})).ok();
    server.once_not(&run, &STOPPED);
    let detail = server.get(&format!("/ui/runs/{run}/at/tool-0-0-approval")).body;
    let shown = server.get(&format!("/ui/runs/{run}/at/tool-0-0.approval")).body;
    assert!(shown.contains("With another input:") && !detail.contains("With another input:"), "{shown}");
    // No, and why.
    let run = begun(&server, &agent);
    browser.goto(&format!("{}/ui/runs/{run}", server.url)).await;
    browser.open("Deny").await;
    browser.write("input[name=reason]", "not today").await;
    browser.click("form[action$='/deny'] button").await;
    browser.says("answered").await;
    let shown = server.get(&format!("/ui/runs/{run}")).body;
    assert!(shown.contains("not approved") && shown.contains("not today"), "{shown}");
    // What somebody else decides is seen, in all parts of the page.
    let run = begun(&server, &agent);
    browser.goto(&format!("{}/ui/runs/{run}", server.url)).await;
    browser.says("Waits for approval").await;
    server.post(&format!("/runs/{run}/cancel"), &json!({})).ok();
    browser.says("Verify by a replay").await;
    browser.is_called("cancelled").await;
    assert!(!browser.text().await.contains("Waits for approval"));
    // Nothing more of it.
    let run = begun(&server, &agent);
    browser.goto(&format!("{}/ui/runs/{run}", server.url)).await;
    browser.open("Cancel").await;
    browser.write("form[action$='/cancel'] input[name=reason]", "no use").await;
    browser.click_and_confirm("form[action$='/cancel'] button").await;
    browser.says("cancelled").await;
    assert!(server.get(&format!("/runs/{run}")).ok()["reason"].as_str().unwrap().contains("no use"));
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_forked_compared_and_called_again() {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    let agent = asking("");
    let server = Server::with_newer_component(&agent);
    let ran = server.post(&format!("/agents/{}/runs?wait=5m", name(&agent)), &json!({})).ok();
    let run = ran["run"].as_str().unwrap();
    let page = format!("{}/ui/runs/{run}", server.url);
    browser.goto(&page).await;
    browser.open("Fork").await;
    browser.write("form[action$='/fork'] input[name=turn]", "1").await;
    browser.write("form[action$='/fork'] textarea", "and now in words").await;
    browser.click("form[action$='/fork'] button").await;
    browser.says("and now in words").await;
    browser.says("answered").await;
    browser.says("of the run before").await;
    browser.picture("fork-1440").await;
    browser.client.find(Locator::LinkText("Compare")).await.unwrap().click().await.unwrap();
    browser.write("input[name=other]", run).await;
    browser.click("form[action='/ui/compare'] button").await;
    browser.says("what a person said in between").await;
    browser.says("are the same in both").await;
    assert_eq!(browser.barriers().await, Vec::<String>::new());
    browser.picture("compare-1440").await;
    // Another result of a call.
    browser.goto(&format!("{page}/at/tool-0-0")).await;
    browser.open("Fork with another output of this call").await;
    browser.write("textarea[name=output]", OTHER_OUTPUT).await;
    browser.click("form[action$='/fork'] button").await;
    browser.says("answered").await;
    // Another reply of the model.
    browser.goto(&format!("{page}/at/model-1")).await;
    browser.open("Fork with another reply of the model").await;
    let reply = "const field = document.querySelector('textarea[name=reply]'); \
                 field.value = field.value.replace('\"done\"', '\"quite another end\"'); return field.value";
    browser.client.execute(reply, Vec::new()).await.unwrap();
    browser.click("form[action$='/fork'] button").await;
    browser.says("quite another end").await;
    browser.goto(&page).await;
    browser.says("2 of ").await;
    browser.click("form[action$='/replay'] button").await;
    browser.says("gone through again").await;
    browser.goto(&page).await;
    browser.open("Call a tool again").await;
    browser.write("input[name=tool]", "get_weather").await;
    browser.click("form[action$='/rerun'] select option:last-child").await;
    browser.click("form[action$='/rerun'] button").await;
    browser.says("The tool was called again").await;
    browser.says("same").await;
    // A tool alone, by a form that its schema makes.
    browser.goto(&format!("{}/ui/agents/{}", server.url, name(&agent))).await;
    browser.open("Call it").await;
    browser.write("[name=field-city]", "New York").await;
    browser.click("form[action$='/call/get_weather'] button").await;
    browser.says("call get_weather").await;
    browser.says("answered").await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_seen_in_the_dark_and_on_a_telephone_and_as_a_file() {
    let Some(browser) = Browser::new(true, 500).await else { return };
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let run = begun(&server, &agent);
    browser.client.set_window_size(390, 900).await.unwrap();
    for (path, picture) in [("/ui".to_owned(), "runs-390-dark"), (format!("/ui/runs/{run}"), "run-390-dark")]
    {
        browser.goto(&format!("{}{path}", server.url)).await;
        browser.says("Waits for").await;
        assert_eq!(browser.barriers().await, Vec::<String>::new(), "{path}");
        browser.picture(picture).await;
    }
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.goto("about:blank").await;
    server.kill();
    agent.host(&["runs", "export", "last", "--html", "-o", "run.html"]).ok();
    browser.goto(&format!("file://{}", agent.dir.path().join("run.html").display())).await;
    browser.see(".tools:not([hidden])").await;
    browser.click("[id='row-at-tool-0-1']").await;
    browser.see(".panel:target").await;
    browser.says("San Francisco").await;
    assert_eq!(browser.barriers().await, Vec::<String>::new());
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.picture("file-390-dark").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_is_scrolled_as_if_all_of_it_were_there() {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    let calls: Vec<String> =
        (0..900).map(|n| format!("{{ name = \"get_weather\", input = {{ city = \"{n}\" }} }}")).collect();
    let turn = |calls: &[String]| format!("[[reply]]\ncalls = [{}]\n", calls.join(", "));
    let script = format!("{}[[reply]]\ntext = \"done\"\n", turn(&calls));
    let agent = Agent::scripted(&script).guest("weather").table("[limits]\nmax_calls_per_turn = 1000");
    agent.host(&["run"]).ok();
    let server = Server::of(&agent);
    browser.goto(&format!("{}/ui/runs/last", server.url)).await;
    browser.see(".timeline.long tr.space").await;
    let rows = "return document.querySelectorAll('tr.line').length";
    assert_eq!(browser.client.execute(rows, Vec::new()).await.unwrap(), 150);
    // To the middle, to the end, and back.
    for (part, slot) in [(0.5, "tool-0-450"), (1.0, "model-1"), (0.0, "tool-0-0")] {
        let scroll = "const box = document.querySelector('.timeline.long'); box.scrollTop = arguments[0] * box.scrollHeight;";
        browser.client.execute(scroll, vec![json!(part)]).await.unwrap();
        browser.see(&format!("[id='row-at-{slot}']")).await;
        let seen = format!(
            "const row = document.getElementById('row-at-{slot}').getBoundingClientRect(), \
             box = document.querySelector('.timeline.long').getBoundingClientRect(); \
             return row.bottom > box.top && row.top < box.bottom"
        );
        assert_eq!(browser.client.execute(&seen, Vec::new()).await.unwrap(), true, "{slot}");
        assert!(browser.client.execute(rows, Vec::new()).await.unwrap().as_u64().unwrap() <= 150);
    }
    // What is beside it comes for a line that was not there at first, and the critical ones are found among all.
    browser.click("[data-critical]").await;
    browser.see("tr.line.critical [id='row-at-model-1']").await;
    assert_eq!(browser.client.execute(rows, Vec::new()).await.unwrap(), 5);
    browser.click("[id='row-at-model-1']").await;
    browser.see("#panel:focus").await;
    assert_eq!(browser.barriers().await, Vec::<String>::new());
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.end().await;
}

/// Whoever looks at the beginning of a long run is left there while it goes on, and finds its end further down.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_goes_on_below_what_somebody_looks_at() {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    let calls: Vec<String> =
        (0..400).map(|n| format!("{{ name = \"get_weather\", input = {{ city = \"{n}\" }} }}")).collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"done\"\n", calls.join(", "));
    let agent = Agent::scripted(&script)
        .guest("weather")
        .table("[limits]\nmax_calls_per_turn = 400")
        .table("[[approval.ask]]\ntool = \"get_weather\"\ninput = { city = \"399\" }");
    let server = Server::of(&agent);
    let run = begun(&server, &agent);
    browser.goto(&format!("{}/ui/runs/{run}", server.url)).await;
    // A run that goes on is looked at from its end.
    browser.see("[id='row-at-tool-0-399.approval']").await;
    let scroll = "const box = document.querySelector('.timeline.long'); box.scrollTop = arguments[0] * box.scrollHeight;";
    browser.client.execute(scroll, vec![json!(0)]).await.unwrap();
    browser.see("[id='row-at-tool-0-0']").await;
    server.post(&format!("/runs/{run}/approve"), &json!({})).taken();
    browser.says("answered").await;
    browser.says("Answered").await;
    browser.see("[id='row-at-tool-0-0']").await;
    browser.client.execute(scroll, vec![json!(1)]).await.unwrap();
    browser.see("[id='row-at-model-1']").await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.end().await;
}
