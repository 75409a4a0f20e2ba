use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A text alone, or a table that says more.
#[derive(Debug)]
pub(in crate::config) enum TextOr<T> {
    Text(String),
    Table(T),
}

/// A table in whose place a text can stand.
pub(in crate::config) trait OrText: DeserializeOwned + JsonSchema {
    /// What is expected, for who wrote something else.
    const EXPECTED: &'static str;

    /// JSON Schema of the text.
    fn text() -> Value;
}

impl<'de, T: OrText> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

struct TextOrVisitor<T>(PhantomData<T>);

impl<'de, T: OrText> Visitor<'de> for TextOrVisitor<T> {
    type Value = TextOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOr<T>, E> {
        Ok(TextOr::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<TextOr<T>, A::Error> {
        // As a table and not untagged, so that the places of its values are known.
        T::deserialize(MapAccessDeserializer::new(table)).map(TextOr::Table)
    }
}

impl<T: OrText> JsonSchema for TextOr<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("TextOr{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<T>();
        json_schema!({ "oneOf": [T::text(), table] })
    }
}
