//! What the characters of a text can be read as: themselves, or what an encoder made of another character.
//!
//! Owns the encodings that are undone character by character: percent, JSON and other backslash escapes, entities. Does
//! not know what is looked for. Its invariants: every reading is found, up to [`LAYERS`] encodings upon each other, in
//! whatever mixture; and what it looks at for one place is bounded, because each form of a character is.

use std::cell::Cell;

/// How many encodings upon each other are undone, such as a URL in a JSON text.
const LAYERS: u8 = 2;

/// What an encoding of a character begins with. `+` for a space is not an encoding of its own: whoever compares takes
/// the two for one.
pub(super) const fn can_begin(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\' | b'&')
}

/// No more digits than this are read in an entity; the largest character has seven in decimal.
const ENTITY_DIGITS_MAX: u8 = 8;

/// The entities of ASCII characters that are not letters or digits, which no encoder touches.
/// <https://html.spec.whatwg.org/multipage/named-characters.html>
const ENTITIES: &[(&str, u8)] = &[
    ("AMP", b'&'),
    ("DiacriticalGrave", b'`'),
    ("GT", b'>'),
    ("Hat", b'^'),
    ("LT", b'<'),
    ("NewLine", b'\n'),
    ("QUOT", b'"'),
    ("Tab", b'\t'),
    ("UnderBar", b'_'),
    ("VerticalLine", b'|'),
    ("amp", b'&'),
    ("apos", b'\''),
    ("ast", b'*'),
    ("bsol", b'\\'),
    ("colon", b':'),
    ("comma", b','),
    ("commat", b'@'),
    ("dollar", b'$'),
    ("equals", b'='),
    ("excl", b'!'),
    ("grave", b'`'),
    ("gt", b'>'),
    ("lbrace", b'{'),
    ("lbrack", b'['),
    ("lcub", b'{'),
    ("lowbar", b'_'),
    ("lpar", b'('),
    ("lsqb", b'['),
    ("lt", b'<'),
    ("midast", b'*'),
    ("num", b'#'),
    ("percnt", b'%'),
    ("period", b'.'),
    ("plus", b'+'),
    ("quest", b'?'),
    ("quot", b'"'),
    ("rbrace", b'}'),
    ("rbrack", b']'),
    ("rcub", b'}'),
    ("rpar", b')'),
    ("rsqb", b']'),
    ("semi", b';'),
    ("sol", b'/'),
    ("verbar", b'|'),
    ("vert", b'|'),
];

/// What one character of a text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    Byte(u8),
    Char(char),
}

impl Symbol {
    /// The character, if it is one of ASCII.
    fn ascii(self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(byte),
            Self::Char(c) => u8::try_from(c).ok().filter(u8::is_ascii),
        }
    }

    fn of(code: u32) -> Option<Self> {
        char::from_u32(code).map(Self::Char)
    }

    /// The bytes that it stands for.
    pub(super) fn bytes(self, buffer: &mut [u8; 4]) -> &[u8] {
        match self {
            Self::Byte(byte) => {
                buffer[0] = byte;
                &buffer[..1]
            }
            Self::Char(c) => c.encode_utf8(buffer).as_bytes(),
        }
    }
}

/// A text of which more may come.
pub(super) struct Text<'t> {
    bytes: &'t [u8],
    is_whole: bool,
    was_cut: Cell<bool>,
}

/// Takes a symbol, and where the text goes on after it.
type Found<'f> = &'f mut dyn FnMut(Symbol, usize);

impl<'t> Text<'t> {
    pub(super) fn new(bytes: &'t [u8], is_whole: bool) -> Self {
        Self { bytes, is_whole, was_cut: Cell::new(false) }
    }

    /// Gives everything that stands at a place, the byte itself first. It is false if that depends on what comes after
    /// the text.
    pub(super) fn readings(&self, at: usize, found: Found<'_>) -> bool {
        self.was_cut.set(false);
        self.read(at, LAYERS, found);
        !self.was_cut.get()
    }

    fn read(&self, at: usize, layers: u8, found: Found<'_>) {
        let Some(&byte) = self.bytes.get(at) else {
            self.was_cut.set(self.was_cut.get() || !self.is_whole);
            return;
        };
        let Some(below) = layers.checked_sub(1).filter(|_| can_begin(byte)) else {
            return found(Symbol::Byte(byte), at + 1);
        };
        self.read(at, below, &mut |symbol, next| {
            found(symbol, next);
            match symbol.ascii() {
                Some(b'%') => self.percent(next, below, found),
                Some(b'\\') => self.backslash(next, below, found),
                Some(b'&') => self.entity(next, below, found),
                Some(_) | None => {}
            }
        });
    }

    /// `%2F`, and `%u002F` of old scripts.
    fn percent(&self, at: usize, layers: u8, found: Found<'_>) {
        self.digits(at, layers, 16, (2, 2), 0, &mut |code, next| {
            found(Symbol::Byte(u8::try_from(code).unwrap_or_default()), next);
        });
        self.one(at, layers, b'u', &mut |next| {
            self.digits(next, layers, 16, (4, 4), 0, &mut |code, next| {
                if let Some(symbol) = Symbol::of(code) {
                    found(symbol, next);
                }
            });
        });
    }

    /// `\/`, `\u002f`, `\u{2f}`, `\x2f`: JSON, and what programs print.
    fn backslash(&self, at: usize, layers: u8, found: Found<'_>) {
        self.read(at, layers, &mut |symbol, next| match symbol.ascii() {
            Some(b'n') => found(Symbol::Byte(b'\n'), next),
            Some(b'r') => found(Symbol::Byte(b'\r'), next),
            Some(b't') => found(Symbol::Byte(b'\t'), next),
            Some(b'u') => self.unicode(next, layers, found),
            Some(b'x') => self.digits(next, layers, 16, (2, 2), 0, &mut |code, next| {
                // A byte in one language, a character in another.
                found(Symbol::Byte(u8::try_from(code).unwrap_or_default()), next);
                if let Some(symbol) = Symbol::of(code) {
                    found(symbol, next);
                }
            }),
            Some(mark) if mark == b' ' || mark.is_ascii_punctuation() => found(Symbol::Byte(mark), next),
            Some(_) | None => {}
        });
    }

    fn unicode(&self, at: usize, layers: u8, found: Found<'_>) {
        self.digits(at, layers, 16, (4, 4), 0, &mut |code, next| match code {
            0xd800..=0xdbff => self.low_surrogate(next, layers, code, found),
            _ => {
                if let Some(symbol) = Symbol::of(code) {
                    found(symbol, next);
                }
            }
        });
        self.one(at, layers, b'{', &mut |next| {
            self.digits(next, layers, 16, (1, ENTITY_DIGITS_MAX), 0, &mut |code, next| {
                self.one(next, layers, b'}', &mut |next| {
                    if let Some(symbol) = Symbol::of(code) {
                        found(symbol, next);
                    }
                });
            });
        });
    }

    fn low_surrogate(&self, at: usize, layers: u8, high: u32, found: Found<'_>) {
        self.one(at, layers, b'\\', &mut |next| {
            self.one(next, layers, b'u', &mut |next| {
                self.digits(next, layers, 16, (4, 4), 0, &mut |low, next| {
                    if (0xdc00..=0xdfff).contains(&low)
                        && let Some(symbol) = Symbol::of(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                    {
                        found(symbol, next);
                    }
                });
            });
        });
    }

    /// `&sol;`, `&#47;`, `&#x2f;`.
    fn entity(&self, at: usize, layers: u8, found: Found<'_>) {
        let mut numbered = |at: usize, radix: u32| {
            self.digits(at, layers, radix, (1, ENTITY_DIGITS_MAX), 0, &mut |code, next| {
                self.one(next, layers, b';', &mut |next| {
                    if let Some(symbol) = Symbol::of(code) {
                        found(symbol, next);
                    }
                });
            });
        };
        self.one(at, layers, b'#', &mut |next| {
            numbered(next, 10);
            self.one(next, layers, b'x', &mut |next| numbered(next, 16));
            self.one(next, layers, b'X', &mut |next| numbered(next, 16));
        });
        self.name(at, layers, (0, ENTITIES), found);
    }

    /// The rest of an entity's name, of which so many characters are read, and which is one of these.
    fn name(&self, at: usize, layers: u8, (length, names): (usize, &[(&str, u8)]), found: Found<'_>) {
        self.read(at, layers, &mut |symbol, next| {
            let Some(byte) = symbol.ascii() else { return };
            if byte == b';' {
                if let Some((_, meant)) = names.first().filter(|(name, _)| name.len() == length) {
                    found(Symbol::Byte(*meant), next);
                }
                return;
            }
            // They are sorted, so that those with the same beginning stand together.
            let has = |(name, _): &&(&str, u8)| name.as_bytes().get(length) == Some(&byte);
            let from = names.iter().position(|name| has(&name)).unwrap_or(names.len());
            let fitting = names.get(from..).unwrap_or_default();
            let count = fitting.iter().take_while(has).count();
            if count > 0 {
                self.name(next, layers, (length + 1, &fitting[..count]), found);
            }
        });
    }

    /// A number of at least and at most so many digits; each that it can be.
    fn digits(
        &self,
        at: usize,
        layers: u8,
        radix: u32,
        (min, max): (u8, u8),
        value: u32,
        then: &mut dyn FnMut(u32, usize),
    ) {
        self.read(at, layers, &mut |symbol, next| {
            let Some(digit) = symbol.ascii().and_then(|byte| char::from(byte).to_digit(radix)) else {
                return;
            };
            let value = value.saturating_mul(radix).saturating_add(digit);
            let (min, max) = (min.saturating_sub(1), max - 1);
            if min == 0 {
                then(value, next);
            }
            if max > 0 {
                self.digits(next, layers, radix, (min, max), value, then);
            }
        });
    }

    /// One certain character.
    fn one(&self, at: usize, layers: u8, wanted: u8, then: &mut dyn FnMut(usize)) {
        self.read(at, layers, &mut |symbol, next| {
            if symbol.ascii() == Some(wanted) {
                then(next);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(text: &str) -> Vec<(Symbol, usize)> {
        let mut readings = Vec::new();
        assert!(
            Text::new(text.as_bytes(), true).readings(0, &mut |symbol, end| readings.push((symbol, end)))
        );
        readings
    }

    #[test]
    fn each_encoding_of_a_character_is_read() {
        for text in [
            "/",
            "%2f",
            "%2F",
            "%u002f",
            "%252f",
            "%25%32%46",
            "\\/",
            "\\u002F",
            "\\x2f",
            "\\u{2f}",
            "\\\\/",
            "\\\\\\/",
            "\\\\u002f",
            "\\u005cu002f",
            "&sol;",
            "&#47;",
            "&#x2F;",
            "&#X00002f;",
            "&amp;sol;",
            "&amp;#47;",
            "\\u0026#47;",
            "%26sol%3B",
            "\\u00252F",
            "&percnt;2F",
            "\\u0025\\u0032\\u0046",
        ] {
            let whole = readings(text).into_iter().filter(|(_, end)| *end == text.len());
            let read: Vec<_> = whole.map(|(symbol, _)| symbol.bytes(&mut [0; 4]).to_vec()).collect();
            assert!(read.contains(&b"/".to_vec()), "{text}: {read:?}");
        }
        let rocket = readings("\\ud83d\\ude80");
        assert!(rocket.contains(&(Symbol::Char('🚀'), 12)), "{rocket:?}");
    }

    #[test]
    fn what_is_no_encoding_stands_for_itself() {
        for text in
            ["a", "%", "%2", "%zz", "\\", "\\u00", "&", "&;", "&solx;", "&#;", "&#x;", "\\ud83d\\u0041"]
        {
            assert_eq!(readings(text), [(Symbol::Byte(text.as_bytes()[0]), 1)], "{text}");
        }
    }

    #[test]
    fn what_may_go_on_is_not_decided() {
        for text in ["%", "%2", "\\", "\\u002", "&", "&so", "&#4", "%25", "\\\\"] {
            assert!(!Text::new(text.as_bytes(), false).readings(0, &mut |_, _| {}), "{text}");
        }
        for text in ["a", "%x", "\\q", "& b", "&x", "%2f"] {
            assert!(Text::new(text.as_bytes(), false).readings(0, &mut |_, _| {}), "{text}");
        }
    }

    #[test]
    fn names_of_entities_are_sorted() {
        assert!(ENTITIES.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
