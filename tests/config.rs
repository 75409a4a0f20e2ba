//! What agent.toml means, and what is said of one that is wrong: file, line, column, mark and help.

use std::fs;
use std::path::Path;

use host::config::{Config, ConfigError, Provider};
use host::grants::ToolLimits;
use miette::{GraphicalReportHandler, GraphicalTheme};

mod models;

const MODEL: &str = "[model]\nprovider = \"scripted\"\nscript = \"script.toml\"\n";

/// A file with a model and one more table, which begins at line 5.
fn with(table: &str) -> Result<Config, ConfigError> {
    parse(&format!("version = 1\n{MODEL}{table}"))
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/agents/greeter/agent.toml"))
}

/// What a terminal of 80 columns shows.
fn shown(wrong: Result<Config, ConfigError>) -> String {
    let mut shown = String::new();
    let terminal = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(80);
    terminal.render_report(&mut shown, &wrong.unwrap_err()).unwrap();
    shown
}

/// Asserts that all of some texts are shown.
fn says(wrong: Result<Config, ConfigError>, texts: &[&str]) {
    // Where a line is broken depends on the width alone, so it is not what is tested here.
    let shown = shown(wrong);
    let flat = shown.replace(['│', '·'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for text in texts {
        assert!(flat.contains(text), "{text:?} is not in:\n{shown}");
    }
}

#[test]
fn the_least_file_has_every_default() {
    let config = parse(&format!("version = 1\n{MODEL}")).unwrap();
    assert_eq!(config.path, Path::new("/agents/greeter/agent.toml"));
    assert_eq!(config.agent.name, "greeter");
    assert_eq!((config.agent.instructions.as_str(), config.agent.prompt), ("", None));
    assert_eq!(config.model.provider, Provider::Scripted { script: "/agents/greeter/script.toml".into() });
    assert_eq!((config.limits.max_turns, config.limits.max_parallel_tools), (25, 16));
    assert_eq!((config.limits.max_calls_per_turn, config.limits.wall_time_ms), (128, None));
    assert!(config.tools.is_empty());
}

#[test]
fn tools_are_sorted_and_have_limits_of_their_own() {
    let tables = "[tools.b]\nsource = \"b.wasm\"\nlimits.timeout = \"1m\"\n[tools.a]\nsource = \"/opt/a\"\n";
    let config = with(tables).unwrap();
    let [a, b] = config.tools.as_slice() else { panic!("{:?}", config.tools) };
    assert_eq!((a.name.as_str(), a.source.local()), ("a", Some(Path::new("/opt/a"))));
    assert_eq!((b.name.as_str(), b.source.local()), ("b", Some(Path::new("/agents/greeter/b.wasm"))));
    assert_eq!(a.limits, ToolLimits::default());
    assert_eq!(b.limits, ToolLimits { timeout_ms: 60_000, ..ToolLimits::default() });
}

#[test]
fn a_file_that_cannot_be_had() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    says(Config::load(&path), &["agent.toml: it does not exist", "host init DIR"]);
    says(Config::load(dir.path()), &["agent.toml: it does not exist", "host init DIR"]);
    fs::write(&path, " ".repeat(1024 * 1024 + 1)).unwrap();
    says(Config::load(&path), &["it is larger than 1.0 MiB"]);
    fs::write(&path, b"version = 1\nname = \"\xff\"").unwrap();
    says(Config::load(&path), &["agent.toml:2:9", "it is not UTF-8 text: byte 21", "save the file as UTF-8"]);
}

#[test]
fn an_unknown_field_as_a_whole() {
    let expected = "  × agent.toml:6:1: unknown field `max_turn` in [limits]
   ╭─[/agents/greeter/agent.toml:6:1]
 5 │ [limits]
 6 │ max_turn = 3
   · ────┬───
   ·     ╰── here
   ╰────
  help: did you mean `max_turns`? Allowed here: max_turns, max_parallel_tools,
        max_calls_per_turn, max_tool_calls, max_total_tokens,
        compact_at_tokens, max_cost_usd, max_repeats, stop_on_tools, wall_time
";
    assert_eq!(shown(with("[limits]\nmax_turn = 3")), expected);
}

#[test]
fn unknown_fields_at_every_depth() {
    says(with("[limit]\n"), &["agent.toml:5:2: unknown field `limit`", "did you mean `limits`?"]);
    says(
        with("[tools.a]\nsourc = \"a\""),
        &["6:1", "unknown field `sourc` in [tools.a]", "did you mean `source`?"],
    );
    let deep = "[tools.a]\nsource = \"a\"\n[tools.a.limits]\ncolour = 1";
    says(
        with(deep),
        &[
            "8:1: unknown field `colour` in [tools.a.limits]",
            "allowed here: timeout, cpu, memory, fuel, output, log,",
        ],
    );
}

#[test]
fn a_misspelt_key_is_not_missing_too() {
    let error = with("[tools.a]\nsorce = \"a\"").unwrap_err();
    assert_eq!(error.problems().count(), 1, "{error:?}");
    says(with("[tools.a]\nprefix = \"a\""), &["5:8: `source` is missing in [tools.a]", "add `source = "]);
}

#[test]
fn text_that_is_not_toml() {
    says(with("[limits\nmax_turns = 3"), &["agent.toml:5:8", "[limits", "has to be TOML"]);
    let list =
        "[tools.a]\nsource = \"a\"\npermissions.network = [\"https://a.b\"]\n[[tools.a.permissions.network]]";
    says(with(list), &["agent.toml:8:23: duplicate key", "write this table there, as { … }"]);
    says(with("[limits]\nmax_turns = 3\nmax_turns = 4"), &["agent.toml:7:1: duplicate key", "max_turns = 4"]);
}

#[test]
fn versions() {
    says(parse(MODEL), &["agent.toml:1:1: `version` is missing", "add `version = 1`"]);
    let newer = parse("version = 2\nnovelty = true");
    says(newer, &["agent.toml:1:11: version 2 of agent.toml is not known", "this host reads `version = 1`"]);
}

#[test]
fn values_of_another_type() {
    let bare = "[tools.a]\nsource = \"a\"\nlimits.memory = 64";
    says(
        with(bare),
        &["7:17: `memory` in [tools.a.limits] is a number, but has to be text", "as in `memory = \"64MiB\"`"],
    );
    says(
        with("[limits]\nmax_turns = \"3\""),
        &["6:13", "is text, but has to be a whole number", "as in `5`"],
    );
    says(
        with("[tools.a]\nsource = \"a\"\ninclude = \"b\""),
        &["7:11", "has to be a list", "`include = [\"get_*\"]`"],
    );
    says(with("tools = 1"), &["unknown field `tools` in [model]"]);
}

#[test]
fn numbers_out_of_range() {
    says(
        with("[limits]\nmax_turns = 0"),
        &["6:13: max_turns = 0 in [limits] is out of range", "it goes from 1 to 10000"],
    );
    says(with("[limits]\nmax_parallel_tools = 99999999999"), &["6:22", "it goes from 1 to 128"]);
    says(
        with("[limits]\ncompact_at_tokens = 999"),
        &["6:21: compact_at_tokens = 999", "it goes from 1000 to"],
    );
    let openai = "version = 1\n[model]\nprovider = \"openai\"\nname = \"m\"\n";
    says(parse(&format!("{openai}temperature = 2.5")), &["5:15: temperature = 2.5", "it goes from 0 to 2"]);
    says(parse(&format!("{openai}max_tokens = 0")), &["5:14: max_tokens = 0", "it has to be at least 1"]);
}

#[test]
fn units() {
    let tool = |limit: &str| with(&format!("[tools.a]\nsource = \"a\"\nlimits.{limit}"));
    says(tool("timeout = \"30\""), &["7:18: timeout = \"30\" has no unit", "(ms, s, m, h), as in \"30s\""]);
    says(tool("timeout = \"25h\""), &["timeout = \"25h\" is too much", "from 1 ms to 1 day"]);
    says(tool("memory = \"64\""), &["7:17: memory = \"64\" has no unit", "as in \"64MiB\""]);
    says(tool("memory = \"5GiB\""), &["memory = \"5GiB\" is too much", "from 1 B to 4 GiB"]);
    says(tool("log = \"0KiB\""), &["log = \"0KiB\" is too little"]);
    says(with("[limits]\nwall_time = \"soon\""), &["6:13", "is not a number with a unit", "as in \"5m\""]);
}

#[test]
fn instructions_are_given_once_and_from_a_file_that_exists() {
    let dir = tempfile::tempdir().unwrap();
    let parse = |agent: &str| {
        Config::parse(&format!("version = 1\n{MODEL}[agent]\n{agent}"), &dir.path().join("agent.toml"))
    };
    fs::write(dir.path().join("told.md"), "Be brief.").unwrap();
    assert_eq!(parse("instructions_file = \"told.md\"").unwrap().agent.instructions, "Be brief.");
    says(
        parse("instructions_file = \"tld.md\""),
        &["6:21: cannot read instructions_file \"tld.md\": it does not exist"],
    );
    let both = "instructions = \"a\"\ninstructions_file = \"told.md\"";
    says(parse(both), &["7:21: both `instructions` and `instructions_file` are given", "keep one of them"]);
}

#[test]
fn names_prefixes_digests_and_globs() {
    says(
        with("[tools.\"a b\"]\nsource = \"a\""),
        &["5:8: a tool's table cannot be named \"a b\"", "A-Z a-z 0-9 _ -"],
    );
    let tool = |key: &str| with(&format!("[tools.a]\nsource = \"a\"\n{key}"));
    says(tool("prefix = \"a.\""), &["7:10: a prefix cannot be \"a.\""]);
    says(tool(&format!("prefix = \"{}\"", "a".repeat(33))), &["use up to 32"]);
    says(
        tool("sha256 = \"abc\""),
        &["7:10: sha256 = \"abc\" is not a SHA-256 digest", "64 hexadecimal digits"],
    );
    says(tool("include = [\"ok\", \"[\"]"), &["7:18: \"[\" is not a glob"]);
    says(with("[tools.a]\nsource = \"\""), &["6:10: source is empty"]);
}

#[test]
fn everything_that_is_wrong_is_shown_in_file_order() {
    let error =
        with("name = \"m\"\n[limits]\nwall_time = \"5\"\n[tools.\"a b\"]\nsource = \"a\"").unwrap_err();
    let said: Vec<&str> = error.problems().map(|problem| problem.message.as_str()).collect();
    assert!(said[0].starts_with("`name` has no meaning"), "{said:?}");
    assert!(said[1].starts_with("wall_time = \"5\" has no unit"), "{said:?}");
    assert!(said[2].starts_with("a tool's table cannot be named"), "{said:?}");
    assert_eq!(said.len(), 3);
    says(
        Err(error),
        &["agent.toml has several problems", "agent.toml:5:8]", "agent.toml:7:13]", "agent.toml:8:8]"],
    );
}

#[test]
fn a_hostile_file_does_not_steer_the_terminal() {
    let shown = shown(with("\"\\u001b[2J\" = 1\n# \u{1b}[31m"));
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}
