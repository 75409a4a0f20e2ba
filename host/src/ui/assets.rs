//! The files that pages are made with: a style, a script of ours, and two of others.

use std::sync::LazyLock;

use crate::message::Digest;

pub(super) const STYLE: &str = include_str!("assets/ui.css");
pub(super) const SCRIPT: &str = include_str!("assets/ui.js");
pub(super) const HTMX: &str = include_str!("assets/vendor/htmx-2.0.11.min.js");
pub(super) const SSE: &str = include_str!("assets/vendor/htmx-ext-sse-2.2.4.min.js");

/// A file, and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asset {
    pub(crate) content_type: &'static str,
    pub(crate) text: &'static str,
}

/// What stands in the address of every file, so that a browser that kept one of another version asks anew.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all = [STYLE, SCRIPT, HTMX, SSE].concat();
    Digest::of(all.as_bytes()).to_string().chars().rev().take(12).collect()
});

/// The file of a name.
pub(crate) fn asset(name: &str) -> Option<Asset> {
    let (content_type, text) = match name {
        "ui.css" => ("text/css; charset=utf-8", STYLE),
        "ui.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "htmx.js" => ("text/javascript; charset=utf-8", HTMX),
        "sse.js" => ("text/javascript; charset=utf-8", SSE),
        _ => return None,
    };
    Some(Asset { content_type, text })
}
