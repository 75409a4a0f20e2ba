//! What to ask, from wherever it comes.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit::Misuse;
use super::remote::RemoteError;
use crate::config::{Config, render, values};
use crate::document::{read_text, without_mark};
use crate::message::Image;

/// No model's context holds more.
const PROMPT_BYTES_MAX: u64 = 1 << 20;

/// What Anthropic, the strictest of the providers, takes of one picture.
/// <https://platform.claude.com/docs/en/build-with-claude/vision>
const IMAGE_BYTES_MAX: u64 = 5 << 20;

/// What to ask, and the values in it.
#[derive(Debug, clap::Args)]
pub(super) struct Prompt {
    /// What to ask, instead of the prompt in agent.toml; `-` reads it from stdin.
    #[arg(value_name = "PROMPT")]
    text: Option<String>,
    /// A file that holds what to ask; `-` for stdin.
    #[arg(long = "prompt-file", value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
    /// A picture that belongs to the prompt: PNG, JPEG, GIF or WebP, up to 5 MiB. May be given several times.
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
}

/// What is given to ask. Texts of files are filled in; an argument, and what comes on stdin, is taken as it is.
enum Source {
    Plain(String),
    Template(String),
}

/// The values of an agent's parameters.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
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
    /// What to ask. Texts of agent.toml and of files are filled in; an argument, and what comes on stdin, is taken as
    /// it is, because it may come from anywhere.
    pub(super) fn text(
        &self,
        config: &Config,
        parameters: &BTreeMap<String, String>,
    ) -> anyhow::Result<String> {
        let text = match self.source()? {
            Some(Source::Plain(text)) => text,
            Some(Source::Template(text)) => render("the prompt", &text, parameters)?,
            None => {
                let nothing = || {
                    let path = config.path.display();
                    Misuse(format!(
                        "nothing to ask: give a prompt as an argument, or set `prompt` under [agent] in {path}"
                    ))
                };
                render("the prompt", config.agent.prompt.as_ref().ok_or_else(nothing)?, parameters)?
            }
        };
        not_empty(text)
    }

    /// What to ask an agent that somebody else has; `None` if it is to be asked what its own prompt says. `defaults` says
    /// which values its parameters have if nobody gives others.
    pub(super) async fn text_for<D>(
        &self,
        given: &BTreeMap<String, String>,
        defaults: impl FnOnce() -> D,
    ) -> anyhow::Result<Option<String>>
    where
        D: Future<Output = Result<BTreeMap<String, String>, RemoteError>>,
    {
        let text = match self.source()? {
            None => return Ok(None),
            Some(Source::Plain(text)) => text,
            Some(Source::Template(text)) if !text.contains("{{") => text,
            Some(Source::Template(text)) => {
                let mut values = defaults().await?;
                values.extend(given.clone());
                render("the prompt", &text, &values)?
            }
        };
        not_empty(text).map(Some)
    }

    /// What is given to ask.
    fn source(&self) -> anyhow::Result<Option<Source>> {
        let dash = Path::new("-");
        Ok(Some(match (&self.text, &self.file) {
            (Some(text), _) if Path::new(text) != dash => Source::Plain(text.clone()),
            (Some(_), _) => Source::Plain(read("stdin", &mut std::io::stdin().lock())?),
            (None, Some(path)) if path == dash => Source::Plain(read("stdin", &mut std::io::stdin().lock())?),
            (None, Some(path)) => {
                let name = path.display().to_string();
                let mut file =
                    std::fs::File::open(path).with_context(|| Misuse(format!("cannot read {name}")))?;
                Source::Template(read(&name, &mut file)?)
            }
            (None, None) => return Ok(None),
        }))
    }

    /// The pictures, in the order in which they are given.
    pub(super) fn images(&self) -> anyhow::Result<Vec<Image>> {
        let image = |path: &PathBuf| {
            let name = path.display();
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path);
            file.and_then(|file| file.take(IMAGE_BYTES_MAX + 1).read_to_end(&mut bytes))
                .with_context(|| Misuse(format!("cannot read the picture {name}")))?;
            if bytes.len() as u64 > IMAGE_BYTES_MAX {
                return Err(
                    Misuse(format!("the picture {name} is larger than 5 MiB; make it smaller")).into()
                );
            }
            let unknown = || Misuse(format!("{name} is no PNG, JPEG, GIF or WebP picture"));
            Ok(Image::from_bytes(&bytes).ok_or_else(unknown)?)
        };
        self.images.iter().map(image).collect()
    }

    /// The value of every parameter.
    pub(super) fn parameters(&self, config: &Config) -> anyhow::Result<BTreeMap<String, String>> {
        self.given.parameters(config)
    }

    /// The values that are given.
    pub(super) fn given(&self) -> anyhow::Result<BTreeMap<String, String>> {
        self.given.given()
    }
}

impl Given {
    /// The value of every parameter.
    pub(super) fn parameters(&self, config: &Config) -> anyhow::Result<BTreeMap<String, String>> {
        Ok(values(&config.parameters, &self.given()?).map_err(|error| Misuse(error.to_string()))?)
    }

    /// The values that are given.
    pub(super) fn given(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut given = BTreeMap::new();
        if let Some(path) = &self.params_file {
            let unfit =
                || Misuse(format!("{} is not a JSON object with values of parameters", path.display()));
            let text = read_text(path, PROMPT_BYTES_MAX).with_context(unfit)?;
            let file: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(&text).with_context(unfit)?;
            for (name, value) in file {
                let value = match value {
                    serde_json::Value::String(text) => text,
                    value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => value.to_string(),
                    serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                        let what = "is neither a text nor a number, nor true or false";
                        return Err(Misuse(format!("{}: `{name}` {what}", path.display())).into());
                    }
                };
                given.insert(name, value);
            }
        }
        given.extend(self.params.iter().cloned());
        Ok(given)
    }
}

fn not_empty(text: String) -> anyhow::Result<String> {
    if text.trim().is_empty() {
        return Err(Misuse("the prompt is empty".to_owned()).into());
    }
    Ok(text)
}

fn read(name: &str, source: &mut dyn std::io::Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let unreadable = || Misuse(format!("cannot read the prompt from {name}"));
    source.take(PROMPT_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    if bytes.len() as u64 > PROMPT_BYTES_MAX {
        return Err(Misuse(format!("the prompt from {name} is longer than 1 MiB")).into());
    }
    String::from_utf8(bytes)
        .map(without_mark)
        .with_context(|| Misuse(format!("the prompt from {name} is not UTF-8 text")))
}
