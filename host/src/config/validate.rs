//! From what is written to what is meant: defaults, units, and every check that a form cannot make.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::bounds::{
    AGENT_NAME_CHARS_MAX, DESCRIPTION_BYTES_MAX, INSTRUCTIONS_BYTES_MAX, MAX_CALLS_PER_TURN,
    MAX_PARALLEL_TOOLS, MAX_REPEATS, MAX_TURNS, MEMBER_CHARS_MAX, WALL_TIME_LIMIT,
};
use super::parameters::Parameters;
use super::paths::looked_for_at;
use super::permissions::Kept;
use super::provider::{Models, json};
use super::tool::Table;
use super::{AgentConfig, Config, Limits, ModelConfig, ServeConfig, SourceText, raw};
use crate::document::{Problem, quote, read_text, twice, units};
use crate::grants::SecretSource;
use crate::message::{Budgets, Builtin, Json, clean};
use crate::registry::Lock;
use crate::schema::Schema;

/// Collects problems, so that all of them are shown at once. Whatever a check returns after it has noted one
/// is dropped with the rest.
pub(super) struct Check<'a> {
    pub(super) directory: &'a Path,
    /// The variables with secrets and keys in them, which no path may have.
    pub(super) kept_variables: Vec<String>,
    problems: Vec<Problem>,
    /// The files that were read besides.
    pub(super) files: Vec<PathBuf>,
    /// host.lock, once it was read.
    pub(super) lock: Option<Lock>,
}

/// Reads the meaning of a file at an absolute path.
pub(super) fn config(raw: raw::AgentToml, text: SourceText, path: &Path) -> Result<Config, Vec<Problem>> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let kept_variables =
        raw.secrets.values().filter_map(|secret| Some(secret.env.as_ref()?.get_ref().clone()));
    let mut check = Check {
        directory,
        kept_variables: kept_variables.collect(),
        problems: Vec::new(),
        files: Vec::new(),
        lock: None,
    };
    let trust = check.trust(raw.trust, path);
    let parameters = check.parameters(raw.parameters);
    let has_form = raw.agent.output_schema.is_some() || raw.agent.output_schema_file.is_some();
    let structured_output = raw.agent.structured_output.clone();
    let mut agent = check.agent(raw.agent, &parameters);
    let serve = check.serve(raw.serve, &parameters);
    let gateway = raw.gateway.map(|gateway| check.gateway(gateway));
    let has_tools = !(raw.tools.is_empty() && agent.builtins.is_empty());
    let model = check.inherited(raw.model, structured_output.as_ref());
    check.structured_outputs(&model, structured_output.as_ref(), has_form, has_tools);
    check.counted(&model, &raw.limits);
    let models = check.models(model);
    let limits = check.limits(raw.limits, models.as_ref());
    let approvals = check.approvals(raw.approval);
    let secrets = check.secrets(raw.secrets);
    let keys: Vec<&SecretSource> =
        models.iter().flat_map(Models::all).flat_map(ModelConfig::secrets).collect();
    check.kept_variables.extend(keys.iter().filter_map(|key| key.variable()).map(str::to_owned));
    let sources = raw.tools.values().flat_map(|tool| tool.source.iter().chain(&tool.agent));
    let sources = sources.filter_map(|source| check.absolute(source.get_ref()).ok());
    let deciding: Vec<PathBuf> = [path.to_owned(), Lock::beside(path)]
        .into_iter()
        .chain(sources)
        .chain(trust.files().map(Path::to_owned))
        .collect();
    let kept = Kept { secrets: &secrets, keys: &keys, deciding: &deciding };
    let (mut tools, mut agents) = (Vec::new(), Vec::new());
    for (name, tool) in raw.tools {
        match check.table(&name, tool, &kept) {
            Some(Table::Component(tool)) => tools.push(*tool),
            Some(Table::Agent(agent)) => agents.push(agent),
            None => {}
        }
    }
    if check.lock.is_some() {
        agent.files.push(Lock::beside(path));
    }
    match models {
        Some(Models { first: model, fallbacks, summary, retry: model_retry })
            if check.problems.is_empty() =>
        {
            let path = path.to_owned();
            Ok(Config {
                path,
                text,
                agent,
                model,
                fallbacks,
                summary,
                model_retry,
                limits,
                parameters,
                serve,
                gateway,
                approvals,
                tools,
                agents,
                secrets,
                trust,
            })
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

    /// Notes that one thing is said at a place and at the older place of it.
    pub(super) fn twice(&mut self, new: (&str, Range<usize>), old: (&str, Range<usize>)) {
        self.problems.extend(twice(new, old, ""));
    }

    fn agent(&mut self, raw: raw::Agent, parameters: &Parameters) -> AgentConfig {
        let raw::Agent {
            name,
            description,
            instructions,
            instructions_file,
            prompt,
            builtins,
            output_schema,
            output_schema_file,
            structured_output: _,
        } = raw;
        let name = match name {
            Some(name) => self.agent_name(name),
            None => {
                self.directory.file_name().map_or("agent".into(), |name| name.to_string_lossy().into_owned())
            }
        };
        let description = description.map(|text| self.description(&text));
        for (key, text) in [("instructions", &instructions), ("prompt", &prompt)] {
            if let Some(text) = text {
                self.template(key, text, parameters);
            }
        }
        let output_schema = self.output_schema(output_schema, output_schema_file);
        let instructions = match (instructions, instructions_file) {
            (Some(_), Some(file)) => {
                let message = "both `instructions` and `instructions_file` are given";
                self.problem(file.span(), message, "keep one of them");
                String::new()
            }
            (Some(text), None) => text.into_inner(),
            (None, Some(file)) => self.instructions_file(&file, parameters),
            (None, None) => String::new(),
        };
        let mut builtins: Vec<Builtin> = builtins
            .into_iter()
            .map(|name| match name {
                raw::BuiltinName::AskHuman => Builtin::AskHuman,
                raw::BuiltinName::SleepUntil => Builtin::SleepUntil,
            })
            .collect();
        builtins.dedup();
        let prompt = prompt.map(Spanned::into_inner);
        let files = std::mem::take(&mut self.files);
        AgentConfig { name, files, description, instructions, prompt, output_schema, builtins }
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

    /// What the models of other agents read, without hidden characters.
    pub(super) fn description(&mut self, raw: &Spanned<String>) -> String {
        let text = raw.get_ref();
        if text.trim().is_empty() || text.len() > DESCRIPTION_BYTES_MAX {
            let help = format!("say in up to {DESCRIPTION_BYTES_MAX} bytes what the agent does");
            self.problem(raw.span(), "description is empty or too long", help);
        }
        clean(text).into_owned()
    }

    fn output_schema(
        &mut self,
        table: Option<Spanned<toml::Table>>,
        file: Option<Spanned<PathBuf>>,
    ) -> Option<Json> {
        let (span, json) = match (table, file) {
            (None, None) => return None,
            (Some(_), Some(file)) => {
                let message = "both `output_schema` and `output_schema_file` are given";
                self.problem(file.span(), message, "keep one of them");
                return None;
            }
            (Some(table), None) => {
                (table.span(), json(&toml::Value::Table(table.into_inner())).map(|it| Json::canonical(&it)))
            }
            (None, Some(file)) => {
                let path = self.path("output_schema_file", &file)?;
                self.files.push(path.clone());
                let text = read_text(&path, INSTRUCTIONS_BYTES_MAX).map_err(|error| error.to_string());
                let json = text.and_then(|text| {
                    let json = Json::parse(text).map_err(|it| it.to_string())?;
                    // In the order of its author, which is the order in which models write.
                    Json::parse(json.to_value().to_string()).map_err(|it| it.to_string())
                });
                (file.span(), json)
            }
        };
        let checked = json.and_then(|json| match Schema::new(&json).compile() {
            Ok(()) => Ok(json),
            Err(error) => Err(error.to_string()),
        });
        checked
            .map_err(|error| {
                let message = format!("the answer's schema cannot be used: {}", quote(&error));
                self.problem(
                    span,
                    message,
                    "write a JSON Schema, as in { type = \"object\" }, without references to elsewhere",
                );
            })
            .ok()
    }

    fn instructions_file(&mut self, raw: &Spanned<PathBuf>, parameters: &Parameters) -> String {
        let Some(path) = self.path("instructions_file", raw) else { return String::new() };
        self.files.push(path.clone());
        match read_text(&path, INSTRUCTIONS_BYTES_MAX) {
            Ok(text) => {
                let text = Spanned::new(raw.span(), text);
                self.template("instructions_file", &text, parameters);
                text.into_inner()
            }
            Err(error) => {
                let name = raw.get_ref().to_string_lossy();
                let message = format!("cannot read instructions_file \"{}\": {error}", quote(&name));
                self.problem(raw.span(), message, looked_for_at(&path));
                String::new()
            }
        }
    }

    fn serve(&mut self, raw: raw::Serve, parameters: &Parameters) -> ServeConfig {
        if let Some(prompt) = &raw.prompt {
            let member = prompt.get_ref();
            if member.is_empty()
                || member.chars().count() > MEMBER_CHARS_MAX
                || member.contains(char::is_control)
            {
                let help = format!("use 1 to {MEMBER_CHARS_MAX} characters, all on one line");
                self.problem(prompt.span(), "the prompt cannot be a member of this name", help);
            } else if parameters.contains_key(member) {
                let message = format!("`{}` is a parameter, too", quote(member));
                self.problem(prompt.span(), message, "name another member, or rename the parameter");
            }
        }
        ServeConfig { prompt: raw.prompt.map(Spanned::into_inner) }
    }

    fn limits(&mut self, raw: raw::Limits, models: Option<&Models>) -> Limits {
        let wall_time = raw.wall_time.as_ref();
        let unpriced = models.is_some_and(|models| models.all().any(|model| model.prices.is_none()));
        if let Some(cost) = raw.max_cost_usd.as_ref().filter(|_| unpriced) {
            let help = "add `prices = { input = …, output = … }` under [model], each [[model.fallback]] and \
                        [model.summary], in US dollars per million tokens";
            self.problem(cost.span(), "max_cost_usd needs to know what tokens cost", help);
        }
        let budgets = Budgets {
            max_tool_calls: raw.max_tool_calls,
            max_total_tokens: raw.max_total_tokens,
            max_cost_usd: raw.max_cost_usd.map(Spanned::into_inner),
            prices: models.and_then(|models| models.first.prices),
            max_repeats: Some(raw.max_repeats.unwrap_or(MAX_REPEATS)),
            stop_on_tools: self.globs(raw.stop_on_tools),
        };
        Limits {
            max_turns: raw.max_turns.unwrap_or(MAX_TURNS),
            max_parallel_tools: raw.max_parallel_tools.unwrap_or(MAX_PARALLEL_TOOLS),
            max_calls_per_turn: raw.max_calls_per_turn.unwrap_or(MAX_CALLS_PER_TURN),
            budgets,
            compact_at_tokens: raw.compact_at_tokens,
            wall_time_ms: wall_time.map(|raw| self.duration_ms("wall_time", raw, "5m", WALL_TIME_LIMIT)),
        }
    }

    pub(super) fn duration_ms(
        &mut self,
        key: &str,
        raw: &Spanned<String>,
        example: &str,
        max: Duration,
    ) -> u64 {
        units::duration_ms(raw.get_ref(), max).unwrap_or_else(|error| {
            let message = format!("{key} = \"{}\" {error}", quote(raw.get_ref()));
            self.problem(raw.span(), message, units::duration_help(example, max));
            0
        })
    }

    pub(super) fn bytes(&mut self, key: &str, raw: &Spanned<String>, example: &str, max: u64) -> u64 {
        units::bytes(raw.get_ref(), max).unwrap_or_else(|error| {
            let message = format!("{key} = \"{}\" {error}", quote(raw.get_ref()));
            self.problem(raw.span(), message, units::bytes_help(example, max));
            0
        })
    }
}
