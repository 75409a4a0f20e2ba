//! Ids of calls: which can be sent, and what stands for one that cannot.

use std::collections::HashSet;

/// Gives every call an id that tells it from the others.
pub(super) struct CallIds {
    /// What calls have.
    given: HashSet<String>,
    /// What no made-up id may be, because a call has it or will.
    reserved: HashSet<String>,
    chars_max: Option<usize>,
}

impl CallIds {
    /// Of calls beside those whose ids are given already. `own` are those that the calls bring, in any order;
    /// `chars_max` is the longest that may be sent, if it may then have only letters, digits, `_` and `-`.
    pub(super) fn new<'a>(
        given: impl IntoIterator<Item = &'a str>,
        own: impl IntoIterator<Item = &'a str>,
        chars_max: Option<usize>,
    ) -> Self {
        let given: HashSet<String> = given.into_iter().map(str::to_owned).collect();
        let reserved = given.iter().cloned().chain(own.into_iter().map(str::to_owned)).collect();
        Self { given, reserved, chars_max }
    }

    /// The id of one call: its own, or another, made up, if that is missing, empty or taken, or cannot be sent.
    pub(super) fn give(&mut self, own: Option<&str>, made_up: String) -> String {
        if let Some(own) = own.filter(|id| self.fits(id))
            && self.given.insert(own.to_owned())
        {
            return own.to_owned();
        }
        let mut id = made_up;
        while !self.reserved.insert(id.clone()) {
            id.push('_');
        }
        id
    }

    fn fits(&self, id: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !id.is_empty() && self.chars_max.is_none_or(|max| id.len() <= max && id.chars().all(plain))
    }
}
