use std::fmt;

use serde::{Deserialize, Serialize};

use super::Used;

/// What one attempt of a call consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Wall-clock time from the start of the attempt to its end, in microseconds.
    pub wall_us: u64,
    /// Time on a processor, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_us: u64,
    /// The most memory (linear memories and tables together) the guest held, in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_bytes: u64,
    /// Instructions run, roughly, where they were counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub fuel: u64,
    /// Bytes that went into the guest: its input and the bodies of responses.
    #[serde(skip_serializing_if = "is_zero")]
    pub in_bytes: u64,
    /// Bytes that came out of the guest: its output and the bodies of requests.
    #[serde(skip_serializing_if = "is_zero")]
    pub out_bytes: u64,
    /// At the end of a run, or of the call of an agent: what it used. None was recorded before there was this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
}

/// What was noted during one attempt, for the person: the model never sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// What the guest wrote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// The requests it made, or wanted to make.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRecord>,
    /// What it wanted and was not granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<Denial>,
}

impl Trace {
    /// Whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { log, http, denials } = self;
        log.is_empty() && http.is_empty() && denials.is_empty()
    }
}

/// One line a guest wrote for the person: through the log import, or to stdout or stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warn`, `error`, `stdout` or `stderr`; `host` for a remark of the host's.
    pub from: String,
    /// The line, without control characters.
    pub text: String,
}

/// One request of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRecord {
    /// The method.
    pub method: String,
    /// The URL as the guest has it: with placeholders, without secrets.
    pub url: String,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The status, if there was a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was none, or why its body broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Bytes of the request's body.
    pub sent_bytes: u64,
    /// Bytes of the response's body that arrived.
    pub received_bytes: u64,
    /// From the request to the end of the body, or to when the guest let go of it, in milliseconds.
    pub ms: u64,
}

impl fmt::Display for HttpRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url, address, status, error, sent_bytes, received_bytes, ms } = self;
        let to = address.as_ref().map_or(String::new(), |address| format!(" at {address}"));
        let came = match (status, error) {
            (Some(status), None) => status.to_string(),
            (Some(status), Some(error)) => format!("{status}, then {error}"),
            (None, Some(error)) => error.clone(),
            (None, None) => "no response".to_owned(),
        };
        write!(f, "{method} {url}{to} → {came}  sent {sent_bytes} B, received {received_bytes} B, {ms} ms")
    }
}

/// Something a guest wanted and was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What, and why not.
    pub what: String,
    /// The lines of agent.toml that would grant it; empty if nothing can.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub grant: String,
    /// What to do with the lines.
    #[serde(default, skip_serializing_if = "Remedy::is_add")]
    pub remedy: Remedy,
}

/// What to do with the lines that would grant something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// They come besides what is there.
    #[default]
    Add,
    /// They come in the place of what agent.toml says of the same thing.
    Instead,
    /// They have to be filled in first: the host does not know what is wanted.
    FillIn,
}

impl Remedy {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_add(&self) -> bool {
        *self == Self::Add
    }
}

impl Denial {
    /// A denial of something that nothing in agent.toml can grant.
    #[must_use]
    pub fn for_good(what: String) -> Self {
        Self { what, grant: String::new(), remedy: Remedy::Add }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
