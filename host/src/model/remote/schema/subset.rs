use serde_json::Value;

/// What one provider takes for the tools of a request. Every provider wants besides what [`super::check`] asks of all.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Subset {
    /// Who takes it, in the words of an error.
    pub(in crate::model) server: &'static str,
    /// The most tools of one request, where the provider has such a bound.
    pub(in crate::model) tools_max: Option<usize>,
    /// Whether the name of a tool has to begin with a letter or `_`.
    pub(in crate::model) letter_first: bool,
    /// The longest description of a tool, in characters. Those inside of a schema are bounded nowhere.
    pub(in crate::model) description_chars_max: Option<usize>,
    /// The keywords of a schema that it takes; all of them if it does not say.
    pub(in crate::model) keywords: Option<&'static [&'static str]>,
    /// Which `pattern`s it takes.
    pub(in crate::model) patterns: Patterns,
    /// Which values an `enum` may have.
    pub(in crate::model) values: Values,
    /// What properties may be called.
    pub(in crate::model) keys: Keys,
    /// Whether a `$ref` has to stand alone, but for a description.
    pub(in crate::model) lone_references: bool,
    /// The most that `minItems` may be.
    pub(in crate::model) min_items_max: u64,
    /// Which `format`s it takes; all of them if it does not say.
    pub(in crate::model) formats: Option<&'static [&'static str]>,
    /// Whether every object has to rule out members that it does not list. No rewriting could make it do so.
    pub(in crate::model) closed: bool,
}

/// Which `pattern`s a provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Patterns {
    /// Every one.
    All,
    /// Those without lookaround and back references.
    Regular,
    /// None: its server is known to fail at some, and which those are depends on the server's version.
    Never,
}

/// Which values an `enum` may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Values {
    /// Every one.
    All,
    /// Texts and numbers.
    TextsAndNumbers,
    /// What is neither a list nor an object.
    Scalars,
}

impl Values {
    pub(super) fn take(self, value: &Value) -> bool {
        match self {
            Self::All => true,
            Self::TextsAndNumbers => value.is_string() || value.is_number(),
            Self::Scalars => !(value.is_array() || value.is_object()),
        }
    }
}

/// What properties may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Keys {
    /// Anything.
    All,
    /// 1 to 64 of the characters A-Z a-z 0-9 _ . -
    Plain,
}

/// The longest plain key.
pub(super) const PLAIN_KEY_CHARS_MAX: usize = 64;

impl Keys {
    pub(super) fn take(self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Plain => !key.is_empty() && key.len() <= PLAIN_KEY_CHARS_MAX && key.chars().all(is_plain),
        }
    }
}

/// Whether a plain key may have this character.
pub(super) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

impl Patterns {
    pub(super) fn take(self, pattern: &str) -> bool {
        match self {
            Self::All => true,
            Self::Regular => is_regular(pattern),
            Self::Never => false,
        }
    }
}

/// Whether a pattern has neither lookaround nor back references: the crate's syntax has none either.
pub(in crate::model) fn is_regular(pattern: &str) -> bool {
    regex_syntax::ast::parse::Parser::new().parse(pattern).is_ok()
}

/// What every provider takes that says nothing else.
const ANY: Subset = Subset {
    server: "",
    tools_max: None,
    letter_first: false,
    description_chars_max: None,
    keywords: None,
    patterns: Patterns::All,
    values: Values::All,
    keys: Keys::All,
    lone_references: false,
    min_items_max: u64::MAX,
    formats: None,
    closed: false,
};

/// `OpenAI` itself, chat completions. Sources:
/// <https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools> (128 functions),
/// <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>, and its errors ("string too long.
/// Expected a string with maximum length 1024", "regex lookaround is not supported").
pub(in crate::model) const OPENAI_CHAT: Subset = Subset {
    server: "OpenAI",
    tools_max: Some(128),
    description_chars_max: Some(1024),
    patterns: Patterns::Regular,
    ..ANY
};

/// `OpenAI` itself, responses.
pub(in crate::model) const OPENAI_RESPONSES: Subset =
    Subset { server: "OpenAI", tools_max: Some(128), patterns: Patterns::Regular, ..ANY };

/// Servers that are compatible with `OpenAI`: gateways to it, and those that make a grammar of every schema, among which
/// llama.cpp refuses a request for a pattern that does not begin with `^` and end with `$`, or that its grammar cannot
/// express. How many tools they take depends on the server.
pub(in crate::model) const COMPATIBLE: Subset = Subset {
    server: "an OpenAI-compatible server",
    description_chars_max: Some(1024),
    patterns: Patterns::Never,
    ..ANY
};

/// Anthropic, and what serves its interface. Source: its errors ("Property keys should match pattern
/// '^[a-zA-Z0-9_.-]{1,64}$'", "`input_schema` does not support oneOf, allOf, or anyOf at the top level").
pub(in crate::model) const ANTHROPIC: Subset = Subset { server: "Anthropic", keys: Keys::Plain, ..ANY };

/// An answer that Anthropic holds to a schema. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations>.
pub(in crate::model) const ANTHROPIC_ANSWER: Subset = Subset {
    keywords: Some(&ANTHROPIC_ANSWER_KEYWORDS),
    patterns: Patterns::Regular,
    values: Values::Scalars,
    keys: Keys::All,
    min_items_max: 1,
    formats: Some(&ANTHROPIC_FORMATS),
    closed: true,
    ..ANTHROPIC
};

const ANTHROPIC_ANSWER_KEYWORDS: [&str; 17] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "minItems",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

const ANTHROPIC_FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// Gemini. Sources: <https://ai.google.dev/api/generate-content#FIELDS.response_json_schema> (the keywords, and that a
/// `$ref` stands alone), and its errors ("At most 512 function declarations can be specified", "Must start with a letter
/// or an underscore", "items: missing field").
pub(in crate::model) const GEMINI: Subset = Subset {
    server: "Gemini",
    tools_max: Some(512),
    letter_first: true,
    keywords: Some(&GEMINI_KEYWORDS),
    values: Values::TextsAndNumbers,
    lone_references: true,
    ..ANY
};

/// Without `$id` and `$anchor`, which only matter to references that are not sent.
const GEMINI_KEYWORDS: [&str; 20] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "oneOf",
    "prefixItems",
    "properties",
    "propertyOrdering",
    "required",
    "title",
    "type",
];

/// Ollama, which passes over the keywords that it does not know, and makes a grammar of no tool. Source:
/// <https://github.com/ollama/ollama/blob/main/api/types.go>.
pub(in crate::model) const OLLAMA: Subset = Subset { server: "Ollama", ..ANY };

/// An answer that Ollama holds to a schema, for which it makes a grammar.
pub(in crate::model) const OLLAMA_ANSWER: Subset = Subset { patterns: Patterns::Never, ..OLLAMA };
