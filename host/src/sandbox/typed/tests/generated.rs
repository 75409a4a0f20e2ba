//! Types and values that are made up: each value comes back from JSON as it was, and each text is taken as the schema
//! says.

use proptest::prelude::*;
use serde_json::Value;
use wasmtime::component::Val;

use super::*;
use crate::sandbox::typed::schema::schema;
use crate::schema::{About, Schema};

const INTS: [Int; 8] = [Int::S8, Int::U8, Int::S16, Int::U16, Int::S32, Int::U32, Int::S64, Int::U64];

/// Names `n0`, `n1`, …: what they are does not matter, and they have to differ.
fn numbered(count: usize) -> Names {
    Names::new((0..count).map(|index| format!("n{index}")).collect())
}

/// Types, those that are off by default among them if they are wanted.
pub(super) fn shapes(all: bool) -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Bool),
        proptest::sample::select(&INTS[..]).prop_map(Shape::Int),
        Just(Shape::F32),
        Just(Shape::F64),
        Just(Shape::Char),
        Just(Shape::String),
        Just(Shape::Bytes),
        (1..9_usize).prop_map(|count| Shape::Enum(numbered(count))),
        (1..33_usize).prop_map(|count| Shape::Flags(numbered(count))),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let some = || inner.clone().prop_map(Box::new);
        let maybe = || proptest::option::of(inner.clone());
        let key = prop_oneof![Just(Shape::String), Just(Shape::Char), Just(Shape::Int(Int::S64))];
        let off = prop_oneof![
            (some(), 1..4_u32).prop_map(|(item, count)| Shape::Fixed(item, count)),
            (key, some()).prop_map(|(key, of)| Shape::Map(Box::new(key), of)),
        ];
        let on = prop_oneof![
            // A list of bytes is another type.
            inner.clone().prop_map(|item| match item {
                Shape::Int(Int::U8) => Shape::Bytes,
                item => Shape::List(Box::new(item)),
            }),
            some().prop_map(Shape::Option),
            some().prop_map(Shape::Option),
            (maybe(), maybe()).prop_map(|(ok, err)| Shape::Result(Names::of_result(), Box::new([ok, err]))),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            proptest::collection::vec(inner.clone(), 1..5)
                .prop_map(|shapes| Shape::Record(Members { names: numbered(shapes.len()), shapes })),
            proptest::collection::vec(maybe(), 1..5)
                .prop_map(|shapes| Shape::Variant(numbered(shapes.len()), shapes)),
        ];
        if all { prop_oneof![4 => on, 1 => off].boxed() } else { on.boxed() }
    })
}

/// Values of a type.
pub(super) fn values(shape: &Shape) -> BoxedStrategy<Val> {
    let list = |item: &Shape, size| proptest::collection::vec(values(item), size);
    let maybe = |shape: &Option<Shape>| match shape {
        Some(shape) => values(shape).prop_map(|it| Some(Box::new(it))).boxed(),
        None => Just(None).boxed(),
    };
    match shape {
        Shape::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Shape::Int(Int::S8) => any::<i8>().prop_map(Val::S8).boxed(),
        Shape::Int(Int::U8) => any::<u8>().prop_map(Val::U8).boxed(),
        Shape::Int(Int::S16) => any::<i16>().prop_map(Val::S16).boxed(),
        Shape::Int(Int::U16) => any::<u16>().prop_map(Val::U16).boxed(),
        Shape::Int(Int::S32) => any::<i32>().prop_map(Val::S32).boxed(),
        Shape::Int(Int::U32) => any::<u32>().prop_map(Val::U32).boxed(),
        Shape::Int(Int::S64) => any::<i64>().prop_map(Val::S64).boxed(),
        Shape::Int(Int::U64) => any::<u64>().prop_map(Val::U64).boxed(),
        Shape::F32 => any::<u32>().prop_map(|bits| Val::Float32(f32::from_bits(bits))).boxed(),
        Shape::F64 => any::<u64>().prop_map(|bits| Val::Float64(f64::from_bits(bits))).boxed(),
        Shape::Char => any::<char>().prop_map(Val::Char).boxed(),
        Shape::String => any::<String>().prop_map(Val::String).boxed(),
        Shape::Bytes => list(&Shape::Int(Int::U8), 0..9).prop_map(Val::List).boxed(),
        Shape::List(item) => list(item, 0..4).prop_map(Val::List).boxed(),
        Shape::Fixed(item, count) => {
            let count = *count as usize;
            list(item, count..count + 1).prop_map(Val::FixedLengthList).boxed()
        }
        Shape::Map(key, of) => {
            let pairs = proptest::collection::vec((values(key), values(of)), 0..4);
            // A key that is there twice comes back once.
            let once = |mut pairs: Vec<(Val, Val)>| {
                let mut seen: Vec<Val> = Vec::new();
                pairs.retain(|(key, _)| {
                    !seen.contains(key) && {
                        seen.push(key.clone());
                        true
                    }
                });
                Val::Map(pairs)
            };
            pairs.prop_map(once).boxed()
        }
        Shape::Tuple(shapes) => shapes.iter().map(values).collect::<Vec<_>>().prop_map(Val::Tuple).boxed(),
        Shape::Record(Members { names, shapes }) => {
            let names: Vec<String> = names.iter().map(str::to_owned).collect();
            let fields = shapes.iter().map(values).collect::<Vec<_>>();
            fields.prop_map(move |fields| Val::Record(names.iter().cloned().zip(fields).collect())).boxed()
        }
        Shape::Variant(names, shapes) => {
            let cases = names.iter().zip(shapes).map(|(name, shape)| {
                let name = name.to_owned();
                maybe(shape).prop_map(move |val| Val::Variant(name.clone(), val))
            });
            proptest::strategy::Union::new(cases.collect::<Vec<_>>()).boxed()
        }
        Shape::Result(_, shapes) => {
            let [ok, err] = [&shapes[0], &shapes[1]].map(maybe);
            prop_oneof![ok.prop_map(|it| Val::Result(Ok(it))), err.prop_map(|it| Val::Result(Err(it)))]
                .boxed()
        }
        Shape::Enum(names) => {
            let names: Vec<String> = names.iter().map(str::to_owned).collect();
            proptest::sample::select(names).prop_map(Val::Enum).boxed()
        }
        Shape::Flags(names) => {
            let names: Vec<String> = names.iter().map(str::to_owned).collect();
            let count = names.len();
            proptest::sample::subsequence(names, 0..=count).prop_map(Val::Flags).boxed()
        }
        Shape::Option(some) => {
            proptest::option::of(values(some).prop_map(Box::new)).prop_map(Val::Option).boxed()
        }
    }
}

pub(super) fn typed_values(all: bool) -> impl Strategy<Value = (Shape, Val)> {
    shapes(all).prop_flat_map(|shape| (Just(shape.clone()), values(&shape)))
}

/// One thing in a JSON value is another one.
fn changed(value: &mut Value, at: &mut usize, by: &Value) {
    if *at == 0 {
        *value = by.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| changed(item, at, by)),
        Value::Object(members) => members.values_mut().for_each(|member| changed(member, at, by)),
        _ => {}
    }
}

fn others() -> impl Strategy<Value = Value> {
    const TEXTS: [&str; 8] = ["", "a", "n0", "n1", "NaN", "5", "AQI=", "ok"];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-300..300_i32).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(&TEXTS[..]).prop_map(Value::from),
        proptest::sample::select(&TEXTS[..]).prop_map(|tag| serde_json::json!({ "tag": tag })),
        (0..4_usize).prop_map(|count| serde_json::json!(vec![1; count])),
        Just(serde_json::json!({ "n0": true, "some": null })),
    ]
}

fn fits(shape: &Shape, json: &Json) -> Result<(), String> {
    let schema = Schema::new(&Json::canonical(&schema(shape)));
    schema.check_now(About::OUTPUT, json)
}

proptest! {
    #![proptest_config(ProptestConfig { max_local_rejects: 1_000_000, ..ProptestConfig::default() })]

    #[test]
    fn a_value_comes_back_as_it_was((shape, value) in typed_values(true)) {
        let text = write::json(&shape, &value, usize::MAX).unwrap();
        let json = Json::parse(text.clone()).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let back = read::whole(&shape, &json).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(&back, &value, "{}", text);
        // A model's arguments are written anew before a tool reads them.
        let canonical = Json::parse_canonical(&text).unwrap();
        let back = read::whole(&shape, &canonical).unwrap();
        // The members of a map may be in another order then.
        let again = write::json(&shape, &back, usize::MAX).unwrap();
        prop_assert_eq!(Json::parse_canonical(&again).unwrap(), canonical);
        if let Err(why) = fits(&shape, &json) {
            prop_assert!(false, "{text} does not fit {}: {why}", schema(&shape));
        }
    }

    #[test]
    fn what_is_read_fits_the_schema_and_is_one_value(
        (shape, value) in typed_values(true),
        by in others(),
        at in 0..12_usize,
    ) {
        let text = write::json(&shape, &value, usize::MAX).unwrap();
        let mut other: Value = serde_json::from_str(&text).unwrap();
        changed(&mut other, &mut { at }, &by);
        let other = json(&other.to_string());
        if let Ok(read) = read::whole(&shape, &other) {
            let fits = fits(&shape, &other);
            prop_assert!(fits.is_ok(), "{other} is read as {shape}: {fits:?}");
            let written = write::json(&shape, &read, usize::MAX).unwrap();
            prop_assert_eq!(read::whole(&shape, &json(&written)).unwrap(), read);
        }
    }
}
