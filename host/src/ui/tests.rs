#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::engine::timeline::hostile;
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

/// All that is drawn of a run.
fn drawn(text: &str) -> String {
    let run = hostile::run(text);
    let timeline = run.timeline(0).unwrap();
    let to = Linked::Page(timeline.run);
    let mut all = file(&timeline);
    all.push_str(&bars(&timeline, Window::From(3), Linked::Beside(timeline.run)).0);
    all.push_str(&facts(&timeline, to).0);
    all.push_str(&chat(&timeline, to).0);
    for (span, slot) in timeline.spans.iter().filter_map(|span| Some((span, span.slot()?))) {
        all.push_str(&detail(&timeline, span, to).0);
        all.push_str(&whole(timeline.run, slot, span, 0).0);
    }
    all
}

#[test]
fn whatever_is_recorded_of_a_run_is_text() {
    let drawn = drawn(hostile::TEXT);
    assert!(drawn.contains("&lt;/script&gt;&lt;img src=x"), "{drawn}");
    assert!(drawn.matches("\\u{202e}").count() > 100, "what is said is everywhere");
    for part in ["<img src=x", "onerror=alert(1)>", "\u{202e}", "\u{200b}", "\u{7}", "\u{1b}"] {
        assert!(!drawn.contains(part), "{part:?}");
    }
    for what in ["stdout", "192.0.2.1", "reset", "paths = "] {
        assert!(!drawn.contains(what), "{what} is one of the texts that are replaced");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn no_text_of_a_run_becomes_a_part_of_a_page(text in any::<String>()) {
        let drawn = drawn(&text);
        prop_assert_eq!(drawn.chars().find(|c| is_unseen(*c)), None);
        // But for the script, in which there are other signs of this kind.
        let pages = drawn.split("<script>").map(|part| part.rsplit("</script>").next().unwrap_or_default());
        let tags = pages.flat_map(|page| page.split('<').skip(1).collect::<Vec<_>>());
        let found = tags.map(|tag| tag.split(['>', ' ']).next().unwrap_or_default());
        let known = ["!DOCTYPE", "html", "head", "meta", "title", "style", "body", "main", "footer", "h1", "h2", "h3",
            "h4", "small", "dl", "div", "dt", "dd", "span", "time", "section", "table", "thead", "tbody", "tr", "th", "td", "svg",
            "rect", "line", "text", "a", "p", "ul", "ol", "li", "b", "br", "code", "pre", "details", "summary", "article", "button",
            "label", "input", "header", "meter", "nav"];
        for tag in found {
            prop_assert!(known.contains(&tag.trim_start_matches('/')) , "{}", tag);
        }
    }

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
