//! Agents of six SDKs, as `examples/sdk` has them, killed at every step and started again: an outside witness counts what
//! their model was asked and what their tools did.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::name;
use super::program::Program;
use crate::languages::are_there;
use crate::serve::server::Server;
use crate::support::{Agent, root};

/// A provider of models, and a site that tools ask: what they were asked, in order.
struct Witness {
    port: u16,
    seen: Mutex<Vec<String>>,
    changed: Condvar,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// How long the site takes, so that calls that are made at once can be seen to be.
const SITE_TIME: Duration = Duration::from_millis(200);

impl Witness {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let witness = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            seen: Mutex::default(),
            changed: Condvar::new(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let serves = Arc::clone(&witness);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serves = Arc::clone(&serves);
                thread::spawn(move || serves.serve(stream));
            }
        });
        witness
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line).is_err() || line.is_empty() {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = if path.starts_with("/check/") {
            self.see(&path);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            thread::sleep(SITE_TIME);
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            json!({ "checked": path })
        } else {
            self.see("model");
            self.reply(&path, &serde_json::from_slice(&body).unwrap())
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        // Who asked may have been killed.
        let _ = stream.write_all(format!("{head}{answer}").as_bytes());
    }

    fn see(&self, what: &str) {
        self.seen.lock().unwrap().push(what.to_owned());
        self.changed.notify_all();
    }

    /// Waits until so much was seen, unless `done` comes first.
    fn sees(&self, count: usize, done: impl Fn() -> bool) {
        let mut seen = self.seen.lock().unwrap();
        while seen.len() < count && !done() {
            seen = self.changed.wait_timeout(seen, Duration::from_millis(20)).unwrap().0;
        }
    }

    /// Three calls at once, and then an answer, in the form of the interface.
    fn reply(&self, path: &str, body: &Value) -> Value {
        let asked = body.to_string();
        let has_results =
            ["\"tool\"", "function_call_output", "functionResponse"].iter().any(|it| asked.contains(it));
        let input = |n: usize| json!({ "url": format!("http://127.0.0.1:{}/check/{n}", self.port) });
        let done = "all three are checked";
        if path.contains("generateContent") {
            let parts: Vec<Value> = if has_results {
                vec![json!({ "text": done })]
            } else {
                (1..=3).map(|n| json!({ "functionCall": { "name": "fetch", "args": input(n) } })).collect()
            };
            return json!({
                "candidates": [{ "content": { "role": "model", "parts": parts }, "finishReason": "STOP", "index": 0 }],
                "usageMetadata": { "promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2 },
                "modelVersion": "gemini-3-flash",
            });
        }
        if path.ends_with("/responses") {
            let output: Vec<Value> = if has_results {
                let part = json!({ "type": "output_text", "text": done, "annotations": [] });
                vec![
                    json!({ "type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part] }),
                ]
            } else {
                let call = |n| {
                    json!({ "type": "function_call", "id": format!("fc_{n}"), "call_id": format!("call_{n}"),
                        "status": "completed", "name": "fetch", "arguments": input(n).to_string() })
                };
                (1..=3).map(call).collect()
            };
            return json!({
                "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": null,
                "incomplete_details": null, "instructions": null, "metadata": {}, "model": "gpt-5-mini",
                "output": output, "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [],
                "top_p": 1.0,
                "usage": { "input_tokens": 1, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 1,
                    "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 2 },
            });
        }
        let message = if has_results {
            json!({ "role": "assistant", "content": done, "refusal": null })
        } else {
            let call = |n| {
                let function = json!({ "name": "fetch", "arguments": input(n).to_string() });
                json!({ "id": format!("call_{n}"), "type": "function", "function": function })
            };
            json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": (1..=3).map(call).collect::<Vec<_>>() })
        };
        let reason = if has_results { "stop" } else { "tool_calls" };
        json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5-mini",
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": reason }],
            "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
        })
    }
}

/// When an agent is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// When so much was seen.
    At(usize),
    /// After so many milliseconds.
    After(u64),
}

/// An agent of an SDK.
#[derive(Clone, Copy)]
struct Sdk {
    name: &'static str,
    provider: &'static str,
    model: &'static str,
    /// Whether it makes the calls of a turn at once. One of them makes one after the other, whatever it is told.
    at_once: bool,
}

impl Sdk {
    const fn of(name: &'static str, provider: &'static str, model: &'static str) -> Self {
        Self { name, provider, model, at_once: true }
    }

    fn program(self) -> (PathBuf, PathBuf) {
        let installed = root().join("target/sdk");
        let (interpreter, file) = match self.name {
            "vercel-ai" | "openai-ts" => ("bin/node", installed.join(self.name).join("agent.mjs")),
            _ => ("bin/python", root().join("examples/sdk").join(self.name).join("agent.py")),
        };
        (installed.join(interpreter), file)
    }

    /// Whether it can be run here.
    fn is_there(self) -> bool {
        let (interpreter, file) = self.program();
        if interpreter.exists() && file.exists() {
            return true;
        }
        // It says that the test is skipped, or fails where nothing may be.
        are_there(&[&format!("no-sdk-{}", self.name)], self.name, "target/sdk is what .ci/run installs")
    }

    fn start(self, program: &Program, server: &Server) -> Child {
        let (interpreter, file) = self.program();
        let at = format!("{}{}", server.url, program.path);
        Command::new(interpreter)
            .arg(file)
            .arg("Check all three.")
            .env("OPENAI_BASE_URL", format!("{at}/v1"))
            .env("GOOGLE_GEMINI_BASE_URL", &at)
            .env("HOST_MCP_URL", format!("{at}/mcp?key={}", program.token))
            .env("OPENAI_API_KEY", &program.token)
            .env("GOOGLE_API_KEY", &program.token)
            .env("OPENAI_AGENTS_DISABLE_TRACING", "1")
            .env_remove("GEMINI_API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Kills the agent at each step, and starts it again.
    fn survives_every_kill(self) {
        if !self.is_there() {
            return;
        }
        // Once without a kill, then at each of the five things that are seen, and then at any time, several times.
        let at_steps = (0..=5).map(|step| if step == 0 { Vec::new() } else { vec![Kill::At(step)] });
        let at_any_time = [[900, 1_300], [400, 2_100]].map(|times| times.map(Kill::After).to_vec());
        for kills in at_steps.chain(at_any_time) {
            self.survives(&kills);
        }
    }

    fn survives(self, kills: &[Kill]) {
        let witness = Witness::start();
        let (agent, server) = self.served(&witness);
        let program = Program::new(&server, &name(&agent));
        let mut next = program.clone();
        for kill in kills {
            let child = Mutex::new(self.start(&next, &server));
            let is_over = || !matches!(child.lock().unwrap().try_wait(), Ok(None));
            match *kill {
                Kill::At(count) => witness.sees(count, is_over),
                Kill::After(ms) => thread::sleep(Duration::from_millis(ms)),
            }
            let mut child = child.into_inner().unwrap();
            // It may have ended.
            let _ = child.kill();
            child.wait().unwrap();
            next = Program::of(&server, &program.run);
        }
        let ended = self.start(&next, &server).wait_with_output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        let what = format!("{} killed {kills:?}\n{out}\n{err}", self.name);
        assert!(ended.status.success() && out.contains("all three are checked"), "{what}");
        let mut seen = witness.seen.lock().unwrap().clone();
        seen.sort();
        assert_eq!(seen, ["/check/1", "/check/2", "/check/3", "model", "model"], "{what}");
        if self.at_once && kills.is_empty() {
            assert!(witness.most_at_once.load(Ordering::SeqCst) > 1, "no two calls overlapped: {what}");
        }
        let end = server.post(&format!("/runs/{}/end", program.run), &json!({})).ok();
        assert_eq!(end["answer"], "all three are checked", "{end}");
        server.kill();
        agent.host(&["replay", "last"]).ok();
    }

    fn served(self, witness: &Witness) -> (Agent, Server) {
        let url = format!("http://127.0.0.1:{}", witness.port);
        let base_url = if self.provider == "gemini" { url.clone() } else { format!("{url}/v1") };
        let agent = Agent::raw(&format!(
            "version = 1\n[model]\nprovider = {:?}\nname = {:?}\nbase_url = {base_url:?}\n\n[gateway]\n",
            self.provider, self.model
        ));
        let grant = format!(
            "[[tools.fetch.permissions.network]]\nhost = {url:?}\nmethods = [\"GET\"]\nallow_private = true"
        );
        let agent = agent.guest("fetch").table(&grant);
        let server = Server::of(&agent);
        (agent, server)
    }
}

#[test]
fn vercel_ai() {
    Sdk::of("vercel-ai", "openai", "gpt-5-mini").survives_every_kill();
}

#[test]
fn openai_ts() {
    Sdk::of("openai-ts", "openai", "gpt-5-mini").survives_every_kill();
}

#[test]
fn openai_py() {
    Sdk::of("openai-py", "openai", "gpt-5-mini").survives_every_kill();
}

#[test]
fn openai_agents() {
    // Its client of MCP makes one call after the other.
    let sdk = Sdk { at_once: false, ..Sdk::of("openai-agents", "openai", "gpt-5-mini") };
    sdk.survives_every_kill();
}

#[test]
fn google_adk() {
    Sdk::of("google-adk", "gemini", "gemini-3-flash").survives_every_kill();
}

#[test]
fn pydantic_ai() {
    Sdk::of("pydantic-ai", "openai", "gpt-5-mini").survives_every_kill();
}

/// `host exec` starts a command with everything that leads it here, starts it again when it fails, and ends the run.
#[test]
fn a_command_is_started_again_and_its_run_is_ended() {
    let agent = super::agent(super::SCRIPT, "");
    let script = "test -n \"$HOST_MCP_URL$OPENAI_BASE_URL\" || exit 9; echo \"start $HOST_START\"; \
                  test -e marker || { touch marker; exit 7; }";
    let directory = agent.dir.path().to_str().unwrap();
    let ran = agent.host(&["exec", directory, "--restarts", "1", "--", "sh", "-c", script]);
    ran.ok().says("exit code 7").says("has ended");
    let starts: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(starts.len(), 2, "{}", ran.stdout);
    assert_ne!(starts[0], starts[1]);
    let failed = agent.host(&["exec", directory, "--", "sh", "-c", "exit 3"]);
    failed.exits(1).says("can go on: host exec");
    let run = failed.stderr.lines().find_map(|line| line.strip_prefix("run ")).unwrap().to_owned();
    agent.host(&["exec", &run, "--", "true"]).ok();
    agent.host(&["exec", "nowhere", "--", "true"]).exits(2).says("neither an agent.toml nor a run");
}
