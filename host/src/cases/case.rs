use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;

use super::expected::{Content, Expected, ExpectedCall, ExpectedOutcome, TextCheck};
use super::{Recording, name, raw, schema};
use crate::document::{ConfigError, Data, FileError, Problem, read, read_text};
use crate::journal::RunFile;
use crate::message::{Json, ToolOutcome};
use crate::model::{Script, turns};

/// A larger file is surely no case: what is long goes into a script of its own.
const CASE_BYTES_MAX: u64 = 64 << 20;

/// One case, read and checked.
#[derive(Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What to ask.
    pub prompt: String,
    /// Values of the agent's parameters.
    pub parameters: BTreeMap<String, String>,
    /// What the model replies.
    pub script: Script,
    /// The run whose replies these are, if they are recorded.
    pub recorded: Option<Arc<Recording>>,
    /// Calls that the case answers itself.
    pub stubs: Vec<Stub>,
    /// What has to come of it; none if that is what is recorded.
    pub expected: Option<Expected>,
}

/// Calls that are not made but answered.
#[derive(Clone, Debug)]
pub struct Stub {
    /// The tool.
    pub tool: String,
    /// Which of its calls.
    pub input: Content,
    /// What they come to.
    pub outcome: ToolOutcome,
}

/// Collects what is wrong with a case.
struct Check<'a> {
    path: &'a Path,
    problems: Vec<Problem>,
}

/// The model's side of a case.
struct ModelSide {
    script: Script,
    recorded: Option<Arc<Recording>>,
}

impl Case {
    /// Reads and checks the file of a case. `prompt` is what agent.toml asks, `tools` are the names of the
    /// tools that there are.
    pub fn load(path: &Path, prompt: Option<&str>, tools: &[&str]) -> Result<Self, ConfigError> {
        let unreadable = |error: FileError| {
            ConfigError::of_file(
                path,
                format!("cannot read {}: {error}", path.display()),
                "a case is a TOML file",
            )
        };
        let text = read_text(path, CASE_BYTES_MAX).map_err(unreadable)?;
        let fail = |problems| ConfigError::of_text(path, &text, problems);
        let raw = read::<raw::CaseFile>(&text, &schema(), "`host schema --cases`").map_err(fail)?;
        Check { path, problems: Vec::new() }.case(raw, prompt, tools).map_err(fail)
    }
}

impl Check<'_> {
    fn case(mut self, raw: raw::CaseFile, asked: Option<&str>, tools: &[&str]) -> Result<Case, Vec<Problem>> {
        let raw::CaseFile { prompt, parameters, reply, script, recorded, tool, expect } = raw;
        let side = self.model_side(&reply, script.as_ref(), recorded.as_ref());
        let recorded_prompt =
            side.as_ref().and_then(|side| side.recorded.as_ref()).map(|it| &*it.manifest.prompt);
        let prompt = prompt.or_else(|| recorded_prompt.or(asked).map(str::to_owned));
        if prompt.is_none() && side.is_some() {
            let help = "add `prompt = \"…\"` at the top, or under [agent] in agent.toml";
            self.problem(
                0..0,
                "there is nothing to ask: neither this case nor agent.toml has a prompt",
                help,
            );
        }
        let stubs = tool.iter().filter_map(|stub| self.stub(stub, tools)).collect();
        let is_recorded = side.as_ref().is_some_and(|side| side.recorded.is_some());
        let expected = match expect {
            None if is_recorded => None,
            expect => Some(self.expected(expect.unwrap_or_default())),
        };
        match (side, prompt) {
            (Some(ModelSide { script, recorded }), Some(prompt)) if self.problems.is_empty() => {
                let (name, path) = (name(self.path), self.path.to_owned());
                Ok(Case { name, path, prompt, parameters, script, recorded, stubs, expected })
            }
            (Some(_) | None, _) => Err(self.problems),
        }
    }

    fn problem(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(span, message, help));
    }

    /// None if it cannot be had; what is wrong has been noted then.
    fn model_side(
        &mut self,
        replies: &[Spanned<crate::model::ScriptedReply>],
        script: Option<&Spanned<PathBuf>>,
        recorded: Option<&Spanned<PathBuf>>,
    ) -> Option<ModelSide> {
        let inline = replies.first().map(Spanned::span);
        match (inline, script, recorded) {
            (Some(_), None, None) => match turns(replies) {
                Ok(turns) => Some(ModelSide { script: Script::new(self.path, turns), recorded: None }),
                Err(problems) => {
                    self.problems.extend(problems);
                    None
                }
            },
            (None, Some(script), None) => self.script(script),
            (None, None, Some(recorded)) => self.recorded(recorded),
            (None, None, None) => {
                let help = "add [[reply]] tables, `script = \"…\"` or `recorded = \"…\"`";
                self.problem(0..0, "it is not said what the model replies", help);
                None
            }
            (inline, script, recorded) => {
                let spans = [inline, script.map(Spanned::span), recorded.map(Spanned::span)];
                let last = spans.into_iter().flatten().last().unwrap_or_default();
                let help = "keep one of [[reply]], `script` and `recorded`";
                self.problem(last, "it is said more than once what the model replies", help);
                None
            }
        }
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn script(&mut self, path: &Spanned<PathBuf>) -> Option<ModelSide> {
        match Script::load(&self.at(path.get_ref())) {
            Ok(script) => Some(ModelSide { script, recorded: None }),
            Err(error) => {
                self.problem(path.span(), error.to_string(), "correct the script, or name another one");
                None
            }
        }
    }

    fn recorded(&mut self, path: &Spanned<PathBuf>) -> Option<ModelSide> {
        let help = "name a run that ended, as `host journal export RUN > FILE` writes it";
        let file = self.at(path.get_ref());
        let read = RunFile::read(&file).map_err(|error| error.to_string());
        let recording = read.and_then(|RunFile { summary, entries }| {
            Recording::of(summary.run, entries).map_err(|error| format!("{}: {error}", file.display()))
        });
        match recording {
            Ok(recording) if recording.ending.is_some() => {
                Some(ModelSide { script: recording.script(&file), recorded: Some(Arc::new(recording)) })
            }
            Ok(_) => {
                self.problem(path.span(), "the recorded run has not ended", help);
                None
            }
            Err(error) => {
                self.problem(path.span(), error, help);
                None
            }
        }
    }

    fn stub(&mut self, stub: &Spanned<raw::Stub>, tools: &[&str]) -> Option<Stub> {
        let raw::Stub { name, input_contains, output, error } = stub.get_ref();
        if !tools.contains(&name.get_ref().as_str()) {
            let help = format!("the tools are: {}", tools.join(", "));
            self.problem(name.span(), format!("the agent has no tool `{}`", name.get_ref()), help);
        }
        let outcome = match (output, error) {
            (Some(Data(output)), None) => ToolOutcome::Output(Json::canonical(output)),
            (None, Some(error)) => ToolOutcome::Error(error.clone()),
            (None, None) | (Some(_), Some(_)) => {
                let message = "it has to be said what the call comes to, and once";
                let help = "give `output = …`, or `error = { kind = \"…\", message = \"…\" }`";
                self.problem(stub.span(), message, help);
                return None;
            }
        };
        let input = input_contains.clone().map_or(Content::Any, |Data(part)| Content::Part(part));
        Some(Stub { tool: name.get_ref().clone(), input, outcome })
    }

    fn expected(&mut self, raw: raw::Expect) -> Expected {
        let raw::Expect { ending, answer, answer_contains, answer_matches, calls } = raw;
        let matches = answer_matches.and_then(|raw| match regex::Regex::new(raw.get_ref()) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let help = "write it between single quotes, in which a backslash stays one";
                self.problem(raw.span(), format!("it is no regular expression: {error}"), help);
                None
            }
        });
        Expected {
            ending: ending.unwrap_or_default(),
            text: TextCheck { whole: answer, parts: answer_contains, matches },
            calls: calls.map(|calls| self.calls(calls)),
        }
    }

    fn calls(&mut self, calls: Vec<Spanned<raw::ExpectCall>>) -> Vec<ExpectedCall> {
        calls.into_iter().map(|call| self.call(call)).collect()
    }

    fn call(&mut self, call: Spanned<raw::ExpectCall>) -> ExpectedCall {
        let span = call.span();
        let raw::ExpectCall { tool, input, input_contains, output, output_contains, error, calls } =
            call.into_inner();
        let input = match (input, input_contains) {
            (None, None) => Content::Any,
            (Some(Data(whole)), None) => Content::Whole(whole),
            (None, Some(Data(part))) => Content::Part(part),
            (Some(_), Some(_)) => {
                self.problem(span.clone(), "both `input` and `input_contains` are given", "keep one of them");
                Content::Any
            }
        };
        let outcome = match (output, output_contains, error) {
            (None, None, None) => ExpectedOutcome::Any,
            (Some(Data(whole)), None, None) => ExpectedOutcome::Output(Content::Whole(whole)),
            (None, Some(Data(part)), None) => ExpectedOutcome::Output(Content::Part(part)),
            (None, None, Some(kind)) => ExpectedOutcome::Error(kind, None),
            (Some(_), Some(_), _) | (Some(_), None, Some(_)) | (None, Some(_), Some(_)) => {
                let message = "it is said more than once what the call comes to";
                self.problem(span, message, "keep one of `output`, `output_contains` and `error`");
                ExpectedOutcome::Any
            }
        };
        ExpectedCall { tool, input, outcome, calls: calls.map(|calls| self.calls(calls)) }
    }
}
