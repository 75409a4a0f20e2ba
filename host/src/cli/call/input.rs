//! The input of a call, as a person types it: JSON, or `KEY=VALUE` for each member.

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::exit::Misuse;
use crate::message::Json;

/// A tool takes no more.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Whether a word is part of an input; otherwise it names a tool.
pub(super) fn is_input(word: &str) -> bool {
    word == "-" || word.trim_start().starts_with('{') || word.contains('=')
}

/// The input that the words make, for a tool with this schema.
pub(super) fn of_words(words: &[String], schema: &Json) -> anyhow::Result<Json> {
    match words {
        [] => Ok(Json::empty_object()),
        [dash] if dash == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
            read.context(Misuse("cannot read the input from stdin".to_owned()))?;
            if text.len() as u64 > INPUT_BYTES_MAX {
                return Err(Misuse("the input from stdin is longer than 16 MiB".to_owned()).into());
            }
            json("the input from stdin", text)
        }
        [object] if object.trim_start().starts_with('{') => json("the input", object.clone()),
        members => of_members(members, &schema.to_value()),
    }
}

fn json(what: &str, text: String) -> anyhow::Result<Json> {
    Ok(Json::parse(text).map_err(|error| Misuse(format!("{what} is not JSON: {error}")))?)
}

/// The text of each member is kept as it is typed, so that a number has every digit.
fn of_members(words: &[String], schema: &Value) -> anyhow::Result<Json> {
    let mut members = BTreeMap::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            let how = "write KEY=VALUE, or the whole input as one JSON object, or - to read it from stdin";
            return Err(Misuse(format!("`{word}` is no member of the input\n  {how}")).into());
        };
        let (key, value) = match key.strip_suffix(':') {
            Some(key) => (key, json(&format!("`{key}`"), value.to_owned())?),
            None => (key, member(schema, key, value)),
        };
        if members.insert(key, value).is_some() {
            return Err(Misuse(format!("`{key}` is given twice")).into());
        }
    }
    let pair = |(key, value): (&str, Json)| format!("{}:{}", Value::from(key), value.as_str());
    let pairs: Vec<String> = members.into_iter().map(|(key, value)| pair((key, value))).collect();
    json("the input", format!("{{{}}}", pairs.join(",")))
}

/// A text where the schema has one, and otherwise JSON, if it is JSON.
fn member(schema: &Value, key: &str, value: &str) -> Json {
    let text = || Json::canonical(&Value::from(value));
    if takes_text(schema, key) { text() } else { Json::parse(value.to_owned()).unwrap_or_else(|_| text()) }
}

/// Whether a member can be a text, as far as its own schema says what it is.
fn takes_text(schema: &Value, key: &str) -> bool {
    match property(schema, key).and_then(|it| it.get("type")) {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        Some(_) | None => false,
    }
}

/// The schema of a member, also where it stands among the definitions.
pub(super) fn property<'s>(schema: &'s Value, key: &str) -> Option<&'s Value> {
    let property = schema.get("properties")?.get(key)?;
    let defined = property.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    defined.and_then(|path| schema.pointer(path)).or(Some(property))
}

/// The members of an input that the schema neither names nor rules on: they may be misspelt. A schema without names says
/// nothing.
pub(super) fn unnamed(input: &Json, schema: &Value) -> Vec<String> {
    let (input, named) = (input.to_value(), schema.get("properties").and_then(Value::as_object));
    let rules = schema.get("additionalProperties").is_some();
    let Some(named) = named.filter(|named| !named.is_empty() && !rules) else { return Vec::new() };
    let keys = input.as_object().into_iter().flat_map(|members| members.keys());
    keys.filter(|key| !named.contains_key(*key)).cloned().collect()
}

/// What a tool takes, a line for each member.
pub(super) fn described(schema: &Value) -> Vec<String> {
    let required = |key: &str| {
        let list = schema.get("required").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|it| it == key))
    };
    let keys = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    keys.map(|(key, stated)| {
        let property = property(schema, key).unwrap_or(stated);
        let kind = kind_of(property);
        let optional = if required(key) { "" } else { ", optional" };
        let said = [stated, property].into_iter().find_map(|it| it.get("description")?.as_str());
        let said = said.and_then(|text| text.lines().next());
        format!("{key} ({kind}{optional}){}", said.map_or_else(String::new, |text| format!(": {text}")))
    })
    .collect()
}

/// What a schema takes, in a word or two.
fn kind_of(schema: &Value) -> String {
    match (schema.get("type"), schema.get("anyOf")) {
        (Some(Value::String(kind)), _) => kind.clone(),
        (Some(Value::Array(kinds)), _) => {
            let some = kinds.iter().filter_map(Value::as_str).filter(|it| kinds.len() == 1 || *it != "null");
            some.collect::<Vec<_>>().join(" or ")
        }
        (None, Some(Value::Array(cases))) => {
            // Not deeper: a case that is a choice again is `any`.
            let mut kinds: Vec<&str> = Vec::new();
            for case in cases {
                let kind = case.get("type").and_then(Value::as_str).unwrap_or("any");
                if kind != "null" && !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            if kinds.is_empty() || kinds.contains(&"any") { "any".to_owned() } else { kinds.join(" or ") }
        }
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    const SCHEMA: &str = r##"{
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "description": "Who.\nMore." },
            "maybe": { "type": ["string", "null"] },
            "count": { "type": "integer" },
            "any": {},
            "ratio": { "anyOf": [{ "type": "number" }, { "type": "string" }, { "type": "number" }] },
            "unit": { "$ref": "#/$defs/Unit" }
        },
        "$defs": { "Unit": { "type": "string", "description": "In what." } }
    }"##;

    fn input(words: &[&str]) -> anyhow::Result<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        of_words(&words, &Json::parse(SCHEMA.to_owned()).unwrap()).map(|json| json.as_str().to_owned())
    }

    #[test]
    fn a_member_is_what_its_schema_wants() {
        for (words, json) in [
            (&[][..], "{}"),
            (&["name=5"], r#"{"name":"5"}"#),
            (&["name=a=b"], r#"{"name":"a=b"}"#),
            (&["name="], r#"{"name":""}"#),
            (&["maybe=null", "maybe2=null"], r#"{"maybe":"null","maybe2":null}"#),
            (&["maybe:=null"], r#"{"maybe":null}"#),
            (&["count=9007199254740993"], r#"{"count":9007199254740993}"#),
            (&["count=1.50"], r#"{"count":1.50}"#),
            (&["count=many"], r#"{"count":"many"}"#),
            (&["any=[1, 2]"], r#"{"any":[1, 2]}"#),
            (&["any=celsius"], r#"{"any":"celsius"}"#),
            (&["unit=5"], r#"{"unit":"5"}"#),
            (&["\"=x"], r#"{"\"":"x"}"#),
            (&[r#"{"name":"x","more":1}"#], r#"{"name":"x","more":1}"#),
        ] {
            assert_eq!(input(words).unwrap(), json);
        }
        for (words, why) in [
            (&["name=a", "name=b"][..], "`name` is given twice"),
            (&["name=a", "greet"], "`greet` is no member"),
            (&["name:=x"], "`name` is not JSON"),
            (&["{\"name\": }"], "the input is not JSON"),
            (&["{}", "name=a"], "is no member"),
        ] {
            assert!(input(words).unwrap_err().to_string().contains(why), "{words:?}");
        }
    }

    #[test]
    fn what_a_tool_takes_is_said() {
        let said = described(&serde_json::from_str(SCHEMA).unwrap());
        let text = "name (string): Who.";
        assert_eq!((said[0].as_str(), said[5].as_str()), (text, "unit (string, optional): In what."));
        assert_eq!(said[1], "maybe (string, optional)");
        assert_eq!(
            (said[3].as_str(), said[4].as_str()),
            ("any (any, optional)", "ratio (number or string, optional)")
        );
    }

    #[test]
    fn a_member_that_no_schema_names_is_found() {
        let of = |input: &str, schema: &str| {
            unnamed(&Json::parse(input.to_owned()).unwrap(), &serde_json::from_str(schema).unwrap())
        };
        assert_eq!(of(r#"{"nam":"x","name":"x"}"#, SCHEMA), ["nam"]);
        assert_eq!(of("[1]", SCHEMA), [""; 0]);
        let strict = r#"{"properties":{"name":{}},"additionalProperties":false}"#;
        assert_eq!(of(r#"{"nam":"x"}"#, strict), [""; 0], "the check says it");
        assert_eq!(of(r#"{"anything":1}"#, r#"{"type":"object"}"#), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_arrives_as_it_was_typed(text in "\\PC{0,40}") {
            let input = input(&[&format!("name={text}")]).unwrap();
            let value: Value = serde_json::from_str(&input).unwrap();
            prop_assert_eq!(value["name"].as_str(), Some(text.as_str()));
        }
    }
}
