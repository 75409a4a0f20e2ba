//! The `[tools.NAME.command]` and `[tools.NAME.config]` tables: how a program is called, and what a component finds in
//! its store of settings.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::Spanned;

use super::bounds::{ARGUMENTS_LIMIT, SETTING_BYTES_MAX, SETTINGS_LIMIT};
use super::provider::json;
use super::raw;
use super::template::{self, TemplateError, pieces};
use super::validate::Check;
use crate::command::{Argument, Command, Form, Piece, Template};
use crate::document::{quote, suggest};
use crate::grants::{Grants, Setting};
use crate::message::Json;
use crate::schema::Schema;

impl Check<'_> {
    pub(super) fn command(&mut self, raw: raw::Command) -> Command {
        let raw::Command { description, input, args, stdin, output, exit_codes } = raw;
        let default = Command::default();
        let description = description.map(|text| self.description(&text));
        let output = match output {
            Some(raw::CommandOutput::Json) => Form::Json,
            Some(raw::CommandOutput::Text) | None => Form::Text,
        };
        let exit_codes = exit_codes.unwrap_or_else(|| default.exit_codes.clone());
        let Some(input) = input else {
            for at in args.iter().flatten().map(Spanned::span).chain(stdin.as_ref().map(Spanned::span)) {
                let help =
                    "add `input`, the JSON Schema of what the model says, or leave `args` and `stdin` out";
                self.problem(at, "nothing says what the tool's input is", help);
            }
            return Command { description, output, exit_codes, ..default };
        };
        let at = input.span();
        let Some(input) = self.input_schema(input) else { return default };
        let value = input.to_value();
        let members = value.get("properties").and_then(Value::as_object);
        let members: Vec<&str> = members.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let args = args.unwrap_or_default();
        if args.len() > ARGUMENTS_LIMIT {
            let message = format!("there are {} arguments", args.len());
            self.problem(at.clone(), message, format!("give at most {ARGUMENTS_LIMIT} of them"));
        }
        let args = args.into_iter().map(|it| self.argument(it, &members)).collect();
        let stdin = stdin.map(|text| self.text_with(&text, text.get_ref(), &members));
        let command = Command { description, input, args, stdin, output, exit_codes };
        for member in members.iter().filter(|name| !command.members().any(|it| it == **name)) {
            let message = format!("the program is never given `{}`", quote(member));
            let help =
                format!("write `{{{{ {member} }}}}` in `args` or in `stdin`, or take it out of `input`");
            self.problem(at.clone(), message, help);
        }
        command
    }

    /// The schema of a tool's input.
    fn input_schema(&mut self, table: Spanned<toml::Table>) -> Option<Json> {
        let at = table.span();
        let checked = json(&toml::Value::Table(table.into_inner())).and_then(|value| {
            if value.get("type").is_none_or(|kind| kind != "object") {
                return Err("it is not of type `object`".to_owned());
            }
            let schema = Json::canonical(&value);
            Schema::new(&schema).compile().map_err(|error| error.to_string())?;
            Ok(schema)
        });
        checked
            .map_err(|error| {
                let message = format!("the input's schema cannot be used: {}", quote(&error));
                let help = "write a JSON Schema, as in { type = \"object\", properties = { text = { type = \"string\" } } }";
                self.problem(at, message, help);
            })
            .ok()
    }

    fn argument(&mut self, raw: Spanned<raw::ArgumentForm>, members: &[&str]) -> Argument {
        let at = Spanned::new(raw.span(), ());
        let (when, words) = match raw.into_inner() {
            raw::ArgumentForm::One(word) => (None, vec![word]),
            raw::ArgumentForm::Together(words) => (None, words),
            raw::ArgumentForm::When(raw::Switched { when, args }) => (Some(when), args),
        };
        if words.is_empty() {
            self.problem(at.span(), "there is no argument in it", "add one, or take it out");
        }
        if let Some(when) = when.as_deref().filter(|when| !members.contains(when)) {
            let message = format!("there is no member `{}`", quote(when));
            self.problem(at.span(), message, suggest(when, members));
        }
        let words = words.iter().map(|word| self.text_with(&at, word, members)).collect();
        Argument { when, words }
    }

    fn text_with<T>(&mut self, at: &Spanned<T>, written: &str, members: &[&str]) -> Template {
        let piece = |piece| match piece {
            template::Piece::Text(text) => Piece::Text(text.to_owned()),
            template::Piece::Name(name) => Piece::Member(name.to_owned()),
        };
        if written.contains('\0') {
            self.problem(at.span(), "it has the character NUL in it", "take the character out");
        }
        let found = pieces(written, "member", members).unwrap_or_else(|error| {
            let TemplateError { place: (line, column), message, help } = error;
            let message =
                if line == 1 { message } else { format!("line {line}, column {column} of it: {message}") };
            self.problem(at.span(), message, help);
            Vec::new()
        });
        Template { written: written.to_owned(), pieces: found.into_iter().map(piece).collect() }
    }

    /// What a component finds in its store of settings.
    pub(super) fn settings(
        &mut self,
        raw: BTreeMap<Spanned<String>, Spanned<raw::TextOr<raw::SecretSetting>>>,
        grants: &Grants,
    ) -> BTreeMap<String, Setting> {
        if let Some(name) = raw.keys().nth(SETTINGS_LIMIT) {
            let message = format!("there are {} settings", raw.len());
            self.problem(name.span(), message, format!("give at most {SETTINGS_LIMIT} of them"));
        }
        let granted = grants.secrets();
        let mut settings = BTreeMap::new();
        for (name, setting) in raw {
            let at = setting.span();
            let setting = match setting.into_inner() {
                raw::TextOr::Text(text) => {
                    if text.len() > SETTING_BYTES_MAX {
                        let message = format!("the setting has {} bytes", text.len());
                        self.problem(at, message, format!("give at most {SETTING_BYTES_MAX} of them"));
                    }
                    Setting::Text(text)
                }
                raw::TextOr::Table(raw::SecretSetting { secret }) => {
                    if !granted.contains(&secret.get_ref().as_str()) {
                        let message =
                            format!("no site is granted the secret \"{}\"", quote(secret.get_ref()));
                        let help = "add it to the `secrets` of a site in `permissions.network`: the component only gets a \
                                    placeholder, which becomes the secret in requests to that site";
                        self.problem(secret.span(), message, help);
                    }
                    Setting::Secret(secret.into_inner())
                }
            };
            settings.insert(name.into_inner(), setting);
        }
        settings
    }
}
