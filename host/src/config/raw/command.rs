use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use toml::Spanned;

use super::form::OrText;

/// How a program is called that takes arguments and a standard input: a component of the world `wasi:cli/command`. It is
/// one tool, with the table's name. Without the keys below, the model itself says the arguments and the standard input.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({
    "description": "Counts the lines of a text.",
    "args": ["-l"],
    "stdin": "{{ text }}",
    "input": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
}))]
pub(in crate::config) struct Command {
    /// What the model is told of the program.
    #[schemars(with = "Option<String>", example = &"Counts the lines of a text.")]
    pub(in crate::config) description: Option<Spanned<String>>,
    /// The tool's input, as a JSON Schema of an object.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(in crate::config) input: Option<Spanned<toml::Table>>,
    /// The program's arguments, without its name. `{{ member }}` stands for a member of the input. A member that is absent
    /// leaves its argument out, and an array repeats the argument for each item. A list of arguments is left out, or
    /// repeated, together. A table gives its `args` only when the member `when` is there and is not false.
    #[schemars(with = "Option<Vec<ArgumentForm>>", extend("examples" = [["-n", ["-m", "{{ max }}"], "--", "{{ pattern }}"]]))]
    pub(in crate::config) args: Option<Vec<Spanned<ArgumentForm>>>,
    /// What the program reads: a text with `{{ member }}` in it; nothing by default.
    #[schemars(with = "Option<String>", example = &"{{ text }}")]
    pub(in crate::config) stdin: Option<Spanned<String>>,
    /// What the program writes to its standard output; `"text"` by default.
    pub(in crate::config) output: Option<CommandOutput>,
    /// The exit codes by which the program says that it did its work; 0 alone by default. Any other code is a failed call.
    #[schemars(extend("examples" = [[0, 1]]))]
    pub(in crate::config) exit_codes: Option<Vec<u8>>,
}

/// What a program writes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum CommandOutput {
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// An argument, several that belong together, or some that a member of the input switches on.
#[derive(Debug)]
pub(in crate::config) enum ArgumentForm {
    One(String),
    Together(Vec<String>),
    When(Switched),
}

/// Arguments that a member of the input switches on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Switched {
    /// The member: the arguments are given when it is there and is not false.
    #[schemars(example = &"count")]
    pub(in crate::config) when: String,
    /// The arguments.
    #[schemars(extend("examples" = [["-c"]]))]
    pub(in crate::config) args: Vec<String>,
}

impl<'de> Deserialize<'de> for ArgumentForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArgumentVisitor)
    }
}

struct ArgumentVisitor;

impl<'de> Visitor<'de> for ArgumentVisitor {
    type Value = ArgumentForm;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an argument, a list of arguments, or a table with `when` and `args`")
    }

    fn visit_str<E: de::Error>(self, argument: &str) -> Result<ArgumentForm, E> {
        Ok(ArgumentForm::One(argument.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ArgumentForm, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(ArgumentForm::Together)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<ArgumentForm, A::Error> {
        Switched::deserialize(MapAccessDeserializer::new(table)).map(ArgumentForm::When)
    }
}

impl JsonSchema for ArgumentForm {
    fn schema_name() -> Cow<'static, str> {
        "ArgumentForm".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Switched>();
        json_schema!({ "oneOf": [
            { "type": "string", "description": "One argument." },
            { "type": "array", "items": { "type": "string" }, "description": "Arguments that belong together." },
            table
        ] })
    }
}

/// A secret, by its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SecretSetting {
    /// The NAME of `[secrets.NAME]`. A site in `permissions.network` has to be granted it. The component finds a
    /// placeholder, and the host puts the secret into the requests to that site.
    #[schemars(with = "String", example = &"GITHUB_TOKEN")]
    pub(in crate::config) secret: Spanned<String>,
}

/// What a component finds in `wasi:config/store` by a name is a text, or the placeholder of a secret.
impl OrText for SecretSetting {
    const EXPECTED: &'static str = "a text, or a table with `secret`";

    fn text() -> serde_json::Value {
        json!({ "type": "string", "description": "A text." })
    }
}
