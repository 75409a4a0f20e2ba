//! From what is written to what is meant: defaults, units, and every check that a form cannot make.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::Glob;
use toml::Spanned;

use super::bounds::{
    AGENT_NAME_CHARS_MAX, INSTRUCTIONS_BYTES_MAX, MAX_CALLS_PER_TURN, MAX_PARALLEL_TOOLS, MAX_TURNS,
    MEMORY_BYTES_LIMIT, NAME_CHARS_MAX, RECORDED_BYTES_LIMIT, TIMEOUT_LIMIT, WALL_TIME_LIMIT,
};
use super::error::{Problem, quote};
use super::{AgentConfig, Config, Limits, ToolConfig, ToolLimits, file, raw, units};
use crate::message::Digest;

/// Collects problems, so that all of them are shown at once. Whatever a check returns after it has noted one
/// is dropped with the rest.
pub(super) struct Check<'a> {
    directory: &'a Path,
    problems: Vec<Problem>,
}

/// Reads the meaning of a file at an absolute path.
pub(super) fn config(raw: raw::AgentToml, path: &Path) -> Result<Config, Vec<Problem>> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut check = Check { directory, problems: Vec::new() };
    let agent = check.agent(raw.agent);
    let model = check.model(raw.model);
    let limits = check.limits(&raw.limits);
    let tools = raw.tools.into_iter().map(|(name, tool)| check.tool(&name, tool)).collect();
    match model {
        Some(model) if check.problems.is_empty() => {
            Ok(Config { path: path.to_owned(), agent, model, limits, tools })
        }
        Some(_) | None => Err(check.problems),
    }
}

impl Check<'_> {
    pub(super) fn problem(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::new(span, message, help));
    }

    /// A path, absolute. An empty one would mean the directory itself.
    pub(super) fn path(&mut self, key: &str, raw: &Spanned<PathBuf>) -> Option<PathBuf> {
        if raw.get_ref().as_os_str().is_empty() {
            self.problem(raw.span(), format!("{key} is empty"), "write a path, relative to this file");
            return None;
        }
        Some(self.directory.join(raw.get_ref()))
    }

    fn agent(&mut self, raw: raw::Agent) -> AgentConfig {
        let raw::Agent { name, instructions, instructions_file, prompt } = raw;
        let name = match name {
            Some(name) => self.agent_name(name),
            None => {
                self.directory.file_name().map_or("agent".into(), |name| name.to_string_lossy().into_owned())
            }
        };
        let instructions = match (instructions, instructions_file) {
            (Some(_), Some(file)) => {
                let message = "both `instructions` and `instructions_file` are given";
                self.problem(file.span(), message, "keep one of them");
                String::new()
            }
            (Some(text), None) => text.into_inner(),
            (None, Some(file)) => self.instructions_file(&file),
            (None, None) => String::new(),
        };
        AgentConfig { name, instructions, prompt }
    }

    fn agent_name(&mut self, raw: Spanned<String>) -> String {
        let name = raw.get_ref();
        let chars = name.chars().count();
        if name.trim().is_empty() || chars > AGENT_NAME_CHARS_MAX || name.contains(char::is_control) {
            let message = format!("the agent cannot be named \"{}\"", quote(name));
            self.problem(
                raw.span(),
                message,
                format!("use 1 to {AGENT_NAME_CHARS_MAX} characters, all on one line"),
            );
        }
        raw.into_inner()
    }

    fn instructions_file(&mut self, raw: &Spanned<PathBuf>) -> String {
        let Some(path) = self.path("instructions_file", raw) else { return String::new() };
        file::read_text(&path, INSTRUCTIONS_BYTES_MAX).unwrap_or_else(|error| {
            let message = format!(
                "cannot read instructions_file \"{}\": {error}",
                quote(&raw.get_ref().to_string_lossy())
            );
            let help = format!("it is looked for at {}", path.display());
            self.problem(raw.span(), message, help);
            String::new()
        })
    }

    fn limits(&mut self, raw: &raw::Limits) -> Limits {
        let wall_time = raw.wall_time.as_ref();
        Limits {
            max_turns: raw.max_turns.unwrap_or(MAX_TURNS),
            max_parallel_tools: raw.max_parallel_tools.unwrap_or(MAX_PARALLEL_TOOLS),
            max_calls_per_turn: raw.max_calls_per_turn.unwrap_or(MAX_CALLS_PER_TURN),
            wall_time_ms: wall_time.map(|raw| self.duration_ms("wall_time", raw, "5m", WALL_TIME_LIMIT)),
        }
    }

    fn tool(&mut self, name: &Spanned<String>, raw: raw::Tool) -> ToolConfig {
        let raw::Tool { source, sha256, include, prefix, limits } = raw;
        if name.get_ref().is_empty() || !plain(name.get_ref()) {
            let message = format!("a tool's table cannot be named \"{}\"", quote(name.get_ref()));
            self.problem(
                name.span(),
                message,
                format!("use 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ -"),
            );
        }
        if let Some(prefix) = prefix.as_ref().filter(|prefix| !plain(prefix.get_ref())) {
            let message = format!("a prefix cannot be \"{}\"", quote(prefix.get_ref()));
            self.problem(
                prefix.span(),
                message,
                format!("use up to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ -"),
            );
        }
        let sha256 = sha256.and_then(|raw| self.digest(&raw));
        for pattern in &include {
            if let Err(error) = Glob::new(pattern.get_ref()) {
                let message = format!("\"{}\" is not a glob: {}", quote(pattern.get_ref()), error.kind());
                self.problem(pattern.span(), message, "write a tool's name, with `*` for any part of it");
            }
        }
        ToolConfig {
            name: name.get_ref().clone(),
            source: self.path("source", &source).unwrap_or_default(),
            sha256,
            include: include.into_iter().map(Spanned::into_inner).collect(),
            prefix: prefix.map(Spanned::into_inner).unwrap_or_default(),
            limits: self.tool_limits(&limits),
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

    fn tool_limits(&mut self, raw: &raw::ToolLimits) -> ToolLimits {
        let raw::ToolLimits { timeout, memory, output, log } = raw;
        let mut limits = ToolLimits::default();
        if let Some(raw) = timeout {
            limits.timeout_ms = self.duration_ms("timeout", raw, "30s", TIMEOUT_LIMIT);
        }
        if let Some(raw) = memory {
            limits.memory_bytes_max = self.bytes("memory", raw, "64MiB", MEMORY_BYTES_LIMIT);
        }
        if let Some(raw) = output {
            limits.output_bytes_max = self.bytes("output", raw, "1MiB", RECORDED_BYTES_LIMIT);
        }
        if let Some(raw) = log {
            limits.log_bytes_max = self.bytes("log", raw, "64KiB", RECORDED_BYTES_LIMIT);
        }
        limits
    }

    fn duration_ms(&mut self, key: &str, raw: &Spanned<String>, example: &str, max: Duration) -> u64 {
        units::duration_ms(raw.get_ref(), max).unwrap_or_else(|error| {
            let message = format!("{key} = \"{}\" {error}", quote(raw.get_ref()));
            self.problem(raw.span(), message, units::duration_help(example, max));
            0
        })
    }

    fn bytes(&mut self, key: &str, raw: &Spanned<String>, example: &str, max: u64) -> u64 {
        units::bytes(raw.get_ref(), max).unwrap_or_else(|error| {
            let message = format!("{key} = \"{}\" {error}", quote(raw.get_ref()));
            self.problem(raw.span(), message, units::bytes_help(example, max));
            0
        })
    }
}

/// Whether a text can be part of a tool's name.
fn plain(text: &str) -> bool {
    text.len() <= NAME_CHARS_MAX && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
