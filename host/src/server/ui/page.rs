//! The shape of every page, and the headers that it comes with.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

use super::super::problem::Problem;
use super::super::tokens::Scope;
use super::door::Visit;
use crate::ui;

/// What a page may do: load its own style and scripts, and talk to the server that it came from.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What the library for swapping parts of pages may do: nothing that is written in a page is carried out as a script.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyEnabled":false}"#;
/// The header by which that library says that it asks for a part of a page.
const PART: &str = "hx-request";

/// Where a page stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Runs,
    Agents,
    Sessions,
    Costs,
    Other,
}

/// A page.
pub(super) fn page(visit: &Visit, tab: Tab, title: &str, body: &Markup) -> Response {
    let at = |of: Tab| (of == tab).then_some("page");
    let shown = html! {
        (head(title))
        body {
            a.skip href="#main" { "Skip to the page" }
            header.top {
                b { "host" }
                nav aria-label="Pages" {
                    a href="/ui" aria-current=[at(Tab::Runs)] { "Runs" }
                    @if visit.has_server { a href="/ui/agents" aria-current=[at(Tab::Agents)] { "Agents" } }
                    a href="/ui/sessions" aria-current=[at(Tab::Sessions)] { "Sessions" }
                    a href="/ui/costs" aria-current=[at(Tab::Costs)] { "Costs" }
                }
                @if visit.has_entered {
                    form method="post" action="/ui/logout" {
                        (visit.csrf())
                        span.soft { (ui::line(&visit.caller.0.name)) " " }
                        button type="submit" { "Leave" }
                    }
                } @else if !visit.caller.0.has(Scope::Decide) { span.soft { "read-only" } }
            }
            main id="main" { (body) }
        }
    };
    shown_as(StatusCode::OK, &shown)
}

/// What a page is called in the browser.
pub(super) fn titled(title: &str) -> Markup {
    html! { title { (ui::line(title)) " · host" } }
}

fn head(title: &str) -> Markup {
    let asset = |name: &str| format!("/ui/assets/{}/{name}", *ui::VERSION);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                (titled(title))
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(asset("ui.css"));
                script defer src=(asset("htmx.js")) {}
                script defer src=(asset("sse.js")) {}
                script defer src=(asset("ui.js")) {}
            }
        }
    }
}

/// A page without the way to others, for whoever is not let in.
pub(super) fn bare(status: StatusCode, title: &str, body: &Markup) -> Response {
    let shown = html! { (head(title)) body { main id="main" { h1 { (title) } (body) } } };
    shown_as(status, &shown)
}

/// A part of a page.
pub(super) fn part(body: &Markup) -> Response {
    shown_as(StatusCode::OK, body)
}

/// Whether a part of a page is asked for, and not the page.
pub(super) fn is_part(headers: &HeaderMap) -> bool {
    headers.contains_key(PART)
}

/// A problem as a page. Who is there is not known here, and every page asks for that itself. What it is about may be somebody's text.
pub(super) fn problem(problem: &Problem) -> Response {
    let (status, title, detail, help) = problem.told();
    let body = html! {
        p.trouble { (ui::block(detail)) }
        @if let Some(help) = help { p { (ui::block(help)) } }
        nav aria-label="Pages" {
            a href="/ui" { "Runs" } a href="/ui/agents" { "Agents" } a href="/ui/sessions" { "Sessions" } a href="/ui/costs" { "Costs" }
        }
    };
    bare(status, title, &body)
}

fn shown_as(status: StatusCode, shown: &Markup) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, kind, shown.0.clone()).into_response()
}

/// Gives every answer the headers that keep a page to itself, and a problem the form of a page.
pub(super) async fn secured(response: Response) -> Response {
    let mut response = match response.extensions().get::<Problem>() {
        Some(said) => problem(said),
        None => response,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
