//! A server that is killed again and again while clients begin runs, with a witness outside of it that is the model's
//! provider and what the tools reach. `HOST_TEST_SOAK=3600 cargo test --release --test main soak -- --nocapture` is an hour
//! of it; from ten minutes on the server is killed every minute.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::{Answer, Server, ask};
use crate::shared::work::Random;
use crate::support::{Agent, PATIENCE, cache, root};

const CLIENTS: usize = 6;
const CALLS: usize = 3;
const SESSIONS: u64 = 8;

/// Who sees from outside what was done: the model's provider, and the service that the tools reach.
#[derive(Clone, Default)]
struct Witness(Arc<(Mutex<Seen>, Condvar)>);

#[derive(Default)]
struct Seen {
    /// How often each call arrived, by the number of its run and by its index.
    calls: BTreeMap<(usize, usize), usize>,
    /// Connections that are not served to the end, in the order in which they came.
    open: BTreeSet<usize>,
}

impl Witness {
    fn start() -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let witness = Self::default();
        let serving = witness.clone();
        std::thread::spawn(move || {
            for (place, stream) in listener.incoming().flatten().enumerate() {
                serving.seen().open.insert(place);
                let serving = serving.clone();
                std::thread::spawn(move || {
                    // What is broken off was killed.
                    let _ = serving.serve(place, stream, port);
                    serving.seen().open.remove(&place);
                    serving.0.1.notify_all();
                });
            }
        });
        (witness, port)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.0.lock().unwrap()
    }

    fn serve(&self, place: usize, mut stream: TcpStream, port: u16) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = first.split(' ').nth(1).unwrap_or_default();
        let answer = match path.strip_prefix("/call/").and_then(|call| call.split_once('/')) {
            Some((run, index)) => {
                let call = (run.parse().unwrap(), index.parse().unwrap());
                *self.seen().calls.entry(call).or_default() += 1;
                "ok".to_owned()
            }
            None if path == "/settled" => {
                // Whatever a killed server had sent came before this.
                let is_earlier = |seen: &mut Seen| seen.open.first().is_some_and(|other| *other < place);
                drop(self.0.1.wait_while(self.seen(), is_earlier).unwrap());
                String::new()
            }
            None => reply(&serde_json::from_slice(&body)?, port).to_string(),
        };
        let kind = if path.starts_with("/call/") { "text/plain" } else { "application/json" };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
            answer.len()
        )
    }
}

/// What the model replies: calls for the number that it is asked about, and then that it is done.
fn reply(asked: &Value, port: u16) -> Value {
    let messages = asked["messages"].as_array().unwrap();
    let text = |message: &Value| match &message["content"] {
        Value::Array(parts) => parts[0]["text"].as_str().unwrap().to_owned(),
        content => content.as_str().unwrap().to_owned(),
    };
    let number = text(messages.iter().rfind(|message| message["role"] == "user").unwrap());
    let is_done = messages.last().unwrap()["role"] == "tool";
    let call = |index: usize| {
        let input = json!({ "url": format!("http://127.0.0.1:{port}/call/{number}/{index}") }).to_string();
        let function = json!({ "name": "fetch", "arguments": input });
        json!({ "id": format!("call-{index}"), "type": "function", "function": function })
    };
    let (reason, message) = if is_done {
        ("stop", json!({ "role": "assistant", "content": format!("done {number}") }))
    } else {
        let calls: Vec<Value> = (0..CALLS).map(call).collect();
        ("tool_calls", json!({ "role": "assistant", "content": null, "tool_calls": calls }))
    };
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    let choice = json!({ "index": 0, "finish_reason": reason, "message": message });
    json!({ "id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage })
}

/// The agents: one whose calls may be made again, and one whose calls a person has to look after when the host died.
fn write_agents(directory: &Path, port: u16) {
    let fetch = root().join("guest-tools/fetch");
    for (name, tool) in [("reads", "idempotent = [\"fetch\"]"), ("pays", "")] {
        let path = directory.join("agents").join(name);
        std::fs::create_dir_all(&path).unwrap();
        let toml = format!(
            "version = 1\n[agent]\nname = \"{name}\"\n[model]\nprovider = \"openai\"\nname = \"m\"\n\
             base_url = \"http://127.0.0.1:{port}/v1\"\napi_key_env = \"THE_KEY\"\n\
             [tools.fetch]\nsource = \"{}\"\n[tools.fetch.retry]\nmax_attempts = 9\n{tool}\n\
             [[tools.fetch.permissions.network]]\nhost = \"http://127.0.0.1:{port}\"\nmethods = [\"GET\"]\n\
             allow_private = true",
            fetch.display()
        );
        std::fs::write(path.join("agent.toml"), toml).unwrap();
    }
    let host = "[server]\nagents = [\"agents\"]\n[server.limits]\nrequests_per_minute = 10_000_000";
    std::fs::write(directory.join("host.toml"), host).unwrap();
}

fn serve(directory: &Path, listen: &str) -> Server {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_host"));
    command.current_dir(directory).args(["serve", "--config", "host.toml", "--listen", listen]);
    command.env("HOST_STATE", directory.join("state")).env("HOST_CACHE", cache()).env("THE_KEY", "k");
    command.env("HOST_TRUST_BUILD", "1");
    Server::spawned(command)
}

/// What clients know: the address, and which runs were accepted.
struct Clients {
    address: String,
    ends: AtomicBool,
    next: AtomicUsize,
    accepted: Mutex<BTreeMap<usize, String>>,
}

impl Clients {
    /// Sends until the server, killed or not, has answered with one of these.
    fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
        taken: &[u16],
    ) -> Answer {
        let headers: Vec<(&str, &str)> = key.iter().map(|key| ("idempotency-key", *key)).collect();
        let body = body.map(Value::to_string);
        let clock = Instant::now();
        loop {
            assert!(clock.elapsed() < PATIENCE, "the server never answers {method} {path}");
            match ask(&self.address, method, path, &headers, body.as_deref()) {
                Some(answer) if taken.contains(&answer.status) => return answer,
                // Nobody listened, it was broken off, or the server says: later.
                None | Some(Answer { status: 429 | 503, .. }) => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Some(answer) => panic!("{method} {path}: {}\n{}", answer.head, answer.body),
            }
        }
    }

    /// Begins runs, one after the other.
    fn begin(&self, mut random: Random) {
        while !self.ends.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let agent = if random.below(2) == 0 { "reads" } else { "pays" };
            let mut body = json!({ "prompt": number.to_string() });
            match random.below(10) {
                0 => body["delay"] = json!("1s"),
                1..4 => body["session"] = json!(format!("{agent}-{}", random.below(SESSIONS))),
                _ => {}
            }
            let (path, key) = (format!("/agents/{agent}/runs"), format!("key-{number}"));
            let begin = || {
                let begun: Value = serde_json::from_str(
                    &self.send("POST", &path, Some(&key), Some(&body), &[200, 202]).body,
                )
                .unwrap();
                begun["run"].as_str().unwrap().to_owned()
            };
            let run = begin();
            if random.below(10) == 0 {
                assert_eq!(begin(), run, "the same key is the same run");
            }
            self.accepted.lock().unwrap().insert(number, run);
        }
    }

    /// Says of calls in doubt whether they arrived, as somebody would who can look.
    fn settle(&self, witness: &Witness, port: u16) {
        let waiting = self.send("GET", "/waiting?limit=1000", None, None, &[200]).body;
        let waiting: Value = serde_json::from_str(&waiting).unwrap();
        ask(&format!("127.0.0.1:{port}"), "GET", "/settled", &[], None).unwrap();
        for run in waiting["runs"].as_array().unwrap() {
            for waits in run["waiting"].as_array().into_iter().flatten() {
                assert_eq!(waits["wants"], "settlement", "{run}");
                let url = waits["input"]["url"].as_str().unwrap();
                let mut parts = url.rsplit('/').map(str::parse::<usize>);
                let (index, number) = (parts.next().unwrap().unwrap(), parts.next().unwrap().unwrap());
                let has_arrived = witness.seen().calls.contains_key(&(number, index));
                let settle = if has_arrived {
                    let result = json!({ "status": 200, "body": "ok" });
                    json!({ "slot": waits["slot"], "how": "result", "result": result })
                } else {
                    json!({ "slot": waits["slot"], "how": "retry" })
                };
                let path = format!("/runs/{}/settle", run["run"].as_str().unwrap());
                // A word that was heard before the kill, and is said again, does not count.
                self.send("POST", &path, None, Some(&settle), &[200, 202, 409, 422]);
            }
        }
    }
}

#[test]
fn a_server_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let seconds: u64 = std::env::var("HOST_TEST_SOAK").map_or(15, |seconds| seconds.parse().unwrap());
    let every_ms = if seconds < 600 { 1_500..4_000 } else { 60_000..60_001 };
    // The tool is compiled before anything is measured.
    Agent::scripted("[[reply]]\ntext = \"ok\"").guest("fetch").host(&["check"]).ok();
    let directory = tempfile::tempdir().unwrap();
    let (witness, port) = Witness::start();
    write_agents(directory.path(), port);
    let mut server = serve(directory.path(), "127.0.0.1:0");
    let clients = Clients {
        address: server.address().to_owned(),
        ends: AtomicBool::new(false),
        next: AtomicUsize::new(0),
        accepted: Mutex::default(),
    };
    let (mut kills, mut memory, mut random) = (0, Vec::new(), Random(7));
    let clock = Instant::now();
    // It serves until the end of the test.
    let _server = std::thread::scope(|scope| {
        // Also if the server does not start again: nobody waits for it for ever.
        let _ends = Ends(&clients.ends);
        let begin = |client: usize| {
            let clients = &clients;
            scope.spawn(move || clients.begin(Random(100 + client as u64)))
        };
        let beginning: Vec<_> = (0..CLIENTS).map(begin).collect();
        let settling = scope.spawn(|| {
            while !clients.ends.load(Ordering::Relaxed) {
                clients.settle(&witness, port);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        while clock.elapsed() < Duration::from_secs(seconds) {
            let pause = every_ms.start + random.below(every_ms.end - every_ms.start);
            std::thread::sleep(Duration::from_millis(pause));
            memory.push(server.memory());
            server.kill();
            kills += 1;
            server = serve(directory.path(), &clients.address);
        }
        clients.ends.store(true, Ordering::Relaxed);
        for client in beginning {
            client.join().unwrap();
        }
        settling.join().unwrap();
        server
    });
    let accepted = clients.accepted.lock().unwrap();
    let (mut again, mut repeated) = (0, 0);
    for (number, run) in &*accepted {
        let shown = crate::support::until("the run ends", || clients.settle_if_it_waits(&witness, port, run));
        assert_eq!(shown["answer"], format!("done {number}"), "{shown}");
        for index in 0..CALLS {
            let arrived = witness.seen().calls.get(&(*number, index)).copied().unwrap_or_default();
            assert!(arrived > 0, "run {number}: call {index} is answered, and was never made");
            if shown["agent"] == "pays" {
                assert_eq!(arrived, 1, "run {number}: call {index} may be made only once");
            }
            if arrived > 1 {
                let begun = begun(&clients, run, index);
                assert!(
                    arrived <= begun,
                    "run {number}: call {index} arrived {arrived} times, begun {begun}"
                );
                again += 1;
                repeated += arrived - 1;
            }
        }
    }
    let (first, last) = (memory.first().copied().unwrap(), memory.last().copied().unwrap());
    println!(
        "{seconds} s: {} runs accepted, 0 lost; {kills} kills; {again} repeatable calls were made again after a kill, \
         {repeated} times in all; memory {first} kB before the first kill, {last} kB before the last, {} kB at most",
        accepted.len(),
        memory.iter().max().unwrap()
    );
    assert!(kills > 1 && accepted.len() > 20, "{} runs, {kills} kills", accepted.len());
}

impl Clients {
    /// How a run stands once it has ended; until then whatever waits is settled.
    fn settle_if_it_waits(&self, witness: &Witness, port: u16, run: &str) -> Option<Value> {
        let shown = self.send("GET", &format!("/runs/{run}"), None, None, &[200]);
        let shown: Value = serde_json::from_str(&shown.body).unwrap();
        match shown["state"].as_str().unwrap() {
            "running" | "interrupted" => None,
            // What is queued may come after another run of its session, which waits.
            "queued" | "suspended" => {
                self.settle(witness, port);
                None
            }
            _ => Some(shown),
        }
    }
}

/// Has clients end when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How often a call of a run is recorded to have begun.
fn begun(clients: &Clients, run: &str, index: usize) -> usize {
    let record = clients.send("GET", &format!("/runs/{run}/record"), None, None, &[200]).body;
    let is_it = |line: &&str| line.contains(&format!("tool(0,{index})")) && line.contains("started");
    record.lines().filter(is_it).count()
}
