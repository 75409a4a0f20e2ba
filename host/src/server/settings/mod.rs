//! host.toml: what belongs to the server and to no agent, read once and checked whole.

mod raw;
mod webhooks;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use toml::Spanned;

use super::connections::Patience;
use super::queue::Bounds;
use super::tokens::{Grant, Token};
use super::webhooks::Webhook;
use crate::document::{ConfigError, Problem, quote, read, read_text, schema_of, units};
use crate::sandbox::INSTANCES;

/// Where the server listens by default: this machine alone reaches it.
const LISTEN: &str = "127.0.0.1:8080";
/// A larger host.toml is surely not one.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Enough to keep the processor busy where models are waited for, and the pool of instances has room for all of them.
const RUNS_MAX: usize = 256;
const RUNS_PER_AGENT_MAX: usize = 128;
/// A run that waits costs about a kilobyte of memory.
const QUEUED_MAX: usize = 10_000;
/// An agent that is flooded leaves the others half of the queue.
const QUEUED_PER_AGENT_MAX: usize = 5_000;
/// Nobody writes so far ahead in one conversation.
const QUEUED_PER_SESSION_MAX: usize = 100;
const SCHEDULED_MAX: usize = 100_000;
/// More than a machine that runs agents is likely to need; each costs some kilobytes.
const CONNECTIONS_MAX: usize = 4096;
/// A connection that waits for nothing can still be had.
const WAITS_MAX: usize = 2048;
/// Enough to keep the processor busy. Each holds the whole record of a run.
const READS_MAX: usize = 8;
/// A few pictures fit.
const BODY_BYTES_MAX: u64 = 32 << 20;
const BODY_BYTES_LIMIT: u64 = 1 << 30;
const BODIES_BYTES_MAX: u64 = 256 << 20;
const BODIES_BYTES_LIMIT: u64 = 1 << 40;
/// Longer than a client keeps a connection that it means to use again.
const IDLE: Duration = Duration::from_mins(1);
/// Longer than a network stalls.
const UNREAD: Duration = Duration::from_mins(1);
/// What reads less of an answer in [`UNREAD`] holds it for holding's sake.
const READ_BYTES_MIN: u64 = 16 << 10;
const BODY_TIME: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_mins(10);
/// A request that waits longer than a day is lost on the way.
const WAIT_LIMIT: Duration = Duration::from_hours(24);
const REQUESTS_PER_MINUTE: u32 = 6_000;
const KEYS_KEPT: Duration = Duration::from_hours(24);
const KEPT_LIMIT: Duration = Duration::from_hours(24 * 3660);
const GRACE: Duration = Duration::from_secs(30);
const NAME_CHARS_MAX: usize = 64;

/// What a server goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where agents are: agent.toml files, directories that hold one, and directories of such directories.
    pub agents: Vec<PathBuf>,
    /// The names by which clients reach it, beside its address.
    pub hosts: Vec<String>,
    /// The origins of web pages that may use it, beside its own.
    pub origins: Vec<String>,
    /// How many instances may be alive at once that runs called. See [`crate::engine::Builder::instances`].
    pub instances: u32,
    /// The file that they were read from.
    pub(super) file: Option<PathBuf>,
    /// What of the file is settled when the server starts.
    pub(super) fixed: Fixed,
    /// Where the components are that recorded calls may be made again with.
    pub(super) components: Option<PathBuf>,
    pub(super) bounds: Bounds,
    pub(super) connections_max: usize,
    pub(super) waits_max: usize,
    pub(super) reads_max: usize,
    pub(super) body_bytes_max: u64,
    pub(super) bodies_bytes_max: u64,
    pub(super) patience: Patience,
    pub(super) body_time: Duration,
    pub(super) wait_max: Duration,
    pub(super) requests_per_minute: u32,
    pub(super) keys_kept: Duration,
    pub(super) keep: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) tls: Option<Tls>,
    pub(super) tokens: Vec<Token>,
    pub(super) webhooks: Vec<Webhook>,
}

/// What a file says that is settled when the server starts, before the command line had its say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    listen: SocketAddr,
    agents: Vec<PathBuf>,
    instances: u32,
    has_tls: bool,
}

impl Fixed {
    /// The keys of what differs.
    pub(super) fn differs_from(&self, other: &Self) -> Vec<&'static str> {
        let Self { listen, agents, instances, has_tls } = self;
        let differing = [
            ("listen", *listen != other.listen),
            ("agents", *agents != other.agents),
            ("limits.instances", *instances != other.instances),
            ("tls", *has_tls != other.has_tls),
        ];
        differing.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }
}

/// The files of a certificate and of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The JSON Schema of host.toml, derived from the types that read it.
#[must_use]
pub fn schema() -> Value {
    schema_of::<raw::HostToml>()
}

impl Default for Settings {
    fn default() -> Self {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
        Self {
            listen,
            agents: Vec::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            instances: INSTANCES,
            file: None,
            fixed: Fixed { listen, agents: Vec::new(), instances: INSTANCES, has_tls: false },
            bounds: Bounds {
                runs: RUNS_MAX,
                runs_per_agent: RUNS_PER_AGENT_MAX,
                queued: QUEUED_MAX,
                queued_per_agent: QUEUED_PER_AGENT_MAX,
                queued_per_session: QUEUED_PER_SESSION_MAX,
                scheduled: SCHEDULED_MAX,
            },
            connections_max: CONNECTIONS_MAX,
            waits_max: WAITS_MAX,
            reads_max: READS_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            bodies_bytes_max: BODIES_BYTES_MAX,
            patience: Patience { idle: IDLE, unread: UNREAD, read_bytes_min: READ_BYTES_MIN },
            body_time: BODY_TIME,
            wait_max: WAIT_MAX,
            components: None,
            requests_per_minute: REQUESTS_PER_MINUTE,
            keys_kept: KEYS_KEPT,
            keep: None,
            grace: GRACE,
            tls: None,
            tokens: Vec::new(),
            webhooks: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let help = "give the path of a host.toml";
        let text = read_text(path, FILE_BYTES_MAX)
            .map_err(|error| ConfigError::of_file(path, error.to_string(), help))?;
        let fail = |problems| ConfigError::of_text(path, &text, problems);
        let raw::HostToml { server } = read(&text, &schema(), "`host schema --server`").map_err(fail)?;
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut check = Check { directory, problems: Vec::new() };
        let settings = Settings { file: Some(path.to_owned()), ..check.server(server) };
        if check.problems.is_empty() { Ok(settings) } else { Err(fail(check.problems)) }
    }

    /// The same, but for what was settled when the server started.
    pub(super) fn fixed_as(self, started: &Self) -> Self {
        let Self { listen, agents, instances, fixed, tls, .. } = started;
        let (agents, fixed) = (agents.clone(), fixed.clone());
        // Where it speaks HTTPS, the certificate may be in other files by now.
        let tls = self.tls.filter(|_| tls.is_some()).or_else(|| tls.clone());
        Self { listen: *listen, agents, instances: *instances, fixed, tls, ..self }
    }

    /// Whether only this machine reaches the server.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.listen.ip().is_loopback()
    }
}

/// Collects problems, so that all of them are shown at once.
struct Check<'a> {
    directory: &'a Path,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn server(&mut self, raw: raw::Server) -> Settings {
        let raw::Server {
            listen,
            agents,
            hosts,
            origins,
            components,
            limits,
            keys_kept,
            keep,
            grace,
            tls,
            tokens,
            webhooks,
        } = raw;
        let limited = self.limits(limits);
        let keys_kept = self.time("keys_kept", keys_kept, KEYS_KEPT, KEPT_LIMIT);
        let grace = self.time("grace", grace, GRACE, WAIT_LIMIT);
        let keep = keep.map(|raw| self.duration("keep", &raw, KEPT_LIMIT));
        let absolute = |path: PathBuf| self.directory.join(path);
        let agents: Vec<PathBuf> = agents.into_iter().map(absolute).collect();
        let tls = tls.map(|raw::Tls { certificate, key }| Tls {
            certificate: absolute(certificate),
            key: absolute(key),
        });
        let hosts = hosts.iter().filter_map(|raw| self.host(raw)).collect();
        let origins = origins.iter().filter_map(|raw| self.origin(raw)).collect();
        let listen = listen.map_or(limited.listen, |raw| self.listen(&raw));
        let (instances, has_tls) = (limited.instances, tls.is_some());
        let fixed = Fixed { listen, agents: agents.clone(), instances, has_tls };
        let (tokens, webhooks) = (self.tokens(tokens), self.webhooks(webhooks));
        let components = components.map(absolute);
        let limited = Settings { components, keys_kept, keep, grace, tls, tokens, webhooks, ..limited };
        Settings { listen, agents, hosts, origins, fixed, ..limited }
    }

    /// The limits; the rest is as it is by default.
    fn limits(&mut self, raw: raw::Limits) -> Settings {
        let default = Settings::default();
        let raw::Limits {
            runs,
            runs_per_agent,
            queued,
            queued_per_agent,
            queued_per_session,
            scheduled,
            instances,
            connections,
            waits,
            reads,
            body,
            bodies,
            body_time,
            idle,
            unread,
            wait,
            requests_per_minute,
        } = raw;
        let bounds = Bounds {
            runs: runs.unwrap_or(RUNS_MAX),
            runs_per_agent: runs_per_agent.unwrap_or(RUNS_PER_AGENT_MAX),
            queued: queued.unwrap_or(QUEUED_MAX),
            queued_per_agent: queued_per_agent.unwrap_or(QUEUED_PER_AGENT_MAX),
            queued_per_session: queued_per_session.unwrap_or(QUEUED_PER_SESSION_MAX),
            scheduled: scheduled.unwrap_or(SCHEDULED_MAX),
        };
        let body_bytes_max = body.map_or(BODY_BYTES_MAX, |raw| self.bytes("body", &raw, BODY_BYTES_LIMIT));
        let bodies_bytes_max = match bodies {
            None => BODIES_BYTES_MAX.max(body_bytes_max),
            Some(raw) => {
                let bytes = self.bytes("bodies", &raw, BODIES_BYTES_LIMIT);
                if bytes < body_bytes_max {
                    let help = "let `bodies` be at least as much as `body`";
                    self.problem(raw.span(), "not even one body of the size that is allowed fits", help);
                }
                bytes
            }
        };
        let patience = Patience {
            idle: self.time("idle", idle, IDLE, WAIT_LIMIT),
            unread: self.time("unread", unread, UNREAD, WAIT_LIMIT),
            read_bytes_min: READ_BYTES_MIN,
        };
        Settings {
            instances: instances.unwrap_or(INSTANCES),
            bounds,
            connections_max: connections.unwrap_or(CONNECTIONS_MAX),
            waits_max: waits.unwrap_or(WAITS_MAX),
            reads_max: reads.unwrap_or(READS_MAX),
            body_bytes_max,
            bodies_bytes_max,
            body_time: self.time("body_time", body_time, BODY_TIME, WAIT_LIMIT),
            patience,
            wait_max: self.time("wait", wait, WAIT_MAX, WAIT_LIMIT),
            requests_per_minute: requests_per_minute.unwrap_or(REQUESTS_PER_MINUTE),
            ..default
        }
    }

    fn problem(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(span, message, help));
    }

    fn listen(&mut self, raw: &Spanned<String>) -> SocketAddr {
        raw.get_ref().parse().unwrap_or_else(|_| {
            let message = format!("\"{}\" is not an address and a port", quote(raw.get_ref()));
            self.problem(raw.span(), message, format!("write it as in \"{LISTEN}\" or \"[::1]:8080\""));
            Settings::default().listen
        })
    }

    fn host(&mut self, raw: &Spanned<String>) -> Option<String> {
        let host = raw.get_ref().to_ascii_lowercase();
        let is_name = !host.is_empty() && !host.contains(['/', '@', ' ', '*']) && !host.contains("://");
        if !is_name {
            let message = format!("\"{}\" is not the name of a host", quote(raw.get_ref()));
            self.problem(raw.span(), message, "write the name alone, as in \"agents.example.com\"");
            return None;
        }
        Some(host)
    }

    fn origin(&mut self, raw: &Spanned<String>) -> Option<String> {
        let parsed = url::Url::parse(raw.get_ref()).ok().map(|url| url.origin().ascii_serialization());
        let origin =
            parsed.filter(|origin| origin.trim_end_matches('/') == raw.get_ref().trim_end_matches('/'));
        if origin.is_none() {
            let message = format!("\"{}\" is not the origin of a web page", quote(raw.get_ref()));
            self.problem(raw.span(), message, "write scheme and host, as in \"https://console.example.com\"");
        }
        origin
    }

    fn tokens(&mut self, raw: Vec<raw::Token>) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::new();
        for raw::Token { name, sha256, scopes, agents } in raw {
            let chars = name.get_ref().chars().count();
            if !(1..=NAME_CHARS_MAX).contains(&chars) || name.get_ref().contains(char::is_control) {
                let help = format!("use 1 to {NAME_CHARS_MAX} characters, all on one line");
                self.problem(name.span(), "a token cannot be named so", help);
            }
            if tokens.iter().any(|token| token.grant.name == *name.get_ref()) {
                let help = "give each token a name of its own: what its owner decides is recorded with it";
                self.problem(name.span(), "two tokens have this name", help);
            }
            match sha256.get_ref().parse() {
                Ok(digest) if tokens.iter().any(|token| token.digest == digest) => {
                    let help = "make a token for each owner with `host token`: what they decide is recorded with their name";
                    self.problem(sha256.span(), "two owners have this token", help);
                }
                Ok(digest) => {
                    let grant = Arc::new(Grant { name: name.into_inner(), scopes, agents });
                    tokens.push(Token { digest, grant });
                }
                Err(_) => self.problem(
                    sha256.span(),
                    "this is not a SHA-256 digest",
                    "let `host token` make a token: it prints the lines for this file",
                ),
            }
        }
        tokens
    }

    fn time(&mut self, key: &str, raw: Option<Spanned<String>>, or: Duration, max: Duration) -> Duration {
        raw.map_or(or, |raw| self.duration(key, &raw, max))
    }

    fn duration(&mut self, key: &str, raw: &Spanned<String>, max: Duration) -> Duration {
        let ms = units::duration_ms(raw.get_ref(), max).unwrap_or_else(|error| {
            let message = format!("{key} = \"{}\" {error}", quote(raw.get_ref()));
            self.problem(raw.span(), message, units::duration_help("30s", max));
            0
        });
        Duration::from_millis(ms)
    }

    fn bytes(&mut self, key: &str, raw: &Spanned<String>, max: u64) -> u64 {
        units::bytes(raw.get_ref(), max).unwrap_or_else(|error| {
            let message = format!("{key} = \"{}\" {error}", quote(raw.get_ref()));
            self.problem(raw.span(), message, units::bytes_help("32MiB", max));
            0
        })
    }
}
