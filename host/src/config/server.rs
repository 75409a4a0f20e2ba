//! The `mcp` key of `[tools.NAME]`: a server of the Model Context Protocol instead of a component.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use toml::Spanned;

use super::permissions::Kept;
use super::validate::Check;
use super::{Source, raw};
use crate::document::quote;
use crate::message::shell_word;
use crate::registry::LockedServer;

/// A server of the Model Context Protocol whose tools are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// Where it is.
    pub at: ServerAt,
    /// Globs over the names of its tools: these change nothing.
    pub reads: Vec<String>,
    /// What host.lock says of it.
    pub locked: Option<LockedServer>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAt {
    /// It listens.
    Url {
        /// The address.
        url: String,
        /// The name of the secret that is sent as a bearer token.
        bearer: Option<String>,
        /// The names of the secrets that are sent in headers, by header.
        headers: BTreeMap<String, String>,
    },
    /// It is started.
    Command(ServerCommand),
}

/// A program that is a server on its stdin and stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCommand {
    /// The program: a path from `directory`, or a name that is looked for in `PATH`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The directory of agent.toml.
    pub directory: PathBuf,
    /// The environment variables of the host that it sees.
    pub env: Vec<String>,
    /// The secrets that it sees as environment variables.
    pub secrets: Vec<String>,
    /// The directories that it may use, absolute.
    pub dirs: Vec<PathBuf>,
}

impl fmt::Display for ServerAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, .. } => f.write_str(url),
            Self::Command(ServerCommand { program, args, .. }) => {
                let words: Vec<String> =
                    std::iter::once(program).chain(args).map(|word| shell_word(word)).collect();
                f.write_str(&words.join(" "))
            }
        }
    }
}

impl Check<'_> {
    /// Where the tools of a table come from, if it is a server.
    pub(super) fn server(
        &mut self,
        name: &Spanned<String>,
        raw: Spanned<raw::McpServer>,
        kept: &Kept<'_>,
    ) -> Option<Source> {
        let span = raw.span();
        let raw::McpServer { url, bearer, headers, command, env, secrets, dirs, reads } = raw.into_inner();
        for secret in bearer.iter().chain(headers.values()).chain(&secrets) {
            self.known_secret(secret, kept);
        }
        for header in headers.keys() {
            let is_name = reqwest::header::HeaderName::from_bytes(header.get_ref().as_bytes()).is_ok();
            if !is_name {
                let message = format!("\"{}\" is not the name of a header", quote(header.get_ref()));
                self.problem(header.span(), message, "write it as in \"X-API-Key\"");
            }
        }
        let of_url = [
            ("bearer", bearer.as_ref().map(Spanned::span)),
            ("headers", headers.keys().next().map(Spanned::span)),
        ];
        let of_command = [
            ("env", env.first().map(Spanned::span)),
            ("secrets", secrets.first().map(Spanned::span)),
            ("dirs", dirs.first().map(Spanned::span)),
        ];
        let at = match (url, command) {
            (Some(url), None) => {
                self.of_the_other(&of_command, "command");
                let help = "write it as in \"https://mcp.example.com/mcp\"; a token goes into a secret, which `bearer` or `headers` names";
                if !self.is_address("url", &url, help) {
                    return None;
                }
                let url = url.into_inner();
                let text = |(name, secret): (Spanned<String>, Spanned<String>)| {
                    (name.into_inner(), secret.into_inner())
                };
                let headers = headers.into_iter().map(text).collect();
                ServerAt::Url { url, bearer: bearer.map(Spanned::into_inner), headers }
            }
            (None, Some(command)) => {
                self.of_the_other(&of_url, "url");
                ServerAt::Command(self.server_command(&command, env, secrets, &dirs, kept)?)
            }
            (url, command) => {
                let message = if url.is_some() && command.is_some() {
                    "both `url` and `command` are given"
                } else {
                    "it does not say where the server is"
                };
                let help =
                    "write `url`, the address of a server that listens, or `command`, the program to start";
                self.problem(span, message, help);
                return None;
            }
        };
        let locked = self.lock(name).and_then(|lock| lock.servers.get(name.get_ref()).cloned());
        Some(Source::Server(Box::new(McpServer { at, reads: self.globs(reads), locked })))
    }

    fn server_command(
        &mut self,
        command: &Spanned<Vec<String>>,
        env: Vec<Spanned<String>>,
        secrets: Vec<Spanned<String>>,
        dirs: &[Spanned<PathBuf>],
        kept: &Kept<'_>,
    ) -> Option<ServerCommand> {
        let words = command.get_ref();
        if words.iter().any(|word| word.contains('\0')) {
            self.problem(command.span(), "a word of the command has a NUL in it", "take it out");
        }
        let Some((program, args)) = words.split_first().filter(|(program, _)| !program.is_empty()) else {
            let help = "write the program and its arguments, as in [\"npx\", \"-y\", \"some-mcp-server\"]";
            self.problem(command.span(), "the command names no program", help);
            return None;
        };
        Some(ServerCommand {
            program: program.clone(),
            args: args.to_vec(),
            directory: self.directory.to_owned(),
            env: env.into_iter().map(|name| self.variable(name, kept)).collect(),
            secrets: secrets.into_iter().map(Spanned::into_inner).collect(),
            dirs: dirs.iter().filter_map(|dir| self.path("dirs", dir)).collect(),
        })
    }

    fn of_the_other(&mut self, keys: &[(&str, Option<std::ops::Range<usize>>)], other: &str) {
        for (key, span) in keys {
            if let Some(span) = span {
                let message = format!("`{key}` has no meaning without `{other}`");
                self.problem(span.clone(), message, "take it out");
            }
        }
    }
}
