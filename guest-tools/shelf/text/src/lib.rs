//! Finds, replaces, splits and counts in text, by regular expressions whose time is linear in the text.

#[tool_sdk::component]
mod text {
    use regex::{Regex, RegexBuilder};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;

    /// A longer pattern is a mistake.
    const PATTERN_BYTES_MAX: usize = 4 * 1024;

    /// What a compiled pattern may take.
    const COMPILED_BYTES_MAX: usize = 2 << 20;

    /// How deep a pattern may nest, so that its parser does not use up the stack.
    const NESTED_MAX: u32 = 50;

    /// What is given.
    const OUTPUT_BYTES_MAX: usize = 512 * 1024;

    /// A text, and what to find in it.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Find {
        text: String,
        /// The regular expression, in the syntax of Rust's crate regex: without look-around and back-references.
        pattern: String,
        /// Take upper and lower case for the same.
        #[serde(default)]
        ignore_case: bool,
        /// How many matches at most.
        #[serde(default = "limit")]
        #[schemars(range(min = 1, max = 10_000))]
        limit: usize,
    }

    fn limit() -> usize {
        100
    }

    /// What was found.
    #[derive(Debug, Serialize, JsonSchema)]
    pub struct Found {
        matches: Vec<Match>,
        /// Whether there are more.
        is_cut: bool,
    }

    /// A match.
    #[derive(Debug, Serialize, JsonSchema)]
    pub struct Match {
        text: String,
        /// The line that it begins in, counted from 1.
        line: usize,
        /// What the groups of the pattern took, from the first one on; null for a group that took nothing.
        groups: Vec<Option<String>>,
    }

    /// Finds all matches of a regular expression in a text, with the line and the groups of each.
    pub fn find_text(find: Find) -> Result<Found, ToolError> {
        let pattern = compiled(&find.pattern, find.ignore_case)?;
        let mut found = Found { matches: Vec::new(), is_cut: false };
        let (mut line, mut counted, mut bytes) = (1, 0, 0);
        for captures in pattern.captures_iter(&find.text) {
            let Some(whole) = captures.get(0) else { continue };
            let groups: Vec<_> =
                captures.iter().skip(1).map(|group| group.map(|it| it.as_str().to_owned())).collect();
            bytes += whole.len()
                + groups.iter().flatten().map(String::len).sum::<usize>()
                + 32 * (1 + groups.len());
            if found.matches.len() == find.limit || bytes > OUTPUT_BYTES_MAX {
                found.is_cut = true;
                break;
            }
            let before = find.text.get(counted..whole.start()).unwrap_or_default();
            line += before.matches('\n').count();
            counted = whole.start();
            found.matches.push(Match { text: whole.as_str().to_owned(), line, groups });
        }
        Ok(found)
    }

    /// A text, and what to replace in it.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Replace {
        text: String,
        /// The regular expression, in the syntax of Rust's crate regex: without look-around and back-references.
        pattern: String,
        /// What stands instead. `$1` or `${name}` is what a group took, and `$$` is a dollar.
        replacement: String,
        /// Take upper and lower case for the same.
        #[serde(default)]
        ignore_case: bool,
    }

    /// A text in which passages were replaced.
    #[derive(Debug, Serialize, JsonSchema)]
    pub struct Replaced {
        text: String,
        /// How many passages.
        replaced: usize,
    }

    /// Replaces all matches of a regular expression in a text. Returns the whole text.
    pub fn replace_text(replace: Replace) -> Result<Replaced, ToolError> {
        let pattern = compiled(&replace.pattern, replace.ignore_case)?;
        let (mut text, mut copied, mut replaced) = (String::new(), 0, 0);
        for captures in pattern.captures_iter(&replace.text) {
            let Some(whole) = captures.get(0) else { continue };
            text += replace.text.get(copied..whole.start()).unwrap_or_default();
            captures.expand(&replace.replacement, &mut text);
            (copied, replaced) = (whole.end(), replaced + 1);
            within_bounds(text.len())?;
        }
        text += replace.text.get(copied..).unwrap_or_default();
        within_bounds(text.len())?;
        Ok(Replaced { text, replaced })
    }

    /// A text to split.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Split {
        text: String,
        /// The regular expression that separates the parts.
        pattern: String,
        /// How many parts at most; the last one is the rest.
        #[serde(default = "parts")]
        #[schemars(range(min = 1, max = 10_000))]
        limit: usize,
    }

    fn parts() -> usize {
        1000
    }

    /// Splits a text where a regular expression matches. Returns the parts.
    pub fn split_text(split: Split) -> Result<Vec<String>, ToolError> {
        within_bounds(split.text.len())?;
        let pattern = compiled(&split.pattern, false)?;
        Ok(pattern.splitn(&split.text, split.limit.clamp(1, 10_000)).map(str::to_owned).collect())
    }

    /// A text to measure.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Count {
        text: String,
        /// A regular expression, to count its matches too.
        pattern: Option<String>,
    }

    /// How much there is.
    #[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
    pub struct Counted {
        bytes: usize,
        /// Code points of Unicode.
        characters: usize,
        /// What white space separates.
        words: usize,
        lines: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        matches: Option<usize>,
    }

    /// Counts bytes, characters, words and lines of a text, and the matches of a regular expression.
    pub fn count_text(count: Count) -> Result<Counted, ToolError> {
        let text = &count.text;
        let pattern = count.pattern.map(|pattern| compiled(&pattern, false)).transpose()?;
        Ok(Counted {
            bytes: text.len(),
            characters: text.chars().count(),
            words: text.split_whitespace().count(),
            lines: text.lines().count(),
            matches: pattern.map(|pattern| pattern.find_iter(text).count()),
        })
    }

    fn compiled(pattern: &str, ignore_case: bool) -> Result<Regex, ToolError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(ToolError::invalid_input(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes")));
        }
        RegexBuilder::new(pattern)
            .case_insensitive(ignore_case)
            .size_limit(COMPILED_BYTES_MAX)
            .nest_limit(NESTED_MAX)
            .build()
            .map_err(|error| ToolError::invalid_input(format!("this pattern cannot be used: {error}")))
    }

    fn within_bounds(bytes: usize) -> Result<(), ToolError> {
        if bytes > OUTPUT_BYTES_MAX {
            let kib = OUTPUT_BYTES_MAX >> 10;
            return Err(ToolError::invalid_input(format!(
                "the result has more than {kib} KiB; take a shorter text"
            )));
        }
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used, reason = "a test may panic")]

        use super::*;

        fn find(text: &str, pattern: &str, limit: usize) -> Result<Found, ToolError> {
            let (text, pattern) = (text.to_owned(), pattern.to_owned());
            find_text(Find { text, pattern, ignore_case: false, limit })
        }

        fn replace(text: &str, pattern: &str, replacement: &str) -> Result<Replaced, ToolError> {
            let (text, pattern, replacement) = (text.to_owned(), pattern.to_owned(), replacement.to_owned());
            replace_text(Replace { text, pattern, replacement, ignore_case: false })
        }

        #[test]
        fn a_match_has_its_line_and_its_groups() {
            let found = find("a=1\n\nb=\n c=3", r"(\w)=(\d)?", 2).unwrap();
            let all: Vec<_> =
                found.matches.iter().map(|it| (&it.text[..], it.line, it.groups.clone())).collect();
            let group = |text: &str| Some(text.to_owned());
            assert_eq!(all, [("a=1", 1, vec![group("a"), group("1")]), ("b=", 3, vec![group("b"), None])]);
            assert!(found.is_cut);
        }

        #[test]
        fn groups_stand_in_replacements() {
            let replaced = replace("John Doe, Jane Roe", r"(\w+) (\w+)", "$2 ${1}, $$").unwrap();
            assert_eq!((&replaced.text[..], replaced.replaced), ("Doe John, $, Roe Jane, $", 2));
            assert_eq!(replace("ab", "", "-").unwrap().text, "-a-b-");
        }

        #[test]
        fn parts_are_split_and_text_is_counted() {
            let split = |text: &str, limit| {
                split_text(Split { text: text.to_owned(), pattern: ",\\s*".to_owned(), limit })
            };
            assert_eq!(split("a, b,c", 9).unwrap(), ["a", "b", "c"]);
            assert_eq!(split("a, b,c", 2).unwrap(), ["a", "b,c"]);
            let counted =
                count_text(Count { text: "über\nzwei Wörter".to_owned(), pattern: Some("e".to_owned()) });
            let is = Counted { bytes: 18, characters: 16, words: 3, lines: 2, matches: Some(3) };
            assert_eq!(counted, Ok(is));
        }

        #[test]
        fn no_pattern_takes_long_and_one_that_is_too_large_is_refused() {
            let text = "a".repeat(50_000) + "!";
            for pattern in ["^(a+)+$", "^(a|a)*$", "(a*)*b", "(.*)(.*)(.*)x"] {
                assert!(find(&text, pattern, 9).unwrap().matches.is_empty(), "{pattern}");
            }
            let nested = format!("{}a{}", "(".repeat(200), ")".repeat(200));
            for pattern in ["(a{1000}){1000}", "(", "(?=a)", r"(a)\1", &nested, &"x".repeat(5000)] {
                assert!(matches!(find("a", pattern, 9), Err(ToolError::InvalidInput(_))), "{pattern:.20}");
            }
        }

        #[test]
        fn what_would_become_too_long_is_refused() {
            let text = "a".repeat(10_000);
            assert!(replace(&text, "a", &"b".repeat(100)).unwrap_err().to_string().contains("KiB"));
            let found = find(&text, "(((((a)))))", 10_000).unwrap();
            assert!(found.is_cut && !found.matches.is_empty());
        }
    }
}
