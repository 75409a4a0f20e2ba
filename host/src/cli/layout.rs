//! Lines laid out to the width of a terminal: broken between words, and set in where they go on.
//!
//! A terminal breaks a line in the middle of a word, and goes on at its left edge, where what belongs together is no
//! longer seen. Where nobody looks at a terminal, a line stays one line.

use console::Term;
use textwrap::{Options, WordSeparator, WordSplitter};

/// Stands for a space at which no line is broken, within a command that is to be copied. It is of the private use area.
const UNBROKEN: char = '\u{f8ff}';

/// Narrower than this, nothing can be laid out.
const WIDTH_MIN: usize = 20;

/// By how much a line is set in where it goes on, beyond what it begins with itself.
const HANGING: usize = 2;

/// What becomes of a word that is longer than a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LongWord {
    /// It stays as it is: a path, or an address, that is to be copied.
    Whole,
    /// It is broken: JSON without a space in it.
    Broken,
}

/// A text that is kept on one line, such as a command.
pub(super) fn unbroken(text: &str) -> String {
    text.replace(' ', &UNBROKEN.to_string())
}

/// The width of a terminal; none if it is not one.
pub(super) fn width_of(term: &Term) -> Option<usize> {
    term.is_term().then(|| usize::from(term.size().1))
}

/// A line as it is shown, in as many lines as it takes. A line that begins with blanks goes on a bit further to the
/// right; any other goes on at the column `hanging`.
pub(super) fn laid_out(line: &str, width: Option<usize>, hanging: usize, long: LongWord) -> String {
    let laid_out = match width.filter(|width| *width >= WIDTH_MIN) {
        Some(width) => broken(line, width, hanging, long),
        None => line.to_owned(),
    };
    laid_out.replace(UNBROKEN, " ")
}

fn broken(line: &str, width: usize, hanging: usize, long: LongWord) -> String {
    let text = line.trim_start_matches(' ');
    let blanks = line.len() - text.len();
    let hanging = if blanks == 0 { hanging } else { blanks + HANGING };
    // What is set in so far that nothing fits beside it is not set in.
    let hanging = if hanging * 2 > width { HANGING } else { hanging };
    let (first, others) = (" ".repeat(blanks), " ".repeat(hanging));
    let options = Options::new(width)
        .initial_indent(&first)
        .subsequent_indent(&others)
        .break_words(long == LongWord::Broken)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_set_in_where_they_go_on() {
        let at = |width, line: &str| laid_out(line, Some(width), 2, LongWord::Whole);
        assert_eq!(at(24, "one two three four five six"), "one two three four five\n  six");
        assert_eq!(at(24, "  ✓ tool(0,0) get_weather is said"), "  ✓ tool(0,0)\n    get_weather is said");
        let id = "01M89WYJ7GED7C7P336ZR4ZWCA";
        assert_eq!(at(30, &format!("interrupted: {id}")), format!("interrupted:\n  {id}"));
        let command = unbroken(&format!("host resume {id}"));
        assert_eq!(at(40, &format!("go on with: {command}")), format!("go on with:\n  host resume {id}"));
        assert_eq!(laid_out(&command, None, 2, LongWord::Whole), format!("host resume {id}"));
        let long = "x".repeat(50);
        assert_eq!(at(30, &long), long);
        assert_eq!(laid_out(&long, Some(30), 2, LongWord::Broken).lines().count(), 2);
    }

    #[test]
    fn what_colours_a_text_takes_no_room() {
        let line = "\u{1b}[32mgreen\u{1b}[0m and so on to here";
        assert_eq!(laid_out(line, Some(24), 2, LongWord::Whole), line);
    }

    proptest! {
        #[test]
        fn no_word_is_lost_or_broken_and_no_line_is_too_long(
            words in prop::collection::vec("[a-z0-9äé漢]{1,18}", 1..30),
            blanks in 0..8_usize,
            width in 40..120_usize,
        ) {
            let line = " ".repeat(blanks) + &words.join(" ");
            let shown = laid_out(&line, Some(width), 4, LongWord::Whole);
            prop_assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), words);
            for line in shown.lines() {
                prop_assert!(console::measure_text_width(line) <= width, "{line:?}");
            }
            let hanging = " ".repeat(if blanks == 0 { 4 } else { blanks + HANGING });
            prop_assert!(shown.lines().skip(1).all(|line| line.starts_with(&hanging)), "{shown}");
        }
    }
}
