//! What agent.toml means, and what is said of one that is wrong: file, line, column, mark and help.

use std::fs;
use std::path::Path;

use host::config::{Config, ConfigError, Provider};
use host::grants::{SecretSource, ToolLimits};
use miette::{GraphicalReportHandler, GraphicalTheme};

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
    assert_eq!((a.name.as_str(), a.source.as_path()), ("a", Path::new("/opt/a")));
    assert_eq!((b.name.as_str(), b.source.as_path()), ("b", Path::new("/agents/greeter/b.wasm")));
    assert_eq!(a.limits, ToolLimits::default());
    assert_eq!(b.limits, ToolLimits { timeout_ms: 60_000, ..ToolLimits::default() });
}

#[test]
fn the_default_key_goes_to_the_default_endpoint_only() {
    let key = |provider: &str, more: &str| {
        let text = format!("version = 1\n[model]\nprovider = \"{provider}\"\nname = \"m\"\n{more}");
        match parse(&text).unwrap().model.provider {
            Provider::Remote(remote) => remote.key,
            Provider::Scripted { .. } => panic!("not scripted"),
        }
    };
    let env = |name: &str| Some(SecretSource::Env(name.to_owned()));
    assert_eq!(key("openai", ""), env("OPENAI_API_KEY"));
    assert_eq!(key("openai", "base_url = \"https://api.openai.com/v1/\""), env("OPENAI_API_KEY"));
    assert_eq!(key("openai", "base_url = \"http://localhost:11434/v1\""), None);
    assert_eq!(key("openai", "base_url = \"http://localhost/v1\"\napi_key_env = \"MINE\""), env("MINE"));
    assert_eq!(key("openai-responses", ""), env("OPENAI_API_KEY"));
    assert_eq!(key("anthropic", ""), env("ANTHROPIC_API_KEY"));
    assert_eq!(key("anthropic", "base_url = \"http://localhost\""), None);
    assert_eq!(key("gemini", ""), env("GEMINI_API_KEY"));
    assert_eq!(key("ollama", ""), None);
    let file = SecretSource::File("/agents/a/key".into());
    assert!(key("ollama", "api_key_file = \"key\"").is_some_and(|key| matches!(key, SecretSource::File(_))));
    assert_eq!(key("ollama", "api_key_file = \"/agents/a/key\""), Some(file));
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
fn providers_and_their_keys() {
    let model = |keys: &str| parse(&format!("version = 1\n[model]\n{keys}"));
    says(
        model("provider = \"scriptd\""),
        &["3:12: unknown provider \"scriptd\" in [model]", "did you mean `scripted`?"],
    );
    says(model("provider = \"parrot\""), &["allowed here: scripted, openai"]);
    says(
        model("provider = \"scripted\""),
        &["3:12: provider = \"scripted\" needs `script`", "add `script = "],
    );
    says(model("provider = \"openai\""), &["provider = \"openai\" needs `name`"]);
    let script = "provider = \"openai\"\nname = \"m\"\nscript = \"s\"";
    says(model(script), &["5:10: `script` has no meaning for provider = \"openai\"", "remove it"]);
    says(
        model("provider = \"openai\"\nname = \"m\"\nstructured_output = true"),
        &[
            "5:21: structured_output is set, and there is no form of the answer",
            "add `output_schema` to [agent]",
        ],
    );
    let ollama = "provider = \"ollama\"\nname = \"m\"\nstructured_output = true\n[agent]\noutput_schema = { type = \"object\" }";
    assert!(model(ollama).is_ok());
    says(
        model(&format!("{ollama}\n[tools.a]\nsource = \"a\"")),
        &["5:21: Ollama holds every reply to the form", "calls no tool"],
    );
    says(model(&format!("{ollama}\nbuiltins = [\"ask_human\"]")), &["calls no tool"]);
    let with_key =
        |key: &str| model(&format!("provider = \"openai\"\nname = \"m\"\napi_key_env = \"{key}\""));
    let url = |url: &str| model(&format!("provider = \"openai\"\nname = \"m\"\nbase_url = \"{url}\""));
    says(
        url("https://me:pw@example.com"),
        &["5:12: base_url holds a user name or password", "`api_key_env`"],
    );
    let pasted = with_key("sk-abc").unwrap_err();
    assert_eq!(
        pasted.problems().next().unwrap().message,
        "api_key_env is not the name of a variable, in capitals"
    );
    says(url("ftp://example.com"), &["base_url is neither http nor https"]);
    let anthropic = |more: &str| model(&format!("provider = \"anthropic\"\nname = \"m\"\n{more}"));
    says(
        anthropic("api_key_env = \"A\"\napi_key_file = \"b\""),
        &["6:16: both `api_key_env` and `api_key_file`"],
    );
    says(
        anthropic("extra = { messages = [] }"),
        &["5:9: extra has `messages`, which the host writes itself"],
    );
    says(anthropic("extra = { at = 2026-01-01 }"), &["extra has 2026-01-01, which JSON has not"]);
    says(
        anthropic("[[model.fallback]]\nprovider = \"ollama\"\nname = \"m\"\nretry.max_attempts = 1"),
        &["`retry` belongs to [model] itself"],
    );
    says(
        anthropic("[[model.fallback]]\nprovider = \"ollama\""),
        &["6:12: provider = \"ollama\" needs `name`"],
    );
    let costs = "prices = { input = 1.0, output = 1.0 }\n[[model.fallback]]\nprovider = \"ollama\"\nname = \"m\"\n\
                 [limits]\nmax_cost_usd = 1.0";
    says(anthropic(costs), &["max_cost_usd needs to know what tokens cost", "each [[model.fallback]]"]);
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

/// A model of a provider, with more in its table, which begins at line 6.
fn remote(more: &str) -> Result<Config, ConfigError> {
    parse(&format!(
        "version = 1\n[model]\nprovider = \"openai\"\nname = \"m\"\nbase_url = \"http://localhost/v1\"\n{more}\n"
    ))
}

#[test]
fn a_header_is_written_or_says_where_its_value_is() {
    let config = remote(
        "headers = { X-Title = \"t\", api-key = { env = \"AZURE_API_KEY\" }, authorization = { file = \"token\", prefix = \"Bearer \" } }",
    );
    let Provider::Remote(model) = config.unwrap().model.provider else { panic!("it is remote") };
    let named: Vec<&str> = model.connection.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(named, ["x-title", "api-key", "authorization"]);
    let secrets: Vec<&SecretSource> = model.secrets().collect();
    assert_eq!(
        secrets,
        [&SecretSource::Env("AZURE_API_KEY".into()), &SecretSource::File("/agents/greeter/token".into())]
    );
    for (value, said) in [
        ("api-key = \"sk-123456\"", &["the header `api-key` holds a secret"][..]),
        ("Authorization = \"Bearer sk-123456\"", &["`authorization` holds a secret", "prefix = \"Bearer \""]),
        ("api-key = { env = \"sk-123456\" }", &["env is not the name of a variable"]),
        ("api-key = { env = \"A\", file = \"b\" }", &["does not say where the value"]),
        ("api-key = { var = \"A\" }", &["does not say where the value"]),
        ("api-key = {}", &["does not say where the value"]),
        ("X-A = 1", &["neither a text nor where its value is"]),
        ("X-A = \"a\\nb\"", &["a character that no header can carry"]),
        ("\"X A\" = \"b\"", &["which cannot be a header"]),
        ("Content-Length = \"1\"", &["which the connection itself needs"]),
    ] {
        let wrong = remote(&format!("headers = {{ {value} }}"));
        assert!(!shown(remote(&format!("headers = {{ {value} }}"))).is_empty());
        says(wrong, said);
    }
}

#[test]
fn what_no_tool_may_have_is_the_value_of_a_header_too() {
    let tool = "headers = { api-key = { env = \"THE_KEY\" } }\n[tools.a]\nsource = \"/opt/a\"\npermissions.env = [\"THE_KEY\"]";
    says(remote(tool), &["THE_KEY"]);
}

#[test]
fn what_a_server_leaves_in_the_text_is_named() {
    let config = remote("reasoning_tags = [\"\", \"</think>\"]\ntext_calls = \"llama3_json\"");
    let Provider::Remote(model) = config.unwrap().model.provider else { panic!("it is remote") };
    let tags = model.in_text.reasoning.unwrap();
    assert_eq!((tags.open.as_str(), tags.close.as_str()), ("", "</think>"));
    assert_eq!(model.in_text.calls, Some(host::config::TextCalls::Llama3Json));
    let Provider::Remote(model) = remote("").unwrap().model.provider else { panic!("it is remote") };
    assert_eq!(model.in_text, host::config::InText::default());
    let long = format!("reasoning_tags = [\"<a>\", \"{}\"]", "b".repeat(65));
    for line in [
        "reasoning_tags = []",
        "reasoning_tags = [\"<think>\"]",
        "reasoning_tags = [\"<think>\", \"\"]",
        "reasoning_tags = [\"|\", \"|\"]",
        "reasoning_tags = [\"<a> \", \"</a>\"]",
        "reasoning_tags = [\"<a>\", \"</a>\", \"</b>\"]",
        &long,
    ] {
        says(remote(line), &["reasoning_tags is not a pair of tags", "[\"<think>\", \"</think>\"]"]);
    }
    says(remote("text_calls = \"herms\""), &["hermes"]);
}

#[test]
fn a_proxy_timeouts_and_what_is_left_out() {
    let config = remote(
        "proxy = \"http://localhost:3128\"\ntimeout = \"90s\"\nidle_timeout = \"20s\"\nomit = [\"tools.function.strict\"]",
    );
    let Provider::Remote(model) = config.unwrap().model.provider else { panic!("it is remote") };
    assert_eq!(model.connection.proxy, host::config::Proxy::At("http://localhost:3128".parse().unwrap()));
    assert_eq!((model.connection.timeout.as_secs(), model.connection.idle_timeout.as_secs()), (90, 20));
    assert_eq!(model.omit, ["tools.function.strict"]);
    for (line, said) in [
        ("proxy = \"localhost:3128\"", "is not the address of a proxy"),
        ("proxy = \"socks5://localhost\"", "is not the address of a proxy"),
        ("proxy = \"http://me:pw@localhost\"", "holds a user name or password"),
        ("timeout = \"25h\"", "is too much"),
        ("idle_timeout = \"5\"", "has no unit"),
        ("omit = [\"messages\"]", "is what no request can do without"),
        ("omit = [\"tools..strict\"]", "is not the way to a member"),
        ("omit = [\"\"]", "is not the way to a member"),
    ] {
        says(remote(line), &[said]);
    }
    for key in [
        "omit = [\"a\"]",
        "headers = { X-A = \"b\" }",
        "proxy = \"none\"",
        "timeout = \"1s\"",
        "idle_timeout = \"1s\"",
        "reasoning_tags = [\"a\", \"b\"]",
        "text_calls = \"hermes\"",
    ] {
        let name = key.split(' ').next().unwrap();
        says(with_model(key), &[&format!("`{name}` has no meaning for provider = \"scripted\"")]);
    }
}

/// A script with something else in its [model].
fn with_model(line: &str) -> Result<Config, ConfigError> {
    parse(&format!("version = 1\n{MODEL}{line}\n"))
}

#[test]
fn tokens_that_nobody_tells_count_for_no_limit() {
    let limited = |model: &str, limit: &str| remote(&format!("stream = true\n{model}\n[limits]\n{limit}"));
    for limit in ["max_total_tokens = 1000", "compact_at_tokens = 1000"] {
        says(limited("", limit), &["of which this server may say nothing while it streams", "include_usage"]);
        limited("extra = { stream_options = { include_usage = true } }", limit).unwrap();
        limited("omit = [\"stream_options\"]", limit).unwrap();
    }
    limited("", "max_turns = 3").unwrap();
}

/// The problem with a table [model.summary], and whatever else stands in the file behind it.
fn summary(table: &str) -> Result<Config, ConfigError> {
    let model = "[model]\nprovider = \"openai\"\nname = \"m\"\nprices = { input = 1.0, output = 2.0 }\n";
    parse(&format!("version = 1\n{model}[model.summary]\n{table}"))
}

#[test]
fn a_model_for_summaries_has_the_keys_of_a_model_that_mean_something_there() {
    const LEAST: &str = "provider = \"anthropic\"\nname = \"s\"\n";
    let config = summary(LEAST).unwrap();
    assert_eq!(config.models().count(), 1, "it gives no replies");
    let Some(Provider::Remote(remote)) = config.summary.map(|summary| summary.provider) else { panic!() };
    assert_eq!(
        (remote.name.as_str(), remote.key),
        ("s", Some(SecretSource::Env("ANTHROPIC_API_KEY".into())))
    );

    for (table, said) in [
        ("retry = { max_attempts = 1 }", "`retry` belongs to [model] itself"),
        (
            "[[model.summary.fallback]]\nprovider = \"openai\"\nname = \"f\"",
            "`fallback` belongs to [model] itself",
        ),
        (
            "[model.summary.summary]\nprovider = \"openai\"\nname = \"f\"",
            "`summary` belongs to [model] itself",
        ),
        ("structured_output = true", "`structured_output` has no meaning in [model.summary]"),
        ("[limits]\nmax_cost_usd = 1.0", "max_cost_usd needs to know what tokens cost"),
        ("script = \"s.toml\"", "`script` has no meaning for provider = \"anthropic\""),
        ("[tools.t]\nsource = \"t\"\npermissions.env = [\"ANTHROPIC_API_KEY\"]", "ANTHROPIC_API_KEY"),
    ] {
        says(summary(&format!("{LEAST}{table}")), &[said]);
    }
    let scripted = "provider = \"scripted\"\nscript = \"s.toml\"";
    says(summary(scripted), &["a script cannot stand in [model.summary]", "`summary = true`"]);
    let streams = "provider = \"openai\"\nname = \"s\"\nbase_url = \"http://localhost:1/v1\"\nstream = true\n\
                   [limits]\nmax_total_tokens = 9";
    says(summary(streams), &["`max_total_tokens` in [limits] counts tokens", "agent.toml:10:10]"]);
    let fallback =
        "provider = \"openai\"\nname = \"f\"\n[model.summary]\nprovider = \"openai\"\nname = \"s\"";
    let nested =
        format!("[[model.fallback]]\n{fallback}").replace("[model.summary]", "[model.fallback.summary]");
    says(parse(&format!("version = 1\n{MODEL}{nested}")), &["`summary` belongs to [model] itself"]);
}
