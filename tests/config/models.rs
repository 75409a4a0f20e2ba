//! What the `[model]` tables mean, and what is said of one that is wrong.

use host::config::{Config, ConfigError, Provider};
use host::grants::SecretSource;

use super::{MODEL, parse, says, shown};

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
