//! What checks cost at most, and what they say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn check(schema: &Value, value: &str) -> Result<(), String> {
    let (schema, value) = (Schema::new(&Json::canonical(schema)), Json::parse(value.to_owned()).unwrap());
    let now = schema.check_now(About::OUTPUT, &value);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(schema.check(About::OUTPUT, &value)), now);
    now
}

fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

/// A schema whose check, done naively, takes three times as long with each level of the value.
fn tripling() -> Value {
    let below = json!({"type": "array", "items": {"$ref": "#"}});
    json!({"anyOf": [below, below, below], "minItems": 1})
}

#[test]
fn what_fits_and_what_does_not() {
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "integer", "maximum": 9}}, "required": ["a"]});
    assert_eq!(check(&schema, r#"{"a":5.0}"#), Ok(()));
    let told = check(&schema, r#"{"a":"x"}"#).unwrap_err();
    assert_eq!(
        told,
        "the output does not fit the tool's schema:\n- at /a: \"x\" is not of type \"integer\" (rule /properties/a/type)"
    );
    assert!(check(&schema, "[]").unwrap_err().contains("at the output: [] is not of type \"object\""));
    let closed = json!({"properties": {"a": {"type": "object", "additionalProperties": false}}});
    let told = check(&closed, r#"{"a":{"b":1,"c":2}}"#).unwrap_err();
    assert!(told.contains("at /a: no property is allowed here, and there is \"b\", \"c\" (rule"), "{told}");
    assert!(
        check(&json!({"type": 5}), "1")
            .unwrap_err()
            .starts_with("the tool's own output schema is not a JSON")
    );
    assert!(check(&json!({"$ref": "https://example.com/x"}), "1").is_err(), "nothing is fetched");
}

#[test]
fn a_schema_that_asks_for_the_same_again_and_again_costs_no_more_than_it_may() {
    for depth in [3, 15, 40, 100] {
        let told = check(&tripling(), &nested(depth)).unwrap_err();
        assert!(told.starts_with("the output does not fit the tool's schema:"), "{depth}: {told}");
    }
    let wide = format!("[{}]", vec![nested(20); 10_000].join(","));
    assert!(check(&tripling(), &wide).is_err());
    // The same with what is evaluated to know what is left.
    let mut left = tripling();
    left["unevaluatedItems"] = json!(false);
    assert!(check(&left, &nested(60)).is_err());
    let mut not = tripling();
    not["anyOf"] = json!(vec![json!({"not": {"items": {"$ref": "#"}}}); 3]);
    let _ = check(&not, &nested(60));
}

#[test]
fn a_schema_that_leads_back_to_itself_ends() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$dynamicAnchor": "x", "allOf": [{"$dynamicRef": "#x"}]}),
        json!({"unevaluatedProperties": {"$ref": "#"}, "anyOf": [{"$ref": "#"}]}),
    ] {
        let _ = check(&schema, r#"{"a":[{"b":1}]}"#);
    }
    // One after the other, as long as a schema may be.
    let links = 1200;
    let mut defs = serde_json::Map::new();
    for link in 0..links {
        defs.insert(format!("d{link}"), json!({"allOf": [{"$ref": format!("#/$defs/d{}", link + 1)}]}));
    }
    defs.insert(format!("d{links}"), json!({"items": {"$ref": "#/$defs/d0"}}));
    let _ = check(&json!({"$ref": "#/$defs/d0", "$defs": defs}), &nested(100));
}

#[test]
fn patterns_are_bounded_too() {
    let text = json!(format!("{}!", "a".repeat(50_000))).to_string();
    for pattern in ["^(a+)+$", "^(?=a)(a+)+$", "(a|aa)+(?<!b)!!", "^(a?){200}a{200}$"] {
        let schema = json!({"anyOf": vec![json!({"pattern": pattern}); 50]});
        let _ = check(&schema, &text);
    }
    let names = json!({"patternProperties": {"^(?!x)(a+)+$": {"type": "string"}}});
    let _ = check(&names, &json!({format!("{}!", "a".repeat(5000)): 1}).to_string());
    let many: Vec<Value> = (0..1000).map(|n| json!({"uniqueItems": true, "maxItems": 100_000 + n})).collect();
    let _ = check(&json!({"allOf": many}), &format!("[{},{}]", nested(90), nested(91)));
}

#[test]
fn of_many_violations_some_are_told() {
    let schema = json!({"items": {"type": "string"}});
    let told = |count: usize| check(&schema, &format!("[{}]", vec!["1"; count].join(","))).unwrap_err();
    assert_eq!(told(3).lines().count(), 4);
    assert_eq!(told(50_000).lines().count(), 6);
    let of_many = told(400_000);
    assert!(of_many.lines().count() == 2 && of_many.contains("at /0: 1 is not of type"), "{of_many}");
}

#[test]
fn numbers_are_judged_as_they_are() {
    let whole = json!({"type": "integer", "minimum": 0});
    for (schema, value, fits) in [
        (&whole, "1000000000000000000001", true),
        (&whole, "-1000000000000000000001", false),
        (&whole, "5.0", true),
        (&whole, "1e300", true),
        (&whole, "1.00000000000000000001", false),
        (&whole, "1e-400", false),
        (&json!({"maximum": 1e21}), "1000000000000000000001", false),
        (&json!({"maximum": 1e21}), "999999999999999999999", false),
        (&json!({"maximum": 1e22}), "1000000000000000000001", true),
        (&json!({"type": "object"}), r#"{"a":12345678901234567.5,"b":1e-400}"#, true),
        (&json!({"uniqueItems": true}), "[1000000000000000000000,1000000000000000000001]", false),
        (&json!({"multipleOf": 2}), "1000000000000000000001", false),
        (&json!({"enum": [1e21]}), "1000000000000000000001", false),
        (&json!({"exclusiveMinimum": 0.1}), "0.1000000000000000000001", false),
    ] {
        assert_eq!(check(schema, value).is_ok(), fits, "{schema} {value}");
    }
    assert!(
        check(&json!({"maximum": 1e21}), "1000000000000000000001").unwrap_err().contains("compared exactly")
    );
    let large = Json::parse(r#"{"const":1000000000000000000001}"#.to_owned()).unwrap();
    assert!(Schema::new(&large).compile().unwrap_err().to_string().contains("64 bits do not hold"));
}

#[tokio::test]
async fn nobody_waits_for_a_check_that_is_cancelled() {
    let below = json!({"not": {"items": {"$ref": "#"}}});
    let schema = Schema::new(&Json::canonical(&json!({"anyOf": vec![below; 40], "items": {"$ref": "#"}})));
    let value = Json::parse(format!("[{}]", vec![nested(60); 40_000].join(","))).unwrap();
    let check = schema.check(About::OUTPUT, &value);
    // The timer goes on beside it, and whoever comes next gets a place.
    let _ = tokio::time::timeout(Duration::from_millis(1), check).await;
    let small = Json::parse("[[1]]".to_owned()).unwrap();
    let _ = schema.check(About::OUTPUT, &small).await;
}

#[test]
fn compiling_ends_as_well() {
    let compile = |schema: Value| Schema::new(&Json::canonical(&schema)).compile();
    let refused = |schema: Value, why: &str| {
        let error = compile(schema).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    let chain = |links: usize, link: fn(&str) -> Value| {
        let mut defs: serde_json::Map<String, Value> =
            (0..links).map(|n| (format!("d{n}"), link(&format!("#/$defs/d{}", n + 1)))).collect();
        defs.insert(format!("d{links}"), json!({"type": "string"}));
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    };
    // Two ways at each of many forks, which are compiled once.
    compile(chain(600, |next| json!({"anyOf": [{"$ref": next}, {"$ref": next}]}))).unwrap();
    let left =
        |next: &str| json!({"unevaluatedProperties": false, "anyOf": [{"$ref": next}, {"$ref": next}]});
    compile(chain(11, left)).unwrap();
    refused(chain(12, left), "at most 24 are taken: use `additionalProperties`");
    refused(json!({"items": {"$dynamicRef": "#x"}}), "`$dynamicRef`");
    let part = |n: u32| json!({"$id": format!("part{n}"), "$ref": format!("part{}", n + 1)});
    refused(json!({"anyOf": (0..9).map(part).collect::<Vec<_>>()}), "9 parts with an `$id`");
    let patterns = |count: u32| {
        let patterns = (0..count).map(|n| json!({"pattern": format!("^\\p{{L}}{{20}}{n}$")}));
        json!({"anyOf": patterns.collect::<Vec<_>>()})
    };
    compile(patterns(100)).unwrap();
    refused(patterns(129), "129 patterns");
    refused(json!({"pattern": "((((a{100}){100}){100}){100})"}), "regex");
    let deep = (0..45)
        .fold(json!({"$ref": "#"}), |below, _| json!({"allOf": [below], "unevaluatedProperties": false}));
    compile(deep).unwrap();
}

/// Schemas of all that refers, applies, and searches.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"$ref": "#"})),
        Just(json!({"$ref": "#/$defs/a"})),
        Just(json!({"type": "array"})),
        Just(json!({"pattern": "^(?=a)(a+)+$"})),
        Just(json!({"uniqueItems": true})),
        Just(json!({"minimum": 1})),
        Just(json!({"type": ["object", "null"]})),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (prop_oneof![Just("anyOf"), Just("allOf"), Just("oneOf"), Just("prefixItems")], list)
                .prop_map(|(key, list)| json!({key: list})),
            (
                prop_oneof![
                    Just("not"),
                    Just("items"),
                    Just("contains"),
                    Just("additionalProperties"),
                    Just("unevaluatedItems"),
                    Just("unevaluatedProperties"),
                    Just("propertyNames"),
                    Just("if"),
                ],
                inner.clone()
            )
                .prop_map(|(key, below)| json!({key: below})),
            (inner.clone(), inner).prop_map(|(a, b)| json!({"items": a, "$defs": {"a": b}})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_schema_a_check_ends(schema in schema(), depth in 0_usize..100, wide in 1_usize..200) {
        let item = format!(r#"{{"aaaa":{},"b":"aaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}}"#, nested(depth.min(97)));
        let _ = check(&schema, &format!("[{}]", vec![item; wide].join(",")));
    }
}

#[test]
fn a_pattern_that_takes_too_long_is_told_in_our_words() {
    let schema = json!({"properties": {"a": {"type": "string", "pattern": "^((a+)(?!c))+$"}}});
    let value = json!({"a": format!("{}b", "a".repeat(200))}).to_string();
    let told = check(&schema, &value).unwrap_err();
    assert!(
        told.contains("at /a: the pattern takes too many steps") && !told.contains("Max limit"),
        "{told}"
    );
    let value = Json::parse(value).unwrap();
    let before = About { explains_patterns: false, ..About::ANSWER };
    let told = Schema::new(&Json::canonical(&schema)).check_now(before, &value).unwrap_err();
    assert!(told.contains("Max limit for backtracking count exceeded"), "as it was recorded: {told}");
    assert_eq!(check(&schema, r#"{"a":"aaa"}"#), Ok(()));
}
