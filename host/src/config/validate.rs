//! From what is written to what is meant: defaults, units, and every check that a type cannot make.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use toml::Spanned;
use url::Url;

use super::error::Problem;
use super::raw::{self, ProviderName};
use super::{AgentConfig, Config, Limits, ModelConfig, Provider, ToolConfig, ToolLimits};
use crate::message::Digest;

/// The only version of the file's form so far.
const VERSION: u32 = 1;

const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
const OPENAI_KEY_ENV: &str = "OPENAI_API_KEY";

const MAX_TURNS: u32 = 25;
const MAX_PARALLEL_TOOLS: u32 = 16;
const MAX_CALLS_PER_TURN: u32 = 128;
/// A model that asks for more at once is out of its mind, and each call costs memory before it runs.
const MAX_CALLS_PER_TURN_LIMIT: u32 = 10_000;
/// More instances than the sandbox's pool has places cannot run at once.
const MAX_PARALLEL_TOOLS_LIMIT: u32 = 128;
/// Providers accept tool names of at most 64 characters; half of that for a table's name or a prefix
/// leaves room for the tool's own.
const NAME_CHARS_MAX: usize = 32;
/// What a 32-bit memory can hold.
const MEMORY_BYTES_LIMIT: u64 = 4 << 30;
/// Outputs and logs are kept in the host's memory while they are recorded.
const OUTPUT_BYTES_LIMIT: u64 = 256 << 20;
/// A call that takes longer than a day is not a call.
const TIMEOUT_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// A run that takes longer than a month is not a run.
const WALL_TIME_LIMIT: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Collects problems, so that all of them are shown at once.
struct Check<'a> {
    directory: &'a Path,
    problems: Vec<Problem>,
}

pub(super) fn config(raw: raw::AgentToml, path: &Path) -> Result<Config, Vec<Problem>> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut check = Check { directory, problems: Vec::new() };
    if *raw.version.get_ref() != VERSION {
        check.problem(
            raw.version.span(),
            format!("version {} is not known", raw.version.get_ref()),
            format!("this host reads version {VERSION}; a newer file needs a newer host"),
        );
    }
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
    fn problem(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem { message: message.into(), help: help.into(), span: Some(span) });
    }

    fn agent(&mut self, raw: raw::Agent) -> AgentConfig {
        let raw::Agent { name, instructions, instructions_file, prompt } = raw;
        let name = name.unwrap_or_else(|| {
            self.directory.file_name().map_or_else(|| "agent".to_owned(), |name| name.to_string_lossy().into_owned())
        });
        let instructions = match (instructions, instructions_file) {
            (Some(_), Some(file)) => {
                self.problem(file.span(), "both `instructions` and `instructions_file` are given", "keep one of them");
                String::new()
            }
            (Some(text), None) => text,
            (None, Some(file)) => self.read(&file),
            (None, None) => String::new(),
        };
        AgentConfig { name, instructions, prompt }
    }

    fn read(&mut self, file: &Spanned<PathBuf>) -> String {
        let path = self.directory.join(file.get_ref());
        std::fs::read_to_string(&path).unwrap_or_else(|error| {
            let message = format!("cannot read instructions_file {}: {error}", path.display());
            self.problem(file.span(), message, "the path is relative to agent.toml");
            String::new()
        })
    }

    fn model(&mut self, raw: raw::Model) -> Option<ModelConfig> {
        let raw::Model { provider, script, name, base_url, api_key_env, temperature, max_tokens } = raw;
        let at = provider.span();
        let provider = match provider.into_inner() {
            ProviderName::Scripted => {
                for (key, span) in [
                    ("name", name.map(|it| it.span())),
                    ("base_url", base_url.map(|it| it.span())),
                    ("api_key_env", api_key_env.map(|it| it.span())),
                    ("temperature", temperature.as_ref().map(Spanned::span)),
                    ("max_tokens", max_tokens.as_ref().map(Spanned::span)),
                ] {
                    if let Some(span) = span {
                        self.problem(span, format!("`{key}` has no meaning for a scripted model"), "remove it");
                    }
                }
                let help = "add `script = \"script.toml\"`, a file of [[reply]] tables";
                let script = self.required(script, at, "a scripted model needs `script`", help)?;
                Provider::Scripted { script: self.directory.join(script) }
            }
            ProviderName::OpenAi => {
                if let Some(script) = script {
                    self.problem(script.span(), "`script` is only for provider = \"scripted\"", "remove it");
                }
                let help = "add `name = \"…\"`, the model's name at the provider";
                let name = self.required(name, at, "the provider `openai` needs `name`", help)?;
                let own = base_url.is_none().then(|| OPENAI_KEY_ENV.to_owned());
                let base_url = base_url.map_or_else(|| OPENAI_BASE_URL.to_owned(), |url| self.base_url(&url));
                let api_key_env = api_key_env.map(Spanned::into_inner).or(own);
                Provider::OpenAi { name, base_url, api_key_env }
            }
        };
        if let Some(t) = temperature.as_ref().filter(|t| !(0.0..=2.0).contains(t.get_ref())) {
            self.problem(t.span(), format!("temperature {} is out of range", t.get_ref()), "it goes from 0 to 2");
        }
        if let Some(zero) = max_tokens.as_ref().filter(|n| *n.get_ref() == 0) {
            self.problem(zero.span(), "max_tokens 0 leaves no room for a reply", "leave it out for no limit");
        }
        let (temperature, max_tokens) = (temperature.map(Spanned::into_inner), max_tokens.map(Spanned::into_inner));
        Some(ModelConfig { provider, temperature, max_tokens })
    }

    fn required<T>(
        &mut self,
        value: Option<Spanned<T>>,
        at: Range<usize>,
        message: &str,
        help: &str,
    ) -> Option<T> {
        if value.is_none() {
            self.problem(at, message, help);
        }
        value.map(Spanned::into_inner)
    }

    fn base_url(&mut self, raw: &Spanned<String>) -> String {
        let text = raw.get_ref().trim_end_matches('/').to_owned();
        let wrong = match Url::parse(&text) {
            Err(error) => Some(format!("base_url is not a URL: {error}")),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => Some("base_url is neither http nor https".to_owned()),
            Ok(url) if url.host().is_none() => Some("base_url has no host".to_owned()),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some("base_url holds a user name or password".to_owned())
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                Some("base_url has a query or fragment".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(message) = wrong {
            self.problem(raw.span(), message, "write it as in `http://localhost:11434/v1`; keys go into `api_key_env`");
        }
        text
    }

    fn limits(&mut self, raw: &raw::Limits) -> Limits {
        let parallel = (&raw.max_parallel_tools, "max_parallel_tools", MAX_PARALLEL_TOOLS);
        let calls = (&raw.max_calls_per_turn, "max_calls_per_turn", MAX_CALLS_PER_TURN);
        Limits {
            max_turns: self.count((&raw.max_turns, "max_turns", MAX_TURNS), u32::MAX),
            max_parallel_tools: self.count(parallel, MAX_PARALLEL_TOOLS_LIMIT),
            max_calls_per_turn: self.count(calls, MAX_CALLS_PER_TURN_LIMIT),
            wall_time_ms: raw.wall_time.as_ref().map(|raw| self.duration_ms(raw, "wall_time", WALL_TIME_LIMIT)),
        }
    }

    fn count(&mut self, (raw, key, default): (&Option<Spanned<u32>>, &str, u32), limit: u32) -> u32 {
        let Some(raw) = raw else { return default };
        let n = *raw.get_ref();
        if n == 0 || n > limit {
            self.problem(raw.span(), format!("{key} = {n} is out of range"), format!("it goes from 1 to {limit}"));
        }
        n
    }

    fn tool(&mut self, name: &Spanned<String>, raw: raw::Tool) -> ToolConfig {
        self.name(name, "a tool's table");
        let raw::Tool { source, sha256, include, prefix, limits } = raw;
        let sha256 = sha256.and_then(|raw| {
            let parsed = raw.get_ref().parse::<Digest>();
            parsed.map_err(|error| self.problem(raw.span(), error.to_string(), "`host check` prints it")).ok()
        });
        if let Some(prefix) = &prefix {
            self.name(prefix, "a prefix");
        }
        ToolConfig {
            name: name.get_ref().clone(),
            source: self.directory.join(source.into_inner()),
            sha256,
            include,
            prefix: prefix.map(Spanned::into_inner).unwrap_or_default(),
            limits: self.tool_limits(&limits),
        }
    }

    fn name(&mut self, raw: &Spanned<String>, what: &str) {
        let name = raw.get_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
            let help = format!("use 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ -");
            self.problem(raw.span(), format!("{what} cannot be named {name:?}"), help);
        }
    }

    fn tool_limits(&mut self, raw: &raw::ToolLimits) -> ToolLimits {
        let default = ToolLimits::default();
        let mut size = |raw: &Option<Spanned<String>>, key, default, limit| {
            raw.as_ref().map_or(default, |raw| self.bytes(raw, key, limit))
        };
        let memory_bytes_max = size(&raw.memory, "memory", default.memory_bytes_max, MEMORY_BYTES_LIMIT);
        let output_bytes_max = size(&raw.output, "output", default.output_bytes_max, OUTPUT_BYTES_LIMIT);
        let log_bytes_max = size(&raw.log, "log", default.log_bytes_max, OUTPUT_BYTES_LIMIT);
        let timeout = raw.timeout.as_ref();
        let timeout_ms =
            timeout.map_or(default.timeout_ms, |raw| self.duration_ms(raw, "timeout", TIMEOUT_LIMIT));
        ToolLimits { timeout_ms, memory_bytes_max, output_bytes_max, log_bytes_max }
    }

    fn duration_ms(&mut self, raw: &Spanned<String>, key: &str, limit: Duration) -> u64 {
        let help = format!("write a number and a unit, from 1ms to {}, as in \"30s\"", humantime::format_duration(limit));
        match humantime::parse_duration(raw.get_ref()) {
            Ok(duration) if duration >= Duration::from_millis(1) && duration <= limit => {
                u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
            }
            Ok(_) => {
                self.problem(raw.span(), format!("{key} = {:?} is out of range", raw.get_ref()), help);
                0
            }
            Err(error) => {
                self.problem(raw.span(), format!("{key} is not a duration: {error}"), help);
                0
            }
        }
    }

    fn bytes(&mut self, raw: &Spanned<String>, key: &str, limit: u64) -> u64 {
        let help = format!("write a number and a unit, up to {}, as in \"64MiB\"", bytesize::ByteSize(limit));
        let text = raw.get_ref().trim();
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        match bytesize::ByteSize::from_str(text) {
            Ok(size) if has_unit && size.0 > 0 && size.0 <= limit => size.0,
            Ok(_) if has_unit => {
                self.problem(raw.span(), format!("{key} = {text:?} is out of range"), help);
                0
            }
            Ok(_) | Err(_) => {
                self.problem(raw.span(), format!("{key} = {text:?} is not a size with a unit"), help);
                0
            }
        }
    }
}
