use std::str::FromStr;

use crate::toolbox::Language;

/// Bytes of a tool's name: as many as a model may call it by.
const NAME_BYTES_MAX: usize = 64;

/// What a crate cannot be named, beside Rust's keywords: the packages next to it, those it depends on by name, what
/// every crate has anyway, and cargo's own folder.
const TAKEN: [&str; 16] = [
    "alloc",
    "core",
    "proc-macro",
    "schemars",
    "sdk",
    "sdk-macros",
    "serde",
    "serde-json",
    "serde-path-to-error",
    "std",
    "target",
    "test",
    "tool-sdk",
    "tool-sdk-macros",
    "wit-bindgen",
    "wit-bindgen-rt",
];

/// Rust's keywords, which no function can be named.
/// <https://doc.rust-lang.org/reference/keywords.html>
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// Python's keywords, which no function can be named either.
/// <https://docs.python.org/3/reference/lexical_analysis.html#keywords>
const PYTHON_KEYWORDS: [&str; 32] = [
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not",
    "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// The name of a new tool: of its folder, its package and, with `_` for `-`, its function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct ToolName(String);

impl ToolName {
    pub(in crate::cli) fn greet() -> Self {
        Self("greet".to_owned())
    }

    pub(in crate::cli) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as Rust has it, which is also what a model calls the tool by.
    pub(in crate::cli) fn function(&self) -> String {
        self.0.replace('-', "_")
    }

    /// A name for a tool of a language.
    pub(in crate::cli) fn of(text: &str, language: Language) -> Result<Self, String> {
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !begins || !text.chars().all(plain) || text.len() > NAME_BYTES_MAX {
            let form = format!("write 1 to {NAME_BYTES_MAX} of the characters a-z 0-9 _ -, a letter first");
            return Err(format!("{form}, such as `find-flights`"));
        }
        let (package, function) = (text.replace('_', "-"), text.replace('-', "_"));
        let taken = match language {
            Language::Rust => TAKEN.contains(&package.as_str()) || KEYWORDS.contains(&function.as_str()),
            Language::Python => PYTHON_KEYWORDS.contains(&function.as_str()),
            // Nothing of theirs is named by it.
            Language::JavaScript | Language::TypeScript | Language::Go | Language::C => false,
        };
        if taken {
            return Err(format!("`{text}` means something else to {language}; choose another name"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ToolName {
    type Err = String;

    /// The name of a crate.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::of(text, Language::Rust)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_a_folder_a_package_and_a_function() {
        for good in ["greet", "find-flights", "a", "x_2", &"a".repeat(64)] {
            assert_eq!(good.parse::<ToolName>().map(|name| name.as_str().to_owned()), Ok(good.to_owned()));
        }
        let long = "a".repeat(65);
        for bad in [
            "", "2x", "-x", "_x", "Find", "a b", "a/b", "..", "a.b", "fn", "self", "serde", "tool_sdk",
            "sdk", &long,
        ] {
            assert!(bad.parse::<ToolName>().is_err(), "{bad}");
        }
        assert!(
            ToolName::of("fn", Language::Python).is_ok() && ToolName::of("lambda", Language::Python).is_err()
        );
        assert!(ToolName::of("lambda", Language::JavaScript).is_ok());
    }
}
