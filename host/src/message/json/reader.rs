//! Goes through a text of JSON, of which the syntax is checked: without recursion, and without a look at what it means.

use serde_json::value::RawValue;

/// Where in a text it is.
pub(crate) struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    /// At the beginning of a text, of which the syntax was checked without recursion, whatever its depth.
    pub(crate) fn of(raw: &'t RawValue) -> Self {
        Self { text: raw.get(), at: 0 }
    }

    /// At the beginning of a part of such a text: a value that was passed whole.
    pub(crate) fn within(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// How many bytes it has passed.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next byte that is no white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let skipped = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.at += skipped;
        rest.get(skipped).copied()
    }

    /// Passes the byte that was looked at.
    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    /// Whether the array or object ends here; passes the end, or a comma.
    pub(crate) fn closes(&mut self) -> bool {
        if self.peek() == Some(b',') {
            self.step();
        }
        let closes = self.peek().is_none_or(|byte| matches!(byte, b']' | b'}'));
        self.at += usize::from(closes);
        closes
    }

    /// The key that begins here, in quotes; passes the colon.
    pub(crate) fn key(&mut self) -> &'t str {
        self.peek();
        let quoted = self.quoted();
        self.peek();
        self.step();
        quoted
    }

    /// The text in quotes that begins here.
    pub(crate) fn quoted(&mut self) -> &'t str {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while let Some(found) = bytes.get(end..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
            end += found;
            if bytes.get(end) == Some(&b'"') {
                break;
            }
            end += 2;
        }
        self.take(end + 1)
    }

    /// The number or word that begins here.
    pub(crate) fn plain(&mut self) -> &'t str {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.take(self.at + length)
    }

    /// The same, if what comes next begins with one of these bytes.
    pub(crate) fn plain_if(&mut self, first: &[u8]) -> Option<&'t str> {
        let begins = self.peek().is_some_and(|byte| first.contains(&byte));
        begins.then(|| self.plain())
    }

    /// The value that begins here, whatever it is.
    pub(crate) fn skip(&mut self) -> &'t str {
        self.peek();
        let (from, mut depth) = (self.at, 0_usize);
        loop {
            match self.peek() {
                Some(b'"') => drop(self.quoted()),
                Some(b'[' | b'{') => {
                    depth += 1;
                    self.step();
                }
                Some(b']' | b'}') => {
                    depth = depth.saturating_sub(1);
                    self.step();
                }
                Some(b',' | b':') => self.step(),
                Some(_) => drop(self.plain()),
                None => break,
            }
            if depth == 0 {
                break;
            }
        }
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn take(&mut self, end: usize) -> &'t str {
        let end = end.min(self.text.len());
        let taken = self.text.get(self.at..end).unwrap_or_default();
        self.at = end;
        taken
    }
}
