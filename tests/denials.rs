//! What the host says would grant something that it denied: each of its lines is valid, and does what it says.

use std::fs;
use std::path::Path;

use host::config::Config;
use host::grants::{METHODS, NetworkGrant, Refusal, Wanted, allow};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::attacks::{Server, hostile};
use crate::support::{Agent, tool_error, tool_output};

/// An agent.toml with one tool, and these lines at its end.
fn toml(lines: &str) -> String {
    format!(
        "version = 1\n[agent]\nprompt = \"p\"\n[model]\nprovider = \"scripted\"\nscript = \"s\"\n\
         [secrets.KEY]\nenv = \"KEY\"\n[tools.t]\nsource = \"t.wasm\"\n{lines}"
    )
}

/// What the tool may send by an agent.toml, or why there is none.
fn network(toml: &str) -> Result<Vec<NetworkGrant>, String> {
    let config = Config::parse(toml, Path::new("/nowhere/agent.toml")).map_err(|error| error.in_lines())?;
    Ok(config.tools[0].grants.network.clone())
}

/// Hosts as a guest may write them.
fn authority() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        4 => "[a-z]{1,8}(\\.[a-z]{1,6}){1,2}",
        1 => Just("localhost".to_owned()),
        1 => Just("a.localhost.".to_owned()),
        1 => Just("127.0.0.1".to_owned()),
        1 => Just("0x7f.1".to_owned()),
        1 => Just("[::1]".to_owned()),
        1 => Just("[::ffff:10.0.0.1]".to_owned()),
        1 => Just("169.254.169.254".to_owned()),
        1 => Just("API.Example.com.".to_owned()),
        1 => Just("*.example.com".to_owned()),
        1 => Just("a..b".to_owned()),
        1 => Just("bücher.example".to_owned()),
        1 => "[a-z0-9._*-]{1,12}",
    ];
    (host, prop_oneof![Just(String::new()), (0..70_000_u32).prop_map(|port| format!(":{port}"))])
        .prop_map(|(host, port)| format!("{host}{port}"))
}

/// Paths as a guest may write them: everything that a request line can carry.
fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("/".to_owned()),
        "(/(v1|docs|My%20Plan.txt|a%2fb|%2A|\\*|x\\*y|%e4|%|50%|\\.\\.|%2e%2e|;p)){1,4}/?",
        "/[!-~]{0,12}(//?[!-~]{0,8}){0,3}",
    ]
}

fn granted() -> impl Strategy<Value = Vec<NetworkGrant>> {
    let grant = |site: &str, methods: &[&str]| NetworkGrant {
        site: site.parse().unwrap(),
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
        secrets: Vec::new(),
        allow_private: site.contains("127") || site.contains("localhost"),
    };
    let grants = vec![
        grant("https://api.example.com/v1", &["GET"]),
        grant("https://*.example.com/docs", &["POST"]),
        grant("http://127.0.0.1:8080/a", &["GET"]),
        grant("http://localhost", &["GET", "PUT"]),
    ];
    prop::sample::subsequence(grants, 0..=4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_would_grant_a_request_does(
        grants in granted(),
        method in prop_oneof![3 => prop::sample::select(METHODS), 1 => prop::sample::select(vec!["TRACE", "get", "PROPFIND", "PURGE"])],
        scheme in prop_oneof![Just("https"), Just("http")],
        authority in prop_oneof![authority(), Just("api.example.com".to_owned()), Just("127.0.0.1:8080".to_owned())],
        path in path(),
    ) {
        let wanted = Wanted { method, scheme, authority: &authority, path_and_query: &path };
        let Err(refusal) = allow(&grants, &wanted) else { return Ok(()) };
        let before: Vec<String> = grants.iter().map(|grant| grant.in_toml("t")).collect();
        let before = toml(&before.join("\n"));
        prop_assert_eq!(network(&before), Ok(grants.clone()), "a grant is written as it is read");
        let Some(missing) = NetworkGrant::missing(&grants, &wanted, &refusal) else {
            let by_host = authority.contains('*') || authority.contains("..") || authority.contains(":0")
                || authority.starts_with('.') || authority.starts_with('-') || authority.ends_with('.');
            let for_good = matches!(refusal, Refusal::Malformed(_) | Refusal::Ungrantable(_)) || by_host;
            let odd = matches!(&refusal, Refusal::Ungrantable(odd) if odd == method);
            prop_assert_eq!(odd, !METHODS.contains(&method) && !matches!(refusal, Refusal::Malformed(_)));
            prop_assert!(for_good, "{refusal} of {wanted:?} could be granted");
            return Ok(());
        };
        let pasted = network(&format!("{before}\n{}", missing.in_toml("t")));
        let pasted = match pasted {
            Ok(pasted) => pasted,
            Err(why) => return Err(TestCaseError::fail(format!("{}\nis refused: {why}", missing.in_toml("t")))),
        };
        prop_assert!(allow(&pasted, &wanted).is_ok(), "{} does not help", missing.in_toml("t"));
        // It allows what was wanted, and not another method or host.
        let other = if method == "GET" { "DELETE" } else { "GET" };
        let alone = std::slice::from_ref(&missing);
        let others = [Wanted { method: other, ..wanted }, Wanted { authority: "elsewhere.test", ..wanted }];
        prop_assert!(others.iter().all(|other| allow(alone, other).is_err()), "it allows something else");
    }
}

/// An agent that makes these calls of a tool that uses files, and what it is granted.
fn files(calls: &[Value], lines: &str) -> Agent {
    let calls: Vec<String> = calls
        .iter()
        .map(|input| format!("{{ name = \"attack\", input_text = {:?} }}", input.to_string()))
        .collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"ok\"", calls.join(", "));
    let agent = Agent::scripted(&script)
        .table(&format!("[tools.t]\nsource = \"{}\"\n{lines}", hostile("use_files").display()));
    for name in ["wörk", "out"] {
        fs::create_dir(agent.dir.path().join(name)).unwrap();
    }
    fs::write(agent.dir.path().join("wörk/file.txt"), "inside").unwrap();
    agent
}

fn dir(host: &str, guest: &str, access: &str) -> String {
    format!("[[tools.t.permissions.dirs]]\npath = \"{host}\"\nguest = \"{guest}\"\naccess = \"{access}\"")
}

fn denials(shown: &[Value], slot: &str) -> Vec<Value> {
    let report = shown.iter().find(|report| report["slot"] == slot).unwrap();
    report["finished"]["trace"]["denials"].as_array().cloned().unwrap_or_default()
}

#[test]
fn what_would_let_a_tool_write_takes_the_place_of_the_grant_that_does_not() {
    let write = json!({ "do": "write", "path": "/data/new.txt" });
    let (out, read) = (dir("out", "/out", "read"), dir("w\\u00f6rk", "/data", "read"));
    let denied = files(std::slice::from_ref(&write), &format!("{out}\n{read}"));
    let (ran, shown) = denied.run_and_show();
    ran.ok().says("to grant it, let agent.toml say instead:");
    assert!(tool_error(&shown, "tool(0,0)").1.contains("denied"));
    let [denial] = &denials(&shown, "tool(0,0)")[..] else { panic!("{shown:#?}") };
    assert_eq!(denial["remedy"], "instead");
    assert!(denial["what"].as_str().unwrap().starts_with("to open \"/data/new.txt\": "), "{denial}");
    let granted = files(&[write], &format!("{out}\n{}", denial["grant"].as_str().unwrap()));
    let (ran, shown) = granted.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)"), "written");
}

#[test]
fn nothing_is_suggested_where_nothing_helps() {
    let rename = json!({ "do": "rename", "path": "/data/file.txt", "to": "/data/out/file.txt" });
    let agent = files(
        &[
            json!({ "do": "read", "path": "/data/out/../y2" }),
            json!({ "do": "write", "path": "/data/out/../y2" }),
            json!({ "do": "list", "path": "/data/../.." }),
            rename,
        ],
        &format!("{}\n{}", dir("wörk", "/data", "read"), dir("out", "/data/out", "write")),
    );
    let (ran, shown) = agent.run_and_show();
    ran.ok().says("nothing in agent.toml can grant this");
    for (call, path, guest) in [
        (0, "/data/out/../y2", "/data/out"),
        (1, "/data/out/../y2", "/data/out"),
        (2, "/data/../..", "/data"),
    ] {
        let [denial] = &denials(&shown, &format!("tool(0,{call})"))[..] else { panic!("{shown:#?}") };
        let what = denial["what"].as_str().unwrap();
        assert!(
            what.contains(path) && what.ends_with(&format!("leads out of what is granted as \"{guest}\"")),
            "{what}"
        );
        assert!(denial["grant"].is_null(), "{denial}");
    }
    // Of two places it is the one that is only read.
    let [denial] = &denials(&shown, "tool(0,3)")[..] else { panic!("{shown:#?}") };
    assert!(denial["grant"].as_str().unwrap().contains("guest = \"/data\"\naccess = \"write\""), "{denial}");
    // A directory that decides on grants is never granted as `write`.
    let agent = files(&[json!({ "do": "write", "path": "/all/new.txt" })], &dir("all", "/all", "read"));
    let here = agent.dir.path();
    fs::create_dir(here.join("all")).unwrap();
    fs::rename(here.join("script.toml"), here.join("all/script.toml")).unwrap();
    let toml = fs::read_to_string(agent.toml()).unwrap().replace("\"script.toml\"", "\"../all/script.toml\"");
    fs::write(here.join("all/agent.toml"), toml.replace("\"all\"", "\".\"")).unwrap();
    agent.host(&["run", "all/agent.toml"]).ok();
    let [denial] = &denials(&agent.show(), "tool(0,0)")[..] else { panic!() };
    assert!(denial["what"].as_str().unwrap().contains("decides what tools may do"), "{denial}");
    assert!(denial["grant"].is_null(), "{denial}");
}

#[test]
fn what_is_to_be_filled_in_says_so_and_is_valid_then() {
    let read = json!({ "do": "read", "path": "/data/file.txt" });
    let (ran, shown) = files(std::slice::from_ref(&read), "").run_and_show();
    ran.ok().says("to grant it, fill this in and add it to agent.toml:");
    let [denial] = &denials(&shown, "tool(0,0)")[..] else { panic!("{shown:#?}") };
    let lines = denial["grant"].as_str().unwrap();
    let filled = lines.replacen('…', "wörk", 1).replacen('…', "/data", 1);
    let (ran, shown) = files(&[read], &filled).run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)"), "inside");
}

#[test]
fn a_name_that_is_not_text_is_left_out_of_a_list_and_the_others_are_not() {
    use std::os::unix::ffi::OsStrExt as _;
    let list = json!({ "do": "list", "path": "/data/below" });
    let agent = files(&[list], &dir("wörk", "/data", "read"));
    let below = agent.dir.path().join("wörk/below");
    fs::create_dir(&below).unwrap();
    let names: Vec<String> = (0..40).map(|number| format!("name{number:02}")).collect();
    for (number, name) in names.iter().enumerate() {
        fs::write(below.join(name), "").unwrap();
        let unsayable = [b"\xff\xfe", name.as_bytes()].concat();
        if number % 4 == 0 {
            fs::write(below.join(std::ffi::OsStr::from_bytes(&unsayable)), "").unwrap();
        }
    }
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(*tool_output(&shown, "tool(0,0)"), names.join(" "));
    let report = shown.iter().find(|report| report["slot"] == "tool(0,0)").unwrap();
    let log = &report["finished"]["trace"]["log"];
    let text = "/data/below has a name in it that is not UTF-8; it is left out of the list";
    assert_eq!(*log, json!([{ "from": "host", "text": text }]));
}

#[test]
fn paths_are_expanded_as_in_a_shell_and_never_by_a_secret() {
    let list = json!({ "do": "list", "path": "/data" });
    let lines = format!("{}\n[secrets.KEY]\nenv = \"A_KEY\"", dir("$PLACE/${WHERE}rk", "/data", "read"));
    let agent = files(std::slice::from_ref(&list), &lines);
    let here = agent.dir.path().to_str().unwrap().to_owned();
    let run = |agent: &Agent, command: &str, variables: &[(&str, &str)]| {
        let mut command = agent.command(&[command]);
        command.env("A_KEY", "the-value-of-the-key").envs(variables.iter().copied());
        crate::support::Ran::from(command.output().unwrap())
    };
    run(&agent, "run", &[("PLACE", &here), ("WHERE", "wö")]).ok();
    assert_eq!(tool_output(&agent.show(), "tool(0,0)"), "file.txt");
    run(&agent, "check", &[("PLACE", &here)]).exits(2).says("the variable WHERE is not set");
    run(&agent, "check", &[("PLACE", ""), ("WHERE", "wö")]).exits(2).says("the variable PLACE is empty");

    let home = files(std::slice::from_ref(&list), &dir("~/wörk", "/data", "read"));
    let toml = fs::read_to_string(home.toml()).unwrap();
    let built = hostile("use_files");
    fs::copy(&built, home.dir.path().join("t.wasm")).unwrap();
    fs::write(home.toml(), toml.replace(built.to_str().unwrap(), "~/t.wasm")).unwrap();
    run(&home, "run", &[("HOME", home.dir.path().to_str().unwrap())]).ok();
    assert_eq!(tool_output(&home.show(), "tool(0,0)"), "file.txt");

    for (host, said) in [
        ("/$A_KEY", "the variable A_KEY keeps a secret"),
        ("~somebody/x", "the home directory of somebody else"),
        ("$$", "the directory \"$$\" cannot be granted"),
    ] {
        let lines = format!("{}\n[secrets.KEY]\nenv = \"A_KEY\"", dir(host, "/data", "read"));
        let checked = run(&files(std::slice::from_ref(&list), &lines), "check", &[]);
        let flat = checked.exits(2).stderr.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(said), "{said}: {}", checked.stderr);
        assert!(!checked.stderr.contains("the-value"), "{}", checked.stderr);
    }
}

/// An agent whose tool sends this, with this at the end of its agent.toml.
fn sends(guest: &str, input: &Value, lines: &str) -> Agent {
    let call = format!("{{ name = \"attack\", input_text = {:?} }}", input.to_string());
    Agent::scripted(&format!("[[reply]]\ncalls = [{call}]\n[[reply]]\ntext = \"ok\""))
        .table(&format!("[tools.t]\nsource = \"{}\"\n{lines}", hostile(guest).display()))
}

#[test]
fn what_would_let_a_name_lead_to_a_private_address_does_and_reaches_no_further() {
    let server = Server::start();
    let site = format!("http://service.example:{}", server.port());
    let lines =
        format!("[[tools.t.permissions.network]]\nurl = \"{site}/allowed\"\nmethods = [\"GET\", \"POST\"]");
    let input = json!({ "url": format!("{site}/allowed/ok") });
    let run = |lines: &str| {
        let agent = sends("request", &input, lines);
        let ran =
            agent.command(&["run"]).env("FAILPOINTS", "egress-resolve=return(127.0.0.1)").output().unwrap();
        crate::support::Ran::from(ran).ok();
        agent.show()
    };
    let shown = run(&lines);
    let [denial] = &denials(&shown, "tool(0,0)")[..] else { panic!("{shown:#?}") };
    let grant = denial["grant"].as_str().unwrap();
    assert!(
        grant.contains(&format!("url = \"{site}/allowed\"")) && grant.contains("methods = [\"GET\"]"),
        "{grant}"
    );
    assert!(server.requests().is_empty());
    let shown = run(&format!("{lines}\n{grant}"));
    assert!(tool_output(&shown, "tool(0,0)").as_str().unwrap().contains("200"));
}

#[test]
fn what_would_let_a_secret_go_along_does() {
    let server = Server::start();
    let site = format!("http://127.0.0.1:{}", server.port());
    let grant = |path: &str, secrets: &str| {
        format!(
            "[[tools.t.permissions.network]]\nurl = \"{site}/{path}\"\nmethods = [\"GET\"]\n\
             allow_private = true\nsecrets = [{secrets}]"
        )
    };
    let lines = format!("{}\n{}", grant("allowed", "\"SECRET\""), grant("My%20Plan", ""));
    let input =
        json!({ "url": format!("{site}/My%20Plan/x"), "headers": { "authorization": "Bearer {SECRET}" } });
    let run = |lines: &str| {
        let agent = sends("secret", &input, &format!("{lines}\n[secrets.SECRET]\nenv = \"THE_SECRET\""));
        let ran = agent.command(&["run"]).env("THE_SECRET", "the-secret-value").output().unwrap();
        crate::support::Ran::from(ran).ok();
        agent.show()
    };
    let shown = run(&lines);
    let [denial] = &denials(&shown, "tool(0,0)")[..] else { panic!("{shown:#?}") };
    assert!(denial["what"].as_str().unwrap().starts_with("the secret SECRET for "), "{denial}");
    assert!(!server.requests()[0].contains("the-secret-value"));
    let shown = run(&format!("{lines}\n{}", denial["grant"].as_str().unwrap()));
    assert!(denials(&shown, "tool(0,0)").is_empty(), "{shown:#?}");
    assert!(server.requests()[1].contains("Bearer the-secret-value"));
}
