use std::str::FromStr;

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

/// The name of a new tool: of its folder, its package and, with `_` for `-`, its function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolName(String);

impl ToolName {
    pub(super) fn greet() -> Self {
        Self("greet".to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as Rust has it, which is also what a model calls the tool by.
    pub(super) fn function(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl FromStr for ToolName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !begins || !text.chars().all(plain) || text.len() > NAME_BYTES_MAX {
            let form = format!("write 1 to {NAME_BYTES_MAX} of the characters a-z 0-9 _ -, a letter first");
            return Err(format!("{form}, such as `find-flights`"));
        }
        let (package, function) = (text.replace('_', "-"), text.replace('-', "_"));
        if TAKEN.contains(&package.as_str()) || KEYWORDS.contains(&function.as_str()) {
            return Err(format!("`{text}` means something else to Rust or cargo; choose another name"));
        }
        Ok(Self(text.to_owned()))
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
    }
}
