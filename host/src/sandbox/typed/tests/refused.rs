//! What is no value of a type, no tool, or too much.

use super::*;
use crate::sandbox::typed::exports::{Refused, SurfaceError};

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let person = record(&[("name", Shape::String), ("tags", Shape::List(Box::new(Shape::Char)))]);
    let variant = Shape::Variant(names(&["a", "b"]), vec![None, Some(Shape::Int(Int::U8))]);
    let deep = format!("{}1{}", "[".repeat(90), "]".repeat(90));
    for (shape, text, why) in [
        (Shape::Int(Int::U8), "256", "256 is no u8: a whole number from 0 to 255"),
        (Shape::Int(Int::U8), "-1", "-1 is no u8"),
        (Shape::Int(Int::S8), "1.5", "1.5 is no s8"),
        (Shape::Int(Int::U8), "\"5\"", "expected a whole number, not a text"),
        (Shape::Int(Int::U8), "1e300", "1e300 is no u8"),
        (Shape::Int(Int::U64), "18446744073709551616", "is no u64"),
        (Shape::Int(Int::U64), "\"18446744073709551616\"", "is no u64"),
        (Shape::Int(Int::U64), "\"05\"", "05 is no u64"),
        (Shape::Int(Int::U64), "\"+5\"", "+5 is no u64"),
        (Shape::Int(Int::S64), "\"-0\"", "-0 is no s64"),
        (Shape::Int(Int::S64), "\"\"", " is no s64"),
        (Shape::Int(Int::S64), "\"-9223372036854775809\"", "is no s64"),
        (Shape::F32, "1e39", "1e39 is beyond the range of an f32"),
        (Shape::F64, "\"nan\"", "not \"nan\""),
        (Shape::F64, "null", "not null"),
        (Shape::Char, "\"\"", "one character"),
        (Shape::Char, "\"ab\"", "one character"),
        (Shape::String, "5", "expected a text, not a number"),
        (Shape::Bytes, "\"A\"", "not base64"),
        (Shape::Bytes, "\"AQJ=\"", "not base64"),
        (Shape::Bytes, "\"_-==\"", "not base64"),
        (Shape::Bytes, "[1,2]", "base64, not an array"),
        (Shape::Bool, "1", "expected true or false, not a number"),
        (Shape::Bool, "null", "expected true or false, not null"),
        (Shape::Tuple(vec![Shape::Bool]), "[]", "expected 1 items, not 0"),
        (Shape::Tuple(vec![Shape::Bool]), "[true,[1]]", "expected 1 items, not 2"),
        (Shape::Fixed(Box::new(Shape::Bool), 2), "[true]", "expected 2 items, not 1"),
        (Shape::Enum(names(&["a", "b"])), "\"c\"", "\"c\" is none of `a`, `b`"),
        (Shape::Flags(names(&["a", "b"])), "[\"a\",\"b\",\"a\"]", "the flag `a` is given twice"),
        (Shape::Flags(names(&["a"])), "[\"x\"]", "at /0: \"x\" is none of `a`"),
        (person.clone(), "{\"name\":\"x\"}", "the member `tags` is missing"),
        (person.clone(), "{\"name\":\"x\",\"tags\":[],\"more\":1}", "at /more: there is no such member"),
        (person.clone(), "{\"name\":\"x\",\"tags\":[\"a\",\"bc\"]}", "at /tags/1: expected a text of one"),
        (person.clone(), "[]", "expected an object, not an array"),
        (person, &deep, "expected an object, not an array"),
        (variant.clone(), "{\"tag\":\"c\"}", "at /tag: \"c\" is none of `a`, `b`"),
        (variant.clone(), "{\"val\":1}", "the member `tag` is missing: one of `a`, `b`"),
        (variant.clone(), "{\"tag\":\"a\",\"val\":1}", "at /val: the case `a` has nothing with it"),
        (variant.clone(), "{\"tag\":\"b\"}", "the case `b` needs the member `val`"),
        (variant.clone(), "{\"val\":300,\"tag\":\"b\"}", "at /val: 300 is no u8"),
        (variant.clone(), "{\"tag\":\"a\",\"x\":1}", "at /x: there is no such member"),
        (variant, "\"a\"", "expected an object, not a text"),
        (option(option(Shape::Bool)), "{}", "`null` stands for none"),
        (option(option(Shape::Bool)), "true", "expected an object, not true"),
        (option(option(Shape::Bool)), "{\"some\":1}", "at /some: expected true or false"),
        (
            Shape::Map(Box::new(Shape::Bool), Box::new(Shape::Bool)),
            "[[true]]",
            "at /0: expected a key and a value",
        ),
        (record(&[("a/b", Shape::Bool)]), "{\"a/b\":1}", "at /a~1b: expected true"),
    ] {
        let error = read::whole(&shape, &json(text)).map(|_| text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

/// Recorded values were not all checked as closely as new ones: a key twice is found here, too.
#[test]
fn a_member_that_is_given_twice_is_refused() {
    let shape = record(&[("a", Shape::Bool)]);
    let twice = Json::verbatim("{\"a\":true,\"a\":false}".to_owned()).unwrap();
    assert!(read::whole(&shape, &twice).unwrap_err().to_string().contains("at /a: it is given twice"));
    let lone = Json::verbatim("[\"\\ud800\"]".to_owned()).unwrap();
    let list = Shape::List(Box::new(Shape::String));
    assert!(read::whole(&list, &lone).unwrap_err().to_string().starts_with("at /0: not a text"));
    // Neither a key that is none nor depth does any harm.
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = Json::verbatim(format!("{{\"val\":{deep},\"tag\":\"a\"}}")).unwrap();
    let variant = Shape::Variant(names(&["a"]), vec![None]);
    assert!(read::whole(&variant, &deep).unwrap_err().to_string().contains("has nothing with it"));
}

/// Functions of a component's own: `$f` takes nothing, `$shim` and `$app` a text of that name.
const OWN: &str = r#"
    (core module $m
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "f"))
        (func (export "one") (param i32))
        (func (export "text") (param i32 i32)))
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (func $f (canon lift (core func $i "f")))
    (func $shim (param "shim" string) (canon lift (core func $i "text") (memory $memory) (realloc $realloc)))
    (func $app (param "app" string) (canon lift (core func $i "text") (memory $memory) (realloc $realloc)))"#;

fn refused(text: &str) -> Vec<Refused> {
    surface(text).refused
}

#[test]
fn what_is_not_plain_data_is_refused_with_the_reason() {
    let text = r#"
        (import "r" (type $r (sub resource)))
        (func $takes (param "files" (list (own $r)))
            (canon lift (core func $i "text") (memory $memory) (realloc $realloc)))
        (func $method (param "self" (borrow $r)) (canon lift (core func $i "one")))
        (export "takes" (func $takes))
        (export "lends" (func $method))"#;
    let refused = refused(&format!("{OWN}{text}"));
    for (path, why) in [("takes", "`files.item`: it is a resource"), ("lends", "`self`: it is a resource")] {
        let found =
            refused.iter().find(|it| it.path == path).unwrap_or_else(|| panic!("{path}: {refused:?}"));
        assert_eq!((found.why.as_str(), found.hidden), (why, false));
    }
}

#[test]
fn what_tool_chains_and_hosts_are_for_is_hidden() {
    let text = r#"
        (instance $run (export "run" (func $f)))
        (instance $exports (export "init" (func $app)) (export "greet" (func $app)))
        (export "wasi:cli/run@0.2.3" (instance $run))
        (export "wasi:http/incoming-handler@0.2.0" (instance $run))
        (export "exports" (instance $exports))
        (export "init" (func $shim))"#;
    let surface = surface(&format!("{OWN}{text}"));
    let names: Vec<&str> = surface.functions.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["exports_greet"]);
    let hidden: Vec<&str> =
        surface.refused.iter().filter(|it| it.hidden).map(|it| it.path.as_str()).collect();
    assert_eq!(hidden, ["wasi:cli/run@0.2.3", "wasi:http/incoming-handler@0.2.0", "exports#init", "init"]);
    assert!(surface.refused[0].why.contains("a program"), "{:?}", surface.refused);
    assert_eq!(surface.refused.len(), hidden.len());
}

#[test]
fn ten_thousand_exports_are_too_many() {
    use std::fmt::Write as _;
    let mut text = OWN.to_owned();
    for index in 0..10_000 {
        let _ = write!(text, "(export \"f{index}\" (func $f))");
    }
    let bytes = wat::parse_str(format!("(component {text})")).unwrap();
    let component = Component::new(&engine(), bytes).unwrap();
    assert_eq!(Surface::of(&component).unwrap_err(), SurfaceError::Functions);
}

/// Types that double with each level: a small component, and a schema that no machine holds.
#[test]
fn enormous_types_are_refused_at_once() {
    use std::fmt::Write as _;
    let mut text = "(type $t0 (tuple u8 u16))".to_owned();
    for level in 1..17 {
        let _ = write!(text, "(type $t{level} (tuple $t{0} $t{0}))", level - 1);
    }
    let _ = write!(
        text,
        "(func $wide (param \"x\" $t16) (canon lift (core func $i \"one\") (memory $memory) (realloc $realloc)))
         (export \"wide\" (func $wide))"
    );
    let refused = refused(&format!("{OWN}{text}"));
    assert!(refused[0].why.contains("more than 2000 parts"), "{refused:?}");
}

#[test]
fn deep_types_are_refused_and_the_deepest_that_are_taken_have_a_schema() {
    use std::fmt::Write as _;
    let nested = |levels: usize| {
        let mut text = "(type $t0 u8)".to_owned();
        for level in 1..levels {
            let _ = write!(text, "(type $t{level} (list $t{}))", level - 1);
        }
        let _ = write!(
            text,
            "(func $deep (param \"x\" $t{}) (canon lift (core func $i \"text\") (memory $memory) (realloc $realloc)))
             (export \"deep\" (func $deep))",
            levels - 1
        );
        surface(&format!("{OWN}{text}"))
    };
    assert_eq!(nested(24).functions.len(), 1);
    let refused = nested(26).refused;
    assert!(refused[0].why.contains("nested more than 24 deep"), "{refused:?}");
}

#[test]
fn many_names_are_not_all_told() {
    let many: Vec<String> = (0..1000).map(|index| format!("case-{index}")).collect();
    let shape = Shape::Enum(Names::new(many));
    let error = read::whole(&shape, &json(&format!("\"{}\"", "x".repeat(10_000)))).unwrap_err().to_string();
    assert!(error.len() < 500 && error.ends_with("and more"), "{error}");
}
