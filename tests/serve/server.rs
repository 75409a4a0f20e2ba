//! `host serve` as a process of its own, and a client that sends what it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Agent, PATIENCE, root};

/// A server that serves the agent of a test.
pub struct Server {
    child: Child,
    pub url: String,
    log: Mutex<Receiver<String>>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Server {
    /// Serves an agent at a port that is free.
    pub fn of(agent: &Agent) -> Self {
        Self::with(agent, &["--listen", "127.0.0.1:0"])
    }

    /// The same beside another version of the weather tool, which is the same: the component `newer.wasm`.
    pub fn with_newer_component(agent: &Agent) -> Self {
        let directory = agent.dir.path().join("candidates");
        std::fs::create_dir(&directory).unwrap();
        std::fs::copy(root().join("examples/weather/weather.wasm"), directory.join("newer.wasm")).unwrap();
        std::fs::write(agent.dir.path().join("host.toml"), "[server]\ncomponents = \"candidates\"\n")
            .unwrap();
        Self::with(agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"])
    }

    pub fn with(agent: &Agent, args: &[&str]) -> Self {
        let directory = agent.dir.path().to_str().unwrap();
        let args: Vec<&str> = ["serve", directory].iter().chain(args).copied().collect();
        Self::spawned(agent.command(&args))
    }

    /// Waits until a server says where it is.
    pub fn spawned(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Self { child, url: String::new(), log: Mutex::new(log) };
        let line = server.says("serving ");
        line.rsplit(' ').next().unwrap().clone_into(&mut server.url);
        server
    }

    /// Waits for a line of the log, and gives it.
    pub fn says(&self, text: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.log.lock().unwrap().recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => before.push(line),
                Err(error) => panic!("the server never said {text:?} ({error}), but:\n{}", before.join("\n")),
            }
        }
    }

    /// What is in the log that nobody asked for, once the server has ended.
    pub fn rest_of_log(mut self) -> String {
        self.signal(Signal::TERM);
        self.child.wait().unwrap();
        let log = self.log.lock().unwrap();
        std::iter::from_fn(|| log.recv_timeout(PATIENCE).ok()).collect::<Vec<_>>().join("\n")
    }

    /// Waits until the server has ended by itself.
    pub fn died(mut self) {
        self.child.wait().unwrap();
    }

    pub fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], Some(&body.to_string()))
    }

    /// Sends a request, and reads the answer to its end.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        self.send(request(self.address(), method, path, headers, body).as_bytes())
    }

    /// Sends bytes, and reads the answer to its end.
    pub fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server that has heard enough may not hear the rest.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::read(&answer)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The run as it stands once it is no more in any of these states.
    pub fn once_not(&self, run: &str, states: &[&str]) -> Value {
        crate::support::until("the run goes on", || {
            let shown = self.get(&format!("/runs/{run}")).ok();
            (!states.contains(&shown["state"].as_str().unwrap())).then_some(shown)
        })
    }

    /// The memory that the process has at this moment, in kilobytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks the server to end, and gives its exit code.
    pub fn end(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> String {
    let mut head = vec![format!("{method} {path} HTTP/1.1"), "connection: close".to_owned()];
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push(format!("host: {address}"));
    }
    head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if let Some(body) = body {
        head.push("content-type: application/json".to_owned());
        head.push(format!("content-length: {}", body.len()));
    }
    format!("{}\r\n\r\n{}", head.join("\r\n"), body.unwrap_or_default())
}

/// Sends a request to a server that may be killed meanwhile. `None` if nobody listens, or the answer breaks off.
pub fn ask_any(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request(address, method, path, headers, body).as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let answer = Answer::read(&bytes);
    let head = answer.head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let is_whole = match length.and_then(|length| length.trim().parse::<usize>().ok()) {
        Some(length) => answer.body.len() == length,
        None => bytes.ends_with(b"0\r\n\r\n"),
    };
    is_whole.then_some(answer)
}

/// The same where the answer says how long it is.
pub fn ask(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Option<Answer> {
    let has_length = |answer: &Answer| answer.head.to_ascii_lowercase().contains("\r\ncontent-length: ");
    ask_any(address, method, path, headers, body).filter(has_length)
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        Self { status, head: head.to_owned(), body }
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}\n\n{}", self.head, self.body);
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        self.is(200)
    }

    /// It is a run that is recorded, whether it has ended by now or not.
    #[track_caller]
    pub fn taken(&self) -> Value {
        self.is(if self.status == 200 { 200 } else { 202 })
    }

    /// It is a problem with this status, whose detail, place or help contains this.
    #[track_caller]
    pub fn problem(&self, status: u16, says: &str) -> Value {
        let problem = self.is(status);
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        assert_eq!(problem["status"], status);
        assert!(self.body.contains(says), "{says:?} is said in {}", self.body);
        problem
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_default();
        let Some(chunk) = rest.get(..size).filter(|_| size > 0) else { break };
        whole.push_str(chunk);
        body = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}
