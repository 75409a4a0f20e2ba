//! Doc comments as plain text.
//!
//! A doc comment reaches a macro as one `#[doc = "..."]` attribute per line, each with the blank that
//! follows the slashes; a block comment is one attribute of many lines. The text that comes out has the
//! common indentation removed, so that nested lists and code keep theirs.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of an item's doc comment, or nothing if it has none or an empty one.
pub(crate) fn text(attributes: &[Attribute]) -> syn::Result<Option<String>> {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        // `#[doc(hidden)]` and its like are not text.
        let Meta::NameValue(pair) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value else {
            let message = "the description of a tool is a doc comment of plain text, not a macro call";
            return Err(syn::Error::new_spanned(&pair.value, message));
        };
        lines.extend(line.value().lines().map(str::to_owned));
        if line.value().is_empty() {
            lines.push(String::new());
        }
    }
    Ok(Some(dedent(&lines)).filter(|text| !text.is_empty()))
}

/// Joins lines without the blanks that all of them start with, and without empty lines at either end.
fn dedent(lines: &[String]) -> String {
    let indent = |line: &String| line.len() - line.trim_start_matches(' ').len();
    let common = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(common..).unwrap_or("").trim_end()).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use syn::{ItemFn, parse_quote};

    #[test]
    fn the_blank_after_the_slashes_goes() {
        let function: ItemFn = parse_quote! {
            /// Tells the weather.
            ///
            /// Takes a city.
            fn weather() {}
        };
        assert_eq!(text(&function.attrs).unwrap().unwrap(), "Tells the weather.\n\nTakes a city.");
    }

    #[test]
    fn deeper_indentation_stays() {
        let function: ItemFn = parse_quote! {
            #[doc = " One of:"]
            #[doc = "   - a"]
            #[doc = " "]
            #[doc = "     nested   "]
            fn list() {}
        };
        assert_eq!(text(&function.attrs).unwrap().unwrap(), "One of:\n  - a\n\n    nested");
    }

    #[test]
    fn block_comments_are_dedented_too() {
        let function: ItemFn = parse_quote! {
            #[doc = "\n        First.\n\n        Second.\n    "]
            fn block() {}
        };
        assert_eq!(text(&function.attrs).unwrap().unwrap(), "First.\n\nSecond.");
    }

    #[test]
    fn no_text_is_no_description() {
        let function: ItemFn = parse_quote! {
            #[doc(hidden)]
            #[doc = "  "]
            #[inline]
            fn silent() {}
        };
        assert_eq!(text(&function.attrs).unwrap(), None);
    }

    #[test]
    fn a_macro_call_is_refused() {
        let function: ItemFn = parse_quote! {
            #[doc = include_str!("weather.md")]
            fn weather() {}
        };
        assert!(text(&function.attrs).unwrap_err().to_string().contains("plain text"));
    }
}
