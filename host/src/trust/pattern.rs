//! Which sources a rule is about.
//!
//! A pattern that fits nothing would be a rule that is never kept to, so one that cannot fit is refused. `*` stands for any
//! text, with slashes and without: where it is read as less, the rule still holds.

use globset::{GlobBuilder, GlobMatcher, escape};

use crate::registry::Remote;

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 2048;

const FORMS: &str = "write oci://REGISTRY/REPOSITORY or https://HOST/PATH, with `*` for any text, as in \"oci://registry.example/*\"";

/// Sources: an address without tag, digest and query, in which `*` stands for any text.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// The pattern that a text is. The error says what is wrong, and what to write.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let wrong = |message: &str, help: &str| Err((message.to_owned(), help.to_owned()));
        if text.len() > PATTERN_BYTES_MAX {
            return wrong("the pattern is too long", "use up to 2048 bytes");
        }
        let rest = match text.split_once("://") {
            _ if text.starts_with('*') => text,
            Some(("oci" | "https" | "http", rest)) if !rest.is_empty() => rest,
            Some(_) | None => return wrong("the pattern fits no source from elsewhere", FORMS),
        };
        if rest.contains(['@', '?', '#']) {
            return wrong(
                "the pattern fits no source: what is compared has no digest and no query in it",
                "leave out what begins with `@`, `?` or `#`: a rule is about every version",
            );
        }
        let is_oci = text.starts_with("oci://");
        let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
        if is_oci && path.is_some_and(|path| path.contains(':')) {
            let help = "leave out the tag: a rule is about every version";
            return wrong("the pattern fits no source: what is compared has no tag in it", help);
        }
        if path.is_none() && !text.contains('*') {
            return wrong("the pattern names no more than a host", "add `/*` for everything that is there");
        }
        if !text.starts_with("http://") && host.ends_with(":443") {
            return wrong("the pattern fits no source: what is compared has no `:443`", "leave it out");
        }
        if is_oci && ["index.docker.io", "registry-1.docker.io"].contains(&host) {
            return wrong(
                "the pattern fits no source: that registry is compared as docker.io",
                "write it so",
            );
        }
        if !can_fit(text, is_oci) {
            return wrong("the pattern fits no source as it is written", FORMS);
        }
        let pieces: Vec<String> = text.split('*').map(escape).collect();
        let glob =
            GlobBuilder::new(&pieces.join("*")).literal_separator(false).case_insensitive(true).build();
        match glob {
            Ok(glob) => Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() }),
            Err(error) => Err((format!("the pattern does not read: {error}"), FORMS.to_owned())),
        }
    }

    /// Whether a source is among them.
    #[must_use]
    pub fn fits(&self, source: &Remote) -> bool {
        self.matcher.is_match(source.place())
    }
}

/// Whether a pattern is written as the sources are that it is compared with: with some text in the place of each `*`, it
/// is a source that has just this spelling.
fn can_fit(pattern: &str, is_oci: bool) -> bool {
    if pattern.starts_with('*') {
        return true;
    }
    // A name, or a number where a port is meant.
    ["a", "1"].iter().any(|text| {
        let mut place = pattern.replace('*', text);
        if pattern.matches('/').count() < 3 {
            place.push_str("/a");
        }
        let source = if is_oci { format!("{place}:1") } else { place.clone() };
        source.parse().is_ok_and(|source: Remote| source.place().eq_ignore_ascii_case(&place))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn no_spelling_of_a_source_gets_around_a_pattern() {
        let fits =
            |pattern: &str, source: &str| Pattern::parse(pattern).unwrap().fits(&source.parse().unwrap());
        let digest = "0".repeat(64);
        for source in [
            "oci://registry.example/example/weather:1.0",
            "oci://REGISTRY.example:443/example/weather:2",
            "oci://registry.example./example/deeper/weather:2",
            &format!("oci://registry.example/example/weather@sha256:{digest}"),
            &format!("oci://registry.example/example/weather:1@sha256:{digest}"),
        ] {
            assert!(fits("oci://registry.example/example/*", source), "{source}");
            assert!(fits("oci://Registry.Example/*", source) && fits("*", source), "{source}");
            assert!(!fits("oci://registry.example/other/*", source), "{source}");
            assert!(!fits("oci://other.example/*", source) && !fits("https://*", source), "{source}");
        }
        assert!(fits("oci://registry.example/a", "oci://registry.example/a:1"));
        assert!(!fits("oci://registry.example/a", "oci://registry.example/ab:1"));
        for source in ["https://files.example/tools/x.wasm?v=1", "https://FILES.example:443//%74ools/x.wasm"]
        {
            assert!(fits("https://files.example/tools/*.wasm", source), "{source}");
        }
        assert!(fits("oci://docker.io/*", "oci://registry-1.docker.io/a/b:1"));
        assert!(fits("https://files.example/[a]*", "https://files.example/[a]b"), "only `*` is special");
    }

    #[test]
    fn a_pattern_that_fits_nothing_is_refused() {
        for (text, said) in [
            ("", "no source"),
            ("registry.example/*", "no source"),
            ("ftp://files.example/*", "no source"),
            ("oci://", "no source"),
            ("oci://registry.example/a:1.0", "tag"),
            ("oci://registry.example/a:*", "tag"),
            ("oci://registry.example/a@sha256:*", "digest"),
            ("https://files.example/x?*", "query"),
            ("oci://registry.example", "host"),
            ("oci://registry.example:443/*", ":443"),
            ("oci://index.docker.io/*", "docker.io"),
            ("oci://registry.example./*", "as it is written"),
            ("oci://registry.example//a/*", "as it is written"),
            ("oci://registry.example/a/*/", "as it is written"),
            ("https://files.example/%74ools/*", "as it is written"),
            ("https://files.example/x/../tools/*", "as it is written"),
            ("https://files.example/tools/", "as it is written"),
            ("https://b\u{fc}cher.example/*", "as it is written"),
            ("http://files.example/*", "as it is written"),
            ("https://me:secret@files.example/*", "digest"),
        ] {
            let (message, help) = Pattern::parse(text).unwrap_err();
            assert!(message.contains(said) && !help.is_empty(), "{text}: {message}");
        }
        for text in [
            "*",
            "*/tools/*",
            "oci://*",
            "https://*",
            "oci://*/tools/*",
            "oci://localhost:5000/*",
            "oci://127.0.0.1:*/tools/*",
            "oci://registry.example*",
            "oci://*.example/*-tool",
            "https://files.example/b\u{fc}cher/*.wasm",
            "https://[2001:db8::1]:8443/*",
        ] {
            assert!(Pattern::parse(text).is_ok(), "{text}");
        }
    }
}
