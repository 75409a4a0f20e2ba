#![allow(clippy::unwrap_used, reason = "a test may panic")]

use jsonschema::Validator;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use super::subset::is_regular;
use super::*;
use crate::message::Json;

const SUBSETS: [&Subset; 6] = [&OPENAI_CHAT, &OPENAI_RESPONSES, &COMPATIBLE, &ANTHROPIC, &GEMINI, &OLLAMA];

/// Some that every provider takes and some that Anthropic does not, of which two would be spelled alike.
const KEYS: [&str; 8] = ["a", "b", "filter[status]", "filter{status}", "filter_status_", "$top", "x y", ""];

const PATTERNS: [&str; 7] =
    ["^[a-z]+$", "a", "^(?!\\.)[a-z.]+$", "(?<=a)b", "(a)\\1", "^\\d{1,3}$", "(?<n>a)\\k<n>"];

fn tool(schema: &Value) -> ToolSpec {
    ToolSpec {
        name: "t".into(),
        description: "Does t.".into(),
        input_schema: Json::parse(schema.to_string()).unwrap(),
        output_schema: None,
    }
}

fn wire(schema: &Value, subset: &Subset) -> Result<Value, String> {
    one(&tool(schema), subset).map(|offered| offered.schema).map_err(|error| error.to_string())
}

/// Small values, so that some of them fit.
fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..5_i64).prop_map(Value::from),
        select(vec!["", "a", "ab", ".", "12", "aa"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            // Without the name that another one goes by elsewhere: of a member that no schema describes it is not known
            // whether it was meant.
            btree_map(
                select(KEYS.iter().filter(|key| **key != "filter_status_").copied().collect::<Vec<_>>()),
                inner,
                0..4
            )
            .prop_map(object),
        ]
    })
    .boxed()
}

fn object(members: std::collections::BTreeMap<&str, Value>) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Schemas of any form, with a reference to one that is defined.
fn schema() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!({})),
        Just(json!({"type": "array"})),
        Just(json!({"$ref": "#/$defs/x", "minItems": 1, "description": "That."})),
        Just(json!({"type": ["string", "null"], "default": "x", "examples": ["y"]})),
        Just(json!({"type": "integer", "minimum": 0, "exclusiveMaximum": 3, "multipleOf": 1})),
        Just(json!({"const": true})),
        Just(json!({"const": "a"})),
        vec(value(), 0..3).prop_map(|values| json!({ "enum": values })),
        select(PATTERNS.to_vec()).prop_map(|pattern| json!({"type": "string", "pattern": pattern})),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        let list = vec(inner.clone(), 1..3);
        prop_oneof![
            (select(vec!["anyOf", "oneOf", "allOf"]), list.clone()).prop_map(|(it, list)| json!({it: list})),
            (select(vec!["not", "contains", "items"]), inner.clone()).prop_map(|(it, one)| json!({it: one})),
            (inner.clone(), list)
                .prop_map(|(one, list)| json!({"type": "array", "prefixItems": list, "items": one})),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(one, two, three)| json!({"if": one, "then": two, "else": three})),
            (inner.clone(), 0..3).prop_map(|(one, max)| json!({"contains": one, "maxContains": max})),
            table(&inner),
        ]
    })
    .boxed()
}

/// Schemas of objects.
fn table(inner: &BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let properties = btree_map(select(KEYS.to_vec()), inner.clone(), 0..4);
    let more = prop_oneof![Just(Value::Null), Just(json!(false)), inner.clone()];
    let patterns = prop_oneof![Just(Value::Null), inner.clone().prop_map(|it| json!({"^[af]": it}))];
    let names = prop_oneof![3 => Just(Value::Null), 1 => Just(json!({"pattern": "^[a-f$]"}))];
    let dependent =
        prop_oneof![3 => Just(Value::Null), 1 => Just(json!({"a": ["$top"], "filter[status]": ["a"]}))];
    let rest = prop_oneof![2 => Just(Value::Null), 1 => Just(json!(false))];
    let required = subsequence(KEYS.to_vec(), 0..2);
    (properties, required, more, patterns, names, dependent, rest)
        .prop_map(|(properties, required, more, patterns, names, dependent, rest)| {
            let mut whole = json!({"type": "object", "properties": object(properties), "required": required});
            for (keyword, value) in [
                ("additionalProperties", more),
                ("patternProperties", patterns),
                ("propertyNames", names),
                ("dependentRequired", dependent),
                ("unevaluatedProperties", rest),
            ] {
                if !value.is_null() {
                    whole[keyword] = value;
                }
            }
            whole
        })
        .boxed()
}

/// What a tool may say its input is: an object, which may choose and refer at its root.
fn input() -> impl Strategy<Value = Value> {
    let choice = prop_oneof![
        2 => Just(Map::new()),
        2 => (select(vec!["anyOf", "oneOf", "allOf"]), vec(table(&schema()), 1..3))
            .prop_map(|(it, list)| Map::from_iter([(it.to_owned(), Value::from(list))])),
        1 => (select(vec!["not", "if"]), schema()).prop_map(|(it, one)| Map::from_iter([(it.to_owned(), one)])),
        1 => Just(Map::from_iter([("$ref".to_owned(), json!("#/$defs/o"))])),
    ];
    let bare = any::<bool>();
    (table(&schema()), choice, schema(), table(&schema()), bare, bare).prop_map(
        |(mut root, choice, x, o, bare, old)| {
            if bare {
                root.as_object_mut().unwrap().shift_remove("properties");
            }
            root.as_object_mut().unwrap().extend(choice);
            root["$defs"] = json!({"x": x, "o": o});
            if old {
                root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            }
            root
        },
    )
}

fn validator(schema: &Value) -> Option<Validator> {
    jsonschema::validator_for(schema).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_schema_becomes_one_that_each_provider_takes(schema in input()) {
        for subset in SUBSETS {
            let wire = wire(&schema, subset);
            prop_assert!(wire.is_ok(), "{}: {}", subset.server, wire.unwrap_err());
            // What is a schema stays one.
            let wire = wire.unwrap();
            prop_assert!(validator(&schema).is_none() || validator(&wire).is_some(), "{}: {wire}", subset.server);
        }
    }

    #[test]
    fn what_fits_a_schema_fits_what_is_sent_of_it(schema in input(), inputs in vec(value(), 24)) {
        let Some(own) = validator(&schema) else { return Ok(()) };
        let tools = [tool(&schema)];
        for subset in SUBSETS {
            let sent = wire(&schema, subset).unwrap();
            let sent_to = validator(&sent).unwrap();
            for input in inputs.iter().filter(|input| input.is_object() && own.is_valid(input)) {
                let mut there = input.clone();
                Calls::new(&tools, subset).there("t", &mut there);
                prop_assert!(sent_to.is_valid(&there), "{}: {input} as {there} does not fit {sent}", subset.server);
            }
        }
    }

    #[test]
    fn members_come_back_as_they_were(schema in input(), input in value()) {
        let tools = [tool(&schema)];
        for subset in SUBSETS {
            let calls = Calls::new(&tools, subset);
            let mut there = input.clone();
            calls.there("t", &mut there);
            let back = calls.back("t", Arguments::Json(Json::canonical(&there)));
            prop_assert_eq!(back, Arguments::Json(Json::canonical(&input)), "{}: {}", subset.server, there);
        }
    }

    #[test]
    fn what_is_sent_is_sent_the_same_again(schema in input()) {
        for subset in SUBSETS {
            let once = wire(&schema, subset).unwrap();
            prop_assert_eq!(&once, &wire(&schema, subset).unwrap());
            prop_assert_eq!(wire(&once, subset).unwrap(), once, "{}", subset.server);
        }
    }
}

#[test]
fn what_all_take_is_sent_as_it_is() {
    let schema = json!({
        "type": "object",
        "properties": {
            "q": {"type": "string", "description": "What to look for.", "enum": ["x", "y"]},
            "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
            "l": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/o"}, {"type": "number"}]}, "minItems": 1},
        },
        "required": ["q"],
        "additionalProperties": false,
        "$defs": {"o": {"type": "object", "properties": {"r": {"type": "boolean"}}}},
    });
    for subset in SUBSETS {
        assert_eq!(wire(&schema, subset).unwrap().to_string(), schema.to_string(), "{}", subset.server);
    }
}

#[test]
fn each_rule_is_one_that_can_be_broken() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let property = |property: Value| object(json!({"p": property}));
    for (schema, subset, rule, at) in [
        (json!(true), &OLLAMA, "it has to be an object", ""),
        (json!({"properties": {}}), &OLLAMA, "its type has to be", ""),
        (json!({"type": "object"}), &OPENAI_CHAT, "it has to have properties", ""),
        (json!({"type": "object", "properties": {}, "anyOf": [{}]}), &ANTHROPIC, "may not have `anyOf`", ""),
        (property(json!(true)), &OLLAMA, "a schema has to be an object", "properties/p"),
        (property(json!({"type": "array"})), &COMPATIBLE, "what its items are", "properties/p"),
        (property(json!({"type": ["null", "array"]})), &GEMINI, "what its items are", "properties/p"),
        (property(json!({"enum": []})), &OPENAI_RESPONSES, "may not be empty", "properties/p"),
        (property(json!({"enum": [true]})), &GEMINI, "`enum` may not have true", "properties/p"),
        (property(json!({"pattern": "(?=a)"})), &OPENAI_CHAT, "the pattern `(?=a)`", "properties/p"),
        (property(json!({"pattern": "a"})), &COMPATIBLE, "the pattern `a`", "properties/p"),
        (property(json!({"not": {}})), &GEMINI, "may not have `not`", "properties/p"),
        (property(json!({"$ref": "#/$defs/x"})), &ANTHROPIC, "leads to nothing", "properties/p"),
        (
            property(json!({"anyOf": [{"properties": {"a[b]": {}}}]})),
            &ANTHROPIC,
            "a[b]",
            "properties/p/anyOf/0",
        ),
        (
            json!({"type": "object", "properties": {"p": {"$ref": "#/$defs/x", "minItems": 1}}, "$defs": {"x": {}}}),
            &GEMINI,
            "no `minItems`",
            "properties/p",
        ),
    ] {
        let broken = check::input(&schema, subset).unwrap_err();
        assert!(broken.rule.contains(rule) && broken.at == at, "{schema}: {broken:?}");
    }
    let deep = (0..200).fold(json!({}), |below, _| json!({"items": below}));
    assert!(check::input(&property(deep), &OLLAMA).unwrap_err().rule.contains("deep"));
}

#[test]
fn regular_patterns() {
    for (pattern, regular) in [
        ("^[a-z]+$", true),
        ("\\d{4}-\\d{2}", true),
        ("a\\/b", true),
        ("\\u00e9", true),
        ("[(?=]", true),
        ("\\(?=a", true),
        ("^(?!\\.)[a-z.]+@[a-z]+$", false),
        ("(?<=a)b", false),
        ("(a)\\1", false),
        ("(", false),
    ] {
        assert_eq!(is_regular(pattern), regular, "{pattern}");
    }
}

#[test]
fn a_rule_that_is_not_sent_is_told() {
    let schema = json!({"type": "object", "properties": {
        "mail": {"type": "string", "description": "The address.", "pattern": "^(?!\\.)[a-z.]+@[a-z]+$"},
    }});
    let sent = wire(&schema, &OPENAI_CHAT).unwrap();
    let mail = &sent["properties"]["mail"];
    assert_eq!(mail.get("pattern"), None);
    let told = r#"The address.
It has to fit the JSON Schema {"pattern":"^(?!\\.)[a-z.]+@[a-z]+$"}."#;
    assert_eq!(mail["description"], told);
    // What rules out nothing is left out without a word.
    let schema =
        json!({"type": "object", "properties": {"p": {"type": "string", "x-order": 1, "examples": ["a"]}}});
    assert_eq!(wire(&schema, &GEMINI).unwrap()["properties"]["p"], json!({"type": "string"}));
    assert_eq!(wire(&schema, &ANTHROPIC).unwrap(), schema);
}

#[test]
fn a_choice_at_the_root_becomes_properties_that_may_be_there() {
    let schema = json!({
        "type": "object",
        "anyOf": [
            {"properties": {"url": {"type": "string"}}, "required": ["url", "n"], "additionalProperties": false},
            {"$ref": "#/$defs/file"},
        ],
        "$defs": {"file": {"type": "object", "properties": {"path": {"type": "string"}, "n": {"type": "number"}},
                           "required": ["path", "n"], "additionalProperties": false}},
    });
    for subset in SUBSETS {
        let sent = wire(&schema, subset).unwrap();
        assert_eq!(sent["properties"]["url"], json!({"type": "string"}), "{}", subset.server);
        assert_eq!(sent["properties"]["path"], json!({"type": "string"}), "{}", subset.server);
        assert_eq!(sent["required"], json!(["n"]));
        let told = sent["description"].as_str().unwrap();
        assert!(told.starts_with(r#"It has to fit the JSON Schema {"anyOf":[{"#), "{told}");
    }
}

#[test]
fn older_drafts_are_written_anew() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "pair": {"type": "array", "items": [{"type": "string"}, true], "additionalItems": false},
            "it": {"$ref": "#/definitions/it", "description": "That.", "minLength": 99},
        },
        "definitions": {"it": {"type": "string"}},
        "dependencies": {"pair": ["it"]},
    });
    let sent = wire(&schema, &ANTHROPIC).unwrap();
    let expected = json!({
        "type": "object",
        "properties": {
            "pair": {"type": "array", "prefixItems": [{"type": "string"}, {}], "maxItems": 2, "items": {}},
            "it": {"$ref": "#/$defs/it", "description": "That."},
        },
        "$defs": {"it": {"type": "string"}},
        "dependentRequired": {"pair": ["it"]},
    });
    assert_eq!(sent, expected);
}

#[test]
fn a_reference_into_what_is_not_sent_is_named() {
    let schema = json!({
        "type": "object",
        "anyOf": [{"properties": {"a": {"$ref": "#/anyOf/1"}}}, {"type": "object"}],
    });
    let error = wire(&schema, &ANTHROPIC).unwrap_err();
    assert!(error.contains("Anthropic does not take the tool `t`") && error.contains("#/anyOf/1"), "{error}");
}

#[test]
fn a_long_description_goes_on_where_there_is_room() {
    let schema = json!({"type": "object", "properties": {}, "description": "The input."});
    let long = format!("{} end", "wörter ".repeat(400).trim());
    let tool = ToolSpec { description: long.clone(), ..tool(&schema) };
    for subset in SUBSETS {
        let Offered { description, schema, .. } = one(&tool, subset).unwrap();
        let Some(max) = subset.description_chars_max else {
            assert_eq!(description, long);
            continue;
        };
        assert!(description.chars().count() <= max && description.ends_with(GOES_ON), "{description}");
        let first = description.strip_suffix(GOES_ON).unwrap();
        let rest = schema["description"].as_str().unwrap();
        let rest = rest.strip_prefix("The input.\n[The tool's description goes on:]").unwrap();
        assert_eq!(format!("{first}{rest}"), long);
    }
}

#[test]
fn the_largest_schemas_take_no_longer_than_their_length() {
    // As large as a component's may be, each of the kind that a careless rewriting would be slow at.
    let keys = (0..6_000_u32)
        .map(|number| (format!("[{}", "[(".repeat(number as usize % 9) + &number.to_string()), json!({})));
    let alike = (0..30_u32).flat_map(|one| (0..200_u32).map(move |two| (one, two)));
    let alike = alike.filter_map(|(one, two)| {
        let (one, two) = (char::from_u32(0x4e00 + one)?, char::from_u32(0x4e00 + two)?);
        Some((format!("{one}{two}"), json!({})))
    });
    let properties = |all: Map<String, Value>| json!({"type": "object", "properties": all});
    let nested =
        |keyword: &str| (0..40).fold(json!({"pattern": "(?=a)"}), |below, _| json!({keyword: below}));
    let chosen = (0..900).map(|number| json!({"properties": {format!("p{number}"): {}}, "required": ["a"]}));
    for schema in [
        properties(keys.collect()),
        properties(alike.collect()),
        properties(Map::from_iter([("a".to_owned(), nested("not")), ("b".to_owned(), nested("if"))])),
        json!({"type": "object", "anyOf": chosen.collect::<Vec<_>>()}),
        json!({"type": "object", "$ref": "#"}),
        json!({"type": "object", "allOf": [{"$ref": "#/allOf/0"}]}),
    ] {
        for subset in SUBSETS {
            let started = std::time::Instant::now();
            if let Ok(sent) = wire(&schema, subset) {
                assert!(
                    sent.to_string().len() < 4 * schema.to_string().len() + 1_000_000,
                    "{}",
                    subset.server
                );
            }
            // Quadratic work took minutes.
            assert!(started.elapsed().as_secs() < 60, "{}: {:?}", subset.server, started.elapsed());
        }
    }
}
