//! `host mcp`: an agent's tools for a client that speaks the Model Context Protocol on stdin and stdout.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::support::Agent;

/// A client, line by line.
struct Client {
    server: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// What came while something else was waited for.
    aside: Vec<Value>,
}

impl Client {
    /// A client with these capabilities that has begun.
    fn of(agent: &Agent, capabilities: &Value) -> Self {
        let mut client = Self::silent(agent);
        let info = json!({ "name": "tests", "version": "1" });
        let params =
            json!({ "protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": info });
        let begun = client.ask(0, "initialize", &params);
        assert_eq!(begun["result"]["protocolVersion"], "2025-06-18", "{begun}");
        assert!(begun["result"]["capabilities"]["tools"].is_object(), "{begun}");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn silent(agent: &Agent) -> Self {
        let mut command = agent.command(&["mcp"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap();
        let (stdin, stdout) = (server.stdin.take(), BufReader::new(server.stdout.take().unwrap()));
        Self { server, stdin, stdout, aside: Vec::new() }
    }

    fn send(&mut self, message: &Value) {
        self.line(&message.to_string());
    }

    fn line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn request(&mut self, id: u32, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    }

    /// The next message that is this.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.aside.iter().position(&wanted) {
            return self.aside.remove(at);
        }
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the server has ended: {:?}", self.aside);
            let message: Value = serde_json::from_str(&line).unwrap();
            if wanted(&message) {
                return message;
            }
            self.aside.push(message);
        }
    }

    fn answer(&mut self, id: u32) -> Value {
        self.until(|message| message["id"] == id && message.get("method").is_none())
    }

    fn ask(&mut self, id: u32, method: &str, params: &Value) -> Value {
        self.request(id, method, params);
        self.answer(id)
    }

    fn call(&mut self, id: u32, tool: &str, arguments: &Value) -> Value {
        self.ask(id, "tools/call", &json!({ "name": tool, "arguments": arguments }))["result"].take()
    }

    /// Goes away, and the server ends.
    fn leave(mut self) {
        self.stdin = None;
        assert!(self.server.wait().unwrap().success());
    }
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"))
}

fn weather() -> Agent {
    Agent::scripted("reply = []").guest("weather")
}

#[test]
fn each_call_is_a_run_of_its_own() {
    let agent = weather();
    let mut client = Client::of(&agent, &json!({}));
    let listed = client.ask(1, "tools/list", &json!({}));
    let [tool] = listed["result"]["tools"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!(tool["name"], "get_weather");
    assert_eq!(tool["inputSchema"]["required"], json!(["city"]), "{tool}");
    assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
    let hints = &tool["annotations"];
    assert_eq!((&hints["readOnlyHint"], &hints["openWorldHint"]), (&json!(true), &json!(false)), "{tool}");
    // Several at once.
    for (id, city) in [(2, "Oslo"), (3, "Tokyo"), (4, "San Francisco")] {
        client.request(id, "tools/call", &json!({ "name": "get_weather", "arguments": { "city": city } }));
    }
    for (id, city) in [(4, "San Francisco"), (2, "Oslo"), (3, "Tokyo")] {
        let answer = client.answer(id);
        assert_eq!(answer["result"]["structuredContent"]["city"], city, "{answer}");
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        assert!(text(&answer["result"]).contains(city), "{answer}");
    }
    let wrong = client.call(5, "get_weather", &json!({ "town": "Oslo" }));
    assert_eq!(wrong["isError"], true);
    assert!(text(&wrong).contains("\"city\" is a required property"), "{wrong}");
    let unknown = client.ask(6, "tools/call", &json!({ "name": "get_wether", "arguments": {} }));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    assert!(unknown["error"]["message"].as_str().unwrap().contains("get_weather"), "{unknown}");
    client.leave();
    let runs = agent.host(&["runs"]).ok().stdout.clone();
    assert_eq!(runs.matches("call get_weather").count(), 4, "{runs}");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn what_is_no_message_ends_nothing() {
    let agent = weather();
    let mut client = Client::of(&agent, &json!({}));
    client.line("{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\":");
    client.line("");
    client.line("[]");
    client.line(&format!("{{\"deep\": {}}}", "[".repeat(10_000)));
    let unknown = client.ask(2, "tools/fetch", &json!({}));
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    let wrong = client.ask(3, "tools/list", &json!({ "cursor": "no" }));
    assert_eq!(wrong["error"]["code"], -32602, "{wrong}");
    assert_eq!(client.call(4, "get_weather", &json!({ "city": "Oslo" }))["isError"], false);
    client.leave();
}

#[test]
fn a_person_is_asked_through_the_client_or_the_run_waits() {
    let agent = weather().table("[approval]\ndefault = \"ask\"");
    let mut client = Client::of(&agent, &json!({ "elicitation": {} }));
    for (id, said, is_error, words) in [
        (1, json!({ "action": "accept", "content": { "allow": true } }), false, "Oslo"),
        (
            2,
            json!({ "action": "accept", "content": { "allow": false, "reason": "too far" } }),
            true,
            "too far",
        ),
        (3, json!({ "action": "decline" }), true, "does not allow this call"),
        (4, json!({ "action": "cancel" }), true, "waits for a person"),
    ] {
        client.request(id, "tools/call", &json!({ "name": "get_weather", "arguments": { "city": "Oslo" } }));
        let asked = client.until(|message| message["method"] == "elicitation/create");
        let question = asked["params"]["message"].as_str().unwrap();
        assert!(question.contains("get_weather") && question.contains("Oslo"), "{asked}");
        client.send(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": said }));
        let result = client.answer(id)["result"].take();
        assert!(result["isError"] == is_error && text(&result).contains(words), "{id}: {result}");
    }
    client.leave();
    // Who decided is recorded.
    let shown = agent.host(&["runs"]).ok().stdout.clone();
    assert!(shown.contains("suspended"), "{shown}");
    let mut client = Client::of(&agent, &json!({}));
    let waits = client.call(1, "get_weather", &json!({ "city": "Oslo" }));
    assert!(waits["isError"] == true && text(&waits).contains("waits for a person"), "{waits}");
    client.leave();
    agent.host(&["approve", "last"]).ok();
}

#[test]
fn a_long_result_is_cut_and_the_whole_of_it_can_be_read() {
    let agent =
        Agent::scripted("reply = []").guest("hostile").table("[tools.hostile]\nshown_output = \"1KiB\"");
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    // One table, with both keys.
    std::fs::write(agent.toml(), toml.replace("\n\n[tools.hostile]\nshown_output", "\nshown_output"))
        .unwrap();
    let mut client = Client::of(&agent, &json!({}));
    let long = "x".repeat(5_000);
    let cut = client.call(1, "echo", &json!({ "value": long }));
    assert!(text(&cut).len() < 2_000, "{cut}");
    let link = &cut["content"][1];
    assert_eq!(link["type"], "resource_link", "{cut}");
    let read = client.ask(2, "resources/read", &json!({ "uri": link["uri"] }));
    assert_eq!(read["result"]["contents"][0]["text"], format!("\"{long}\""));
    for uri in ["host://runs/01JD5Q0Z3N8B1M4W6V2YT7XK9C/output", "host://runs/x/output", "file:///etc/passwd"]
    {
        let read = client.ask(3, "resources/read", &json!({ "uri": uri }));
        assert!(read["error"]["code"].is_number(), "{uri}: {read}");
    }
    let whole = client.call(4, "echo", &json!({ "value": "short" }));
    assert!(whole["content"].as_array().unwrap().len() == 1 && text(&whole) == "short", "{whole}");
    client.leave();
}

#[test]
fn a_call_tells_how_far_it_is_and_can_be_cancelled() {
    let agent = Agent::scripted("reply = []").guest("hostile");
    let mut client = Client::of(&agent, &json!({}));
    let params = json!({ "name": "spin", "arguments": {}, "_meta": { "progressToken": "spinning" } });
    client.request(1, "tools/call", &params);
    let told = client.until(|message| message["method"] == "notifications/progress");
    assert_eq!(told["params"]["progressToken"], "spinning", "{told}");
    assert_eq!(told["params"]["message"], "tool(0,0) began", "{told}");
    let cancel = json!({ "requestId": 1, "reason": "enough" });
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel }));
    crate::support::until("the run is cancelled", || {
        agent.host(&["runs"]).ok().stdout.contains("cancelled").then_some(())
    });
    client.leave();
}

#[test]
fn more_tools_than_a_page_are_listed_page_by_page() {
    let export = |index| format!("(func (export \"f{index:03}\") (canon lift (core func $core \"f\")))");
    let exports = (0..120).map(export).collect::<Vec<_>>().concat();
    let text = format!(
        "(component (core module $m (func (export \"f\"))) (core instance $core (instantiate $m)) {exports})"
    );
    let agent = Agent::scripted("reply = []").table("[tools.many]\nsource = \"many.wasm\"");
    std::fs::write(agent.dir.path().join("many.wasm"), wat::parse_str(text).unwrap()).unwrap();
    let mut client = Client::of(&agent, &json!({}));
    let first = client.ask(1, "tools/list", &json!({}))["result"].take();
    let second = client.ask(2, "tools/list", &json!({ "cursor": first["nextCursor"] }))["result"].take();
    let names: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["tools"].as_array().unwrap())
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!((names.len(), names[0], names[119]), (120, "f000", "f119"));
    assert!(second.get("nextCursor").is_none_or(Value::is_null), "{second}");
    assert_eq!(text_of_call(&mut client), "null");
    client.leave();
}

fn text_of_call(client: &mut Client) -> String {
    text(&client.call(3, "f007", &json!({}))).to_owned()
}

/// What a client would read, for an agent and a home of the test's own.
fn installed(agent: &Agent, home: &std::path::Path, args: &[&str]) -> crate::support::Ran {
    let args = [&["mcp", "agent.toml", "--install"][..], args].concat();
    let mut command = agent.command(&args);
    command.env("HOME", home).env_remove("CODEX_HOME").env_remove("XDG_CONFIG_HOME");
    command.output().unwrap().into()
}

/// Starts what is written, from another directory, and is greeted by it.
fn greets(agent: &Agent, server: &Value) {
    let args = server["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
    let mut command = agent.command(&args.collect::<Vec<_>>());
    let mut child = command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let greeting = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "a client", "version": "1" } } });
    writeln!(child.stdin.as_ref().unwrap(), "{greeting}").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["result"]["serverInfo"]["name"], "host");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_client_is_to_start_is_written_into_its_file_and_starts() {
    let agent = Agent::scripted("[[reply]]\ntext = \"x\"").guest("weather").table("");
    let home = tempfile::tempdir().unwrap();
    let exe = env!("CARGO_BIN_EXE_host");
    for (client, file, servers) in [
        ("claude-code", agent.dir.path().join(".mcp.json"), "mcpServers"),
        ("vscode", agent.dir.path().join(".vscode/mcp.json"), "servers"),
        ("cursor", home.path().join(".cursor/mcp.json"), "mcpServers"),
        ("claude-desktop", home.path().join(".config/Claude/claude_desktop_config.json"), "mcpServers"),
    ] {
        let printed = installed(&agent, home.path(), &[client, "--name", "mine"]);
        printed.ok().says(file.to_str().unwrap());
        assert!(!file.exists());
        let printed: Value = serde_json::from_str(&printed.stdout).unwrap();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let before =
            format!("{{\"z\": 1, \"{servers}\": {{\"other\": {{\"command\": \"x\"}}}}, \"a\": [1.50]}}");
        std::fs::write(&file, &before).unwrap();
        installed(&agent, home.path(), &[client, "--name", "mine", "--write"]).ok();
        let text = std::fs::read_to_string(&file).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(written[servers]["mine"], printed[servers]["mine"]);
        assert_eq!(written[servers]["mine"]["command"], exe);
        assert_eq!(written[servers]["other"]["command"], "x");
        greets(&agent, &written[servers]["mine"]);
        let keys: Vec<&String> = written.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["z", servers, "a"], "what is there stays as it is");
        installed(&agent, home.path(), &[client, "--name", "mine", "--write"]).ok().says("already");
        installed(&agent, home.path(), &[client, "--name", "other", "--write"])
            .exits(2)
            .says("another server named other");
        std::fs::write(&file, "{ // mine\n}").unwrap();
        installed(&agent, home.path(), &[client, "--write"]).exits(2).says("not plain JSON");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{ // mine\n}");
    }
}

#[test]
fn what_codex_and_goose_are_to_start_is_written_as_they_read_it() {
    let agent = Agent::scripted("[[reply]]\ntext = \"x\"").guest("weather");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".codex/config.toml");
    let printed = installed(&agent, home.path(), &["codex", "--name", "mine"]).ok().stdout.clone();
    assert!(printed.starts_with("[mcp_servers.mine]\ncommand = "), "{printed}");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "model = \"o\" # mine\n\n[mcp_servers.other]\ncommand = \"x\"\n").unwrap();
    installed(&agent, home.path(), &["codex", "--name", "mine", "--write"]).ok();
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(
        written.starts_with("model = \"o\" # mine\n\n[mcp_servers.other]\ncommand = \"x\"\n"),
        "{written}"
    );
    let table: toml::Table = written.parse().unwrap();
    let mine = &table["mcp_servers"]["mine"];
    assert_eq!(mine["args"].as_array().unwrap()[1].as_str(), agent.toml().to_str());
    installed(&agent, home.path(), &["codex", "--name", "mine", "--write"]).ok().says("already");
    installed(&agent, home.path(), &["codex", "--name", "other", "--write"]).exits(2).says("another server");
    std::fs::write(&file, "= 1").unwrap();
    installed(&agent, home.path(), &["codex", "--write"]).exits(2).says("does not read");

    let printed = installed(&agent, home.path(), &["goose", "--name", "mine"]).ok().stdout.clone();
    for line in ["extensions:", "  \"mine\":", "    type: stdio", "    enabled: true", "    args: [\"mcp\", "]
    {
        assert!(printed.lines().any(|it| it.starts_with(line)), "{line} in\n{printed}");
    }
    installed(&agent, home.path(), &["goose", "--write"]).exits(2).says("goose configure");
}
