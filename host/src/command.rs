//! How a program is called that knows only arguments and a standard input: what the input of a tool call makes of them.
//!
//! Plain data, and the one rule over it. [`crate::config`] reads it from `[tools.NAME.command]`; [`crate::sandbox`] runs
//! the program. Invariant: what a model says becomes text in an argument or in the standard input, and never another
//! argument beside it, but for the items of an array, which agent.toml asks for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::message::Json;

/// All arguments of one call together, in bytes, with one for the end of each.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// The standard input of one call, in bytes.
const STDIN_BYTES_MAX: usize = 16 << 20;

/// How a program is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    /// What the model is told of it.
    pub description: Option<String>,
    /// JSON Schema of the tool's input.
    pub input: Json,
    /// What the program's arguments are made from, after its name.
    pub args: Vec<Argument>,
    /// What the program reads; nothing, if there is none.
    pub stdin: Option<Template>,
    /// What the program writes.
    pub output: Form,
    /// The exit codes by which the program says that it did its work.
    pub exit_codes: Vec<u8>,
}

/// What makes arguments, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Argument {
    /// The member that has to be there, and not be false, for these arguments to be given.
    pub when: Option<String>,
    /// The arguments. They are left out together if a member that one of them names is absent, and repeated together for
    /// each item if it is an array.
    pub words: Vec<Template>,
}

/// A text in which members of the input stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The text as it was written.
    pub written: String,
    /// The same in pieces.
    pub pieces: Vec<Piece>,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It stands there as it is.
    Text(String),
    /// The member of this name.
    Member(String),
}

/// The form of what a program writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Text: the output is a JSON string of it.
    #[default]
    Text,
    /// JSON: the output is that.
    Json,
}

/// What a program is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Its arguments, after its name.
    pub args: Vec<String>,
    /// What it reads.
    pub stdin: String,
}

/// Why an input makes no arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ungiven {
    /// It is no object.
    #[error("the input is no object")]
    NoObject,
    /// An argument ends at a NUL.
    #[error("`{0}` has the character NUL in it, which no argument can have")]
    Nul(String),
    /// One group of arguments names two arrays.
    #[error("`{0}` and `{1}` are arrays, and only one of them can be repeated in the same arguments")]
    TwoArrays(String, String),
    /// They are too long.
    #[error("the arguments are longer than {ARGUMENTS_BYTES_MAX} bytes together")]
    ArgumentsTooLong,
    /// It is too long.
    #[error("the standard input is longer than {STDIN_BYTES_MAX} bytes")]
    StdinTooLong,
}

impl Template {
    /// The whole text is one member.
    fn member(name: &str) -> Self {
        let (written, pieces) = (format!("{{{{ {name} }}}}"), vec![Piece::Member(name.to_owned())]);
        Self { written, pieces }
    }

    /// The members that it names.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Member(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    fn fill<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Member(name) => text.push_str(&value(name).unwrap_or_default()),
            }
        }
        text
    }
}

/// A template is what was written.
impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

/// By default the caller says the arguments and the standard input themselves.
impl Default for Command {
    fn default() -> Self {
        let input = serde_json::json!({
            "type": "object",
            "properties": {
                "args": {
                    "type": "array",
                    "items": { "type": "string" },
                    "description": "The program's arguments, without its name.",
                },
                "stdin": { "type": "string", "description": "What the program reads from its standard input." },
            },
            "additionalProperties": false,
        });
        Self {
            description: None,
            input: Json::canonical(&input),
            args: vec![Argument { when: None, words: vec![Template::member("args")] }],
            stdin: Some(Template::member("stdin")),
            output: Form::Text,
            exit_codes: vec![0],
        }
    }
}

impl Command {
    /// The members of the input that the program gets to know.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        let words = self.args.iter().flat_map(|it| &it.words).chain(&self.stdin);
        let when = self.args.iter().filter_map(|it| it.when.as_deref());
        words.flat_map(Template::members).chain(when)
    }

    /// What the program is given for an input.
    pub fn given(&self, input: &Json) -> Result<Given, Ungiven> {
        let members: Members<'_> = serde_json::from_str(input.as_str()).map_err(|_| Ungiven::NoObject)?;
        let mut args = Vec::new();
        let mut room = ARGUMENTS_BYTES_MAX;
        for argument in self.args.iter().filter(|it| it.is_wanted(&members)) {
            argument.add_to(&mut args, &members, &mut room)?;
        }
        let stdin = match &self.stdin {
            Some(stdin) => {
                let bytes: usize =
                    stdin.members().filter_map(|name| members.get(name)).map(|it| it.get().len()).sum();
                if bytes > STDIN_BYTES_MAX {
                    return Err(Ungiven::StdinTooLong);
                }
                stdin.fill(|name| text(members.get(name)?))
            }
            None => String::new(),
        };
        Ok(Given { args, stdin })
    }
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

impl Argument {
    fn is_wanted(&self, members: &Members<'_>) -> bool {
        let said = |name: &str| members.get(name).is_some_and(|it| !matches!(it.get(), "null" | "false"));
        self.when.as_deref().is_none_or(said)
            && self.names().all(|name| members.get(name).is_some_and(|it| it.get() != "null"))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.words.iter().flat_map(Template::members)
    }

    fn add_to(&self, args: &mut Vec<String>, members: &Members<'_>, room: &mut usize) -> Result<(), Ungiven> {
        let mut repeated: Option<(&str, Vec<&RawValue>)> = None;
        for name in self.names() {
            let Some(items) = members.get(name).and_then(|it| items(it)) else { continue };
            match &repeated {
                Some((other, _)) if *other != name => {
                    return Err(Ungiven::TwoArrays((*other).to_owned(), name.to_owned()));
                }
                Some(_) => {}
                None => repeated = Some((name, items)),
            }
        }
        let times = repeated.as_ref().map_or(1, |(_, items)| items.len());
        for time in 0..times {
            let value = |name: &str| match &repeated {
                Some((array, items)) if *array == name => text(items.get(time)?),
                Some(_) | None => text(members.get(name)?),
            };
            for word in &self.words {
                let arg = word.fill(value);
                if arg.contains('\0') {
                    return Err(Ungiven::Nul(word.written.clone()));
                }
                *room = room.checked_sub(arg.len() + 1).ok_or(Ungiven::ArgumentsTooLong)?;
                args.push(arg);
            }
        }
        Ok(())
    }
}

/// The items of an array.
fn items(value: &RawValue) -> Option<Vec<&RawValue>> {
    if value.get().starts_with('[') { serde_json::from_str(value.get()).ok() } else { None }
}

/// A value as text: a string without its quotes, and everything else as JSON, with every digit. Nothing for null.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get() {
        "null" => None,
        json if json.starts_with('"') => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
        json => Some(Cow::Borrowed(json)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use proptest::prelude::*;

    use super::*;

    fn template(written: &str) -> Template {
        let piece = |part: &str| match part.strip_prefix('$') {
            Some(name) => Piece::Member(name.to_owned()),
            None => Piece::Text(part.to_owned()),
        };
        let parts = written.split('|').filter(|part| !part.is_empty());
        Template { written: written.to_owned(), pieces: parts.map(piece).collect() }
    }

    fn argument(when: Option<&str>, words: &[&str]) -> Argument {
        Argument { when: when.map(str::to_owned), words: words.iter().map(|it| template(it)).collect() }
    }

    fn search() -> Command {
        Command {
            args: vec![
                argument(Some("count"), &["-c"]),
                argument(None, &["-m", "$max"]),
                argument(None, &["--only=|$kind"]),
                argument(None, &["--"]),
                argument(None, &["$pattern"]),
                argument(None, &["$files"]),
            ],
            stdin: Some(template("<|$text|>")),
            ..Command::default()
        }
    }

    fn given(command: &Command, input: &serde_json::Value) -> Result<Given, Ungiven> {
        command.given(&Json::parse(input.to_string()).unwrap())
    }

    fn args(input: &serde_json::Value) -> Vec<String> {
        given(&search(), input).unwrap().args
    }

    #[test]
    fn arguments_are_left_out_and_repeated_together() {
        let json = serde_json::json!({});
        assert_eq!(args(&json), ["--"]);
        let json = serde_json::json!({ "pattern": "-v; rm", "max": 3, "count": true, "files": ["a b", "c"] });
        assert_eq!(args(&json), ["-c", "-m", "3", "--", "-v; rm", "a b", "c"]);
        let json = serde_json::json!({ "count": false, "kind": ["x", 1.50, null], "max": null, "files": [] });
        assert_eq!(args(&json), ["--only=x", "--only=1.5", "--only=", "--"]);
        let json = serde_json::json!({ "max": [1, 2], "pattern": { "a": [1] } });
        assert_eq!(args(&json), ["-m", "1", "-m", "2", "--", "{\"a\":[1]}"]);
    }

    #[test]
    fn the_standard_input_is_text_with_members_in_it() {
        let of = |json| given(&search(), &json).unwrap().stdin;
        assert_eq!(of(serde_json::json!({ "text": "a\n\u{0}ü" })), "<a\n\u{0}ü>");
        assert_eq!(of(serde_json::json!({ "text": [1, "x"] })), "<[1,\"x\"]>");
        assert_eq!(of(serde_json::json!({})), "<>");
    }

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        let both = Command { args: vec![argument(None, &["$a", "$b"])], ..Command::default() };
        let of = |json| given(&both, &json).unwrap_err().to_string();
        assert!(of(serde_json::json!({ "a": "x\u{0}y", "b": 1 })).starts_with("`$a` has the character NUL"));
        assert!(of(serde_json::json!({ "a": [1], "b": [2] })).starts_with("`a` and `b` are arrays"));
        assert!(of(serde_json::json!({ "a": "x".repeat(1 << 20), "b": 1 })).contains("longer than 1048576"));
        assert!(of(serde_json::json!([])).contains("no object"));
        let stdin = given(&search(), &serde_json::json!({ "text": "x".repeat((16 << 20) + 1) }));
        assert_eq!(stdin.unwrap_err(), Ungiven::StdinTooLong);
    }

    #[test]
    fn by_default_the_caller_says_what_there_is() {
        let json = serde_json::json!({ "args": ["-l", "a b"], "stdin": "x" });
        let expected = Given { args: vec!["-l".to_owned(), "a b".to_owned()], stdin: "x".to_owned() };
        assert_eq!(given(&Command::default(), &json).unwrap(), expected);
        assert_eq!(given(&Command::default(), &serde_json::json!({})).unwrap(), Given::default());
    }

    proptest! {
        #[test]
        fn a_text_is_one_argument_whatever_is_in_it(text in "[^\u{0}]{0,40}") {
            let given = given(&search(), &serde_json::json!({ "pattern": text })).unwrap();
            prop_assert_eq!(given.args, ["--".to_owned(), text]);
        }
    }
}
