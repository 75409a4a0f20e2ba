//! The `[[server.webhooks]]` tables: who is told, of what, and whether that makes sense. Secrets are read with them, so
//! that one that cannot be had is shown with its place.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use url::{Host, Url};

use super::super::webhooks::{Key, Kind, Webhook};
use super::{Check, NAME_CHARS_MAX, raw};
use crate::document::{can_name_secret, quote};
use crate::grants::{SecretSource, read_secret};

/// Each has a task and connections of its own.
const WEBHOOKS_MAX: usize = 32;
/// One is in use, and receivers change from one or two others.
const OLD_SECRETS_MAX: usize = 3;
/// The waits that the Standard Webhooks specification recommends: three days.
const RETRY: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
const RETRIES_MAX: usize = 20;
/// The longest wait between two attempts.
const WAIT_LIMIT: Duration = Duration::from_hours(24);
/// The specification recommends 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(20);
const TIMEOUT_LIMIT: Duration = Duration::from_mins(1);

impl Check<'_> {
    pub(super) fn webhooks(&mut self, raw: Vec<raw::Webhook>) -> Vec<Webhook> {
        let mut webhooks: Vec<Webhook> = Vec::new();
        for (index, webhook) in raw.into_iter().enumerate() {
            if index == WEBHOOKS_MAX {
                let help = "let one receiver hand on what it is told";
                let message = format!("there are more than {WEBHOOKS_MAX} webhooks");
                self.problem(webhook.url.span(), message, help);
                break;
            }
            let at = webhook.name.as_ref().map_or_else(|| webhook.url.span(), Spanned::span);
            let Some(webhook) = self.webhook(webhook) else { continue };
            if webhooks.iter().any(|other| other.name == webhook.name) {
                let message = format!("two webhooks are named {}", quote(&webhook.name));
                self.problem(at, message, "give each a `name` of its own: what is due is kept by it");
            }
            webhooks.push(webhook);
        }
        webhooks
    }

    fn webhook(&mut self, raw: raw::Webhook) -> Option<Webhook> {
        let raw::Webhook { url, name, secret, old_secrets, events, agents, retry, timeout } = raw;
        if old_secrets.len() > OLD_SECRETS_MAX {
            let message = format!("there are more than {OLD_SECRETS_MAX} old secrets");
            self.problem(url.span(), message, "take out those that no receiver has any more");
        }
        let sources: Vec<_> = [secret].into_iter().chain(old_secrets).collect();
        let (mut keys, mut files) = (Vec::new(), Vec::new());
        for secret in sources {
            let Some(source) = self.secret_source(&secret) else { continue };
            if let SecretSource::File(file) = &source {
                files.push(file.clone());
            }
            keys.extend(self.key(&secret, &source));
        }
        let kinds = match events {
            None => Kind::ALL.to_vec(),
            Some(events) if events.get_ref().is_empty() => {
                let help = "take `events` out for all of them, or take the webhook out";
                self.problem(events.span(), "nothing would be told", help);
                Vec::new()
            }
            Some(events) => events.into_inner(),
        };
        let retry = self.retry(retry);
        let timeout = timeout.map_or(TIMEOUT, |raw| self.duration("timeout", &raw, TIMEOUT_LIMIT));
        let url = self.receiver(&url)?;
        let name = match name {
            Some(name) => self.webhook_name(name)?,
            None => shown_host(&url),
        };
        Some(Webhook { name, url, keys, files, kinds, agents, retry, timeout })
    }

    fn webhook_name(&mut self, name: Spanned<String>) -> Option<String> {
        let fits = (1..=NAME_CHARS_MAX).contains(&name.get_ref().len())
            && name.get_ref().chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !fits {
            let help = format!("use 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 . _ -");
            self.problem(name.span(), "a webhook cannot be named so", help);
            return None;
        }
        Some(name.into_inner())
    }

    /// Where deliveries go. No message repeats the URL: its path may be a secret.
    fn receiver(&mut self, raw: &Spanned<String>) -> Option<Url> {
        let text = raw.get_ref();
        let parsed = Url::parse(text).ok().filter(Url::has_host);
        let help = "write it as in \"https://example.com/hooks/host\"";
        let Some(url) = parsed.filter(|_| !text.contains(|c: char| c.is_whitespace() || c.is_control()))
        else {
            self.problem(raw.span(), "url is not the URL of a receiver", help);
            return None;
        };
        let (problem, help) = if !url.username().is_empty() || url.password().is_some() {
            ("url holds a user name or password", "take it out: the signature says who sends a delivery")
        } else if url.fragment().is_some() {
            ("url has a fragment, which is not sent", help)
        } else {
            match url.scheme() {
                "https" => return Some(url),
                "http" if is_loopback(&url) => return Some(url),
                "http" => (
                    "http is for receivers on this machine alone: others could read what is sent",
                    "write https://",
                ),
                _ => ("url is neither https nor http", help),
            }
        };
        self.problem(raw.span(), problem, help);
        None
    }

    fn secret_source(&mut self, raw: &Spanned<raw::Secret>) -> Option<SecretSource> {
        let raw::Secret { env, file } = raw.get_ref();
        let (problem, help) = match (env, file) {
            (Some(env), None) if can_name_secret(env) => return Some(SecretSource::Env(env.clone())),
            (None, Some(file)) if !file.as_os_str().is_empty() => {
                let file: PathBuf = self.directory.join(file);
                return Some(SecretSource::File(std::path::absolute(&file).unwrap_or(file)));
            }
            (Some(_), None) => (
                "env is not the name of a variable, in capitals",
                "write the variable's name, as in \"WEBHOOK_SECRET\", not the secret",
            ),
            (None, Some(_)) => ("file is empty", "write a path, relative to this file"),
            (Some(_), Some(_)) => ("both `env` and `file` are given", "keep one of them"),
            (None, None) => (
                "this does not say where the secret is",
                "write { env = \"…\" }, the variable that holds it, or { file = \"…\" }",
            ),
        };
        self.problem(raw.span(), problem, help);
        None
    }

    fn key(&mut self, raw: &Spanned<raw::Secret>, source: &SecretSource) -> Option<Key> {
        use secrecy::ExposeSecret as _;
        let read = match read_secret(source) {
            Ok(text) => Key::read(text.expose_secret()).map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        match read {
            Ok(key) => Some(key),
            Err(why) => {
                let help = "make one with: echo \"whsec_$(openssl rand -base64 32)\"";
                self.problem(raw.span(), why, help);
                None
            }
        }
    }

    fn retry(&mut self, raw: Option<Spanned<Vec<Spanned<String>>>>) -> Vec<Duration> {
        let Some(raw) = raw else { return RETRY.to_vec() };
        if raw.get_ref().len() > RETRIES_MAX {
            let message = format!("retry has more than {RETRIES_MAX} waits");
            self.problem(raw.span(), message, "a receiver that is away for days misses something");
        }
        let waits = raw.into_inner();
        waits.iter().map(|wait| self.duration("retry", wait, WAIT_LIMIT)).collect()
    }
}

/// The host, and the port if one is written.
fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}
