//! Words in their styles, broken into lines.
//!
//! Invariants: a line is never wider than it may be, whatever the words are; and a style ends where its word does, so
//! that nothing but the word has it.

use console::{Style, measure_text_width};

/// Text that runs on: words, and places where a line has to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    parts: Vec<Part>,
    /// Whether the next character begins a word.
    is_apart: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Word(Word),
    Break,
}

/// A word, in pieces of one style each.
#[derive(Clone, Debug, Default)]
struct Word {
    pieces: Vec<(Style, String)>,
}

impl Word {
    fn plain(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    fn width(&self) -> usize {
        measure_text_width(&self.plain())
    }

    fn painted(&self) -> String {
        self.pieces.iter().map(|(style, text)| style.apply_to(text).to_string()).collect()
    }

    fn push(&mut self, style: &Style, c: char) {
        match self.pieces.last_mut().filter(|(last, _)| last == style) {
            Some((_, text)) => text.push(c),
            None => self.pieces.push((style.clone(), c.to_string())),
        }
    }

    /// The same word in words that are no wider than this.
    fn broken(self, width: usize) -> Vec<Self> {
        let (mut words, mut word, mut text) = (Vec::new(), Self::default(), String::new());
        for (style, piece) in self.pieces {
            for c in piece.chars() {
                text.push(c);
                if measure_text_width(&text) > width && !word.pieces.is_empty() {
                    words.push(std::mem::take(&mut word));
                    text = c.to_string();
                }
                word.push(&style, c);
            }
        }
        words.push(word);
        words
    }
}

impl Flow {
    /// Appends text, in which blanks and line breaks part words.
    pub(super) fn push(&mut self, style: &Style, text: &str) {
        for c in text.chars() {
            if matches!(c, ' ' | '\n' | '\t') {
                self.is_apart = true;
                continue;
            }
            match self.parts.last_mut() {
                Some(Part::Word(word)) if !self.is_apart => word.push(style, c),
                Some(Part::Word(_) | Part::Break) | None => {
                    let mut word = Word::default();
                    word.push(style, c);
                    self.parts.push(Part::Word(word));
                }
            }
            self.is_apart = false;
        }
    }

    /// Ends the line.
    pub(super) fn end_line(&mut self) {
        self.parts.push(Part::Break);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How wide the text is if it is not broken.
    pub(super) fn width(&self) -> usize {
        let lines = self.parts.split(|part| matches!(part, Part::Break));
        let width = |line: &[Part]| {
            let words = line.iter().map(|part| match part {
                Part::Word(word) => word.width() + 1,
                Part::Break => 0,
            });
            words.sum::<usize>().saturating_sub(1)
        };
        lines.map(width).max().unwrap_or_default()
    }

    /// The lines of the text, each no wider than this, which is at least 2: some characters take two columns.
    pub(super) fn lines(self, width: usize) -> Vec<String> {
        let (mut lines, mut line, mut taken) = (Vec::new(), String::new(), 0);
        for part in self.parts {
            let word = match part {
                Part::Break => {
                    lines.push(std::mem::take(&mut line));
                    taken = 0;
                    continue;
                }
                Part::Word(word) => word,
            };
            let words = if word.width() > width { word.broken(width) } else { vec![word] };
            for word in words {
                let wide = word.width();
                if taken > 0 && taken + 1 + wide > width {
                    lines.push(std::mem::take(&mut line));
                    taken = 0;
                }
                if taken > 0 {
                    line.push(' ');
                    taken += 1;
                }
                line.push_str(&word.painted());
                taken += wide;
            }
        }
        if taken > 0 {
            lines.push(line);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_by_blanks_and_not_by_styles() {
        let (plain, bold) = (Style::new().force_styling(true), Style::new().force_styling(true).bold());
        let mut flow = Flow::default();
        flow.push(&plain, "un");
        flow.push(&bold, "break");
        flow.push(&plain, "able, two words");
        assert_eq!(flow.width(), 22);
        assert_eq!(flow.lines(14), ["un\u{1b}[1mbreak\u{1b}[0mable,", "two words"]);
    }

    #[test]
    fn a_word_that_is_wider_than_a_line_is_broken() {
        let mut flow = Flow::default();
        flow.push(&Style::new(), "漢漢漢漢漢 abcdefghij");
        assert_eq!(flow.lines(5), ["漢漢", "漢漢", "漢", "abcde", "fghij"]);
    }
}
