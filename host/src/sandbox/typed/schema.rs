//! From a type to a JSON Schema (2020-12) that takes exactly what is read for it, as far as a schema can say it.

use serde_json::{Map, Value, json};

use super::shape::{Int, Members, Shape};

/// The floats that JSON has no number for.
pub(super) const NOT_FINITE: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// The schema of a value of this type.
pub(super) fn schema(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int(int) => integer(*int),
        Shape::F64 => float(&json!({ "type": "number" })),
        Shape::F32 => float(&json!({ "type": "number", "minimum": f32::MIN, "maximum": f32::MAX })),
        Shape::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Shape::String => json!({ "type": "string" }),
        // Some providers show their models no such keyword.
        Shape::Bytes => {
            json!({ "type": "string", "contentEncoding": "base64", "description": "bytes in base64" })
        }
        Shape::List(item) => json!({ "type": "array", "items": schema(item) }),
        Shape::Fixed(item, count) => {
            json!({ "type": "array", "items": schema(item), "minItems": count, "maxItems": count })
        }
        Shape::Map(key, value) if **key == Shape::String => {
            json!({ "type": "object", "additionalProperties": schema(value) })
        }
        Shape::Map(key, value) => json!({ "type": "array", "items": tuple(&[schema(key), schema(value)]) }),
        Shape::Tuple(items) => tuple(&items.iter().map(schema).collect::<Vec<_>>()),
        Shape::Record(members) => object(members),
        Shape::Variant(names, shapes) => variant(names.iter().zip(shapes)),
        Shape::Result(names, shapes) => variant(names.iter().zip(&**shapes)),
        Shape::Enum(names) => json!({ "type": "string", "enum": names.iter().collect::<Vec<_>>() }),
        // Not `uniqueItems`: beside it no number with more than 64 bits could be judged.
        Shape::Flags(names) => {
            let names: Vec<&str> = names.iter().collect();
            let count = names.len();
            json!({ "type": "array", "items": { "type": "string", "enum": names }, "maxItems": count })
        }
        Shape::Option(some) if some.is_option() => {
            let some = schema(some);
            nullable(json!({
                "type": "object",
                "properties": { "some": some },
                "required": ["some"],
                "additionalProperties": false,
            }))
        }
        Shape::Option(some) => nullable(schema(some)),
    }
}

/// The schema of an object with these members. What may be absent is an option.
pub(super) fn object(members: &Members) -> Value {
    let properties: Map<String, Value> =
        members.iter().map(|(name, shape)| (name.to_owned(), schema(shape))).collect();
    let required = members.iter().filter(|(_, shape)| !shape.is_option());
    let required: Vec<&str> = required.map(|(name, _)| name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn integer(int: Int) -> Value {
    let (least, greatest) = int.range();
    let bound = |bound: i128| u64::try_from(bound).map(Value::from).or(i64::try_from(bound).map(Value::from));
    let kind = if int.is_wide() { json!(["integer", "string"]) } else { json!("integer") };
    let mut schema = json!({ "type": kind });
    for (key, limit) in [("minimum", least), ("maximum", greatest)] {
        if let (Some(map), Ok(limit)) = (schema.as_object_mut(), bound(limit)) {
            map.insert(key.to_owned(), limit);
        }
    }
    if int.is_wide() {
        // What else than a number it may be says no other keyword that all validators take.
        let said = format!("a whole number ({}); above 2^53 as a text of decimal digits", int.name());
        schema["description"] = Value::from(said);
    }
    schema
}

fn float(number: &Value) -> Value {
    json!({ "anyOf": [number, { "type": "string", "enum": NOT_FINITE }] })
}

fn tuple(items: &[Value]) -> Value {
    let count = items.len();
    json!({ "type": "array", "prefixItems": items, "items": false, "minItems": count, "maxItems": count })
}

fn variant<'a>(cases: impl Iterator<Item = (&'a str, &'a Option<Shape>)>) -> Value {
    let case = |(name, shape): (&str, &Option<Shape>)| {
        let tag = json!({ "type": "string", "const": name });
        let (properties, required) = match shape {
            None => (json!({ "tag": tag }), json!(["tag"])),
            Some(shape) if shape.is_option() => (json!({ "tag": tag, "val": schema(shape) }), json!(["tag"])),
            Some(shape) => (json!({ "tag": tag, "val": schema(shape) }), json!(["tag", "val"])),
        };
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    };
    json!({ "anyOf": cases.map(case).collect::<Vec<_>>() })
}

/// The same schema, which takes `null`, too.
fn nullable(mut schema: Value) -> Value {
    let null = json!({ "type": "null" });
    let Some(map) = schema.as_object_mut() else { return schema };
    if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
        choices.push(null);
        return schema;
    }
    if let Some(Value::Array(choices)) = map.get_mut("enum") {
        choices.push(Value::Null);
    }
    match map.get_mut("type") {
        Some(Value::Array(kinds)) => kinds.push(Value::from("null")),
        Some(kind) => *kind = json!([kind.take(), "null"]),
        None => {}
    }
    schema
}
