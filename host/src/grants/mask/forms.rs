use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::reading::can_begin;

/// A shorter form of a value is too likely to be something else.
const FORM_BYTES_MIN: usize = 8;

/// One place in a form of a secret's value.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The bytes that can stand there; mostly it is one.
    accepts: [u8; 2],
    /// Which form it belongs to.
    pub(super) form: u32,
    /// Whether it is the last one.
    pub(super) is_last: bool,
    /// Whether white space may stand before it, as in base64 with line breaks.
    pub(super) takes_gaps: bool,
}

/// What is looked for: the values of secrets, as they are and as they are after an encoding of the whole of them.
pub(super) struct Forms {
    /// Form after form, place by place.
    pub(super) places: Vec<Place>,
    /// For each form, what stands for it.
    labels: Vec<String>,
    /// For each byte, the places at which a form begins with it.
    firsts: Vec<Vec<u32>>,
    /// For each byte, whether a form can begin there, in whatever encoding.
    begins: [bool; 256],
}

impl Place {
    pub(super) fn accepts(self, byte: u8) -> bool {
        self.accepts.contains(&byte)
    }
}

impl Forms {
    /// Of these values, each behind what stands for it.
    pub(super) fn new<'s>(values: impl Iterator<Item = (String, &'s str)>) -> Self {
        let mut forms = Self {
            places: Vec::new(),
            labels: Vec::new(),
            firsts: vec![Vec::new(); 256],
            begins: [false; 256],
        };
        for (label, value) in values {
            forms.push(&label, false, value.bytes().map(or_space));
            forms.push(&label, true, hex(value).bytes().map(|digit| [digit, digit.to_ascii_uppercase()]));
            for base64 in base64(value) {
                forms.push(&label, true, base64.bytes().map(or_url_safe));
            }
        }
        for byte in 0..=u8::MAX {
            forms.begins[usize::from(byte)] = can_begin(byte) || !forms.firsts(byte).is_empty();
        }
        forms
    }

    fn push(&mut self, label: &str, takes_gaps: bool, accepted: impl ExactSizeIterator<Item = [u8; 2]>) {
        if accepted.len() < FORM_BYTES_MIN {
            return;
        }
        // An agent.toml of 1 MiB has not so many secrets that either of these would overflow.
        let form = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
        let first = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.labels.push(label.to_owned());
        let places = accepted.map(|accepts| Place { accepts, form, is_last: false, takes_gaps });
        self.places.extend(places);
        if let Some(last) = self.places.last_mut() {
            last.is_last = true;
        }
        let [one, other] = self.places.get(first as usize).map_or([0, 0], |place| place.accepts);
        self.firsts[usize::from(one)].push(first);
        if one != other {
            self.firsts[usize::from(other)].push(first);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn label(&self, form: u32) -> &str {
        self.labels.get(form as usize).map_or("", String::as_str)
    }

    pub(super) fn firsts(&self, byte: u8) -> &[u32] {
        &self.firsts[usize::from(byte)]
    }

    pub(super) fn can_begin_with(&self, byte: u8) -> bool {
        self.begins[usize::from(byte)]
    }
}

/// In queries and forms a space is a plus, and who decodes one that never was makes a space of a plus.
fn or_space(byte: u8) -> [u8; 2] {
    match byte {
        b' ' | b'+' => [b' ', b'+'],
        other => [other, other],
    }
}

fn or_url_safe(digit: u8) -> [u8; 2] {
    match digit {
        b'+' => [b'+', b'-'],
        b'/' => [b'/', b'_'],
        other => [other, other],
    }
}

fn hex(value: &str) -> String {
    value.bytes().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// In base64 a value looks different at each of the three places it can stand at; the characters that it shares with
/// its neighbours are left out.
fn base64(value: &str) -> impl Iterator<Item = String> + '_ {
    (0..3).filter_map(|shift| {
        let shifted = [&[0; 2][..shift], value.as_bytes()].concat();
        let (start, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        STANDARD_NO_PAD.encode(&shifted).get(start..end).map(str::to_owned)
    })
}
