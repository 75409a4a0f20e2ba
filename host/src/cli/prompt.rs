//! What to ask, from wherever it comes.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit::Misuse;
use crate::config::{Config, values};

/// No model's context holds more.
const PROMPT_BYTES_MAX: u64 = 1 << 20;

/// What to ask, and the values in it.
#[derive(Debug, clap::Args)]
pub(super) struct Prompt {
    /// What to ask, instead of the prompt in agent.toml; `-` reads it from stdin.
    #[arg(value_name = "PROMPT")]
    text: Option<String>,
    /// A file that holds what to ask; `-` for stdin.
    #[arg(long = "prompt-file", value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// The value of a parameter, for `{{ NAME }}` in the prompt and in the instructions. May be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    /// A file with values of parameters: a JSON object.
    #[arg(long, value_name = "FILE")]
    params_file: Option<PathBuf>,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Prompt {
    /// What to ask, with its parameters still in it.
    pub(super) fn text(&self, config: &Config) -> anyhow::Result<String> {
        let text = match (&self.text, &self.file) {
            (Some(dash), _) if dash == "-" => read("stdin", &mut std::io::stdin().lock())?,
            (Some(text), _) => text.clone(),
            (None, Some(path)) if path == Path::new("-") => read("stdin", &mut std::io::stdin().lock())?,
            (None, Some(path)) => {
                let name = path.display().to_string();
                let mut file =
                    std::fs::File::open(path).with_context(|| Misuse(format!("cannot read {name}")))?;
                read(&name, &mut file)?
            }
            (None, None) => config.agent.prompt.clone().ok_or_else(|| {
                Misuse(format!(
                    "nothing to ask: give a prompt as an argument, or set `prompt` under [agent] in {}",
                    config.path.display()
                ))
            })?,
        };
        if text.trim().is_empty() {
            return Err(Misuse("the prompt is empty".to_owned()).into());
        }
        Ok(text)
    }

    /// The value of every parameter.
    pub(super) fn parameters(&self, config: &Config) -> anyhow::Result<BTreeMap<String, String>> {
        let mut given = BTreeMap::new();
        if let Some(path) = &self.params_file {
            let unfit =
                || Misuse(format!("{} is not a JSON object with values of parameters", path.display()));
            let text = std::fs::read_to_string(path).with_context(unfit)?;
            let file: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(&text).with_context(unfit)?;
            given.extend(file.into_iter().map(|(name, value)| match value {
                serde_json::Value::String(text) => (name, text),
                other => (name, other.to_string()),
            }));
        }
        given.extend(self.params.iter().cloned());
        Ok(values(&config.parameters, &given).map_err(|error| Misuse(error.to_string()))?)
    }
}

fn read(name: &str, source: &mut dyn std::io::Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let unreadable = || Misuse(format!("cannot read the prompt from {name}"));
    source.take(PROMPT_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    if bytes.len() as u64 > PROMPT_BYTES_MAX {
        return Err(Misuse(format!("the prompt from {name} is longer than 1 MiB")).into());
    }
    String::from_utf8(bytes).with_context(|| Misuse(format!("the prompt from {name} is not UTF-8 text")))
}
