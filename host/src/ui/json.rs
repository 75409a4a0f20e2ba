//! JSON on a page: as it was written, number by number, in parts that can be folded.

use maud::{Markup, PreEscaped, html};

use super::text::{self, block, escape};

/// So many values are laid out; a page of more would be slow. What is longer is shown as it was written.
const VALUES_MAX: usize = 4_000;
/// Deeper values are shown as they were written.
const DEPTH_MAX: usize = 40;
/// What is in so few members is open.
const OPEN_MAX: usize = 40;
/// Pictures larger than this are not shown, in bytes of their text.
const PICTURE_BYTES_MAX: usize = 4 << 20;
/// How the text of a picture begins.
const PICTURES: [&str; 4] = [
    "data:image/png;base64,",
    "data:image/jpeg;base64,",
    "data:image/gif;base64,",
    "data:image/webp;base64,",
];

/// A text that is JSON, if it is; or else the text.
pub(crate) fn shown(json: &str) -> Markup {
    let is_json =
        json.len() <= PICTURE_BYTES_MAX && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
    let laid_out = is_json.then(|| Writer { text: json, at: 0, values: 0, html: String::new() }.whole());
    if let Some(html) = laid_out.flatten() {
        return html! { div.json { (PreEscaped(html)) } };
    }
    html! { pre { (block(json)) } }
}

/// Lays out a text that is known to be JSON.
struct Writer<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    html: String,
}

impl<'a> Writer<'a> {
    fn whole(mut self) -> Option<String> {
        self.value(0)?;
        Some(self.html)
    }

    fn next(&mut self) -> Option<u8> {
        let rest = self.text.get(self.at..)?;
        self.at += rest.len() - rest.trim_start().len();
        self.text.as_bytes().get(self.at).copied()
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.values += 1;
        if self.values > VALUES_MAX || depth > DEPTH_MAX {
            return None;
        }
        match self.next()? {
            b'{' => self.members(depth, '{', b'}'),
            b'[' => self.members(depth, '[', b']'),
            b'"' => {
                let token = self.token()?;
                self.string(token);
                Some(())
            }
            _ => {
                let token = self.token()?;
                self.html.push_str("<span class=\"j-n\">");
                escape(token, &mut self.html);
                self.html.push_str("</span>");
                Some(())
            }
        }
    }

    /// An object or an array. What is said of it stands before it, so it is written apart.
    fn members(&mut self, depth: usize, open: char, close: u8) -> Option<()> {
        self.at += 1;
        let outer = std::mem::take(&mut self.html);
        let mut count = 0;
        while self.next()? != close {
            self.html.push_str("<div>");
            if open == '{' {
                let key = self.token()?;
                self.html.push_str("<span class=\"j-k\">");
                let name = serde_json::from_str::<String>(key).unwrap_or_else(|_| key.to_owned());
                self.html.push_str(&text::line(&name).0);
                self.html.push_str("</span>: ");
                self.next()?;
                self.at += 1;
            }
            self.value(depth + 1)?;
            self.html.push_str("</div>");
            count += 1;
            if self.next()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        let inner = std::mem::replace(&mut self.html, outer);
        let end = char::from(close);
        let part = if count == 0 {
            html! { (open) (end) }
        } else {
            let members = if count == 1 { "1 member".to_owned() } else { format!("{count} members") };
            html! {
                details open[count <= OPEN_MAX] {
                    summary { (open) span.count { (members) " " (end) } }
                    div.in { (PreEscaped(inner)) }
                    span { (end) }
                }
            }
        };
        self.html.push_str(&part.0);
        Some(())
    }

    fn string(&mut self, token: &str) {
        let said = serde_json::from_str::<String>(token).unwrap_or_else(|_| token.to_owned());
        let part = if is_picture(&said) {
            html! { img src=(said) alt="a picture that was given as base64"; }
        } else {
            html! { span.j-s { "\"" (block(&said)) "\"" } }
        };
        self.html.push_str(&part.0);
    }

    /// A string with its quotes, a number or a word.
    fn token(&mut self) -> Option<&'a str> {
        let is_string = self.next()? == b'"';
        let rest = self.text.get(self.at..)?;
        let end = if is_string {
            let mut escaped = false;
            let is_end = |(_, byte): &(usize, u8)| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            };
            rest.bytes().enumerate().skip(1).find(is_end)?.0 + 1
        } else {
            rest.find([',', '}', ']', ' ', '\n', '\r', '\t']).unwrap_or(rest.len())
        };
        self.at += end;
        rest.get(..end)
    }
}

fn is_picture(text: &str) -> bool {
    let data = PICTURES.iter().find_map(|beginning| text.strip_prefix(beginning));
    data.is_some_and(|data| data.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)))
}
