//! host.toml as it is written. The comments here are the descriptions in its JSON Schema.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::super::tokens::Scope;
use super::super::webhooks::Kind;
use super::{
    CONNECTIONS_MAX, LISTEN, QUEUED_MAX, QUEUED_PER_AGENT_MAX, QUEUED_PER_SESSION_MAX, READS_MAX,
    REQUESTS_PER_MINUTE, RUNS_MAX, RUNS_PER_AGENT_MAX, SCHEDULED_MAX, WAITS_MAX,
};
use crate::sandbox::{INSTANCES, INSTANCES_LIMIT};

/// What belongs to `host serve` and to no agent. Paths are relative to this file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "host.toml")]
pub(super) struct HostToml {
    /// The server.
    #[serde(default)]
    pub(super) server: Server,
}

/// The server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// The address and port to listen at. An address that other machines reach needs tokens.
    #[schemars(with = "Option<String>", example = &LISTEN)]
    pub(super) listen: Option<Spanned<String>>,
    /// The agents that are served: agent.toml files, directories that hold one, and directories of such directories.
    #[serde(default)]
    #[schemars(extend("examples" = [["agents"]]))]
    pub(super) agents: Vec<PathBuf>,
    /// The names by which clients reach the server, beside its address. A request to any other name is refused: a web
    /// page could have sent it.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["agents.example.com"]]))]
    pub(super) hosts: Vec<Spanned<String>>,
    /// The origins of web pages that may use the server, beside its own.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["https://console.example.com"]]))]
    pub(super) origins: Vec<Spanned<String>>,
    /// A directory of components. The recorded calls of a tool can be made again with each of them, by whoever may
    /// administer runs: to see what another version of the tool makes of them.
    #[schemars(extend("examples" = ["candidates"]))]
    pub(super) components: Option<PathBuf>,
    /// What is bounded.
    #[serde(default)]
    pub(super) limits: Limits,
    /// How long an idempotency key is kept; 24 h by default.
    #[schemars(with = "Option<String>", example = &"24h")]
    pub(super) keys_kept: Option<Spanned<String>>,
    /// How long runs are kept after they began, if they have ended. By default they are kept for ever.
    #[schemars(with = "Option<String>", example = &"30d")]
    pub(super) keep: Option<Spanned<String>>,
    /// How long runs may go on when the server is asked to end; 30 s by default.
    #[schemars(with = "Option<String>", example = &"30s")]
    pub(super) grace: Option<Spanned<String>>,
    /// The certificate of the server: then it speaks HTTPS.
    pub(super) tls: Option<Tls>,
    /// Who may use the server. Without tokens anybody may who reaches it.
    #[serde(default)]
    pub(super) tokens: Vec<Token>,
    /// Who is told over HTTP when a run waits, ends or fails: docs/WEBHOOKS.md.
    #[serde(default)]
    pub(super) webhooks: Vec<Webhook>,
}

/// What is bounded.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Runs that work at once.
    #[schemars(range(min = 1, max = 100_000), example = RUNS_MAX)]
    pub(super) runs: Option<usize>,
    /// Runs of one agent that work at once.
    #[schemars(range(min = 1, max = 100_000), example = RUNS_PER_AGENT_MAX)]
    pub(super) runs_per_agent: Option<usize>,
    /// Runs that wait for a place, or for their session. One more is answered with 429.
    #[schemars(range(min = 0, max = 1_000_000), example = QUEUED_MAX)]
    pub(super) queued: Option<usize>,
    /// Runs of one agent that do: the other agents can be used while one is flooded.
    #[schemars(range(min = 0, max = 1_000_000), example = QUEUED_PER_AGENT_MAX)]
    pub(super) queued_per_agent: Option<usize>,
    /// Runs that wait for one session.
    #[schemars(range(min = 0, max = 1_000_000), example = QUEUED_PER_SESSION_MAX)]
    pub(super) queued_per_session: Option<usize>,
    /// Runs that wait for their moment. One more is answered with 429.
    #[schemars(range(min = 0, max = 1_000_000), example = SCHEDULED_MAX)]
    pub(super) scheduled: Option<usize>,
    /// Instances of tools that are alive at once. A call holds one while it waits for a service, too. Each takes 8 GiB of
    /// address space, and of memory what its tool uses.
    #[schemars(range(min = 1, max = INSTANCES_LIMIT), example = INSTANCES)]
    pub(super) instances: Option<u32>,
    /// Connections at once. One more is answered with 503. As many as half of the files that the process may have open,
    /// if those are fewer.
    #[schemars(range(min = 1, max = 1_000_000), example = CONNECTIONS_MAX)]
    pub(super) connections: Option<usize>,
    /// Requests that wait for a run or follow one, at once. One more is answered with 429.
    #[schemars(range(min = 1, max = 1_000_000), example = WAITS_MAX)]
    pub(super) waits: Option<usize>,
    /// Requests at once that go through all that is recorded of a run: replays, calls made again, forks, exports and
    /// imports. One more waits for a few seconds, and is answered with 503 then.
    #[schemars(range(min = 1, max = 10_000), example = READS_MAX)]
    pub(super) reads: Option<usize>,
    /// The size of a request's body; 32 MiB by default.
    #[schemars(with = "Option<String>", example = &"32MiB")]
    pub(super) body: Option<Spanned<String>>,
    /// The size of all bodies together that are being read; 256 MiB by default. What does not fit is answered with 503.
    #[schemars(with = "Option<String>", example = &"256MiB")]
    pub(super) bodies: Option<Spanned<String>>,
    /// How long a body may take to come; 30 s by default.
    #[schemars(with = "Option<String>", example = &"30s")]
    pub(super) body_time: Option<Spanned<String>>,
    /// How long a connection is kept on which no request goes on; 1 min by default.
    #[schemars(with = "Option<String>", example = &"1m")]
    pub(super) idle: Option<Spanned<String>>,
    /// How long a client may leave an answer unread before its connection is closed; 1 min by default.
    #[schemars(with = "Option<String>", example = &"1m")]
    pub(super) unread: Option<Spanned<String>>,
    /// How long a request may wait for a run; 10 min by default.
    #[schemars(with = "Option<String>", example = &"10m")]
    pub(super) wait: Option<Spanned<String>>,
    /// Requests a minute of one token, or of everybody if there are no tokens.
    #[schemars(range(min = 1, max = 10_000_000), example = REQUESTS_PER_MINUTE)]
    pub(super) requests_per_minute: Option<u32>,
}

/// The certificate of the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The file with the certificate, and those that lead to it, as PEM.
    pub(super) certificate: PathBuf,
    /// The file with its key, as PEM.
    pub(super) key: PathBuf,
}

/// Somebody who may use the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    /// Whose it is: what they decide is recorded with this name.
    #[schemars(with = "String")]
    pub(super) name: Spanned<String>,
    /// The SHA-256 of the token. `host token` makes a token, and prints these lines.
    #[schemars(with = "String")]
    pub(super) sha256: Spanned<String>,
    /// What they may do.
    pub(super) scopes: Vec<Scope>,
    /// The agents of which they may do it; all of them by default.
    pub(super) agents: Option<Vec<String>>,
}

/// Who is told over HTTP when a run waits, ends or fails.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    /// Where it is told. It has to be https, unless the receiver is on this machine.
    #[schemars(with = "String", example = &"https://example.com/hooks/host")]
    pub(super) url: Spanned<String>,
    /// What it is called in the log, the metrics and the API: host and port of the URL by default. What is due is kept by
    /// the name, so that the URL can change.
    #[schemars(with = "Option<String>", example = &"tickets")]
    pub(super) name: Option<Spanned<String>>,
    /// Where the secret is with which deliveries are signed: `whsec_` and 24 to 64 bytes in base64.
    #[schemars(with = "Secret")]
    pub(super) secret: Spanned<Secret>,
    /// Secrets that sign beside it, as long as receivers have them: 3 at most.
    #[serde(default)]
    #[schemars(with = "Vec<Secret>")]
    pub(super) old_secrets: Vec<Spanned<Secret>>,
    /// What it is told; everything by default.
    #[schemars(with = "Option<Vec<Kind>>")]
    pub(super) events: Option<Spanned<Vec<Kind>>>,
    /// The agents of whose runs it is told; all of them by default.
    pub(super) agents: Option<Vec<String>>,
    /// How long to wait before each further attempt of a delivery, 20 of 24 h at most. After the last one it is given up.
    /// By default 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h.
    #[schemars(with = "Option<Vec<String>>", extend("examples" = [["5s", "5m", "30m", "2h"]]))]
    pub(super) retry: Option<Spanned<Vec<Spanned<String>>>>,
    /// How long the receiver may take to answer; 20 s by default, and 1 min at most.
    #[schemars(with = "Option<String>", example = &"20s")]
    pub(super) timeout: Option<Spanned<String>>,
}

/// Where the value of a secret is. It is never written into this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    /// The environment variable that holds it.
    #[schemars(example = &"WEBHOOK_SECRET")]
    pub(super) env: Option<String>,
    /// The file that holds it. It is read again when it changes.
    #[schemars(example = &"/run/secrets/webhook")]
    pub(super) file: Option<PathBuf>,
}
