//! The `[tools.NAME]` table: which component, which of its tools, within which limits; or which other agent.

use std::path::PathBuf;

use globset::Glob;
use toml::Spanned;

use super::bounds::{
    DELAY_LIMIT, HTTP_BODY_BYTES_LIMIT, MEMORY_BYTES_LIMIT, MODEL_INITIAL_DELAY_MS, MODEL_MAX_DELAY_MS,
    MODEL_MAX_RETRY_AFTER_MS, NAME_CHARS_MAX, RANDOM_BYTES_LIMIT, RECORDED_BYTES_LIMIT, TIMEOUT_LIMIT,
};
use super::permissions::Kept;
use super::validate::Check;
use super::{AgentTool, Source, ToolConfig, ToolLimits, raw};
use crate::document::quote;
use crate::message::{Digest, Retry};
use crate::registry::{LOCK_FILE, Lock, LockError};

/// What a table is about.
pub(super) enum Table {
    Component(Box<ToolConfig>),
    Agent(AgentTool),
}

impl Check<'_> {
    pub(super) fn table(&mut self, name: &Spanned<String>, raw: raw::Tool, kept: &Kept<'_>) -> Option<Table> {
        self.names(name, raw.prefix.as_ref());
        let mut raw = raw;
        let (source, agent, mcp) = (raw.source.take(), raw.agent.take(), raw.mcp.take());
        match (source, agent, mcp) {
            (Some(source), None, None) => {
                let source = self.source(&source).unwrap_or(Source::Local(PathBuf::new()));
                Some(Table::Component(Box::new(self.component(name, source, raw, kept))))
            }
            (None, Some(path), None) => self.agent_tool(name, &path, raw).map(Table::Agent),
            (None, None, Some(server)) => {
                self.says_nothing_of_a_component(name, &raw);
                let source = self.server(name, server, kept)?;
                Some(Table::Component(Box::new(self.component(name, source, raw, kept))))
            }
            (None, None, None) => {
                let message = format!("`source` is missing in [tools.{}]", quote(name.get_ref()));
                let help = "add `source = \"tools/greet\"`, a component or a crate, or `agent = \"…\"`, the agent.toml of \
                            another agent, or `mcp = { … }`, an MCP server";
                self.problem(name.span(), message, help);
                None
            }
            (source, agent, mcp) => {
                let given = [
                    ("source", source.map(|it| it.span())),
                    ("agent", agent.map(|it| it.span())),
                    ("mcp", mcp.map(|it| it.span())),
                ];
                let given: Vec<_> = given.into_iter().filter_map(|(key, at)| Some((key, at?))).collect();
                let keys: Vec<String> = given.iter().map(|(key, _)| format!("`{key}`")).collect();
                let message = format!("{} are given", both(&keys));
                let help =
                    "keep `source` for a component, `agent` for another agent, or `mcp` for an MCP server";
                let at = given.last().map_or(name.span(), |(_, at)| at.clone());
                self.problem(at, message, help);
                None
            }
        }
    }

    /// An agent brings everything with it but its name.
    fn agent_tool(
        &mut self,
        name: &Spanned<String>,
        path: &Spanned<PathBuf>,
        raw: raw::Tool,
    ) -> Option<AgentTool> {
        let raw::Tool { sha256, include, prefix, hidden, shown_output, .. } = raw;
        let raw::Tool { permissions, limits, retry, max_repeats, describe, command, config, .. } = raw;
        for (key, is_given, why) in [
            ("sha256", sha256.is_some(), "it is no component"),
            ("include", !include.is_empty(), "it is one tool"),
            ("hidden", hidden, "no tool can call it, so that only the model is left"),
            ("shown_output", shown_output.is_some(), "it is about what a component gives"),
            ("describe", !describe.is_empty(), "its own agent.toml says what it is"),
            ("command", command.is_some(), "it is no component"),
            ("config", !config.is_empty(), "its tools have that of its own agent.toml"),
            ("permissions", permissions.is_some(), "its tools have those that its own agent.toml grants"),
            ("limits", limits.is_some(), "those in its own agent.toml hold"),
            ("retry", retry.is_some(), "its model and its tools have their own, in its own agent.toml"),
        ] {
            if is_given {
                let message =
                    format!("`{key}` has no meaning for an agent in [tools.{}]", quote(name.get_ref()));
                self.problem(name.span(), message, format!("remove it: {why}"));
            }
        }
        Some(AgentTool {
            name: name.get_ref().clone(),
            prefix: prefix.map(Spanned::into_inner).unwrap_or_default(),
            path: self.path("agent", path)?,
            max_repeats: max_repeats.map(Spanned::into_inner),
        })
    }

    /// What a component is granted and bounded by, a server is not.
    fn says_nothing_of_a_component(&mut self, name: &Spanned<String>, raw: &raw::Tool) {
        let raw::Tool { sha256, command, config, permissions, limits, .. } = raw;
        let none = raw::ToolLimits::default();
        // Whatever is new among them has to be looked at here.
        let raw::ToolLimits {
            timeout: _,
            output: _,
            shown: _,
            cpu,
            memory,
            fuel,
            log,
            http_body,
            http_requests,
            open_files,
            random_bytes,
            tool_calls,
        } = limits.as_ref().unwrap_or(&none);
        let texts = [cpu, memory, log, http_body, random_bytes];
        let numbers = [http_requests, open_files, tool_calls];
        let of_instances = fuel.is_some()
            || texts.into_iter().any(Option::is_some)
            || numbers.into_iter().any(Option::is_some);
        for (key, is_given, why) in [
            ("sha256", sha256.is_some(), "host.lock says what its tools are"),
            ("command", command.is_some(), "the program to start is `command` in `mcp`"),
            (
                "config",
                !config.is_empty(),
                "a server has settings of its own: arguments, `env`, or `secrets` in `mcp`",
            ),
            (
                "permissions",
                permissions.is_some(),
                "an MCP server is not sandboxed, so nothing can be granted or kept from it",
            ),
            (
                "limits",
                of_instances,
                "an MCP server is not sandboxed; only `timeout` and `output` hold for its calls",
            ),
        ] {
            if is_given {
                let message = format!(
                    "`{key}` has no such meaning for an MCP server in [tools.{}]",
                    quote(name.get_ref())
                );
                self.problem(name.span(), message, format!("remove it: {why}"));
            }
        }
    }

    fn names(&mut self, name: &Spanned<String>, prefix: Option<&Spanned<String>>) {
        if name.get_ref().is_empty() || !plain(name.get_ref()) {
            let message = format!("a tool's table cannot be named \"{}\"", quote(name.get_ref()));
            self.problem(
                name.span(),
                message,
                format!("use 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ -"),
            );
        }
        if let Some(prefix) = prefix.filter(|prefix| !plain(prefix.get_ref())) {
            let message = format!("a prefix cannot be \"{}\"", quote(prefix.get_ref()));
            self.problem(
                prefix.span(),
                message,
                format!("use up to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ -"),
            );
        }
    }

    fn component(
        &mut self,
        name: &Spanned<String>,
        source: Source,
        raw: raw::Tool,
        kept: &Kept<'_>,
    ) -> ToolConfig {
        let raw::Tool { sha256, include, prefix, hidden, shown_output, .. } = raw;
        let raw::Tool { permissions, limits, retry, max_repeats, describe, command, config, .. } = raw;
        let sha256 = sha256.and_then(|raw| self.digest(&raw));
        let include = self.globs(include);
        if let (true, Some(max)) = (hidden, &max_repeats) {
            let message =
                format!("`max_repeats` has no meaning for hidden tools in [tools.{}]", quote(name.get_ref()));
            self.problem(max.span(), message, "remove it: it is about calls that the model makes");
        }
        let (retry, idempotent) = self.retry(retry.unwrap_or_default());
        let locked = match &source {
            Source::Local(_) | Source::Server(_) => None,
            Source::Remote(_) => self.lock(name).and_then(|lock| lock.tools.get(name.get_ref()).cloned()),
        };
        let mut grants = self.grants(permissions.unwrap_or_default(), kept);
        grants.config = self.settings(config, &grants);
        ToolConfig {
            name: name.get_ref().clone(),
            source,
            locked,
            sha256,
            include,
            prefix: prefix.map(Spanned::into_inner).unwrap_or_default(),
            hidden,
            max_repeats: max_repeats.map(Spanned::into_inner),
            grants,
            limits: self.tool_limits(&limits.unwrap_or_default(), shown_output.as_ref()),
            retry,
            idempotent,
            describe,
            command: command.map(|raw| self.command(raw)),
        }
    }

    /// What host.lock says. The file is read once, when a tool needs it.
    pub(super) fn lock(&mut self, name: &Spanned<String>) -> Option<&Lock> {
        if self.lock.is_none() {
            let path = self.directory.join(LOCK_FILE);
            let lock = Lock::read(&path).unwrap_or_else(|LockError { path, reason, help }| {
                self.problem(name.span(), format!("{}: {reason}", path.display()), help);
                Lock::default()
            });
            self.lock = Some(lock);
        }
        self.lock.as_ref()
    }

    pub(super) fn glob(&mut self, pattern: &Spanned<String>) {
        if let Err(error) = Glob::new(pattern.get_ref()) {
            let message = format!("\"{}\" is not a glob: {}", quote(pattern.get_ref()), error.kind());
            self.problem(pattern.span(), message, "write the name, with `*` for any part of it");
        }
    }

    pub(super) fn globs(&mut self, patterns: Vec<Spanned<String>>) -> Vec<String> {
        for pattern in &patterns {
            self.glob(pattern);
        }
        patterns.into_iter().map(Spanned::into_inner).collect()
    }

    fn retry(&mut self, raw: raw::ToolRetry) -> (Retry, Vec<String>) {
        let raw::ToolRetry { max_attempts, initial_delay, max_delay, idempotent } = raw;
        let default = Retry::default();
        let retry = Retry {
            max_attempts: max_attempts.unwrap_or(default.max_attempts),
            initial_delay_ms: self.delay("initial_delay", initial_delay.as_ref(), default.initial_delay_ms),
            max_delay_ms: self.delay("max_delay", max_delay.as_ref(), default.max_delay_ms),
            ..default
        };
        self.delays(initial_delay.as_ref(), &retry);
        (retry, self.globs(idempotent))
    }

    /// When a model request is sent again.
    pub(super) fn model_retry(&mut self, raw: raw::ModelRetry) -> Retry {
        let raw::ModelRetry { max_attempts, initial_delay, max_delay, max_retry_after } = raw;
        let retry = Retry {
            max_attempts: max_attempts.unwrap_or(Retry::default().max_attempts),
            initial_delay_ms: self.delay("initial_delay", initial_delay.as_ref(), MODEL_INITIAL_DELAY_MS),
            max_delay_ms: self.delay("max_delay", max_delay.as_ref(), MODEL_MAX_DELAY_MS),
            max_asked_ms: self.delay("max_retry_after", max_retry_after.as_ref(), MODEL_MAX_RETRY_AFTER_MS),
        };
        self.delays(initial_delay.as_ref(), &retry);
        retry
    }

    fn delay(&mut self, key: &str, raw: Option<&Spanned<String>>, default_ms: u64) -> u64 {
        raw.map_or(default_ms, |raw| self.duration_ms(key, raw, "500ms", DELAY_LIMIT))
    }

    fn delays(&mut self, initial: Option<&Spanned<String>>, retry: &Retry) {
        if let Some(initial) = initial.filter(|_| retry.initial_delay_ms > retry.max_delay_ms) {
            let message = "initial_delay is longer than max_delay";
            self.problem(initial.span(), message, "make it shorter, or raise max_delay");
        }
    }

    fn digest(&mut self, raw: &Spanned<String>) -> Option<Digest> {
        let digest = raw.get_ref().parse().ok();
        if digest.is_none() {
            let message = format!("sha256 = \"{}\" is not a SHA-256 digest", quote(raw.get_ref()));
            self.problem(raw.span(), message, "write 64 hexadecimal digits; `host check` prints them");
        }
        digest
    }

    fn tool_limits(&mut self, raw: &raw::ToolLimits, shown_output: Option<&Spanned<String>>) -> ToolLimits {
        let raw::ToolLimits {
            timeout,
            cpu,
            memory,
            fuel,
            output,
            shown,
            log,
            http_body,
            http_requests,
            open_files,
            random_bytes,
            tool_calls,
        } = raw;
        if let (Some(new), Some(old)) = (shown_output, shown) {
            self.twice(("shown_output", new.span()), ("limits.shown", old.span()));
        }
        let default = ToolLimits::default();
        let mut time = |key, raw: &Option<Spanned<String>>, example, default| {
            raw.as_ref().map_or(default, |raw| self.duration_ms(key, raw, example, TIMEOUT_LIMIT))
        };
        let timeout_ms = time("timeout", timeout, "30s", default.timeout_ms);
        let cpu_ms = time("cpu", cpu, "10s", default.cpu_ms);
        let mut size = |key, raw: &Option<Spanned<String>>, example, max, default| {
            raw.as_ref().map_or(default, |raw| self.bytes(key, raw, example, max))
        };
        ToolLimits {
            timeout_ms,
            cpu_ms,
            memory_bytes_max: size("memory", memory, "64MiB", MEMORY_BYTES_LIMIT, default.memory_bytes_max),
            fuel: fuel.or(default.fuel),
            output_bytes_max: size("output", output, "1MiB", RECORDED_BYTES_LIMIT, default.output_bytes_max),
            shown_bytes_max: size(
                if shown.is_some() { "shown" } else { "shown_output" },
                &shown_output.or(shown.as_ref()).cloned(),
                "64KiB",
                RECORDED_BYTES_LIMIT,
                default.shown_bytes_max,
            ),
            log_bytes_max: size("log", log, "64KiB", RECORDED_BYTES_LIMIT, default.log_bytes_max),
            http_body_bytes_max: size(
                "http_body",
                http_body,
                "10MiB",
                HTTP_BODY_BYTES_LIMIT,
                default.http_body_bytes_max,
            ),
            http_requests_max: http_requests.unwrap_or(default.http_requests_max),
            open_files_max: open_files.unwrap_or(default.open_files_max),
            random_bytes_max: size(
                "random_bytes",
                random_bytes,
                "1MiB",
                RANDOM_BYTES_LIMIT,
                default.random_bytes_max,
            ),
            calls_max: tool_calls.unwrap_or(default.calls_max),
        }
    }
}

/// Several words in a sentence.
fn both(words: &[String]) -> String {
    match words {
        [one, other] => format!("both {one} and {other}"),
        _ => words.join(", "),
    }
}

/// Whether a text can be part of a tool's name.
fn plain(text: &str) -> bool {
    text.len() <= NAME_CHARS_MAX && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
