//! Some places of a JSON text, changed; every other byte stays.

use serde_json::value::RawValue;

use super::reader::Reader;

/// The way to a value: keys, and `*` for each item of an array.
pub type JsonPath = [&'static str];

/// Writes a text anew, with other values at some places: `change` is given the text of a value that is there, and
/// gives another one, or none if it may stay. The work is linear, whatever the depth.
///
/// # Errors
/// The position and reason at which the text stops being JSON.
pub fn changed_at(
    text: &str,
    places: &[&JsonPath],
    change: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<String, serde_json::Error> {
    let raw: &RawValue = serde_json::from_str(text)?;
    let mut changes = Changes { text: raw.get(), written: String::new(), until: 0, change };
    changes.walk(&mut Reader::of(raw), places);
    let Changes { text, mut written, until, .. } = changes;
    written.push_str(text.get(until..).unwrap_or_default());
    Ok(written)
}

struct Changes<'t, 'c> {
    text: &'t str,
    written: String,
    /// How much of the text is written.
    until: usize,
    change: &'c mut dyn FnMut(&str) -> Option<String>,
}

impl<'t> Changes<'t, '_> {
    /// Goes on along these ways, from here.
    fn walk(&mut self, reader: &mut Reader<'t>, ways: &[&JsonPath]) {
        if ways.iter().any(|way| way.is_empty()) {
            let value = reader.skip();
            if let Some(other) = (self.change)(value) {
                let from = reader.at() - value.len();
                self.written.push_str(self.text.get(self.until..from).unwrap_or_default());
                self.written.push_str(&other);
                self.until = reader.at();
            }
            return;
        }
        match reader.peek() {
            Some(b'{') if !ways.is_empty() => {
                reader.step();
                while !reader.closes() {
                    let quoted = reader.key();
                    let key: std::borrow::Cow<'_, str> = serde_json::from_str(quoted).unwrap_or_default();
                    self.walk(reader, &next(ways, &key));
                }
            }
            Some(b'[') if !ways.is_empty() => {
                reader.step();
                while !reader.closes() {
                    self.walk(reader, &next(ways, "*"));
                }
            }
            Some(_) | None => drop(reader.skip()),
        }
    }
}

fn next<'w>(ways: &[&'w JsonPath], step: &str) -> Vec<&'w JsonPath> {
    ways.iter()
        .filter_map(|way| way.split_first())
        .filter(|(first, _)| **first == step)
        .map(|(_, rest)| rest)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn what_stands_at_a_place_is_changed_and_nothing_else() {
        let places: [&JsonPath; 2] = [&["a", "*", "b"], &["c"]];
        let text =
            r#" {"a" : [ {"b": {"x":[1,"]}"]}, "y":1e400}, 5, {"b":"q\"" , "z":null}],"c":true, "b":1}"#;
        let mut seen = Vec::new();
        let changed = changed_at(text, &places, &mut |value| {
            seen.push(value.to_owned());
            (value != "true").then(|| format!("<{}>", value.len()))
        });
        assert_eq!(seen, [r#"{"x":[1,"]}"]}"#, r#""q\"""#, "true"]);
        let expected = r#"{"a" : [ {"b": <14>, "y":1e400}, 5, {"b":<5> , "z":null}],"c":true, "b":1}"#;
        assert_eq!(changed.unwrap(), expected);
        assert_eq!(changed_at("[1]", &places, &mut |_| Some(String::new())).unwrap(), "[1]");
        assert!(changed_at("{", &places, &mut |_| None).is_err());
    }

    #[test]
    fn depth_does_no_harm() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let text = format!(r#"{{"a":{deep},"b":{deep}}}"#);
        let changed = changed_at(&text, &[&["b"]], &mut |value| Some(value.len().to_string())).unwrap();
        assert_eq!(changed, format!(r#"{{"a":{deep},"b":2000000}}"#));
    }
}
