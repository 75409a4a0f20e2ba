//! agent.toml in its older and its new spelling, and `host fmt`, which writes the new one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use host::config::{Config, ConfigError, Provider, Respelled};
use host::grants::{Access, NetworkGrant};
use serde_json::Value;

use crate::support::{Agent, root};

mod generated;
mod layouts;

/// Every older spelling there is.
const OLD: &str = r#"version = 1

[agent]
output_schema = { type = "object" }

[model]
provider = "openai"
name = "m"
structured_output = true

[[model.fallback]]
provider = "anthropic"
name = "c"

[[model.fallback]]
provider = "gemini"
name = "g"
structured_output = true

[tools.web]
source = "web.wasm"
limits = { cpu = "1s", shown = "8KiB", calls = 7 }

[[tools.web.permissions.dirs]]
host = "/"
guest = "/data"
access = "ro"

[[tools.web.permissions.dirs]]
host = "/usr"
guest = "/tmp"
access = "rw"

[[tools.web.permissions.network]]
host = "https://api.example.com/v1"
methods = ["GET"]
"#;

/// The same agent.
const NEW: &str = r#"version = 1

[agent]
output_schema = { type = "object" }
structured_output = true

[model]
provider = "openai"
name = "m"

[[model.fallback]]
provider = "anthropic"
structured_output = false
name = "c"

[[model.fallback]]
provider = "gemini"
name = "g"
structured_output = true

[tools.web]
source = "web.wasm"
limits = { cpu = "1s", tool_calls = 7 }
shown_output = "8KiB"

[[tools.web.permissions.dirs]]
path = "/"
guest = "/data"
access = "read"

[[tools.web.permissions.dirs]]
path = "/usr"
guest = "/tmp"
access = "write"

[[tools.web.permissions.network]]
url = "https://api.example.com/v1"
methods = ["GET"]
"#;

pub(crate) fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/agents/web/agent.toml"))
}

/// The new spelling of a file that can be read. What it means is compared there.
pub(crate) fn respelled(text: &str) -> Respelled {
    let config = parse(text).unwrap_or_else(|error| panic!("{}\n{text}", error.in_lines()));
    config.respelled().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// All that is said of a file, a line for each problem.
fn wrong(text: &str) -> String {
    parse(text).unwrap_err().in_lines()
}

/// A tool of an agent, in which this line is.
fn tool(lines: &str) -> String {
    format!("version = 1\n[model]\nprovider = \"openai\"\nname = \"m\"\n[tools.t]\nsource = \"t\"\n{lines}\n")
}

fn network(lines: &str) -> Vec<NetworkGrant> {
    parse(&tool(lines)).unwrap().tools.remove(0).grants.network
}

#[test]
fn both_spellings_mean_the_same() {
    let (old, new) = (parse(OLD).unwrap(), parse(NEW).unwrap());
    let tool = &old.tools[0];
    assert_eq!((tool.limits.shown_bytes_max, tool.limits.calls_max), (8 << 10, 7));
    assert_eq!(tool.grants.dirs[0].written, "/");
    assert_eq!([tool.grants.dirs[0].access, tool.grants.dirs[1].access], [Access::Ro, Access::Rw]);
    let held = |config: &Config| -> Vec<bool> {
        let held = config.models().map(|model| match &model.provider {
            Provider::Remote(remote) => remote.structured_output,
            Provider::Scripted { .. } => panic!("not scripted"),
        });
        held.collect()
    };
    assert_eq!(held(&old), [true, false, true]);
    // What is recorded of the grants and limits, to the byte.
    let recorded =
        |config: &Config| serde_json::to_string(&(&config.tools[0].grants, &config.tools[0].limits)).unwrap();
    assert_eq!(recorded(&old), recorded(&new));
    assert_eq!(Config { text: new.text.clone(), ..old.clone() }, new);
    assert_eq!(old.respelled().unwrap().text, NEW);
    assert_eq!(old.older_spellings().len(), 8);
    assert_eq!(new.older_spellings(), []);
}

#[test]
fn the_schema_takes_both_spellings() {
    let schema = host::config::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for text in [OLD, NEW] {
        let file: Value = toml::from_str(text).unwrap();
        let errors: Vec<String> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    for (line, takes) in [
        ("permissions.network = [\"https://a.b\", { url = \"https://c.d\", methods = [\"GET\"] }]", true),
        ("permissions.network = [{ methods = [\"GET\"] }]", false),
        ("permissions.network = [1]", false),
        ("permissions.dirs = [{ guest = \"/a\", access = \"read\" }]", false),
    ] {
        let file: Value = toml::from_str(&tool(line)).unwrap();
        assert_eq!(validator.is_valid(&file), takes, "{line}");
    }
}

#[test]
fn both_spellings_of_one_thing_are_a_mistake_at_both_places() {
    let dir = "permissions.dirs = [{ path = \"/\", host = \"/\", guest = \"/d\", access = \"read\" }]";
    for (text, now, older) in [
        (
            tool(dir),
            "`path` and `host` in [tools.t.permissions.dirs] are both given",
            "`host` in [tools.t.permissions.dirs] is the older spelling of `path`",
        ),
        (
            tool(
                "[[tools.t.permissions.network]]\nurl = \"https://a.b\"\nmethods = [\"GET\"]\nhost = \"https://a.b\"",
            ),
            "line 8: `url` and `host`",
            "line 10: `host`",
        ),
        (
            tool("[tools.t.limits]\ntool_calls = 1\ncalls = 1"),
            "line 8: `tool_calls` and `calls`",
            "line 9: `calls`",
        ),
        (
            tool("shown_output = \"1KiB\"\nlimits.shown = \"1KiB\""),
            "line 7: `shown_output` and `limits.shown`",
            "line 8: `limits.shown`",
        ),
        (
            "version = 1\n[agent]\noutput_schema = { type = \"object\" }\nstructured_output = true\n\
             [model]\nprovider = \"openai\"\nname = \"m\"\nstructured_output = true\n"
                .to_owned(),
            "line 4: `structured_output in [agent]` and",
            "line 8: `structured_output in [model]` is the older spelling",
        ),
    ] {
        let said = wrong(&text);
        assert!(said.contains(now) && said.contains("keep this one"), "{said}");
        assert!(said.contains(older) && said.contains("take it out"), "{said}");
        assert_eq!(parse(&text).unwrap_err().problems().count(), 2, "{said}");
    }
}

#[test]
fn what_is_wrong_is_said_by_the_new_names() {
    for (line, said) in [
        (
            "permissions.dirs = [{ hots = \"/\", guest = \"/d\", access = \"read\" }]",
            "unknown field `hots` in [tools.t.permissions.dirs] (did you mean `path`? Allowed here: path, guest, access)",
        ),
        (
            "permissions.dirs = [{ guest = \"/d\", access = \"read\" }]",
            "`path` is missing in [tools.t.permissions.dirs] (add `path = \"./work\"`)",
        ),
        (
            "permissions.dirs = [{ path = \"/\", guest = \"/d\", access = \"rx\" }]",
            "unknown access \"rx\" in [tools.t.permissions.dirs] (allowed here: read, write)",
        ),
        (
            "permissions.network = [{ methods = [\"GET\"] }]",
            "`url` is missing in [tools.t.permissions.network] (add `url = \"https://api.github.com\"`)",
        ),
        (
            "permissions.network = [1]",
            "`network` in [tools.t.permissions] is a number, but has to be text or a table (write it as in \"https://api.github.com\" or { url = \"https://api.github.com\", methods = [\"GET\"] })",
        ),
        ("permissions.network = [\"ftp://a.b\"]", "the site \"ftp://a.b\" "),
        (
            "permissions.network = [\"http://127.0.0.1\"]",
            "write { url = \"http://127.0.0.1\", methods = [\"GET\"], allow_private = true } if that is meant",
        ),
        (
            "permissions.network = \"https://a.b\"",
            "(write it as in `network = [\"https://api.github.com\"]`)",
        ),
        (
            "limits.colour = 1",
            "(allowed here: timeout, cpu, memory, fuel, output, log, http_body, http_requests, open_files, random_bytes, tool_calls)",
        ),
        ("shown_output = \"0KiB\"", "shown_output = \"0KiB\" is too little"),
    ] {
        let all = wrong(&tool(line));
        assert!(all.contains(said), "{said:?} is not in:\n{all}");
        assert_eq!(parse(&tool(line)).unwrap_err().problems().count(), 1, "{all}");
    }
    let agent = "version = 1\n[model]\nprovider = \"openai\"\nname = \"m\"\n[tools.t]\nagent = \"t\"\nshown_output = \"1KiB\"";
    assert!(wrong(agent).contains("`shown_output` has no meaning for an agent"), "{}", wrong(agent));
}

#[test]
fn a_site_alone_is_granted_for_get() {
    let alone = network("permissions.network = [\"https://api.example.com/v1\"]");
    assert_eq!(
        alone,
        network("permissions.network = [{ url = \"https://api.example.com/v1\", methods = [\"GET\"] }]")
    );
    assert_eq!(alone[0].methods, ["GET"]);
    let mixed = "permissions.network = [\"https://a.b\", { url = \"https://c.d\", methods = [\"POST\"] }]";
    assert_eq!(network(mixed).len(), 2);
}

#[test]
fn the_form_of_the_answer_holds_for_all_models_unless_one_says_otherwise() {
    let form = "version = 1\n[agent]\nstructured_output = true\n";
    let schema = "output_schema = { type = \"object\" }\n";
    let models = "[model]\nprovider = \"openai\"\nname = \"m\"\n[[model.fallback]]\nprovider = \"ollama\"\nname = \"o\"\n";
    let held = |text: &str| -> Vec<bool> {
        let config = parse(text).unwrap();
        let held = config
            .models()
            .map(|model| matches!(&model.provider, Provider::Remote(it) if it.structured_output));
        held.collect()
    };
    assert_eq!(held(&format!("{form}{schema}{models}")), [true, true]);
    assert_eq!(held(&format!("{form}{schema}{models}structured_output = false")), [true, false]);
    let without = wrong(&format!("{form}{models}"));
    assert!(without.contains("line 3: structured_output is set, and there is no form"), "{without}");
    assert_eq!(without.lines().count(), 1, "{without}");
    let tools = format!("{models}[tools.t]\nsource = \"t\"");
    let alone = wrong(&format!("{form}{schema}{tools}"));
    assert!(alone.starts_with("line 3: Ollama holds every reply to the form"), "{alone}");
    parse(&format!("{form}{schema}{models}structured_output = false\n[tools.t]\nsource = \"t\"")).unwrap();
}

#[test]
fn a_file_is_replaced_and_what_it_is_stays() {
    let agent = Agent::raw("version = 1");
    let here = agent.dir.path();
    let (real, link) = (here.join("real.toml"), here.join("agent.toml"));
    let crlf = format!("\u{feff}{}", OLD.replace('\n', "\r\n"));
    fs::write(&real, &crlf).unwrap();
    fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
    fs::remove_file(&link).unwrap();
    symlink("real.toml", &link).unwrap();

    let checked = agent.host(&["fmt", "--check"]);
    checked.exits(1).says("agent.toml: 8 older spellings");
    assert!(checked.stdout.contains("-host = \"https://api.example.com/v1\""), "{}", checked.stdout);
    assert!(checked.stdout.contains("+url = \"https://api.example.com/v1\""), "{}", checked.stdout);
    assert_eq!(fs::read_to_string(&real).unwrap(), crlf);

    agent
        .host(&["fmt"])
        .ok()
        .says("8 spellings changed")
        .says("line 25: host is now path")
        .says("access = \"ro\" is now access = \"read\"");
    assert_eq!(fs::read_to_string(&real).unwrap(), format!("\u{feff}{}", NEW.replace('\n', "\r\n")));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    agent.host(&["fmt", "--check"]).ok().says("no older spellings");
    agent.host(&["fmt"]).ok().says("no older spellings");
    assert_eq!(fs::read_dir(here).unwrap().count(), 2, "nothing is left beside it");
}

#[test]
fn nothing_is_changed_if_one_of_the_files_has_a_mistake() {
    let agent = Agent::raw("version = 1");
    let here = agent.dir.path();
    fs::write(agent.toml(), OLD).unwrap();
    fs::create_dir(here.join("other")).unwrap();
    fs::write(here.join("other/agent.toml"), OLD.replace("cpu = \"1s\"", "cpu = 1")).unwrap();
    for args in [&["fmt", ".", "other"][..], &["fmt", "--check", ".", "other"]] {
        agent.host(args).exits(2).says("agent.toml:22:18: `cpu` in [tools.web.limits] is a number");
        assert_eq!(fs::read_to_string(agent.toml()).unwrap(), OLD);
    }
    agent.host(&["fmt", "gone"]).exits(2).says("it does not exist");
    agent.host(&["fmt", "."]).ok();
    assert_eq!(fs::read_to_string(agent.toml()).unwrap(), NEW);
}

/// A run of an agent in its older spelling goes on after `host fmt`: it is the same agent to the byte.
#[test]
fn a_run_goes_on_in_the_new_spelling() {
    let script = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Which?\" } }]\n[[reply]]\ntext = \"done\"\n";
    let grants = "limits = { shown = \"8KiB\", calls = 7 }\n\
                  permissions.dirs = [{ host = \"work\", guest = \"/data\", access = \"ro\" }]\n\
                  permissions.network = [{ host = \"https://a.b\", methods = [\"GET\"] }]";
    let weather = root().join("examples/weather/weather.wasm");
    let agent = Agent::scripted(script)
        .builtins(&["ask_human"])
        .table(&format!("[tools.weather]\nsource = {:?}\n{grants}", weather.to_str().unwrap()));
    fs::create_dir(agent.dir.path().join("work")).unwrap();
    agent.host(&["check"]).ok().says("agent.toml has 5 older spellings, and works as it is; `host fmt ");
    agent.host(&["run"]).exits(3);
    agent.host(&["fmt"]).ok().says("5 spellings changed");
    let checked = agent.host(&["check"]);
    assert!(!checked.ok().stderr.contains("older"), "{}", checked.stderr);
    agent.host(&["answer", "last", "this one"]).ok();
    agent.host(&["resume", "last"]).ok();
    agent.host(&["run"]).exits(3);
    // Two runs of one agent: they differ in what they were told, and in nothing that the agent is.
    let manifest = |run: &str| -> Value {
        let exported = agent.host(&["journal", "export", run]);
        let first = exported.ok().stdout.lines().find(|line| line.contains("\"tools\"")).unwrap().to_owned();
        let line: Value = serde_json::from_str(&first).unwrap();
        find(&line, "tools").unwrap()
    };
    let runs = agent.host(&["runs", "--json"]);
    let runs: Vec<Value> = serde_json::from_str(&runs.ok().stdout).unwrap();
    let ids: Vec<&str> = runs.iter().map(|run| run["run"].as_str().or(run["id"].as_str()).unwrap()).collect();
    assert_eq!(ids.len(), 2);
    let tools = manifest(ids[0]);
    let [asked, weather] = [&tools[0], &tools[1]].map(|tool| &tool["grants"]);
    assert!(
        weather.is_string() && weather != asked,
        "the digest of grants and limits is among them: {tools}"
    );
    assert_eq!(tools.to_string(), manifest(ids[1]).to_string());
}

/// The first member of this name, anywhere.
fn find(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Object(members) => {
            members.get(name).cloned().or_else(|| members.values().find_map(|member| find(member, name)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[test]
fn the_examples_and_what_the_host_writes_have_no_older_spelling() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap().map(Result::unwrap) {
        if entry.path().join("agent.toml").is_file() {
            let config = Config::load(&entry.path()).unwrap();
            assert_eq!(config.older_spellings(), [], "{}", entry.path().display());
            count += 1;
        }
    }
    assert!(count >= 6, "{count}");
    let agent = Agent::raw("version = 1");
    agent.host(&["init", "made"]).ok();
    agent.host(&["fmt", "--check", "made"]).ok().says("no older spellings");
}
