//! Keys and words that have other names now, in the place where they stand.

use super::edits::Edits;
use super::{ACCESS, KEYS, Key, Respelling, WORDS};

impl Edits<'_> {
    pub(super) fn rename(&mut self) {
        for entry in &self.layout.entries {
            if let Some(Key { now, .. }) = KEYS.iter().find(|key| entry.is_at(key.path))
                && let Some(key) = entry.keys.last()
            {
                let respelling = Respelling::new(self.text, key.start, &self.text[key.clone()], *now);
                self.replace(key.clone(), *now);
                self.changes.push(respelling);
            }
            let written = &self.text[entry.value.clone()];
            let word = written.trim_matches(['"', '\'']);
            if entry.is_at(ACCESS.1)
                && let Some((_, now)) = WORDS.iter().find(|(old, _)| *old == word)
            {
                let new = written.replace(word, now);
                let said = |word: &str| format!("access = {word}");
                self.changes.push(Respelling::new(self.text, entry.value.start, said(written), said(&new)));
                self.replace(entry.value.clone(), new);
            }
        }
    }
}
