use proptest::prelude::*;

use super::*;
use crate::message::is_unseen;

fn plain(text: &str, width: usize) -> Vec<String> {
    drawn(text, width, &Style::new().force_styling(false))
}

fn coloured(text: &str, width: usize) -> Vec<String> {
    drawn(text, width, &Style::new().force_styling(true))
}

#[test]
fn headings_and_paragraphs_stand_apart() {
    let text = "# The weather\nIt is *foggy* in **San Francisco**,\nand `sunny` elsewhere.\n\nBring a coat.";
    let lines =
        ["The weather", "", "It is foggy in San", "Francisco, and sunny", "elsewhere.", "", "Bring a coat."];
    assert_eq!(plain(text, 20), lines);
    let lines = coloured(text, 80);
    assert_eq!(lines[0], "\u{1b}[1m\u{1b}[4mThe\u{1b}[0m \u{1b}[1m\u{1b}[4mweather\u{1b}[0m");
    assert!(lines[2].contains("\u{1b}[3mfoggy\u{1b}[0m in \u{1b}[1mSan\u{1b}[0m"), "{lines:?}");
    assert!(lines[2].contains("\u{1b}[36msunny\u{1b}[0m"), "{lines:?}");
}

#[test]
fn items_hang_below_their_marks() {
    let text = "Do:\n\n9. one two three four five\n   - deeper down\n     and on\n10. ten\n\n- [x] done\n- [ ] not\n";
    let lines = [
        "Do:",
        "",
        "9. one two three",
        "   four five",
        "   • deeper down and",
        "     on",
        "10. ten",
        "",
        "• [x] done",
        "• [ ] not",
    ];
    assert_eq!(plain(text, 20), lines);
    assert_eq!(plain("- one\n\n- two\n\n  three\n-", 20), ["• one", "", "• two", "", "  three", "", "•"]);
}

#[test]
fn a_quote_has_a_line_beside_it() {
    let text = "> one two three four\n>\n> - five\n\nsix";
    assert_eq!(plain(text, 14), ["│ one two", "│ three four", "│", "│ • five", "", "six"]);
    assert_eq!(plain("one\n> two", 14), ["one", "", "│ two"]);
}

#[test]
fn code_keeps_its_blanks_and_is_broken_where_a_row_is_full() {
    let text = "So:\n```rust\nfn main() {\n\tlet long = \"0123456789\";\n}\n```\nThat.";
    let lines = ["So:", "", "  fn main() {", "      let long = \"01", "  23456789\";", "  }", "", "That."];
    assert_eq!(plain(text, 20), lines);
}

#[test]
fn a_table_has_columns_where_they_fit_and_else_rows() {
    let text = "| City | Temperature |\n|---|--:|\n| Oslo | 3 °C |\n| New York in winter | 18 °C |";
    let lines = [
        "City               │ Temperature",
        "───────────────────┼────────────",
        "Oslo               │        3 °C",
        "New York in winter │       18 °C",
    ];
    assert_eq!(plain(text, 40), lines);
    let narrow = plain(text, 24);
    assert!(narrow.iter().all(|line| measure_text_width(line) <= 24), "{narrow:#?}");
    assert!(narrow.len() > 4 && narrow[0].starts_with("City "), "{narrow:#?}");
    let lines = [
        "City:",
        "  Oslo",
        "Temperatur",
        "e:",
        "  3 °C",
        "────────",
        "City:",
        "  New York",
        "  in",
        "  winter",
    ];
    assert_eq!(plain(text, 10)[..10], lines);
}

#[test]
fn the_address_of_a_link_is_always_seen() {
    let text = "See [the bank](https://evil.example) or <https://a.example>, ![a cat](cat.png).";
    let shown = "See the bank (https://evil.example) or https://a.example, [picture: a cat] (cat.png).";
    assert_eq!(plain(text, 100), [shown]);
    assert_eq!(
        plain("[https://good.example](https://evil.example)", 100),
        ["https://good.example (https://evil.example)"]
    );
}

#[test]
fn what_is_no_markdown_is_shown_as_it_is() {
    assert_eq!(plain("<b>not bold</b> & a < b\\\nnext", 40), ["<b>not bold</b> & a < b", "next"]);
    assert_eq!(plain("", 40), Vec::<String>::new());
    let long = "word ".repeat(60_000);
    assert!(plain(&long, 40).iter().all(|line| measure_text_width(line) <= 40));
}

/// What a terminal would take for a command is left out, also where it is written as an entity.
#[test]
fn nothing_of_it_steers_the_terminal() {
    let text = "a\u{1b}[2Jb &#27;[31mc&#x9b;d `e\u{7}` [f](http://g\u{202e}h&#x1b;]0;i) &#x202e;j\n\n    k\u{8}&#27;\n\n\
                | l&#27; | \u{9d}m |\n|--|--|\n| \u{200b}n | o\u{2028}p |\n\n```\u{1b}q\n\u{1b}]52;c;r\u{7}\n```";
    for line in plain(text, 30) {
        assert!(
            !line.contains(char::is_control) && !line.contains(['\u{202e}', '\u{200b}', '\u{2028}']),
            "{line:?}"
        );
    }
}

/// The escapes that are left are ours: each is a style, or the end of one.
fn without_styles(line: &str) -> String {
    console::strip_ansi_codes(line).into_owned()
}

/// Pieces of Markdown that mean something together, and what is hostile.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("# ".to_owned()),
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("- ".to_owned()),
        Just("1. ".to_owned()),
        Just("> ".to_owned()),
        Just("```".to_owned()),
        Just("    ".to_owned()),
        Just("| a | b |\n|--|:-:|\n".to_owned()),
        Just(" | ".to_owned()),
        Just("**".to_owned()),
        Just("_".to_owned()),
        Just("`".to_owned()),
        Just("[".to_owned()),
        Just("](".to_owned()),
        Just(")".to_owned()),
        Just("![".to_owned()),
        Just("&#27;".to_owned()),
        Just("&#x9b;".to_owned()),
        Just("&#x202e;".to_owned()),
        Just("\u{1b}[31m".to_owned()),
        Just("\u{9b}2J".to_owned()),
        Just("\u{202e}".to_owned()),
        Just("\r".to_owned()),
        Just("\t".to_owned()),
        Just("---\n".to_owned()),
        Just("<b>".to_owned()),
        Just("漢字仮名".to_owned()),
        Just("👩\u{200d}🚀❤\u{fe0f}".to_owned()),
        "[a-zA-Z0-9 .,]{1,40}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_command_of_the_text_arrives_and_no_line_is_too_wide(text in pieces(), width in 1..120_usize) {
        for lines in [plain(&text, width), coloured(&text, width)] {
            for line in &lines {
                prop_assert!(measure_text_width(line) <= width.max(ROOM_MIN), "{line:?}");
                let bare = without_styles(line);
                prop_assert!(!bare.contains(char::is_control), "{line:?}");
                prop_assert!(
                    !bare.chars().any(|c| is_unseen(c) && clean(c.to_string().as_str()).is_empty()),
                    "{line:?}"
                );
            }
        }
        // Without colours there is no escape at all.
        let has_escape = plain(&text, width).concat().contains('\u{1b}');
        prop_assert!(!has_escape);
        // And colours change nothing but how it looks.
        let bare: Vec<String> = coloured(&text, width).iter().map(|line| without_styles(line).trim_end().to_owned()).collect();
        let plain: Vec<String> = plain(&text, width).iter().map(|line| line.trim_end().to_owned()).collect();
        prop_assert_eq!(bare, plain);
    }

    #[test]
    fn no_word_of_plain_text_is_lost(words in prop::collection::vec("[a-z]{1,30}", 1..40), width in 10..100_usize) {
        let shown = plain(&words.join(" "), width).concat().replace(' ', "");
        prop_assert_eq!(shown, words.concat());
    }
}
