//! Text with `{{ name }}` in it, for the values of an agent's parameters.
//!
//! Names are all there is: no filters, conditions or loops. So a text cannot do anything, and a value is put in as it
//! is and never read again.

use std::collections::BTreeMap;

use super::bounds::INSTRUCTIONS_BYTES_MAX;
use crate::document::{place, quote, suggest};

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// How two braces are written that are none of a template, as in Jinja.
const LITERAL: &str = "\"{{\"";

/// How a template is written.
const FORM: &str =
    "write `{{ name }}` with the name of a parameter and nothing else; braces of your own are `{{ \"{{\" }}`";

/// What is wrong with the text of a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}; {help}", .place.0, .place.1)]
pub struct TemplateError {
    /// Line and column, both from 1.
    pub place: (usize, usize),
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The text with these values in it.
pub(super) fn fill(text: &str, values: &BTreeMap<String, String>) -> Result<String, TemplateError> {
    let mut filled = String::new();
    let mut at = 0;
    while let Some((before, after)) = text[at..].split_once(OPEN) {
        let open = at + before.len();
        let wrong = |message: String, help: String| TemplateError { place: place(text, open), message, help };
        filled.push_str(before);
        let Some((inside, _)) = after.split_once(CLOSE) else {
            return Err(wrong("`{{` is not closed by `}}`".to_owned(), FORM.to_owned()));
        };
        filled.push_str(match inside.trim() {
            LITERAL => OPEN,
            name => match values.get(name) {
                Some(value) => value,
                None => {
                    return Err(wrong(
                        format!("there is no parameter `{}`", quote(name)),
                        help(name, values),
                    ));
                }
            },
        });
        if filled.len() as u64 > INSTRUCTIONS_BYTES_MAX {
            return Err(wrong(
                "the text gets longer than 1 MiB".to_owned(),
                "give shorter values".to_owned(),
            ));
        }
        at = open + OPEN.len() + inside.len() + CLOSE.len();
    }
    filled.push_str(&text[at..]);
    Ok(filled)
}

fn help(name: &str, values: &BTreeMap<String, String>) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let names: Vec<&str> = values.keys().map(String::as_str).collect();
    if plain { suggest(name, &names) } else { FORM.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn values(city: &str) -> BTreeMap<String, String> {
        [("city".to_owned(), city.to_owned())].into()
    }

    #[test]
    fn names_are_replaced_and_all_else_stays() {
        for (text, expected) in [
            ("", ""),
            ("{{city}}", "Rome"),
            ("a {{ city }}\n{{\tcity\n}}b\n", "a Rome\nRomeb\n"),
            ("{ city } }} {% if %} {# no #} ü", "{ city } }} {% if %} {# no #} ü"),
            ("{{ \"{{\" }} city }}", "{{ city }}"),
        ] {
            assert_eq!(fill(text, &values("Rome")).unwrap(), expected, "{text:?}");
        }
        assert_eq!(fill("{{ city }}!", &values("{{ city }} {{ x")).unwrap(), "{{ city }} {{ x!");
    }

    #[test]
    fn what_is_no_name_is_said_with_its_place() {
        let wrong = |text| fill(text, &values("Rome")).unwrap_err();
        let misspelt = wrong("in\nü {{ citty }}");
        assert_eq!((misspelt.place, misspelt.message.as_str()), ((2, 3), "there is no parameter `citty`"));
        assert!(misspelt.help.starts_with("did you mean `city`?"), "{}", misspelt.help);
        for text in [
            "{{",
            "a {{ city",
            "{{ city }",
            "{{ }}",
            "{{ city | upper }}",
            "{{ {{ city }} }}",
            "{{ 'city' }}",
        ] {
            assert!(wrong(text).help.starts_with("write `{{ name }}`"), "{text:?}");
        }
        assert!(fill(&"{{ city }}".repeat(100), &values(&"x".repeat(100_000))).is_err(), "a text is bounded");
    }
}
