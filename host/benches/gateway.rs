//! What `host` adds to the requests of an agent of another SDK: to a request for a reply, to a call of a tool, and to a
//! start that gets what is recorded.
//!
//! The server is a process of its own, built like the one that is handed out; the provider and the program are this one.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark may panic, prints, and documents nothing"
)]

mod common;

use std::path::Path;
use std::time::Instant;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use common::{Server, bench, root};

/// Requests of each kind.
const COUNT: usize = 400;
/// Requests of a conversation, each of which has all that was said before.
const TURNS: usize = 100;

fn main() {
    bench(|_| measure());
}

async fn measure() {
    let directory = tempfile::tempdir_in(root().join("target")).unwrap();
    let provider = provider().await;
    write_agent(directory.path(), &provider);
    let server = Server::start(directory.path());
    let client = Client::builder().no_proxy().build().unwrap();
    let direct = format!("{provider}/chat/completions");
    let run = begin(&client, &server.url).await;
    let at = start(&client, &server.url, &run).await;
    let through = format!("{at}/v1/chat/completions");
    let said =
        |n: usize| json!({ "model": "m", "messages": [{ "role": "user", "content": format!("word {n}") }] });
    for round in 0..3 {
        let numbers = round * COUNT..(round + 1) * COUNT;
        let before = times(&client, &direct, numbers.clone().map(said)).await;
        let after = times(&client, &through, numbers.map(said)).await;
        println!(
            "a request for a reply: {:.2} ms to the provider, {:.2} ms through the host, p99 {:.2} and {:.2} ms",
            before[COUNT / 2],
            after[COUNT / 2],
            before[COUNT * 99 / 100],
            after[COUNT * 99 / 100]
        );
        let call = |n: usize| {
            let arguments = json!({ "city": "New York" });
            json!({ "jsonrpc": "2.0", "id": n, "method": "tools/call",
                "params": { "name": "get_weather", "arguments": arguments } })
        };
        let calls = times(&client, &format!("{at}/mcp"), (0..COUNT).map(|n| call(round * COUNT + n))).await;
        println!("a call of a tool: {:.2} ms, p99 {:.2} ms", calls[COUNT / 2], calls[COUNT * 99 / 100]);
    }
    let run = begin(&client, &server.url).await;
    for name in ["recorded", "from the record"] {
        let through = format!("{}/v1/chat/completions", start(&client, &server.url, &run).await);
        let clock = Instant::now();
        for turn in 0..TURNS {
            let messages: Vec<Value> = (0..=turn * 2).map(message).collect();
            times(&client, &through, std::iter::once(json!({ "model": "m", "messages": messages }))).await;
        }
        println!("a conversation of {TURNS} requests, {name}: {:.0} ms", clock.elapsed().as_secs_f64() * 1e3);
    }
}

fn message(n: usize) -> Value {
    let role = if n.is_multiple_of(2) { "user" } else { "assistant" };
    json!({ "role": role, "content": if role == "user" { format!("word {n}") } else { "hello".to_owned() } })
}

/// How long each request takes, in milliseconds, sorted.
async fn times(client: &Client, url: &str, bodies: impl Iterator<Item = Value>) -> Vec<f64> {
    let mut times = Vec::new();
    for body in bodies {
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .body(body.to_string());
        let clock = Instant::now();
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        times.push(clock.elapsed().as_secs_f64() * 1e3);
        assert!(status.is_success(), "{text}");
    }
    times.sort_by(f64::total_cmp);
    times
}

async fn begin(client: &Client, url: &str) -> String {
    let begun = post(client, &format!("{url}/runs"), &json!({ "agent": "program" })).await;
    begun["run"].as_str().unwrap().to_owned()
}

async fn start(client: &Client, url: &str, run: &str) -> String {
    let started = post(client, &format!("{url}/runs/{run}/starts"), &json!({})).await;
    format!("{url}{}", started["path"].as_str().unwrap())
}

async fn post(client: &Client, url: &str, body: &Value) -> Value {
    let answer = client.post(url).header("content-type", "application/json").body(body.to_string());
    serde_json::from_str(&answer.send().await.unwrap().text().await.unwrap()).unwrap()
}

/// A provider that says the same to everybody, at once.
async fn provider() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(replies(stream));
        }
    });
    format!("http://{address}/v1")
}

async fn replies(mut stream: TcpStream) {
    let reply = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hello" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 } })
    .to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        reply.len()
    );
    let answer = format!("{head}{reply}");
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while let Ok(read) = stream.read(&mut buffer).await
        && read > 0
    {
        bytes.extend_from_slice(&buffer[..read]);
        while let Some(length) = request_length(&bytes).filter(|length| *length <= bytes.len()) {
            bytes.drain(..length);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// How long the first request is, if its head is there.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let (head, _) = text.split_once("\r\n\r\n")?;
    let length = head.to_ascii_lowercase();
    let length =
        length.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse::<usize>();
    Some(head.len() + 4 + length.unwrap_or_default())
}

fn write_agent(directory: &Path, provider: &str) {
    let path = directory.join("program");
    std::fs::create_dir(&path).unwrap();
    let toml = format!(
        "version = 1\n[agent]\nname = \"program\"\n[model]\nprovider = \"openai\"\nname = \"m\"\nbase_url = {provider:?}\n\
         [limits]\nmax_turns = 10000\nmax_calls_per_turn = 4096\n[gateway]\n[tools.weather]\nsource = \"{}\"",
        root().join("guest-tools/weather").display()
    );
    std::fs::write(path.join("agent.toml"), toml).unwrap();
    let host = "[server]\nlisten = \"127.0.0.1:0\"\nagents = [\"program\"]\n\
                [server.limits]\nrequests_per_minute = 10_000_000";
    std::fs::write(directory.join("host.toml"), host).unwrap();
}
