//! The `[parameters]` table, and texts with `{{ name }}` in them.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use toml::Spanned;

use super::error::suggest;
use super::raw;
use super::validate::Check;

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
    #[error("the parameter `{name}` is missing{}\n  give it with --param {name}=VALUE", .description.as_ref().map_or(String::new(), |it| format!(": {it}")))]
    Missing {
        /// Which.
        name: String,
        /// What it is for.
        description: Option<String>,
    },
    /// One was given that there is not.
    #[error("there is no parameter `{name}`; {help}")]
    Unknown {
        /// Which.
        name: String,
        /// Which there are.
        help: String,
    },
    /// The text is no template.
    #[error("{what}: {reason}")]
    Template {
        /// Which text.
        what: &'static str,
        /// What is wrong with it, and where.
        reason: String,
    },
}

/// The value of every parameter: the one that is given, or the default.
pub fn values(
    parameters: &Parameters,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ParameterError> {
    let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
    if let Some(name) = given.keys().find(|name| !parameters.contains_key(*name)) {
        return Err(ParameterError::Unknown { name: name.clone(), help: suggest(name, &names) });
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
    let environment = environment();
    let rendered = environment.render_str(text, minijinja::Value::from_object(values.clone()));
    rendered.map_err(|error| ParameterError::Template { what, reason: reason(&error) })
}

/// Values are put in as they are: what they say is no template, and no HTML.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // It only fails for delimiters of one's own.
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment
}

fn reason(error: &minijinja::Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
    format!("{line}{}{detail}", error.kind())
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
        let environment = environment();
        match environment.template_from_str(text.get_ref()) {
            Ok(template) => {
                let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
                let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
                unknown.sort();
                for name in unknown.iter().filter(|name| !parameters.contains_key(*name)) {
                    let message =
                        format!("`{key}` names the parameter `{name}`, which [parameters] does not have");
                    self.problem(text.span(), message, suggest(name, &names));
                }
            }
            Err(error) => {
                let message = format!("`{key}` is no template: {}", reason(&error));
                let help = "write `{{ name }}` for a parameter, and `{{ \"{{\" }}` for braces of your own";
                self.problem(text.span(), message, help);
            }
        }
    }
}
