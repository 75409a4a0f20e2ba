#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::message::Arguments;

fn think(open: &str) -> ReasoningTags {
    ReasoningTags { open: open.to_owned(), close: "</think>".to_owned() }
}

fn hermes() -> InText {
    InText { reasoning: Some(think("<think>")), calls: Some(TextCalls::Hermes) }
}

fn in_form(calls: TextCalls) -> InText {
    InText { reasoning: None, calls: Some(calls) }
}

/// What is said, and each call as its name and arguments; malformed ones with a mark.
fn read(in_text: &InText, text: &str) -> (String, Vec<(String, String)>) {
    let Apart { said, calls } = in_text.apart(text);
    let call = |Written { name, arguments }| match arguments {
        Arguments::Json(json) => (name, json.as_str().to_owned()),
        Arguments::Malformed(text) => (name, format!("malformed: {text}")),
    };
    (said, calls.into_iter().map(call).collect())
}

fn calls(in_text: &InText, text: &str) -> Vec<(String, String)> {
    read(in_text, text).1
}

fn call(name: &str, arguments: &str) -> (String, String) {
    (name.to_owned(), arguments.to_owned())
}

#[test]
fn what_was_thought_is_not_said() {
    for (open, text, said) in [
        ("<think>", "<think>\nHm.\n</think>\n\nSo.", "So."),
        ("<think>", "\n<think></think><think>More.</think>So.", "So."),
        ("<think>", "So.", "So."),
        ("<think>", " So. The tag is <think>, and </think>. ", " So. The tag is <think>, and </think>. "),
        ("<think>", "<think>It goes on", ""),
        ("<think>", "<thin", "<thin"),
        ("", "Hm.</think>So.", "So."),
        ("", "Hm.</think>So. Write </think>.", "So. Write </think>."),
        ("", "Hm.", ""),
    ] {
        let in_text = InText { reasoning: Some(think(open)), calls: None };
        assert_eq!(read(&in_text, text), (said.to_owned(), vec![]), "{text}");
    }
}

#[test]
fn calls_are_read_between_their_tags() {
    let text = "<think>I <tool_call> it.</think>\nLet me see.\n<tool_call>\n{\"name\": \"a\", \"arguments\": {\"q\": \
                1e2}}\n</tool_call>\n<tool_call>{\"arguments\": {}, \"name\": \"b\"}</tool_call>";
    let expected = vec![call("a", r#"{"q":100}"#), call("b", "{}")];
    assert_eq!(read(&hermes(), text), ("Let me see.".to_owned(), expected));
    for (inside, expected) in [
        // A tag in a text is no tag, and the last one may be missing.
        (
            r#"{"name":"a","arguments":{"q":"</tool_call>"}}</tool_call>"#,
            call("a", r#"{"q":"</tool_call>"}"#),
        ),
        (r#"{"name":"a","arguments":{"q":1}}"#, call("a", r#"{"q":1}"#)),
        (r#"{"name":"a"}</tool_call>"#, call("a", "{}")),
        (r#"{"name":"a","arguments":null}</tool_call>"#, call("a", "{}")),
        (r#"{"name":"a","arguments":"{\"q\":1}"}</tool_call>"#, call("a", r#"{"q":1}"#)),
        (
            r#"{"name":"a","parameters":{"q":100000000000000000000001}}</tool_call>"#,
            call("a", r#"{"q":100000000000000000000001}"#),
        ),
        // The model is told of what it wrote, by the name of what it called.
        (
            r#"{"name":"a","arguments":{"q":</tool_call>"#,
            call("a", r#"malformed: {"name":"a","arguments":{"q":"#),
        ),
        (
            r#"{"name":"a","arguments":{}}}</tool_call>"#,
            call("a", r#"malformed: {"name":"a","arguments":{}}}"#),
        ),
        (r#"{"name":"a","name":"b"}</tool_call>"#, call("a", r#"malformed: {"name":"a","name":"b"}"#)),
        ("a(1)</tool_call>", call("unnamed", "malformed: a(1)")),
        ("", call("unnamed", "malformed: ")),
    ] {
        assert_eq!(calls(&hermes(), &format!("<tool_call>{inside}")), [expected], "{inside}");
    }
    assert_eq!(read(&hermes(), " No call. "), (" No call. ".to_owned(), vec![]));
}

#[test]
fn a_text_that_is_all_calls_is_no_answer() {
    let llama = in_form(TextCalls::Llama3Json);
    let (a, b) = (r#"{"name": "a", "parameters": {"q": 1}}"#, r#"{"name": "b", "parameters": {}}"#);
    for text in [a, &format!("<|python_tag|>{a}"), &format!("\n{a};\n")] {
        assert_eq!(read(&llama, text), (String::new(), vec![call("a", r#"{"q":1}"#)]), "{text}");
    }
    assert_eq!(calls(&llama, &format!("{a}; {b}")), [call("a", r#"{"q":1}"#), call("b", "{}")]);
    for answer in ["So.", "{\"name\": \"Bo\"}", "{", &format!("{a} is how"), &format!("Call {a}")] {
        assert_eq!(read(&llama, answer), (answer.to_owned(), vec![]));
    }
}

#[test]
fn calls_are_read_behind_their_mark() {
    let mistral = in_form(TextCalls::Mistral);
    let list = r#"Yes. [TOOL_CALLS] [{"name":"a","arguments":{"q":1}},{"name":"b","arguments":{}}]"#;
    let expected = vec![call("a", r#"{"q":1}"#), call("b", "{}")];
    assert_eq!(read(&mistral, list), ("Yes.".to_owned(), expected.clone()));
    assert_eq!(calls(&mistral, r#"[TOOL_CALLS]a[ARGS]{"q":1}[TOOL_CALLS]b{}"#), expected);
    assert_eq!(calls(&mistral, "[TOOL_CALLS]a[ARGS]{"), [call("a", "malformed: {")]);
    assert_eq!(calls(&mistral, "[TOOL_CALLS][{\"name\""), [call("unnamed", "malformed: [{\"name\"")]);
}

fn hear(in_text: &InText, pieces: &[&str]) -> String {
    let mut live = Live::new(in_text);
    let mut heard: String = pieces.iter().map(|piece| live.push(piece)).collect();
    heard.push_str(&live.finish());
    heard
}

/// Texts out of what models write, whole and broken.
fn texts() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "<|python_tag|>",
        r#"{"name":"a","arguments":{"q":"ü"}}"#,
        r#"{"name":"a","parameters":{}}"#,
        "<",
        "[TOOL",
        "{",
        "\"",
        "\\",
        " ",
        "\n",
        ";",
        "ü",
        "So",
    ]);
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn settings() -> impl Strategy<Value = InText> {
    let forms = vec![None, Some(TextCalls::Hermes), Some(TextCalls::Llama3Json), Some(TextCalls::Mistral)];
    let tags = vec![None, Some(think("<think>")), Some(think(""))];
    (prop::sample::select(tags), prop::sample::select(forms))
        .prop_map(|(reasoning, calls)| InText { reasoning, calls })
}

proptest! {
    /// Wherever a stream is cut, the same is heard.
    #[test]
    fn cuts_change_nothing_that_is_heard(in_text in settings(), text in texts(), size in 1_usize..8) {
        let chars: Vec<String> = text.chars().map(String::from).collect();
        let pieces: Vec<String> = chars.chunks(size).map(<[String]>::concat).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        prop_assert_eq!(hear(&in_text, &pieces), hear(&in_text, &[&text]));
    }

    /// Nothing is heard that is not said, and no part of a tag.
    #[test]
    fn what_is_heard_is_what_is_said(thought in "[a-z ]{0,9}", said in "[a-z]{1,9}( [a-z]{1,9}){0,2}", argument in "[a-z<>/_{}]{0,9}") {
        let arguments = serde_json::json!({ "q": argument }).to_string();
        let text = format!("<think>{thought}</think>\n{said}<tool_call>{{\"name\":\"a\",\"arguments\":{arguments}}}</tool_call>");
        let (read, called) = read(&hermes(), &text);
        prop_assert_eq!(&read, &said);
        prop_assert_eq!(called, vec![("a".to_owned(), arguments)]);
        let chars: Vec<String> = text.chars().map(String::from).collect();
        let pieces: Vec<&str> = chars.iter().map(String::as_str).collect();
        prop_assert_eq!(hear(&hermes(), &pieces), said);
    }

    /// Nothing that a model writes is lost: what is no call is said.
    #[test]
    fn a_text_without_tags_stays_as_it_is(in_text in settings(), text in "[a-z0-9<>/ \\n.]{0,40}") {
        prop_assume!(in_text.reasoning != Some(think("")));
        prop_assert_eq!(read(&in_text, &text), (text, vec![]));
    }
}

/// Twice the text takes about twice the time; what grows with the square of it would take hours here.
#[test]
fn long_texts_are_read_in_one_pass() {
    let many = 200_000;
    for (in_text, part) in [
        (hermes(), "<tool_call>"),
        (hermes(), "<tool_call></tool_call>"),
        (hermes(), "<tool_call>\"</tool_call>"),
        (hermes(), "<tool_call>{\"</tool_call>"),
        (hermes(), "<tool_call>[[[[[[[[[["),
        (hermes(), "<think></think>"),
        (in_form(TextCalls::Mistral), "[TOOL_CALLS]a{"),
        (in_form(TextCalls::Mistral), "[TOOL_CALLS]["),
        (in_form(TextCalls::Llama3Json), r#"{"name":"a","parameters":{}};"#),
    ] {
        let text = part.repeat(many);
        let apart = in_text.apart(&text);
        assert!(apart.calls.len() <= many);
        hear(&in_text, &[&text]);
        let cut: Vec<&str> = (0..many).map(|_| part).collect();
        hear(&in_text, &cut);
    }
}
