//! Compares two texts, line by line.

#[tool_sdk::component]
mod diff {
    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use similar::{ChangeTag, TextDiff, TextDiffConfig};
    use tool_sdk::ToolError;

    /// A longer text is not compared.
    const TEXT_BYTES_MAX: usize = 4 << 20;

    /// What is given of a diff.
    const DIFF_BYTES_MAX: usize = 512 * 1024;

    /// How long the shortest diff is looked for; then a longer one is taken, which is as right.
    const LOOKED_FOR: Duration = Duration::from_secs(2);

    /// The texts to compare.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Texts {
        before: String,
        after: String,
        /// How many lines around a change are shown.
        #[serde(default = "context")]
        #[schemars(range(max = 100))]
        context: usize,
        /// The name of the first text in the diff.
        #[serde(default = "before")]
        before_name: String,
        /// The name of the second text.
        #[serde(default = "after")]
        after_name: String,
    }

    fn context() -> usize {
        3
    }

    fn before() -> String {
        "before".to_owned()
    }

    fn after() -> String {
        "after".to_owned()
    }

    /// How the texts differ.
    #[derive(Debug, Serialize, JsonSchema)]
    pub struct Difference {
        /// The unified diff; empty if the texts are the same.
        diff: String,
        /// Lines that only the second text has.
        added: usize,
        /// Lines that only the first text has.
        removed: usize,
        /// Whether the diff is longer than what is given of it.
        is_cut: bool,
    }

    /// Compares two texts line by line. Returns a unified diff, and how many lines were added and removed.
    pub fn diff_texts(texts: Texts) -> Result<Difference, ToolError> {
        if texts.before.len().max(texts.after.len()) > TEXT_BYTES_MAX {
            let mib = TEXT_BYTES_MAX >> 20;
            return Err(ToolError::invalid_input(format!("a text to compare has at most {mib} MiB")));
        }
        if texts.before_name.contains('\n') || texts.after_name.contains('\n') {
            return Err(ToolError::invalid_input("the name of a text is one line"));
        }
        let compared = compared(&texts);
        let (mut added, mut removed) = (0, 0);
        for change in compared.iter_all_changes() {
            match change.tag() {
                ChangeTag::Insert => added += 1,
                ChangeTag::Delete => removed += 1,
                ChangeTag::Equal => {}
            }
        }
        let mut unified = compared.unified_diff();
        unified.context_radius(texts.context.min(100)).header(&texts.before_name, &texts.after_name);
        let mut diff = unified.to_string();
        let is_cut = diff.len() > DIFF_BYTES_MAX;
        diff.truncate(diff.floor_char_boundary(DIFF_BYTES_MAX));
        Ok(Difference { diff, added, removed, is_cut })
    }

    fn compared(texts: &Texts) -> TextDiff<'_, '_, str> {
        TextDiffConfig::default().timeout(LOOKED_FOR).diff_lines(&texts.before[..], &texts.after[..])
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used, reason = "a test may panic")]

        use super::*;

        fn diff(before_text: &str, after_text: &str) -> Result<Difference, ToolError> {
            let (before_text, after_text) = (before_text.to_owned(), after_text.to_owned());
            diff_texts(Texts {
                before: before_text,
                after: after_text,
                context: 1,
                before_name: before(),
                after_name: after(),
            })
        }

        #[test]
        fn a_change_is_shown_with_lines_around_it() {
            let difference = diff("a\nb\nc\nd\n", "a\nb\nC\nd").unwrap();
            let shown =
                "--- before\n+++ after\n@@ -2,3 +2,3 @@\n b\n-c\n-d\n+C\n+d\n\\ No newline at end of file\n";
            assert_eq!((&difference.diff[..], difference.added, difference.removed), (shown, 2, 2));
            assert_eq!(diff("same\n", "same\n").unwrap().diff, "");
            assert_eq!(diff("", "x\n").unwrap().added, 1);
        }

        #[test]
        fn what_takes_long_ends_and_what_is_too_large_is_refused() {
            let text = |salt: u64| -> String {
                (0..60_000_u64).map(|n| format!("{}\n", (n ^ salt).wrapping_mul(0x9E37_79B9) % 997)).collect()
            };
            let difference = diff(&text(1), &text(2_000_003)).unwrap();
            assert!(difference.added > 0 && difference.diff.len() <= DIFF_BYTES_MAX);
            let huge = "x".repeat(TEXT_BYTES_MAX + 1);
            assert!(matches!(diff(&huge, ""), Err(ToolError::InvalidInput(_))));
        }
    }
}
