//! Text with `{{ name }}` in it, for the values of an agent's parameters, and for the members of a tool's input.
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

/// A piece of a template.
pub(super) enum Piece<'t> {
    /// It stands there as it is.
    Text(&'t str),
    /// The value of this name.
    Name(&'t str),
}

/// A template in pieces. Each name is one of these, which are what the template may name.
pub(super) fn pieces<'t>(text: &'t str, what: &str, names: &[&str]) -> Result<Vec<Piece<'t>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some((before, after)) = text[at..].split_once(OPEN) {
        let open = at + before.len();
        let wrong = |message: String, help: String| TemplateError { place: place(text, open), message, help };
        pieces.push(Piece::Text(before));
        let Some((inside, _)) = after.split_once(CLOSE) else {
            return Err(wrong("`{{` is not closed by `}}`".to_owned(), form(what)));
        };
        pieces.push(match inside.trim() {
            LITERAL => Piece::Text(OPEN),
            name if names.contains(&name) => Piece::Name(name),
            name => {
                return Err(wrong(format!("there is no {what} `{}`", quote(name)), help(name, what, names)));
            }
        });
        at = open + OPEN.len() + inside.len() + CLOSE.len();
    }
    pieces.push(Piece::Text(&text[at..]));
    Ok(pieces)
}

/// The text with these values of parameters in it.
pub(super) fn fill(text: &str, values: &BTreeMap<String, String>) -> Result<String, TemplateError> {
    let names: Vec<&str> = values.keys().map(String::as_str).collect();
    let mut filled = String::new();
    for piece in pieces(text, "parameter", &names)? {
        filled.push_str(match piece {
            Piece::Text(text) => text,
            Piece::Name(name) => values.get(name).map_or("", String::as_str),
        });
        if filled.len() as u64 > INSTRUCTIONS_BYTES_MAX {
            let (message, help) =
                ("the text gets longer than 1 MiB".to_owned(), "give shorter values".to_owned());
            return Err(TemplateError { place: (1, 1), message, help });
        }
    }
    Ok(filled)
}

/// How a template is written.
fn form(what: &str) -> String {
    format!(
        "write `{{{{ name }}}}` with the name of a {what} and nothing else; braces of your own are `{{{{ \"{{{{\" }}}}`"
    )
}

fn help(name: &str, what: &str, names: &[&str]) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && !names.is_empty() { suggest(name, names) } else { form(what) }
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
