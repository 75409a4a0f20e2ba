//! Whatever a file looks like, its new spelling means the same, has every comment, and is not changed again.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;

use super::{OLD, parse, respelled};

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Header,
    Dotted,
    Braces,
}

fn form() -> impl Strategy<Value = Form> {
    select(vec![Form::Header, Form::Dotted, Form::Braces])
}

/// The keys of a table, each with its value, as lines or between braces.
fn table(form: Form, way: &str, key: &str, members: &[(&str, String)]) -> String {
    match form {
        Form::Header => {
            let lines: Vec<String> =
                members.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
            format!("\n[{way}.{key}]\n{}", lines.concat())
        }
        Form::Dotted => {
            let lines: Vec<String> =
                members.iter().map(|(member, value)| format!("{key}.{member} = {value}\n")).collect();
            lines.concat()
        }
        Form::Braces => format!("{key} = {}\n", braces(members)),
    }
}

fn braces(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) }
}

fn some(
    members: &[(&'static str, &'static str)],
) -> impl Strategy<Value = Vec<(&'static str, String)>> + use<> {
    let members: Vec<(&'static str, String)> =
        members.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let count = members.len();
    proptest::sample::subsequence(members, 0..=count).prop_shuffle()
}

fn limits() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let old = [("shown", "\"8KiB\""), ("calls", "7"), ("cpu", "\"1s\""), ("fuel", "1_000")];
    let new = [("tool_calls", "7"), ("cpu", "'1s'"), ("log", "\"2KiB\"")];
    prop_oneof![3 => some(&old), 1 => some(&new)]
}

fn dir() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let key = select(vec!["host", "path", "'host'", "\"path\""]);
    let access = select(vec!["\"ro\"", "'rw'", "\"read\"", "'write'"]);
    (key, access).prop_map(|(key, access)| {
        vec![(key, "\"/\"".to_owned()), ("guest", "\"/d\"".to_owned()), ("access", access.to_owned())]
    })
}

fn site() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let key = select(vec!["host", "url"]);
    (key, any::<bool>()).prop_map(|(key, first)| {
        let mut site = vec![("methods", "[\"GET\", 'POST']".to_owned())];
        site.insert(usize::from(first), (key, "\"https://a.b/c\"".to_owned()));
        site
    })
}

/// A list of tables, below headers or between brackets.
fn list(headers: bool, way: &str, key: &str, items: &[Vec<(&str, String)>]) -> String {
    if headers {
        let item = |item: &Vec<(&str, String)>| {
            let lines: Vec<String> = item.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
            format!("\n[[{way}.{key}]]\n{}", lines.concat())
        };
        return items.iter().map(item).collect();
    }
    let items: Vec<String> = items.iter().map(|item| format!("  {},\n", braces(item))).collect();
    format!("{key} = [\n{}]\n", items.concat())
}

prop_compose! {
    fn a_tool(name: &'static str)(
        limits in limits(),
        form in form(),
        dirs in prop::collection::vec(dir(), 0..2),
        sites in prop::collection::vec(site(), 0..3),
        headers in any::<bool>(),
        last in any::<bool>(),
        shown in any::<bool>(),
    ) -> String {
        let way = format!("tools.{name}");
        let moves = limits.iter().any(|(key, _)| *key == "shown");
        let shown = if shown && !moves { "shown_output = \"3KiB\"\n" } else { "" };
        let limits = if limits.is_empty() { String::new() } else { table(form, &way, "limits", &limits) };
        let list = |key: &str, items: &[Vec<(&str, String)>]| {
            if items.is_empty() { return String::new() }
            if headers { list(true, &format!("{way}.permissions"), key, items) } else { list(false, "", &format!("permissions.{key}"), items) }
        };
        let permissions = format!("{}{}", list("dirs", &dirs), list("network", &sites));
        let source = "source = \"a.wasm\"\n";
        // Headers come behind the lines of the table.
        let (lines, below) = if form == Form::Header { (String::new(), limits) } else { (limits, String::new()) };
        let (inside, under) = if headers { (String::new(), permissions) } else { (permissions, String::new()) };
        let lines = if last { format!("{lines}{shown}{inside}{source}") } else { format!("{source}{inside}{shown}{lines}") };
        format!("\n[{way}]\n{lines}{below}{under}")
    }
}

prop_compose! {
    fn a_model()(
        form in form(),
        held in select(vec![None, Some("true"), Some("false")]),
        fallbacks in prop::collection::vec(select(vec![
            "provider = \"anthropic\"\nname = \"c\"\n",
            "name = \"g\"\nprovider = 'gemini'\nstructured_output = true\n",
            "provider = \"scripted\"\nscript = \"s.toml\"\n",
        ]), 0..3),
        schema in select(vec![
            "[agent]\noutput_schema = { type = \"object\" }\n",
            "[agent]\nname = \"n\"\noutput_schema.type = \"object\"\nprompt = \"p\"\n",
            "[agent.output_schema]\ntype = \"object\"\n",
            "[agent]\nname = \"n\"\n\n[agent.output_schema]\ntype = \"object\"\n",
        ]),
        before in any::<bool>(),
    ) -> String {
        let mut members = vec![("provider", "\"openai\"".to_owned()), ("name", "\"m\"".to_owned())];
        members.extend(held.map(|held| ("structured_output", held.to_owned())));
        let lines: Vec<String> = members.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let fallbacks: Vec<String> = fallbacks.iter().map(|it| format!("\n[[model.fallback]]\n{it}")).collect();
        match form {
            Form::Header => {
                let model = format!("\n[model]\n{}{}", lines.concat(), fallbacks.concat());
                if before { format!("{schema}{model}") } else { format!("{model}\n{schema}") }
            }
            Form::Dotted => format!("model.{}\n{schema}", lines.join("model.")),
            Form::Braces => format!("model = {}\n{schema}", braces(&members)),
        }
    }
}

/// A comment above some lines and behind some, each another one; lines within brackets have them, too.
fn commented(text: &str, above: &[bool], behind: &[bool]) -> String {
    let mut commented = String::new();
    for (number, line) in text.lines().enumerate() {
        if above[number % above.len()] && !line.is_empty() {
            writeln!(commented, "# above {number}").unwrap();
        }
        commented.push_str(line);
        if behind[number % behind.len()] && !line.is_empty() {
            write!(commented, "   # behind {number}").unwrap();
        }
        commented.push('\n');
    }
    commented
}

fn comments(text: &str) -> Vec<&str> {
    let mut comments: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('#')?.1)).collect();
    comments.sort_unstable();
    comments
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_new_spelling_is_the_same_agent(
        model in a_model(),
        one in a_tool("one"),
        two in a_tool("two"),
        above in prop::collection::vec(any::<bool>(), 1..7),
        behind in prop::collection::vec(any::<bool>(), 1..7),
        crlf in any::<bool>(),
        open in any::<bool>(),
    ) {
        let text = commented(&format!("version = 1\n{model}{one}{two}"), &above, &behind);
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        let text = if open { text.trim_end() } else { &text };
        let before = parse(text).unwrap();
        let new = respelled(text);
        let after = parse(&new.text).unwrap();
        prop_assert_eq!(&host::config::Config { text: before.text.clone(), ..after }, &before);
        prop_assert_eq!(comments(&new.text), comments(text));
        prop_assert_eq!(crlf, new.text.contains("\r\n"));
        prop_assert!(!crlf || !new.text.replace("\r\n", "").contains('\n'), "{:?}", new.text);
        let again = respelled(&new.text);
        prop_assert_eq!(&again.text, &new.text);
        prop_assert_eq!(again.changes, []);
        // Each key and each word of it is new.
        for old in ["host", "ro\"", "rw'", " shown =", ".shown =", "{ shown", "\ncalls =", ".calls =", " calls ="] {
            prop_assert!(!new.text.contains(old), "{} is in:\n{}", old, new.text);
        }
        let unchanged = |line: &&str| !["host", "ro", "rw", "shown", "calls", "structured_output", "limits"].iter().any(|it| line.contains(it));
        let lines: Vec<&str> = text.lines().filter(unchanged).filter(|line| !line.trim().is_empty() && !line.contains('#')).collect();
        let mut left = new.text.lines();
        for line in lines {
            prop_assert!(left.any(|it| it == line), "{} is out of its order in:\n{}", line, new.text);
        }
    }

    /// Whatever is written somewhere in a file, what can be read is given the new spelling, once.
    #[test]
    fn any_change_is_respelled_or_refused(
        at in 0..OLD.len(),
        length in 0..30_usize,
        with in "[\\[\\]a-z=\"\n #.{},0-9'é-]{0,6}|[a-z]{1,3} = 1\n|# é[a-z]{0,5}\n",
    ) {
        let start = OLD.floor_char_boundary(at);
        let end = OLD.ceil_char_boundary((at + length).min(OLD.len()));
        let text = format!("{}{with}{}", &OLD[..start], &OLD[end..]);
        if parse(&text).is_ok() {
            let new = respelled(&text);
            prop_assert_eq!(respelled(&new.text).changes, []);
        }
    }
}
