//! What the lines of a block begin with: the bar of a quote, the mark of an item.

use std::borrow::Cow;

use console::{measure_text_width, truncate_str};

/// What the lines of a block begin with.
pub(super) enum Frame {
    Quote,
    /// An item of a list, with its mark until it is drawn, and as wide as that.
    Item {
        mark: Option<String>,
        width: usize,
    },
}

impl Frame {
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Quote => 2,
            Self::Item { width, .. } => *width,
        }
    }

    /// What a line begins with; a mark stands before the first line of text.
    pub(super) fn begins(&self, is_text: bool) -> Cow<'_, str> {
        match self {
            Self::Quote => "│ ".into(),
            Self::Item { mark: Some(mark), .. } if is_text => mark.into(),
            Self::Item { width, .. } => " ".repeat(*width).into(),
        }
    }

    pub(super) fn is_drawn(&mut self) {
        match self {
            Self::Quote => {}
            Self::Item { mark, .. } => *mark = None,
        }
    }
}

/// What frames begin a line with, as far as there is room.
pub(super) fn prefix<'a>(begins: impl Iterator<Item = Cow<'a, str>>, most: usize) -> String {
    let mut prefix = String::new();
    for begin in begins {
        prefix.push_str(&begin);
        if prefix.len() > most && measure_text_width(&prefix) > most {
            return truncate_str(&prefix, most, "").into_owned();
        }
    }
    prefix
}
