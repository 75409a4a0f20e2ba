//! What somebody does on a page: a form, which becomes a request to the API, with what they may do.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde_json::{Value, json};
use tower_service::Service as _;

use super::super::guard::Passed;
use super::super::problem::{Kind, Problem};
use super::super::tokens::Scope;
use super::door::{Visit, filled};
use super::page::{Tab, page};
use super::read::Read;
use super::run::may;
use super::{Site, State};
use crate::engine::timeline::{Span, Stand};
use crate::message::{Outcome, Request as Asked, Slot, Step, ToolOutcome, visible_json};
use crate::session::{Waiting, Wants};
use crate::ui;

/// The longest answer of the API that is shown.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What a run waits for, each with what can be said to it.
pub(super) fn waits(site: &Site, visit: &Visit, read: &Read) -> Markup {
    waiting(may(site, visit, Scope::Decide), visit, read.summary.run, read.known.waiting())
}

/// The same, of somebody who may or may not say something.
pub(super) fn waiting(may: bool, visit: &Visit, run: crate::message::RunId, waiting: &[Waiting]) -> Markup {
    html! {
        @for Waiting { slot, request, wants, .. } in waiting {
            @if let Asked::Tool(ask) | Asked::Approval(ask) = request {
                @let call = slot.approved().unwrap_or_else(|| slot.clone());
                div.card.ask {
                    h3 {
                        @match wants {
                            Wants::Approval => "Waits for approval: ",
                            Wants::Answer => "Waits for an answer: ",
                            Wants::Settlement => "In doubt, because the host died in the middle of it: ",
                            Wants::Moment(_) => "Waits for a moment: ",
                        }
                        (ui::line(&ask.name)) " " small { (call) }
                    }
                    @let input = ask.arguments.as_written();
                    (ui::json(input))
                    @if may { div.actions { (say(visit, run, &call, *wants, input)) } }
                }
            }
        }
    }
}

fn say(visit: &Visit, run: crate::message::RunId, slot: &Slot, wants: Wants, input: &str) -> Markup {
    let act = |name: &str| format!("/ui/runs/{run}/{name}");
    let slot = html! { (visit.csrf()) input type="hidden" name="slot" value=(slot); };
    match wants {
        Wants::Approval => html! {
            form method="post" action=(act("approve")) data-sure="Allow this call?" {
                (slot) button.do type="submit" { "Approve" }
            }
            details { summary { "Approve with another input" }
                form.fields method="post" action=(act("approve")) {
                    (slot)
                    label { "Input (JSON)" textarea name="input" required { (visible_json(input)) } }
                    label { span { input type="checkbox" name="always" value="true"; " and make the very same call unasked from now on" } }
                    p { button.do type="submit" { "Approve this input" } }
                }
            }
            details { summary { "Deny" }
                form.fields method="post" action=(act("deny")) {
                    (slot)
                    label { "Why, for the model to read" input name="reason" maxlength="2000"; }
                    p { button.danger type="submit" { "Deny" } }
                }
            }
        },
        Wants::Answer => html! {
            form.fields method="post" action=(act("answer")) {
                (slot)
                label { "Answer" textarea name="text" required {} }
                p { button.do type="submit" { "Answer" } }
            }
        },
        Wants::Settlement => html! {
            form method="post" action=(act("settle")) data-sure="Make the call again? It may take effect twice." {
                (slot) input type="hidden" name="how" value="retry"; button type="submit" { "Make it again" }
            }
            form method="post" action=(act("settle")) data-sure="Count the call as failed?" {
                (slot) input type="hidden" name="how" value="failed"; button.danger type="submit" { "It failed" }
            }
            details { summary { "It came to something" }
                form.fields method="post" action=(act("settle")) {
                    (slot) input type="hidden" name="how" value="result";
                    label { "Output (JSON)" textarea name="result" required {} }
                    p { button.do type="submit" { "That is what it came to" } }
                }
            }
        },
        Wants::Moment(_) => html! {},
    }
}

/// What can be done at one place of a run.
pub(super) fn at(site: &Site, visit: &Visit, read: &Read, span: &Span<'_>) -> Markup {
    let Some(slot) = span.slot() else { return html! {} };
    let here: Vec<Waiting> = read
        .known
        .waiting()
        .iter()
        .filter(|it| it.slot == *slot || it.slot.approved().as_ref() == Some(slot))
        .cloned()
        .collect();
    let output = match span.outcome() {
        Some(Outcome::Tool(ToolOutcome::Output(output))) => Some(output.as_str()),
        Some(_) | None => None,
    };
    let edited = match slot.steps() {
        [Step::Tool { .. }] if span.stand != Stand::Due => Some((
            "output",
            "Fork with another output of this call",
            "Output (JSON)",
            output.unwrap_or_default().to_owned(),
        )),
        [Step::Model { .. }] => span.reply().map(|reply| {
            let reply = serde_json::to_string_pretty(reply).unwrap_or_default();
            ("reply", "Fork with another reply of the model", "Reply, as it is recorded (JSON)", reply)
        }),
        _ => None,
    };
    html! {
        (waiting(may(site, visit, Scope::Decide), visit, read.summary.run, &here))
        @if let Some((name, summary, label, value)) = edited.filter(|_| may(site, visit, Scope::Admin)) {
            div.actions {
                details { summary { (summary) }
                    form.fields method="post" action=(format!("/ui/runs/{}/fork", read.summary.run)) {
                        (visit.csrf())
                        input type="hidden" name="slot" value=(slot);
                        label { (label) textarea name=(name) required { (visible_json(&value)) } }
                        p { button.do type="submit" { "Fork" } }
                    }
                }
            }
        }
    }
}

/// Something is done to a run.
pub(super) async fn on_run(
    axum::extract::State(site): State,
    visit: Visit,
    Path((run, act)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let passed = passed(&request)?;
    let form = filled(&site, request).await?;
    let body = body(&act, &form)?;
    let answer = asked(&site, passed, &format!("/runs/{run}/{act}"), &body).await?;
    match act.as_str() {
        "rerun" | "replay" => {
            let shown = html! {
                h1 { @if act == "rerun" { "The tool was called again" } @else { "The run was gone through again" } }
                p { (found(&act, &answer)) }
                (ui::json(&answer.to_string()))
                p { a href=(format!("/ui/runs/{run}")) { "Back to the run" } }
            };
            Ok(page(&visit, Tab::Runs, &act, &shown))
        }
        _ => Ok(to_run(&answer, &run)),
    }
}

/// What came of a replay, or of calls that were made again, in a sentence.
fn found(act: &str, answer: &Value) -> String {
    let count = |name: &str| answer.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    if act == "replay" {
        let is_same = answer.get("ok").and_then(Value::as_bool).unwrap_or_default();
        return if is_same { "It came to the same." } else { "It did not come to the same." }.to_owned();
    }
    let same = answer.get("same").and_then(Value::as_u64).unwrap_or_default();
    match count("different") {
        0 => format!("Calls that came to the same: {same}. No call came to something else."),
        different => format!("Calls that came to something else: {different}. To the same: {same}."),
    }
}

/// A run begins.
pub(super) async fn begin(
    axum::extract::State(site): State,
    Path(agent): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let passed = passed(&request)?;
    let form = filled(&site, request).await?;
    let mut body = json!({});
    for name in ["prompt", "session"] {
        if let Some(text) = form.get(name).filter(|text| !text.is_empty()) {
            body[name] = Value::from(text.as_str());
        }
    }
    let parameters = form.iter().filter_map(|(name, value)| Some((name.strip_prefix("parameter-")?, value)));
    let parameters: serde_json::Map<String, Value> = parameters
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            (name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.as_str().into()))
        })
        .collect();
    if !parameters.is_empty() {
        body["parameters"] = Value::Object(parameters);
    }
    let answer = asked(&site, passed, &format!("/agents/{}/runs", segment(&agent)), &body).await?;
    Ok(to_run(&answer, "last"))
}

/// A tool is called alone, in a run of its own.
pub(super) async fn call(
    axum::extract::State(site): State,
    visit: Visit,
    Path((agent, tool)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let form = filled(&site, request).await?;
    visit.caller.may_of(Scope::Run, &agent)?;
    let server = site.server().ok_or_else(cannot)?;
    let missing = || Problem::new(Kind::Missing, "no agent that is served has this tool").at("path");
    let loaded = server.agents.get(&agent).ok_or_else(missing)?;
    let name = loaded
        .agent
        .tools()
        .iter()
        .find(|entry| entry.spec.name == tool && !entry.hidden)
        .ok_or_else(missing)?;
    let arguments = super::agents::arguments(&form, name)?;
    let run = crate::message::RunId::new();
    let name = name.spec.name.clone();
    let programs = Arc::clone(&server.programs);
    programs.create(run, &loaded, format!("call {name}"), Arc::new(crate::engine::Unwatched)).await?;
    // Whoever asked sees it on the page of the run; it goes on if they leave.
    tokio::spawn(async move {
        let Some(program) = programs.known(run) else { return };
        if let Ok(mut calling) = program.desk.call(None, &name, arguments, None).await {
            // What it came to is recorded, well or not.
            let _ = calling.result().await;
            calling.delivered();
        }
        program.desk.end(crate::message::Ending::Answer("The call ended.".to_owned()));
    });
    Ok(Redirect::to(&format!("/ui/runs/{run}")).into_response())
}

fn cannot() -> Problem {
    Problem::new(Kind::Forbidden, "these pages can be looked at alone").help("use those of `host serve`")
}

fn passed(request: &Request) -> Result<Passed, Problem> {
    let passed = request.extensions().get::<Passed>().cloned();
    passed.ok_or_else(|| Problem::new(Kind::Unauthenticated, "nobody is known to send this"))
}

fn to_run(answer: &Value, or: &str) -> Response {
    let run = answer.get("run").and_then(Value::as_str).unwrap_or(or);
    Redirect::to(&format!("/ui/runs/{run}")).into_response()
}

/// The results that a fork can go on from in the place of what is recorded.
const EDITED: [&str; 2] = ["output", "reply"];

/// The body of a request to the API that a form says.
fn body(act: &str, form: &HashMap<String, String>) -> Result<Value, Problem> {
    let edited = EDITED.into_iter().find_map(|name| Some((name, form.get(name)?)));
    if let Some((name, text)) = edited.filter(|_| act == "fork") {
        return Ok(json!({ "edit": { "slot": form.get("slot"), name: read_json(text, name)? } }));
    }
    let (texts, values, words): (&[&str], &[&str], &[&str]) = match act {
        "approve" => (&["slot"], &["input"], &["always"]),
        "deny" => (&["slot", "reason"], &[], &[]),
        "answer" => (&["slot", "text"], &[], &[]),
        "settle" => (&["slot", "how"], &["result"], &[]),
        "resume" => (&[], &[], &["accept_changes"]),
        "cancel" => (&["reason"], &[], &[]),
        "fork" => (&["prompt"], &["turn"], &[]),
        "rerun" => (&["tool", "component"], &[], &["allow_effects"]),
        "replay" => (&[], &[], &[]),
        _ => return Err(Problem::new(Kind::Missing, "there is nothing like that to do").at("path")),
    };
    let mut body = serde_json::Map::new();
    let given = |name: &&&str| form.get(**name).is_some_and(|text| !text.is_empty());
    for name in texts.iter().filter(given) {
        body.insert((*name).to_owned(), form.get(*name).cloned().unwrap_or_default().into());
    }
    for name in values.iter().filter(given) {
        let text = form.get(*name).map(String::as_str).unwrap_or_default();
        body.insert((*name).to_owned(), read_json(text, name)?);
    }
    for name in words.iter().filter(given) {
        body.insert((*name).to_owned(), true.into());
    }
    Ok(Value::Object(body))
}

/// JSON that somebody typed. Its numbers are exact within what 64 bits hold.
pub(super) fn read_json(text: &str, name: &str) -> Result<Value, Problem> {
    serde_json::from_str(text).map_err(|error| {
        Problem::new(Kind::Malformed, format!("the field {name} is no JSON: {error}"))
            .help("go back, and correct it")
    })
}

/// Asks the API for something, as somebody who was let in.
async fn asked(site: &Site, passed: Passed, path: &str, body: &Value) -> Result<Value, Problem> {
    let behind = site.behind.as_ref().ok_or_else(cannot)?;
    let request = axum::http::Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(passed)
        .body(Body::from(body.to_string()))
        .map_err(|error| Problem::new(Kind::Malformed, error.to_string()))?;
    let response = behind.api.clone().call(request).await.unwrap_or_else(|never| match never {});
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Err(problem.clone());
    }
    let is_good = response.status() < StatusCode::BAD_REQUEST;
    let bytes = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| Problem::new(Kind::TooLarge, "the answer is too long to be shown"))?;
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if is_good { Ok(answer) } else { Err(Problem::new(Kind::Conflict, answer.to_string())) }
}

fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
