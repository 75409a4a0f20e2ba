//! The `[parameters]` table, and texts with `{{ name }}` in them.

use std::collections::BTreeMap;

use toml::Spanned;

use super::raw;
use super::template::{TemplateError, fill};
use super::validate::Check;
use crate::document::suggest;

/// A value that each run of the agent is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What it is for.
    pub description: Option<String>,
    /// What holds if none is given; without it, one has to be.
    pub default: Option<String>,
}

/// The parameters of an agent, by name.
pub type Parameters = BTreeMap<String, Parameter>;

/// Values that do not fit the parameters, or a text that is no template.
#[derive(Debug, thiserror::Error)]
pub enum ParameterError {
    /// One that is needed was not given.
    #[error("the parameter `{name}` is missing{}\n  give it with --param {name}=VALUE, or give it a `default` in agent.toml", .description.as_ref().map_or(String::new(), |it| format!(": {it}")))]
    Missing {
        /// Which.
        name: String,
        /// What it is for.
        description: Option<String>,
    },
    /// One was given that there is not.
    #[error("there is no parameter `{name}`\n  {help}")]
    Unknown {
        /// Which.
        name: String,
        /// Which there are.
        help: String,
    },
    /// The text is no template.
    #[error("{what}: {error}")]
    Template {
        /// Which text.
        what: &'static str,
        /// What is wrong with it, and where.
        error: TemplateError,
    },
}

/// The value of every parameter: the one that is given, or the default.
pub fn values(
    parameters: &Parameters,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ParameterError> {
    let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
    if let Some(name) = given.keys().find(|name| !parameters.contains_key(*name)) {
        let help = if names.is_empty() {
            format!("this agent has no parameters: leave it out, or add [parameters.{name}] to agent.toml")
        } else {
            suggest(name, &names)
        };
        return Err(ParameterError::Unknown { name: name.clone(), help });
    }
    let value = |(name, parameter): (&String, &Parameter)| {
        let missing =
            || ParameterError::Missing { name: name.clone(), description: parameter.description.clone() };
        let value = given.get(name).or(parameter.default.as_ref()).ok_or_else(missing)?;
        Ok((name.clone(), value.clone()))
    };
    parameters.iter().map(value).collect()
}

/// A text with the values in it. Without parameters a text is what it is, whatever braces it has.
pub fn render(
    what: &'static str,
    text: &str,
    values: &BTreeMap<String, String>,
) -> Result<String, ParameterError> {
    if values.is_empty() {
        return Ok(text.to_owned());
    }
    fill(text, values).map_err(|error| ParameterError::Template { what, error })
}

impl Check<'_> {
    pub(super) fn parameters(&mut self, raw: BTreeMap<Spanned<String>, raw::Parameter>) -> Parameters {
        let plain = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        for name in raw.keys().filter(|name| !plain(name.get_ref())) {
            let message = "a parameter cannot be named so";
            self.problem(name.span(), message, "use the characters A-Z a-z 0-9 _, no digit first");
        }
        let parameter =
            |raw: raw::Parameter| Parameter { description: raw.description, default: raw.default };
        raw.into_iter().map(|(name, raw)| (name.into_inner(), parameter(raw))).collect()
    }

    /// Checks that a text names only parameters that there are.
    pub(super) fn template(&mut self, key: &'static str, text: &Spanned<String>, parameters: &Parameters) {
        if parameters.is_empty() {
            return;
        }
        let named = parameters.keys().map(|name| (name.clone(), String::new())).collect();
        if let Err(TemplateError { place: (line, column), message, help }) = fill(text.get_ref(), &named) {
            let message = format!("`{key}`, line {line}, column {column} of it: {message}");
            self.problem(text.span(), message, help);
        }
    }
}
