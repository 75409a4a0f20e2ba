//! That every text is answered, whatever is wrong with it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use miette::{GraphicalReportHandler, GraphicalTheme, NarratableReportHandler};
use proptest::prelude::*;
use serde::Deserialize as _;
use toml::de::DeTable;

use super::*;

/// Every key there is, in both spellings, so that a change anywhere in it meets some check.
const WHOLE: &str = r#"
version = 1

[agent]
name = "whole"
description = "Knows the weather."
instructions = """
Tell, don't "guess": ü €
"""
prompt = 'go to {{ city }}'
builtins = ["ask_human", "sleep_until"]
structured_output = false
output_schema = { type = "object", required = ["a"], properties = { a = { type = "number" } } }

[parameters.city]
description = "Where."
default = "Paris"

[model]
provider = "openai"
name = "m"
base_url = "http://localhost:11434/v1"
api_key_env = "KEY"
stream = true
extra = { reasoning_effort = "low", list = [1, 2.5, true], stream_options = { include_usage = true } }
omit = ["tools.function.strict"]
reasoning_tags = ["<think>", "</think>"]
text_calls = "hermes"
headers = { X-Title = "whole", api-key = { env = "THE_KEY", prefix = "Bearer " } }
proxy = "http://localhost:3128"
timeout = "10m"
idle_timeout = "5m"
temperature = 0.5
max_tokens = 1_000
prices = { input = 1.25, output = 10.0 }
retry = { max_attempts = 3, initial_delay = "500ms", max_delay = "8s", max_retry_after = "60s" }

[[model.fallback]]
provider = "anthropic"
name = "c"
api_key_file = "/run/secrets/key"
prices = { input = 3.0, output = 15.0 }

[model.summary]
provider = "gemini"
name = "s"
prices = { input = 0.1, output = 0.4 }

[limits]
max_turns = 3
max_parallel_tools = 0x10
max_calls_per_turn = 128
max_tool_calls = 1000
max_total_tokens = 1_000_000
compact_at_tokens = 100_000
max_cost_usd = 0.5
max_repeats = 3
stop_on_tools = ["get_*"]
wall_time = "1h 30m"

[approval]
default = "ask"
auto = [{ tool = "get_*", input = { city = "P*" } }]
ask = [{ tool = "now" }]
deny = []

[tools.weather]
source = "../weather"
sha256 = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
include = ["get_*", "now"]
prefix = "w_"
hidden = false
max_repeats = 20
shown_output = "64KiB"
permissions = { dirs = [{ path = "/", guest = "/data", access = "read" }], env = ["LANG"], random = "seeded", calls = ["get_*"], network = [
  "https://example.com",
  { url = "https://api.github.com/repos", methods = ["GET", "POST"], secrets = ["TOKEN"], allow_private = false },
] }
limits = { timeout = "30s", cpu = "10s", memory = "64MiB", output = "1MiB", log = "64KiB", http_body = "10MiB", http_requests = 100, open_files = 64, random_bytes = "1MiB", tool_calls = 1000 }

[tools.older]
source = "../older"
limits.shown = "64KiB"
limits.calls = 1000

[[tools.older.permissions.dirs]]
host = "/"
guest = "/data"
access = "ro"

[[tools.older.permissions.network]]
host = "https://example.com"
methods = ["GET"]

[tools.research]
agent = "../research/agent.toml"
prefix = "ask_"

[secrets.TOKEN]
env = "GITHUB_TOKEN"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/agents/whole/agent.toml"))
}

/// Parses, and shows what is wrong as a terminal would: neither may panic, and every problem is shown.
fn survives(text: &str) {
    let Err(error) = parse(text) else { return };
    let mut shown = String::new();
    let terminal = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(80);
    terminal.render_report(&mut shown, &error).unwrap();
    assert!(shown.len() < 100_000, "{} bytes are shown", shown.len());
    let mut spoken = String::new();
    NarratableReportHandler::new().render_report(&mut spoken, &error).unwrap();
    let helps = shown.matches("  help: ").count();
    assert_eq!(helps, error.problems().count(), "{text:?}\n{shown}");
    assert!(!shown.contains("Failed to read contents"), "{text:?}\n{shown}");
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{text:?}\n{shown}");
}

#[test]
fn the_whole_file_is_read() {
    let config = parse(WHOLE).unwrap();
    let [older, tool] = config.tools.as_slice() else { panic!("{:?}", config.tools) };
    assert_eq!(tool.source.local(), Some(Path::new("/agents/whole/../weather")));
    let [agent] = config.agents.as_slice() else { panic!("{:?}", config.agents) };
    assert_eq!(agent.path, Path::new("/agents/whole/../research/agent.toml"));
    assert_eq!(config.limits.max_parallel_tools, 16);
    assert_eq!(config.limits.wall_time_ms, Some(5_400_000));
    assert_eq!(tool.limits, ToolLimits::default());
    assert_eq!(older.limits, ToolLimits::default());
}

#[test]
fn every_beginning_of_a_file_is_answered() {
    for (at, _) in WHOLE.char_indices() {
        survives(&WHOLE[..at]);
    }
}

#[test]
fn every_line_left_out_or_doubled_is_answered() {
    for left_out in WHOLE.lines() {
        survives(&WHOLE.replacen(left_out, "", 1));
        survives(&WHOLE.replacen(left_out, &format!("{left_out}\n{left_out}"), 1));
    }
}

#[test]
fn every_value_of_another_type_is_answered() {
    let others = ["0", "-1", "1.5", "nan", "inf", "1e400", "9223372036854775807", "99999999999999999999"];
    let others = [&others[..], &["true", "1979-05-27", "\"\"", "[]", "{}", "[[1]]", "\"\\u0000\""]].concat();
    for line in WHOLE.lines().filter(|line| line.contains(" = ")) {
        let (key, _) = line.split_once(" = ").unwrap();
        for other in &others {
            survives(&WHOLE.replacen(line, &format!("{key} = {other}"), 1));
        }
    }
}

#[test]
fn typed_reading_follows_the_form() {
    // A file the form lets through and serde does not would get serde's words and no help of ours.
    let schema = schema();
    for line in WHOLE.lines().filter(|line| line.contains(" = ")) {
        let (key, _) = line.split_once(" = ").unwrap();
        for other in ["0", "-1", "1", "1.5", "9223372036854775807", "true", "\"\"", "[]", "{}", "[1]"] {
            let text = WHOLE.replacen(line, &format!("{key} = {other}"), 1);
            let Ok(table) = DeTable::parse(&text) else { continue };
            let fits = crate::document::problems(table.get_ref(), &schema).is_empty();
            let read = raw::AgentToml::deserialize(toml::Deserializer::from(table));
            assert!(!fits || read.is_ok(), "{key} = {other}: {:?}", read.err());
        }
    }
}

#[test]
fn every_key_is_described() {
    fn undescribed(schema: &Value, at: &str, found: &mut Vec<String>) {
        let described = |it: &Value| it.get("description").is_some();
        let keys = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        found.extend(keys.filter(|(_, it)| !described(it)).map(|(key, _)| format!("{at}.{key}")));
        let types = schema.get("$defs").and_then(Value::as_object).into_iter().flatten();
        types.for_each(|(name, it)| undescribed(it, name, found));
    }
    let mut found = Vec::new();
    undescribed(&schema(), "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,80}|[\\[\\]a-z=\"'\\n\\r\t #.{},0-9\u{1b}\u{9b}é-]{0,120}") {
        survives(&text);
    }

    #[test]
    fn any_line_is_answered_however_long_it_is(
        blank in prop::sample::select(vec![" ", "\t", "é", "𝄞", "漢", "\u{200b}", "x", "a."]),
        count in prop::sample::select(vec![0_usize, 239, 241, 21_000, 65_535, 70_000]),
        before in "[\\[\\]a-z=\"'#.]{0,6}",
        after in "[\\[\\]a-z=\"'#.\u{1b}é]{1,6}",
        behind in any::<bool>(),
    ) {
        let long = blank.repeat(count);
        let end = if behind { long.as_str() } else { "" };
        survives(&format!("{before}{long}{after}{end}"));
        survives(&format!("version = 1\n[model]\nname = \"{long}\"{after}{end}\n[{before}]"));
    }

    #[test]
    fn any_change_is_answered(
        at in 0..WHOLE.len(),
        length in 0..12_usize,
        with in "[\\[\\]a-z=\"\n\r\t #.{},0-9\u{1b}\u{9b}\u{feff}é€𝄞-]{0,6}",
    ) {
        let start = WHOLE.floor_char_boundary(at);
        let end = WHOLE.ceil_char_boundary((at + length).min(WHOLE.len()));
        survives(&format!("{}{with}{}", &WHOLE[..start], &WHOLE[end..]));
    }
}
