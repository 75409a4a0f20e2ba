#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::message::{Digest, is_unseen};

#[test]
fn a_slot_is_a_part_of_a_path_and_back() {
    for text in ["run", "model(0)", "tool(0,1)/call(2)", "tool(10,1)/summary(3)", "tool(0,0)/approval"] {
        let at: Slot = text.parse().unwrap();
        assert_eq!(slot(&path(&at)), Some(at), "{text}");
    }
    for other in ["", "x", "tool-0", "model-a", "..", "model-0."] {
        assert_eq!(slot(other), None, "{other}");
    }
}

#[test]
fn the_scripts_of_others_are_unchanged() {
    let said = include_str!("assets/vendor/README.md");
    for text in [assets::HTMX, assets::SSE] {
        let digest = Digest::of(text.as_bytes()).to_string();
        assert!(said.contains(digest.trim_start_matches("sha256:")), "{digest}");
    }
}

#[test]
fn json_is_laid_out_and_keeps_its_numbers() {
    let shown = json(r#"{"a": [1.50, 12345678901234567890123, {}], "b<": "x\ny\u202e"}"#).0;
    for part in
        ["1.50", "12345678901234567890123", "{}", "b&lt;", "x\ny", "\\u{202e}", "2 members", "3 members"]
    {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    assert!(json("no JSON <b>").0.starts_with("<pre>no JSON &lt;b&gt;"));
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    assert!(json(&deep).0.starts_with("<pre>"), "what is too deep is shown as it was written");
    let many = format!("[{}1]", "1,".repeat(10_000));
    assert!(json(&many).0.starts_with("<pre>"));
    assert!(
        json(r#"{"p":"data:image/png;base64,AAAA"}"#).0.contains("<img src=\"data:image/png;base64,AAAA\"")
    );
    assert!(!json(r#"{"p":"data:image/svg+xml;base64,AAAA"}"#).0.contains("<img"));
}

proptest! {
    #[test]
    fn no_text_becomes_a_part_of_a_page(text in any::<String>(), key in any::<String>()) {
        let value = serde_json::json!({ key: [text.clone()] }).to_string();
        for shown in [text::line(&text).0, text::block(&text).0, text::beginning(&text, 20).0, json(&value).0] {
            prop_assert!(!shown.contains(is_unseen), "{shown:?}");
            let tags = shown.split('<').skip(1);
            for tag in tags {
                let own = ["span", "/span", "div", "/div", "details", "/details", "summary", "/summary", "pre", "/pre"];
                prop_assert!(own.iter().any(|own| tag.starts_with(own)), "{tag:?}");
            }
        }
    }
}
