//! Whether a value fits a JSON Schema, and if not, which rule failed where.
//!
//! Schemas come from components and values from models, so that both may be made to cost as much as possible. A check
//! may take so many steps, so much of a stack, and nobody's time on an async thread: what takes longer than a moment
//! goes on in a thread of its own, ends when nobody waits for it any more, and where it is cut the outcome says so.
//! What is checked is the value that is passed on: a number that the validator would round is not judged by what it was
//! rounded to. It fails in words, for who made the value.

mod metered;
mod shape;
mod thread;

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use jsonschema::{PatternOptions, Validator};

use crate::message::{Floats, Json};
use metered::{Allowance, Meter, Metered, Part, Spent};
use shape::Shape;
use thread::NoThread;

/// The model is told of at most this many violations at once: the first ones matter, and a large input
/// can have thousands.
const VIOLATIONS_MAX: usize = 5;

/// One violation is told in at most this many characters, because it quotes the offending value.
const VIOLATION_CHARS_MAX: usize = 300;

/// What a check may take in any case, about a tenth of a second, and for each byte of the value: several looks at each
/// part of it by each of a few dozen rules.
const STEPS_MIN: u64 = 2_000_000;
const STEPS_A_BYTE: u64 = 64;

/// What finding the words for what does not fit may take. Each violation found is kept for a while, in some hundred
/// bytes.
const STEPS_FOR_WORDS: u64 = 300_000;

/// What an async thread does by itself, about a millisecond: no more steps, for no larger value, by no larger schema.
const STEPS_AT_ONCE: u64 = 20_000;
const STACK_AT_ONCE: usize = 256 << 10;
const VALUE_BYTES_AT_ONCE: usize = 64 << 10;
const PARTS_AT_ONCE: usize = 256;

/// How far an engine goes that tries one way after the other, for one text, and what that costs at most.
const BACKTRACK_MAX: usize = 10_000;
const BACKTRACK_STEPS: u64 = 1_000;

/// A schema that is not one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not a JSON Schema: {0}")]
pub struct SchemaError(String);

/// A schema that is compiled when it is first needed: a replay never needs it.
#[derive(Clone, Debug)]
pub struct Schema(Arc<Inner>);

struct Inner {
    json: Json,
    compiled: OnceLock<Result<Compiled, SchemaError>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.json.fmt(f)
    }
}

struct Compiled {
    validator: Validator<Metered>,
    shape: Shape,
}

/// What a check is about, in the words of its error.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The value: `input`, `output` or `answer`.
    pub what: &'static str,
    /// Whose schema it is: `the tool's` or `its`.
    pub whose: &'static str,
}

impl About {
    /// What a tool is called with.
    pub const INPUT: Self = Self { what: "input", whose: "the tool's" };
    /// What a tool gives.
    pub const OUTPUT: Self = Self { what: "output", whose: "the tool's" };
    /// The last word of a run.
    pub const ANSWER: Self = Self { what: "answer", whose: "its" };
}

impl Schema {
    /// A schema that is not yet known to be one.
    #[must_use]
    pub fn new(json: &Json) -> Self {
        Self(Arc::new(Inner { json: json.clone(), compiled: OnceLock::new() }))
    }

    /// Compiles the schema. References that lead outside of it are refused.
    pub fn compile(&self) -> Result<(), SchemaError> {
        let compile = |_: &AtomicBool| self.0.compiled().map(|_| ()).map_err(Clone::clone);
        thread::apart_now(compile).unwrap_or_else(|NoThread| Err(SchemaError(NO_THREAD.to_owned())))
    }

    /// Checks a value, and says which rule failed where. Dropping the future ends the check.
    pub async fn check(&self, about: About, value: &Json) -> Result<(), String> {
        if let Some(verdict) = self.0.check_at_once(about, value) {
            return verdict;
        }
        let (inner, value) = (Arc::clone(&self.0), value.clone());
        let check = move |cancelled: &AtomicBool| inner.check(about, &value, cancelled);
        thread::apart(check).await.unwrap_or_else(|NoThread| Err(NO_THREAD.to_owned()))
    }

    /// The same for who has nothing else to do meanwhile.
    pub fn check_now(&self, about: About, value: &Json) -> Result<(), String> {
        let check = |cancelled: &AtomicBool| self.0.check(about, value, cancelled);
        thread::apart_now(check).unwrap_or_else(|NoThread| Err(NO_THREAD.to_owned()))
    }
}

const NO_THREAD: &str = "the host has no thread to check it on; try again when the machine has less to do";

impl Inner {
    fn compiled(&self) -> Result<&Compiled, &SchemaError> {
        self.compiled.get_or_init(|| compile(&self.json)).as_ref()
    }

    /// The verdict, if it takes no longer than a moment.
    fn check_at_once(&self, about: About, value: &Json) -> Option<Result<(), String>> {
        if value.as_str().len() > VALUE_BYTES_AT_ONCE || self.json.as_str().len() > VALUE_BYTES_AT_ONCE {
            return None;
        }
        let Some(Ok(compiled)) = self.compiled.get() else {
            // Compiling takes longer than a moment only where there is much to compile.
            let shape = Shape::of(&self.json.to_value());
            if shape.parts > PARTS_AT_ONCE || shape.backtracks {
                return None;
            }
            return match self.compiled() {
                Ok(compiled) => compiled.check_at_once(about, value),
                Err(error) => Some(Err(unusable(about, error))),
            };
        };
        compiled.check_at_once(about, value)
    }

    fn check(&self, about: About, value: &Json, cancelled: &AtomicBool) -> Result<(), String> {
        let compiled = self.compiled().map_err(|error| unusable(about, error))?;
        let steps = STEPS_MIN + STEPS_A_BYTE * value.as_str().len() as u64;
        let allowance = compiled.allowance(steps, thread::STACK_USED_MAX);
        compiled
            .check(about, value, allowance, cancelled)
            .unwrap_or_else(|spent| Err(cut(about, spent, steps)))
    }
}

fn compile(json: &Json) -> Result<Compiled, SchemaError> {
    let schema = json.to_value();
    let shape = Shape::of(&schema);
    if let Some(why) = shape.refused() {
        return Err(SchemaError(why));
    }
    let patterns =
        PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX).size_limit(shape::PATTERN_BYTES_MAX);
    let options = jsonschema::options_for::<Metered>().with_pattern_options(patterns);
    let validator = options.build(&schema).map_err(|error| SchemaError(error.to_string()))?;
    Ok(Compiled { validator, shape })
}

fn unusable(about: About, error: &SchemaError) -> String {
    format!("{} own {} schema is {error}", about.whose, about.what)
}

/// What is said of a check that was not carried out to its end.
fn cut(about: About, spent: Spent, steps: u64) -> String {
    let About { what, whose } = about;
    let why = match spent {
        Spent::Steps => format!("the check takes more than {steps} steps"),
        Spent::Stack => "the check is nested too deeply".to_owned(),
        Spent::Cancelled => "the check was cancelled".to_owned(),
    };
    format!(
        "the {what} cannot be held to {whose} schema: {why}; a simpler schema, or a smaller {what}, can be checked"
    )
}

impl Compiled {
    fn allowance(&self, steps: u64, stack_bytes: usize) -> Allowance {
        Allowance { steps, stack_bytes, text_steps: if self.shape.backtracks { BACKTRACK_STEPS } else { 0 } }
    }

    fn check_at_once(&self, about: About, value: &Json) -> Option<Result<(), String>> {
        if self.shape.parts > PARTS_AT_ONCE {
            return None;
        }
        let allowance = self.allowance(STEPS_AT_ONCE, STACK_AT_ONCE);
        self.check(about, value, allowance, &AtomicBool::new(false)).ok()
    }

    /// The verdict, within an allowance.
    fn check(
        &self,
        about: About,
        value: &Json,
        allowance: Allowance,
        cancelled: &AtomicBool,
    ) -> Result<Result<(), String>, Spent> {
        let About { what, whose } = about;
        let Floats { value, inexact } = match value.to_floats() {
            Ok(floats) => floats,
            Err(error) => return Ok(Err(format!("the {what} cannot be checked: {error}"))),
        };
        let meter = Meter::new(allowance, cancelled);
        let fits = self.validator.is_valid(Part::whole(&value, &meter));
        if let Some(spent) = meter.spent() {
            return Err(spent);
        }
        if !fits {
            let steps = allowance.steps.min(STEPS_FOR_WORDS);
            return self.describe(about, &value, Allowance { steps, ..allowance }, cancelled).map(Err);
        }
        Ok(match inexact.iter().find(|number| self.shape.blurs(number.nearest, number.is_whole)) {
            Some(number) => Err(format!(
                "the {what} has the number {}, which cannot be compared exactly with the numbers in {whose} schema: \
                 use at most 17 digits, or a text",
                number.text.chars().take(VIOLATION_CHARS_MAX).collect::<String>()
            )),
            None => Ok(()),
        })
    }

    /// What does not fit, in words.
    fn describe(
        &self,
        About { what, whose }: About,
        value: &serde_json::Value,
        allowance: Allowance,
        cancelled: &AtomicBool,
    ) -> Result<String, Spent> {
        let mut message = format!("the {what} does not fit {whose} schema:");
        let mut tell = |violation: jsonschema::ValidationError<'_>| {
            let text: String = violation.to_string().chars().take(VIOLATION_CHARS_MAX).collect();
            let (at, rule) = (violation.instance_path().as_str(), violation.schema_path().as_str());
            let at = if at.is_empty() { format!("the {what}") } else { at.to_owned() };
            // Writing to a string cannot fail.
            let _ = write!(message, "\n- at {at}: {text} (rule {rule})");
        };
        let meter = Meter::new(allowance, cancelled);
        let violations = self.validator.iter_errors(Part::whole(value, &meter));
        match meter.spent() {
            None => violations.take(VIOLATIONS_MAX).for_each(tell),
            // Apart from the async threads there is more to spend.
            Some(spent) if spent == Spent::Cancelled || allowance.steps < STEPS_FOR_WORDS => {
                return Err(spent);
            }
            Some(_) => {
                drop(violations);
                // There are too many to find all of them; the first is cheaper.
                let meter = Meter::new(allowance, cancelled);
                let first = self.validator.validate(Part::whole(value, &meter)).err();
                match (first, meter.spent()) {
                    (Some(violation), None) => tell(violation),
                    (_, _) => message.push_str("\n- where, takes too many steps to say"),
                }
            }
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
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
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer", "maximum": 9}}, "required": ["a"]});
        assert_eq!(check(&schema, r#"{"a":5.0}"#), Ok(()));
        let told = check(&schema, r#"{"a":"x"}"#).unwrap_err();
        assert_eq!(
            told,
            "the output does not fit the tool's schema:\n- at /a: \"x\" is not of type \"integer\" (rule /properties/a/type)"
        );
        assert!(check(&schema, "[]").unwrap_err().contains("at the output: [] is not of type \"object\""));
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
        let many: Vec<Value> =
            (0..1000).map(|n| json!({"uniqueItems": true, "maxItems": 100_000 + n})).collect();
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
            (&json!({"multipleOf": 2}), "1000000000000000000001", false),
            (&json!({"enum": [1e21]}), "1000000000000000000001", false),
            (&json!({"exclusiveMinimum": 0.1}), "0.1000000000000000000001", false),
        ] {
            assert_eq!(check(schema, value).is_ok(), fits, "{schema} {value}");
        }
        assert!(
            check(&json!({"maximum": 1e21}), "1000000000000000000001")
                .unwrap_err()
                .contains("compared exactly")
        );
    }

    #[tokio::test]
    async fn nobody_waits_for_a_check_that_is_cancelled() {
        let below = json!({"not": {"items": {"$ref": "#"}}});
        let schema =
            Schema::new(&Json::canonical(&json!({"anyOf": vec![below; 40], "items": {"$ref": "#"}})));
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
}
