use std::collections::VecDeque;

use super::forms::Forms;
use super::reading::{Symbol, Text, can_begin};

/// White space in a row that may stand within base64 or hex: a line break and an indentation.
const GAPS_MAX: u8 = 32;

/// Beginnings of one form in one place of a text. Only a value that repeats itself has more; what has begun so often
/// is masked as if it had ended, so that no text takes more time than this.
const BEGUN_MAX: usize = 32;

/// A form that has begun in the text.
#[derive(Clone, Copy)]
struct Begun {
    /// The place of the form that comes next.
    next: u32,
    /// Where in the text it began.
    start: u64,
    /// How much white space stands before this place of the text.
    gaps: u8,
}

/// A part of the text that is masked.
#[derive(Clone, Copy)]
struct Cover {
    start: u64,
    end: u64,
    form: u32,
    /// Whether its label has been passed on, and only the rest of it is still to be left out.
    is_said: bool,
}

/// Looks for all forms at once, in a text that comes in pieces.
///
/// At every place of the text stands a set of forms that have begun, as in a simulated automaton. Each way to read what
/// stands there takes them on to the place where that reading ends. So each mixture of encodings is found, whatever
/// stands before and after it, and no place is looked at twice.
#[derive(Default)]
pub(super) struct Search {
    /// The place in the whole text up to which it was searched.
    at: u64,
    /// What has begun, for that place and those after it. The last set is never empty.
    ahead: VecDeque<Vec<Begun>>,
    /// What was found and not passed on, in order, without overlaps.
    covers: VecDeque<Cover>,
    readings: Vec<(Symbol, usize)>,
    /// So that no memory is asked for at every byte.
    spare: Vec<Vec<Begun>>,
    #[cfg(test)]
    pub(super) steps: u64,
}

impl Search {
    /// Searches on. `text` is the part of the whole from `base` on; it stops before what the next piece decides.
    pub(super) fn go_on(&mut self, forms: &Forms, text: &[u8], base: u64, is_whole: bool) {
        let reader = Text::new(text, is_whole);
        loop {
            let mut at = usize::try_from(self.at - base).unwrap_or(usize::MAX);
            if self.ahead.is_empty() {
                let rest = text.get(at..).unwrap_or_default();
                at += rest.iter().position(|byte| forms.can_begin_with(*byte)).unwrap_or(rest.len());
                self.at = base + at as u64;
            }
            let Some(&byte) = text.get(at) else { return };
            let mut readings = std::mem::take(&mut self.readings);
            readings.clear();
            let is_decided = if can_begin(byte) {
                reader.readings(at, &mut |symbol, end| readings.push((symbol, end - at)))
            } else {
                readings.push((Symbol::Byte(byte), 1));
                true
            };
            if is_decided {
                self.step(forms, &readings);
            }
            self.readings = readings;
            if !is_decided {
                return;
            }
        }
    }

    /// Takes what has begun on by each of the readings of this place.
    fn step(&mut self, forms: &Forms, readings: &[(Symbol, usize)]) {
        let mut begun = self.ahead.pop_front().unwrap_or_default();
        if begun.len() > BEGUN_MAX {
            self.thin_out(forms, &mut begun);
        }
        for (symbol, length) in readings {
            let mut buffer = [0; 4];
            let bytes = symbol.bytes(&mut buffer);
            for it in &begun {
                self.take_on(forms, *it, bytes, *length);
            }
            for first in bytes.first().map_or(&[][..], |byte| forms.firsts(*byte)) {
                self.take_on(forms, Begun { next: *first, start: self.at, gaps: 0 }, bytes, *length);
            }
        }
        begun.clear();
        self.spare.push(begun);
        self.at += 1;
    }

    fn take_on(&mut self, forms: &Forms, begun: Begun, bytes: &[u8], length: usize) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        let Begun { next, start, gaps } = begun;
        let end = self.at + length as u64;
        let mut place = next;
        for (index, byte) in bytes.iter().enumerate() {
            let Some(expected) = forms.places.get(place as usize) else { return };
            if !expected.accepts(*byte) {
                let is_gap = matches!(bytes, [b' ' | b'\t' | b'\r' | b'\n']);
                if is_gap && expected.takes_gaps && gaps < GAPS_MAX && start < self.at {
                    self.add(length, Begun { gaps: gaps + 1, ..begun });
                }
                return;
            }
            if expected.is_last {
                if index + 1 == bytes.len() {
                    self.cover(Cover { start, end, form: expected.form, is_said: false });
                }
                return;
            }
            place += 1;
        }
        self.add(length, Begun { next: place, start, gaps: 0 });
    }

    /// Notes what has begun at a place so many bytes on. Of two beginnings of the same the earlier one counts.
    fn add(&mut self, length: usize, new: Begun) {
        // This place itself was taken out.
        while self.ahead.len() < length {
            self.ahead.push_back(self.spare.pop().unwrap_or_default());
        }
        let Some(set) = self.ahead.get_mut(length - 1) else { return };
        match set.last() {
            Some(last) if last.next >= new.next => {}
            Some(_) | None => return set.push(new),
        }
        match set.binary_search_by_key(&new.next, |it| it.next) {
            Ok(at) => {
                let same = &mut set[at];
                same.start = same.start.min(new.start);
                same.gaps = same.gaps.min(new.gaps);
            }
            Err(at) => set.insert(at, new),
        }
    }

    /// Of a form that has begun too often here, masks what there is of it, and forgets the later beginnings.
    fn thin_out(&mut self, forms: &Forms, begun: &mut Vec<Begun>) {
        let form = |it: &Begun| forms.places.get(it.next as usize).map(|place| place.form);
        let mut kept = self.spare.pop().unwrap_or_default();
        for same in begun.chunk_by(|one, other| form(one) == form(other)) {
            let (Some(form), true) = (same.first().and_then(form), same.len() > BEGUN_MAX) else {
                kept.extend_from_slice(same);
                continue;
            };
            let start = same.iter().map(|it| it.start).min().unwrap_or(self.at);
            self.cover(Cover { start, end: self.at, form, is_said: false });
            // Those that have come furthest began first.
            kept.extend_from_slice(same.get(same.len() / 2..).unwrap_or_default());
        }
        std::mem::swap(begun, &mut kept);
        kept.clear();
        self.spare.push(kept);
    }

    fn cover(&mut self, mut new: Cover) {
        let mut at = self.covers.partition_point(|it| it.start < new.start);
        if at.checked_sub(1).and_then(|at| self.covers.get(at)).is_some_and(|before| before.end > new.start) {
            at -= 1;
        }
        // What overlaps is one: of two secrets, the one that began first, and else the longer one, gives its name.
        while let Some(other) = self.covers.get(at).copied().filter(|it| it.start < new.end) {
            let first = if (other.start, new.end) <= (new.start, other.end) { other } else { new };
            new = Cover {
                start: other.start.min(new.start),
                end: other.end.max(new.end),
                form: first.form,
                is_said: other.is_said || new.is_said,
            };
            self.covers.remove(at);
        }
        self.covers.insert(at, new);
    }

    /// Gives up what has begun: nothing more comes.
    pub(super) fn end(&mut self) {
        self.ahead.clear();
    }

    /// The place before which everything is decided.
    fn decided(&self) -> u64 {
        self.ahead.iter().flatten().map(|it| it.start).fold(self.at, u64::min)
    }

    /// Passes on what is decided of the text from `base` on, masked; the number of bytes that are dealt with.
    pub(super) fn pass(&mut self, forms: &Forms, text: &[u8], base: u64, passed: &mut Vec<u8>) -> usize {
        let decided = self.decided();
        let part = |from: u64, to: u64| {
            let place = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX);
            text.get(place(from)..place(to)).unwrap_or_default()
        };
        let mut at = base;
        while let Some(cover) = self.covers.front_mut().filter(|cover| cover.start < decided) {
            passed.extend_from_slice(part(at, cover.start));
            if !cover.is_said {
                passed.extend_from_slice(forms.label(cover.form).as_bytes());
            }
            at = cover.end.min(decided);
            if cover.end > decided {
                (cover.start, cover.is_said) = (decided, true);
                break;
            }
            self.covers.pop_front();
        }
        passed.extend_from_slice(part(at, decided));
        usize::try_from(decided - base).unwrap_or(text.len())
    }

    pub(super) fn has_found(&self) -> bool {
        !self.covers.is_empty()
    }
}
