//! Who may see the pages, and from where something may be done on them.
//!
//! A browser shows that it was let in by a cookie, which goes with no form of a page from elsewhere. Whatever changes
//! something carries a second secret, which stands in the page and which no other page can read. Where no tokens are
//! configured, everybody who reaches the server is let in, as the API lets them in, and the second secret is needed all
//! the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::{FromRequest as _, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use maud::{Markup, html};
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::Sha256;

use super::super::address::new_token;
use super::super::api::Caller;
use super::super::guard::Passed;
use super::super::problem::{Kind, Problem};
use super::{Site, State, page};
use crate::message::Digest;

/// How the cookie begins by which a browser is known again. The port follows: browsers send cookies to every port of a
/// machine, and another server there has one of its own.
const COOKIE: &str = "host_ui";
/// How long a browser is known.
const LET_IN: Duration = Duration::from_hours(12);
/// How long a key opens the door that is made for one visit.
const KEY_TIME: Duration = Duration::from_mins(1);
/// So many browsers are known at once; who was let in first has to come in again.
const BROWSERS_MAX: usize = 10_000;
/// The longest cookie that is looked at.
const COOKIE_BYTES_MAX: usize = 200;

/// Keys that open the door once each.
#[derive(Default)]
pub(in super::super) struct Keys(Mutex<HashMap<Digest, (Passed, Instant)>>);

impl Keys {
    /// A key that lets somebody in once, as what they may do.
    pub(in super::super) fn make(&self, passed: Passed) -> std::io::Result<String> {
        let (key, digest) = new_token()?;
        let mut keys = self.0.lock();
        keys.retain(|_, (_, until)| *until > Instant::now());
        keys.insert(digest, (passed, Instant::now() + KEY_TIME));
        Ok(key)
    }

    fn take(&self, key: &str) -> Option<Passed> {
        let (passed, until) = self.0.lock().remove(&Digest::of(key.as_bytes()))?;
        (until > Instant::now()).then_some(passed)
    }
}

/// Who was let in.
pub(super) struct Door {
    /// The name of the cookie.
    cookie: String,
    /// What the second secret of a browser is made with.
    secret: [u8; 64],
    browsers: Mutex<HashMap<Digest, (Passed, Instant)>>,
    keys: Arc<Keys>,
}

/// Whoever asks for a page.
pub(super) struct Visit {
    pub(super) caller: Caller,
    /// Whether they can leave again.
    pub(super) has_entered: bool,
    /// Whether something can be done on the pages.
    pub(super) has_server: bool,
    csrf: String,
}

/// What the browser is known by, and whether it came with it.
#[derive(Clone)]
struct Known {
    cookie: String,
    csrf: String,
    has_entered: bool,
    has_server: bool,
}

impl Door {
    pub(super) fn new(keys: Arc<Keys>, port: u16) -> Self {
        let mut secret = [0; 64];
        // Without random numbers nobody is let in who has to have a token; and what is made with this is no use then.
        let _ = getrandom::fill(&mut secret);
        Self { cookie: format!("{COOKIE}_{port}"), secret, browsers: Mutex::default(), keys }
    }

    /// The second secret of a browser.
    fn csrf(&self, cookie: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.secret.into());
        mac.update(cookie.as_bytes());
        mac
    }

    fn entered(&self, cookie: &str) -> Option<Passed> {
        let browsers = self.browsers.lock();
        let (passed, until) = browsers.get(&Digest::of(cookie.as_bytes()))?;
        let counts = *until > Instant::now() && passed.counts.strong_count() > 0;
        counts.then(|| passed.clone())
    }

    /// Lets somebody in; the cookie that they are known by from now on. It is a new one, so that nobody knows it who gave
    /// the browser another one before.
    fn let_in(&self, passed: Passed) -> Result<String, Problem> {
        let (cookie, digest) = new_token().map_err(|error| Problem::internal(&error))?;
        let mut browsers = self.browsers.lock();
        browsers.retain(|_, (passed, until)| *until > Instant::now() && passed.counts.strong_count() > 0);
        if browsers.len() >= BROWSERS_MAX {
            let first = browsers.iter().min_by_key(|(_, (_, until))| *until).map(|(digest, _)| *digest);
            first.map(|first| browsers.remove(&first));
        }
        browsers.insert(digest, (passed, Instant::now() + LET_IN));
        Ok(cookie)
    }
}

impl Visit {
    /// What every form carries.
    pub(super) fn csrf(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(self.csrf); }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let known = parts.extensions.get::<Known>().cloned();
        let nobody = || Problem::new(Kind::Unauthenticated, "nobody is known to ask for this page");
        let Known { csrf, has_entered, has_server, .. } = known.ok_or_else(nobody)?;
        Ok(Self { caller, has_entered, has_server, csrf })
    }
}

/// A form, of which the second secret was looked at.
pub(super) async fn filled(site: &Site, request: Request) -> Result<HashMap<String, String>, Problem> {
    let known = request.extensions().get::<Known>().cloned();
    let form = Form::<HashMap<String, String>>::from_request(request, &()).await;
    let Form(form) = form.map_err(|error| Problem::new(Kind::Malformed, error.body_text()))?;
    let given = form.get("csrf").map(String::as_str).unwrap_or_default();
    let is_right = known.is_some_and(|known| {
        let given = given.parse::<Digest>();
        given.is_ok_and(|given| site.door.csrf(&known.cookie).verify_slice(given.as_bytes()).is_ok())
    });
    if is_right {
        return Ok(form);
    }
    let problem =
        Problem::new(Kind::Forbidden, "this form does not come from a page of this server, or is too old");
    Err(problem.help("load the page again, and send the form from there"))
}

/// Lets a request come that is sent to this server, and not from a page of somebody else's.
pub(super) async fn admit(site: State, mut request: Request, next: Next) -> Response {
    if let Err(problem) = site.guard.admit_page(&request) {
        return problem.into_response();
    }
    let known = match known(&site, request.headers()) {
        Ok(known) => known,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(known.clone());
    with_cookie(&site, &known.cookie, next.run(request).await)
}

/// Lets a request pass to a page, with what its sender may do; or leads them to where they can say who they are.
pub(super) async fn pass(site: State, mut request: Request, next: Next) -> Response {
    if let Err(problem) = site.guard.admit_page(&request) {
        return problem.into_response();
    }
    let known = match known(&site, request.headers()) {
        Ok(known) => known,
        Err(problem) => return problem.into_response(),
    };
    let passed = site.door.entered(&known.cookie).or_else(|| site.guard.open());
    let Some(passed) = passed else {
        if *request.method() == Method::GET && !page::is_part(request.headers()) {
            return Redirect::to("/ui/login").into_response();
        }
        let problem = Problem::new(Kind::Unauthenticated, "nobody is known to ask for this");
        return problem.help("enter at /ui/login").into_response();
    };
    if let Err(problem) = site.guard.count(&passed.grant) {
        return problem.into_response();
    }
    request.extensions_mut().insert(passed);
    request.extensions_mut().insert(known.clone());
    with_cookie(&site, &known.cookie, next.run(request).await)
}

fn known(site: &Site, headers: &HeaderMap) -> Result<Known, Problem> {
    let given = cookie(&site.door.cookie, headers);
    let cookie = match given {
        Some(cookie) => cookie.to_owned(),
        None => new_token().map_err(|error| Problem::internal(&error))?.0,
    };
    let csrf = Digest::from_bytes(site.door.csrf(&cookie).finalize().into_bytes().into()).to_string();
    let has_entered = site.door.entered(&cookie).is_some();
    Ok(Known { cookie, csrf, has_entered, has_server: site.behind.is_some() })
}

fn cookie<'a>(own: &str, headers: &'a HeaderMap) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let plain = |text: &&str| {
        (1..=COOKIE_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    pairs.filter(|(name, _)| *name == own).map(|(_, value)| value).find(plain)
}

/// An answer that has the browser keep a cookie. It goes with requests from pages of this server alone.
fn with_cookie(site: &Site, cookie: &str, mut response: Response) -> Response {
    if response.headers().contains_key(header::SET_COOKIE) {
        return response;
    }
    let secure =
        if site.server().is_some_and(|server| server.settings().tls.is_some()) { "; Secure" } else { "" };
    let value = format!(
        "{}={cookie}; Path=/ui; HttpOnly; SameSite=Lax; Max-Age={}{secure}",
        site.door.cookie,
        LET_IN.as_secs()
    );
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// Where somebody says who they are.
pub(super) async fn form(site: State, request: Request) -> Response {
    if site.guard.open().is_some() {
        return Redirect::to("/ui").into_response();
    }
    let csrf = request.extensions().get::<Known>().map(|known| known.csrf.clone()).unwrap_or_default();
    login(StatusCode::OK, &csrf, None)
}

fn login(status: StatusCode, csrf: &str, wrong: Option<&str>) -> Response {
    let body = html! {
        @if let Some(wrong) = wrong { p.trouble role="alert" { (wrong) } }
        form.fields method="post" action="/ui/login" {
            input type="hidden" name="csrf" value=(csrf);
            label { "Token" input type="password" name="token" autocomplete="current-password" required autofocus; }
            p { button.do type="submit" { "Enter" } }
        }
        p.note { "A token of this server opens its pages, with what the token may do. `host token` makes one." }
    };
    page::bare(status, "Enter", &body)
}

/// Lets somebody in who has a token.
pub(super) async fn enter(site: State, request: Request) -> Result<Response, Problem> {
    let csrf = request.extensions().get::<Known>().map(|known| known.csrf.clone()).unwrap_or_default();
    let form = filled(&site, request).await?;
    let token = form.get("token").map(String::as_str).unwrap_or_default();
    let Some(passed) = site.guard.opened_by(token) else {
        return Ok(login(StatusCode::UNAUTHORIZED, &csrf, Some("No token of this server is like that.")));
    };
    let cookie = site.door.let_in(passed)?;
    Ok(with_cookie(&site, &cookie, Redirect::to("/ui").into_response()))
}

/// A key that opens the door once.
#[derive(Deserialize)]
pub(super) struct Key {
    key: String,
    #[serde(default)]
    to: String,
}

/// Lets somebody in who has a key for one visit.
pub(super) async fn enter_by_key(
    site: State,
    Query(Key { key, to }): Query<Key>,
) -> Result<Response, Problem> {
    let no_key = || {
        let problem =
            Problem::new(Kind::Unauthenticated, "this address opened the pages once, and does not any more");
        problem.help("type `host ui` again")
    };
    let passed = site.door.keys.take(&key).ok_or_else(no_key)?;
    let cookie = site.door.let_in(passed)?;
    // Only to a page of this server.
    let to =
        if to.parse::<crate::message::RunId>().is_ok() { format!("/ui/runs/{to}") } else { "/ui".to_owned() };
    Ok(with_cookie(&site, &cookie, Redirect::to(&to).into_response()))
}

/// Forgets who was let in.
pub(super) async fn leave(site: State, request: Request) -> Result<Response, Problem> {
    let cookie = request.extensions().get::<Known>().map(|known| known.cookie.clone()).unwrap_or_default();
    filled(&site, request).await?;
    site.door.browsers.lock().remove(&Digest::of(cookie.as_bytes()));
    Ok(Redirect::to("/ui/login").into_response())
}
