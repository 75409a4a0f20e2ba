#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod generated;
mod identity;
mod refused;

use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use super::exports::Surface;
use super::shape::{Int, Members, Names, Shape};
use super::{read, write};
use crate::message::Json;

/// An engine that takes every type of the component model, those that are off by default among them.
fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
    Engine::new(&config).unwrap()
}

fn surface(text: &str) -> Surface {
    let bytes =
        wat::parse_str(format!("(component {text})")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Surface::of(&Component::new(&engine(), bytes).unwrap_or_else(|error| panic!("{error:?}\n{text}")))
        .unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn record(fields: &[(&str, Shape)]) -> Shape {
    Shape::Record(Members {
        names: names(&fields.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
        shapes: fields.iter().map(|(_, shape)| shape.clone()).collect(),
    })
}

fn names(names: &[&str]) -> Names {
    Names::new(names.iter().map(|it| (*it).to_owned()).collect())
}

fn option(shape: Shape) -> Shape {
    Shape::Option(Box::new(shape))
}

/// Each type with values as JSON: how they are written, and in how many other ways they are read.
#[test]
fn each_type_has_its_form() {
    let variant = Shape::Variant(
        names(&["none", "some-text", "maybe"]),
        vec![None, Some(Shape::String), Some(option(Shape::Bool))],
    );
    let result = Shape::Result(Names::of_result(), Box::new([None, Some(Shape::Int(Int::U8))]));
    let nested = record(&[("a", option(option(Shape::Bool)))]);
    for (shape, written, others) in [
        (Shape::Bool, "true", &[][..]),
        (Shape::Int(Int::S8), "-128", &["-1280e-1", "-128.0"]),
        (Shape::Int(Int::U64), "5", &["\"5\"", "5.0"]),
        (Shape::Int(Int::U64), "\"18446744073709551615\"", &["18446744073709551615"]),
        (Shape::Int(Int::S64), "\"-9223372036854775808\"", &["-9223372036854775808"]),
        (Shape::Int(Int::S64), "9007199254740991", &["\"9007199254740991\""]),
        (Shape::Int(Int::S64), "\"9007199254740993\"", &["9007199254740993"]),
        (Shape::F64, "0.1", &["0.10", "1e-1"]),
        (Shape::F64, "-0.0", &[]),
        (Shape::F64, "\"NaN\"", &[]),
        (Shape::F32, "\"-Infinity\"", &[]),
        (Shape::F32, "0.1", &["0.100000001490116119384765625"]),
        (Shape::Char, "\"\u{1f600}\"", &["\"\\ud83d\\ude00\""]),
        (Shape::String, "\"a\\\"b\\u0001ü\"", &[]),
        (Shape::Bytes, "\"AQI=\"", &["\"AQI\""]),
        (Shape::List(Box::new(Shape::Bool)), "[true,false]", &[" [ true , false ] "]),
        (Shape::Fixed(Box::new(Shape::Int(Int::U8)), 2), "[1,2]", &[]),
        (Shape::Tuple(vec![Shape::Bool, Shape::String]), "[true,\"x\"]", &[]),
        (Shape::Map(Box::new(Shape::String), Box::new(Shape::Bool)), "{\"k\":true}", &[]),
        (Shape::Map(Box::new(Shape::Int(Int::U8)), Box::new(Shape::Bool)), "[[1,true]]", &[]),
        (variant.clone(), "{\"tag\":\"none\"}", &[]),
        (
            variant.clone(),
            "{\"tag\":\"some-text\",\"val\":\"x\"}",
            &["{\"val\":\"x\",\"tag\":\"some-text\"}"],
        ),
        (variant, "{\"tag\":\"maybe\"}", &["{\"tag\":\"maybe\",\"val\":null}"]),
        (result.clone(), "{\"tag\":\"ok\"}", &[]),
        (result, "{\"tag\":\"err\",\"val\":7}", &[]),
        (Shape::Enum(names(&["a", "b"])), "\"b\"", &[]),
        (Shape::Flags(names(&["a", "b", "c"])), "[\"a\",\"c\"]", &["[\"c\",\"a\"]"]),
        (option(Shape::Bool), "null", &[]),
        (nested.clone(), "{}", &["{\"a\":null}"]),
        (nested.clone(), "{\"a\":{\"some\":null}}", &[]),
        (nested, "{\"a\":{\"some\":true}}", &[]),
    ] {
        let value = read::whole(&shape, &json(written)).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(write::json(&shape, &value, 1000).unwrap(), written);
        for other in others {
            assert_eq!(read::whole(&shape, &json(other)).unwrap(), value, "{other}");
        }
    }
}

#[test]
fn of_a_key_that_a_map_has_twice_the_last_value_counts() {
    use wasmtime::component::Val;
    let shape = Shape::Map(Box::new(Shape::String), Box::new(Shape::Int(Int::U8)));
    let pair = |key: &str, value| (Val::String(key.to_owned()), Val::U8(value));
    let value = Val::Map(vec![pair("a", 1), pair("b", 2), pair("a", 3)]);
    assert_eq!(write::json(&shape, &value, 100).unwrap(), r#"{"b":2,"a":3}"#);
}

#[test]
fn no_more_is_written_than_may_be() {
    use wasmtime::component::Val;
    let many = Val::List(vec![Val::Bool(true); 1000]);
    let shape = Shape::List(Box::new(Shape::Bool));
    for bytes_max in [0, 1, 100, 5000] {
        assert_eq!(write::json(&shape, &many, bytes_max), Err(write::Unwritten::TooLong));
    }
    assert_eq!(write::json(&shape, &many, 5001).unwrap().len(), 5001);
    let bytes = Val::List(vec![Val::U8(0); 300]);
    assert_eq!(write::json(&Shape::Bytes, &bytes, 401), Err(write::Unwritten::TooLong));
    assert_eq!(write::json(&Shape::Bytes, &bytes, 402).unwrap().len(), 402);
    // What the engine would never give.
    assert_eq!(write::json(&Shape::Bool, &bytes, 1000), Err(write::Unwritten::Misfit));
}
