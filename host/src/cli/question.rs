//! What a person can say when a call is to be approved.

/// The question, and the words that answer it.
pub(super) const QUESTION: &str = "[y]es, [n]o, [e]dit, [d]etails, al[w]ays, [s]uspend: ";

/// What the person says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The call may be made.
    Yes,
    /// It may not.
    No,
    /// It is to be made with another input.
    Edit,
    /// What else is known of it?
    Details,
    /// The very same call may be made whenever it comes again.
    Always,
    /// The run is to wait until it is decided.
    Suspend,
    /// Nothing of these.
    Unknown(String),
}

impl Said {
    /// What a line says. The words of the other commands say the same here.
    pub(super) fn of(line: &str) -> Self {
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" | "a" | "approve" => Self::Yes,
            "n" | "no" | "deny" => Self::No,
            "e" | "edit" => Self::Edit,
            "d" | "details" => Self::Details,
            "w" | "l" | "always" => Self::Always,
            "s" | "suspend" => Self::Suspend,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_or_its_letter_answers_and_nothing_else_does() {
        for (line, said) in [
            ("y\n", Said::Yes),
            (" Yes ", Said::Yes),
            ("NO", Said::No),
            ("e", Said::Edit),
            ("details", Said::Details),
            ("w", Said::Always),
            ("s", Said::Suspend),
        ] {
            assert_eq!(Said::of(line), said, "{line:?}");
        }
        for line in ["", "yes please", "yn", "yy", "ja"] {
            assert_eq!(Said::of(line), Said::Unknown(line.to_owned()));
        }
    }
}
