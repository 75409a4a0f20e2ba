use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One JSON value, kept as the text it was written in: bytes that were recorded are bytes that replay.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Takes text as it stands, if it is one well-formed JSON value.
    ///
    /// # Errors
    /// The position and reason at which the text stops being JSON.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Writes a value in canonical form: sorted keys, no white space. Numbers keep every digit; RFC 8785
    /// would round integers beyond 2^53, and a tool would be called with the id of something else.
    #[must_use]
    pub fn canonical(value: &serde_json::Value) -> Self {
        let mut value = value.clone();
        value.sort_all_objects();
        // What was written from a value is JSON again.
        Self::parse(value.to_string()).unwrap_or_else(|_| Self(RawValue::NULL.to_owned()))
    }

    /// `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self::canonical(&serde_json::Value::Object(serde_json::Map::new()))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value the text stands for.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(self.as_str()).unwrap_or(serde_json::Value::Null)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn equal_values_have_equal_text() {
        let canonical = |text: &str| Json::canonical(&serde_json::from_str(text).unwrap());
        assert_eq!(
            canonical(r#"{ "b": [1, {"d":2,"c":3}], "a": 1.5 }"#).as_str(),
            r#"{"a":1.5,"b":[1,{"c":3,"d":2}]}"#
        );
    }

    #[test]
    fn numbers_keep_every_digit() {
        let text = r#"{"id":9007199254740993}"#;
        assert_eq!(Json::canonical(&serde_json::from_str(text).unwrap()).as_str(), text);
    }
}
