//! What every request has to pass: the name that it is sent to, the page that it comes from, whose it is, and how many
//! there are.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::RwLock;
use percent_encoding::percent_decode;

use super::Server;
use super::problem::{Kind, Problem};
use super::settings::Settings;
use super::tokens::{Grant, Opened, Scope, Token, Tokens};
use crate::message::Digest;

/// The header in which a command on the machine of the server says who speaks. Its value is percent-encoded.
pub(crate) const BY_HEADER: &str = "host-by";
/// The headers that can have one value alone.
const ONCE: [&str; 7] =
    ["host", "origin", "authorization", "content-type", "idempotency-key", "last-event-id", BY_HEADER];
/// The longest name of a user that systems take has 256 bytes.
const BY_BYTES_MAX: usize = 256;

/// What a request has to pass.
pub(super) struct Guard {
    tokens: RwLock<Tokens>,
    names: RwLock<Names>,
    rates: RwLock<Rates>,
}

/// How often which token sends requests.
struct Rates {
    per_minute: u32,
    limiter: Arc<DefaultKeyedRateLimiter<String>>,
}

impl Rates {
    fn of(per_minute: u32) -> Self {
        let minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        Self { per_minute, limiter: Arc::new(RateLimiter::keyed(Quota::per_minute(minute))) }
    }
}

/// Whose request has passed.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    pub(super) grant: Grant,
    /// Is there as long as the token counts, by which the request was let in.
    pub(super) counts: Weak<Grant>,
}

impl Passed {
    /// Somebody with what is granted, as long as that counts.
    pub(super) fn of(grant: &Arc<Grant>) -> Self {
        Self { grant: Grant::clone(grant), counts: Arc::downgrade(grant) }
    }
}

/// The names that the server goes by.
struct Names {
    /// The name of an address says nothing where every address is listened at.
    listen: SocketAddr,
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Guard {
    pub(super) fn new(settings: &Settings, own: Token, listen: SocketAddr) -> Self {
        let names = RwLock::new(Names::of(settings, listen));
        let tokens = RwLock::new(Tokens::new(settings.tokens.clone(), own));
        Self { tokens, names, rates: RwLock::new(Rates::of(settings.requests_per_minute)) }
    }

    /// Goes by other settings from now on.
    pub(super) fn renew(&self, settings: &Settings) {
        let mut tokens = self.tokens.write();
        *tokens = tokens.renewed(settings.tokens.clone());
        let mut names = self.names.write();
        *names = Names::of(settings, names.listen);
        let mut rates = self.rates.write();
        // What was counted goes on to count where the bound is the same.
        if rates.per_minute != settings.requests_per_minute {
            *rates = Rates::of(settings.requests_per_minute);
        }
    }

    /// Lets a request of a program pass, which has its token where it has the key of a provider: `own` is the digest of the
    /// token of its run.
    pub(super) fn pass_program(&self, request: &Request, own: Digest) -> Result<Passed, Problem> {
        let headers = request.headers();
        once(headers)?;
        self.admit(request)?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text("authorization").and_then(|it| it.split_once(' ')).map(|(_, token)| token.trim());
        let mut query = request.uri().query().unwrap_or_default().split('&');
        let key = query.find_map(|pair| pair.strip_prefix("key="));
        let given = [bearer, text("x-api-key"), text("x-goog-api-key"), key];
        let tokens = self.tokens.read();
        let mut passed = None;
        for token in given.into_iter().flatten() {
            if Digest::of(token.as_bytes()) == own {
                let (name, scopes) = ("the program of the run".to_owned(), vec![Scope::Run]);
                let grant = Arc::new(Grant { name, scopes, agents: None });
                return Ok(Passed { grant: Grant::clone(&grant), counts: Weak::new() });
            }
            let opened = tokens.opened_by(Some(&format!("Bearer {token}")));
            passed = passed.or(opened.map(|opened| Arc::clone(opened.grant())));
        }
        let passed = passed.or_else(|| Some(Arc::clone(tokens.opened_by(None)?.grant())));
        let grant = passed.ok_or_else(|| without_token(headers))?;
        Ok(Passed { grant: Grant::clone(&grant), counts: Arc::downgrade(&grant) })
    }

    /// Lets a request for a page come: from whom, is not known yet.
    pub(super) fn admit_page(&self, request: &Request) -> Result<(), Problem> {
        once(request.headers())?;
        self.admit(request)
    }

    /// What anybody may do who reaches the server; `None` if there are tokens.
    pub(super) fn open(&self) -> Option<Passed> {
        let tokens = self.tokens.read();
        tokens.opened_by(None).map(|opened| Passed::of(opened.grant()))
    }

    /// What a token opens.
    pub(super) fn opened_by(&self, token: &str) -> Option<Passed> {
        let tokens = self.tokens.read();
        tokens.opened_by(Some(&format!("Bearer {token}"))).map(|opened| Passed::of(opened.grant()))
    }

    /// The port that is listened at.
    pub(super) fn port(&self) -> u16 {
        self.names.read().listen.port()
    }

    /// Counts a request of somebody's; an error if they send too many.
    pub(super) fn count(&self, grant: &Grant) -> Result<(), Problem> {
        let rates = Arc::clone(&self.rates.read().limiter);
        let Err(early) = rates.check_key(&grant.name) else { return Ok(()) };
        let wait = early.wait_time_from(governor::clock::Clock::now(rates.clock()));
        let detail = format!("{} sends more requests than `requests_per_minute` allows", grant.name);
        Err(Problem::new(Kind::TooMany, detail).retry_after(wait.as_secs() + 1))
    }

    /// An error if the request is not sent to this server, or from a page of somebody else's.
    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let authority = request.uri().authority().map(Authority::as_str).or_else(|| text(header::HOST));
        self.names.read().admit(authority, text(header::ORIGIN))
    }

    fn pass(&self, request: &Request) -> Result<Passed, Problem> {
        let headers = request.headers();
        once(headers)?;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        self.admit(request)?;
        let tokens = self.tokens.read();
        let opened = tokens.opened_by(text(header::AUTHORIZATION));
        let opened = opened.ok_or_else(|| without_token(headers))?;
        let grant = opened.grant();
        self.count(grant)?;
        let counts = Arc::downgrade(grant);
        let grant = match (&opened, headers.get(BY_HEADER)) {
            (Opened::Own(_), Some(by)) => Grant { name: speaker(by)?, ..Grant::clone(grant) },
            (Opened::Given(_), Some(_)) => {
                let detail = format!("only commands on the machine of the server may send {BY_HEADER}");
                return Err(Problem::new(Kind::Forbidden, detail).at(format!("header {BY_HEADER}")));
            }
            (Opened::Own(_) | Opened::Given(_), None) => Grant::clone(grant),
        };
        Ok(Passed { grant, counts })
    }
}

/// An error if it is said twice who sends a request, where to, or what it is known by: whoever hands it on may go by the
/// one, and the server by the other.
fn once(headers: &HeaderMap) -> Result<(), Problem> {
    let twice = ONCE.iter().find(|name| headers.get_all(**name).iter().nth(1).is_some());
    let Some(name) = twice else { return Ok(()) };
    Err(Problem::new(Kind::Malformed, "the header is sent twice").at(format!("header {name}")))
}

/// Who speaks through a command on this machine, by the name that the system has for them.
fn speaker(by: &HeaderValue) -> Result<String, Problem> {
    let name = percent_decode(by.as_bytes()).decode_utf8().ok();
    let name =
        name.filter(|name| (1..=BY_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control));
    let detail = format!("a name has 1 to {BY_BYTES_MAX} bytes of UTF-8, percent-encoded");
    let unfit = || Problem::new(Kind::Malformed, detail).at(format!("header {BY_HEADER}"));
    Ok(name.ok_or_else(unfit)?.into_owned())
}

fn without_token(headers: &HeaderMap) -> Problem {
    let detail = if headers.contains_key(header::AUTHORIZATION) {
        "no token of this server is in the header `Authorization`"
    } else {
        "the request has no header `Authorization`"
    };
    Problem::new(Kind::Unauthenticated, detail)
        .at("header Authorization")
        .help("send `Authorization: Bearer TOKEN`; `host token` makes a token")
}

impl Names {
    fn of(settings: &Settings, listen: SocketAddr) -> Self {
        Self { listen, hosts: settings.hosts.clone(), origins: settings.origins.clone() }
    }

    /// Whether a request may come to a name, and from a page. A page of anybody's that a browser shows can have its
    /// own name lead to this machine, and send requests there; it cannot choose the name that they are sent to.
    fn admit(&self, host: Option<&str>, origin: Option<&str>) -> Result<(), Problem> {
        // A host is a name, and a port that there can be.
        let has_port = |it: &Authority| it.port_u16().is_some() || it.as_str() == it.host();
        let is_host = |it: &Authority| !it.as_str().contains('@') && has_port(it);
        let named = host.and_then(|host| host.parse::<Authority>().ok()).filter(is_host);
        let Some(authority) = named else {
            let detail = "the request does not say which host it is for";
            return Err(Problem::new(Kind::Malformed, detail).at("header Host"));
        };
        if !self.is_own(&authority) {
            let detail = format!("this server does not go by the name {}", authority.host());
            let help = "use the address that it listens at, or name it under `hosts` in host.toml";
            return Err(Problem::new(Kind::Forbidden, detail).at("header Host").help(help));
        }
        match origin {
            Some(origin) if !self.is_own_origin(origin, &authority) => {
                let detail = format!("pages of {origin} may not use this server");
                let help = "name the origin under `origins` in host.toml";
                Err(Problem::new(Kind::Forbidden, detail).at("header Origin").help(help))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn is_own(&self, authority: &Authority) -> bool {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if self.hosts.iter().any(|it| *it == host || it == authority.as_str()) {
            return true;
        }
        match host.parse::<IpAddr>() {
            // A name that is an address leads nowhere else.
            Ok(address) => address == self.listen.ip() || self.listen.ip().is_unspecified(),
            Err(_) => {
                host == "localhost" && (self.listen.ip().is_loopback() || self.listen.ip().is_unspecified())
            }
        }
    }

    fn is_own_origin(&self, origin: &str, authority: &Authority) -> bool {
        let of_server =
            origin.split_once("://").is_some_and(|(_, host)| host.eq_ignore_ascii_case(authority.as_str()));
        of_server || self.origins.iter().any(|it| it == origin)
    }
}

/// Lets a request pass, with what its sender may do.
pub(super) async fn pass(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    match server.guard.pass(&request) {
        Ok(passed) => {
            request.extensions_mut().insert(passed);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listen: &str) -> Names {
        let listen = listen.parse().unwrap_or_else(|_| ([127, 0, 0, 1], 8080).into());
        let (hosts, origins) =
            (vec!["agents.example.com".to_owned()], vec!["https://console.example.com".to_owned()]);
        Names { listen, hosts, origins }
    }

    #[test]
    fn a_name_that_is_not_its_own_is_refused() {
        let local = names("127.0.0.1:8080");
        for host in [
            "127.0.0.1:8080",
            "127.0.0.1",
            "localhost:8080",
            "LOCALHOST",
            "agents.example.com",
            "Agents.example.com:443",
        ] {
            assert!(local.admit(Some(host), None).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8080",
            "169.254.169.254",
            "::1",
            "",
            "a b",
            "ada@127.0.0.1:8080",
            "127.0.0.1:99999999",
            "127.0.0.1.",
            "0177.0.0.1",
            "2130706433",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(local.admit(Some(host), None).is_err(), "{host}");
        }
        assert!(local.admit(None, None).is_err());
        let everywhere = names("0.0.0.0:8080");
        for host in ["10.1.2.3:8080", "localhost", "[2001:db8::1]:8080"] {
            assert!(everywhere.admit(Some(host), None).is_ok(), "{host}");
        }
        assert!(everywhere.admit(Some("evil.example"), None).is_err());
        assert!(names("[::1]:8080").admit(Some("[::1]:8080"), None).is_ok());
    }

    #[test]
    fn a_page_from_elsewhere_is_refused() {
        let local = names("127.0.0.1:8080");
        for origin in ["http://127.0.0.1:8080", "https://console.example.com"] {
            assert!(local.admit(Some("127.0.0.1:8080"), Some(origin)).is_ok(), "{origin}");
        }
        for origin in [
            "null",
            "http://127.0.0.1:9090",
            "http://localhost:8080",
            "https://console.example.com.evil.example",
            "",
        ] {
            assert!(local.admit(Some("127.0.0.1:8080"), Some(origin)).is_err(), "{origin}");
        }
    }
}
