//! Services as tools: components that answer HTTP requests, `wasi:http/incoming-handler`. And what people's components
//! import beside WASI: `wasi:config` and `wasi:logging`.

use serde_json::{Value, json};

use crate::support::{Agent, root, tool_error, tool_output};

/// An agent with the service, whose model makes these requests.
fn service(lines: &str, requests: &[Value]) -> Agent {
    let call = |input: &Value| format!("{{ name = \"service\", input_text = {:?} }}", input.to_string());
    let calls: Vec<String> = requests.iter().map(call).collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"done\"", calls.join(", "));
    Agent::scripted(&script).guest("service").table(lines)
}

fn get(path: &str) -> Value {
    json!({ "path": path })
}

#[test]
fn a_request_gives_the_response() {
    let requests = [
        json!({ "method": "POST", "path": "/echo?x=1", "headers": { "X-Caller": "me" }, "body": "said " }),
        get("/bytes"),
        json!({}),
        get("/nothing"),
        get("/kept"),
        get("/error"),
        get("/unfinished"),
        get("/flood"),
        get("/panic"),
        json!({ "path": "echo" }),
        json!({ "method": "CONNECT" }),
        json!({ "path": "/echo", "headers": { "Host": "other" } }),
        json!({ "path": "/echo", "headers": { "x y": "other" } }),
        json!({ "path": "/ü \n" }),
    ];
    let agent = service("", &requests);
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(
        *tool_output(&shown, "tool(0,0)"),
        json!({ "status": 200, "headers": { "x-caller": "me", "x-two": "1, 2" }, "body": "said Method::Post localhost" })
    );
    assert_eq!(
        *tool_output(&shown, "tool(0,1)"),
        json!({ "status": 200, "headers": {}, "body_base64": "//4=" })
    );
    assert_eq!(
        *tool_output(&shown, "tool(0,2)"),
        json!({ "status": 404, "headers": {}, "body": "there is nothing" })
    );
    // What was sent by the end of the call is the response.
    assert_eq!(*tool_output(&shown, "tool(0,6)"), json!({ "status": 200, "headers": {} }));
    for (call, kind, words) in [
        (3, "failed", "gave no response"),
        (4, "failed", "gave no response"),
        (5, "failed", "on purpose"),
        (7, "output_size", "limits.output"),
        (8, "trap", "nobody expected this"),
        (9, "invalid_input", "path"),
        (10, "invalid_input", "CONNECT"),
        (11, "invalid_input", "the header `Host` is about a connection"),
        (12, "invalid_input", "`x y` is no header"),
        (13, "invalid_input", "no request"),
    ] {
        let (is, message) = tool_error(&shown, &format!("tool(0,{call})"));
        assert!(is == kind && message.contains(words), "{call}: {is}: {message}");
    }
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_component_has_its_settings_and_logs_into_the_log_of_its_call() {
    let lines = "[tools.service.config]\nunits = \"metric\"\n\"a b\" = \"\"\ntoken = { secret = \"KEY\" }\n\
                 [[tools.service.permissions.network]]\nurl = \"https://api.example.com\"\nmethods = [\"GET\"]\n\
                 secrets = [\"KEY\"]\n[secrets.KEY]\nenv = \"SERVICE_KEY\"";
    let requests = [get("/setting?units"), get("/setting?none"), get("/settings"), get("/log")];
    let agent = service(lines, &requests);
    let mut command = agent.command(&["run"]);
    let ran: crate::support::Ran = command.env("SERVICE_KEY", "tell-nobody-7731").output().unwrap().into();
    ran.ok();
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(0,0)")["body"], "metric");
    assert_eq!(tool_output(&shown, "tool(0,1)")["status"], 404);
    let all = tool_output(&shown, "tool(0,2)")["body"].as_str().unwrap();
    assert!(all.starts_with("a b=\ntoken=") && all.ends_with("\nunits=metric"), "{all}");
    assert!(!all.contains("tell-nobody") && all.lines().nth(1).unwrap().len() > "token=".len(), "{all}");
    ran.says("critical | service: it is logged").says("debug | and this");
}

#[test]
fn a_setting_that_gives_a_secret_away_is_refused() {
    for (lines, wrong) in [
        ("token = { secret = \"KEY\" }", "no site is granted the secret \"KEY\""),
        ("token = { env = \"KEY\" }", "env"),
        ("token = 7", "token"),
    ] {
        let agent = service(&format!("[tools.service.config]\n{lines}"), &[]);
        agent.host(&["check"]).exits(2).says(wrong);
    }
    let agent = Agent::scripted("reply = []").guest("weather").table("[tools.weather.config]\na = \"b\"");
    agent
        .host(&["check"])
        .exits(2)
        .says("does not import `wasi:config/store`")
        .says("[tools.weather.config]");
    let agent = service("", &[]);
    let said = agent.host(&["inspect", root().join("guest-tools/service").to_str().unwrap()]);
    for line in [
        "it answers HTTP requests",
        "wasi:config/store@0.2.0-draft is of use with [tools.NAME.config]",
        "# [tools.service.config]",
    ] {
        assert!(said.ok().stdout.contains(line), "{line:?} is said in:\n{}", said.stdout);
    }
}
