//! What `host serve` costs its clients: runs a second, waiting runs, followers, a restart. `-- QUICK` measures a tenth.
//!
//! The server is a process of its own, built like the one that is handed out; the clients share its machine. With
//! `HOST_BENCH_PEER=URL HOST_BENCH_PEER_BODY=JSON` the same clients send the same load to another server.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark may panic, prints, and documents nothing"
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use common::{Server, bench, memory, root};

/// Clients that each send one request after the other.
const CLIENTS: usize = 32;

fn main() {
    bench(|arguments| measure(if arguments.iter().any(|argument| argument == "QUICK") { 10 } else { 1 }));
}

async fn measure(scale: usize) {
    let (runs, crowd, followers) = (10_000 / scale, 10_000 / scale, 1_000 / scale);
    let directory = tempfile::tempdir_in(root().join("target")).unwrap();
    write_agents(directory.path());
    let mut server = Server::start(directory.path());
    let client = Client::builder().no_proxy().build().unwrap();
    let (url, three) = (server.url("/three/run"), json!({ "message": "What is the weather like?" }));
    load("host serve", &client, &url, &three, runs).await;
    if let (Ok(peer), Ok(body)) = (std::env::var("HOST_BENCH_PEER"), std::env::var("HOST_BENCH_PEER_BODY")) {
        let body = serde_json::from_str(&body).unwrap();
        load("the peer", &client, &peer, &body, runs / 4).await;
        load("host serve again", &client, &url, &three, runs).await;
    }
    waiting(&client, &server, "asks", json!({ "prompt": "May it?" }), crowd).await;
    waiting(&client, &server, "three", json!({ "prompt": "Later.", "delay": "24h" }), crowd).await;
    follow(&client, &server, followers).await;
    server.kill();
    let clock = Instant::now();
    let again = Server::start(directory.path());
    let ready = client.get(again.url("/readyz")).send().await.unwrap().status();
    assert_eq!(ready, StatusCode::OK);
    println!(
        "killed and started again with {} unfinished runs: serves after {:.2} s, {:.1} MB",
        2 * crowd,
        clock.elapsed().as_secs_f64(),
        megabytes(memory(again.process.id()))
    );
}

/// Sends so many requests from all clients, and says how long answers took.
async fn load(name: &str, client: &Client, url: &str, body: &Value, count: usize) {
    let run = |count: usize| {
        let left = Arc::new(AtomicUsize::new(count));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (left, client, url, body) = (Arc::clone(&left), client.clone(), url.to_owned(), body.clone());
            clients.spawn(async move {
                let mut times = Vec::new();
                let another = |left: usize| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).is_ok() {
                    let clock = Instant::now();
                    let answer = client.post(&url).header("content-type", "application/json");
                    let answer = answer.body(body.to_string()).send().await.unwrap();
                    let (status, text) = (answer.status(), answer.text().await.unwrap());
                    assert_eq!(status, StatusCode::OK, "{text}");
                    times.push(clock.elapsed().as_secs_f64() * 1e3);
                }
                times
            });
        }
        clients.join_all()
    };
    run(count / 10).await;
    let clock = Instant::now();
    let mut times: Vec<f64> = run(count).await.into_iter().flatten().collect();
    let seconds = clock.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() - 1) * part / 1_000];
    println!(
        "{name}, {CLIENTS} clients, 1 model call and 3 tools a run: {:.0} runs/s; p50 {:.1} ms, p99 {:.1} ms, \
         {:.1} ms at most of {}",
        f64::from(u32::try_from(times.len()).unwrap()) / seconds,
        at(500),
        at(990),
        at(1_000),
        times.len()
    );
}

/// Begins runs that wait, and says what each costs in memory.
async fn waiting(client: &Client, server: &Server, agent: &str, body: Value, count: usize) {
    let begin = |count: usize| {
        let left = Arc::new(AtomicUsize::new(count));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (left, client, body) = (Arc::clone(&left), client.clone(), body.clone());
            let url = server.url(&format!("/agents/{agent}/runs"));
            clients.spawn(async move {
                let another = |left: usize| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).is_ok() {
                    let answer = client.post(&url).header("content-type", "application/json");
                    let answer = answer.body(body.to_string()).send().await.unwrap();
                    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
                }
            });
        }
        clients.join_all()
    };
    begin(CLIENTS * 4).await;
    server.idle(client).await;
    let before = memory(server.process.id());
    let clock = Instant::now();
    begin(count).await;
    server.idle(client).await;
    let more = memory(server.process.id()).saturating_sub(before);
    println!(
        "{count} runs of the agent `{agent}` that wait, begun in {:.1} s: {:.1} MB, {:.1} kB each",
        clock.elapsed().as_secs_f64(),
        megabytes(more),
        megabytes(more) * 1e3 / f64::from(u32::try_from(count).unwrap())
    );
}

/// Has many clients follow a run that waits, has it go on, and says how long all of them took to hear of its end.
async fn follow(client: &Client, server: &Server, count: usize) {
    let url = server.url("/agents/asks/runs");
    let begun = client.post(url).header("content-type", "application/json").body("{\"prompt\":\"May it?\"}");
    let run: Value = serde_json::from_str(&begun.send().await.unwrap().text().await.unwrap()).unwrap();
    let id = run["run"].as_str().unwrap().to_owned();
    server.idle(client).await;
    let before = memory(server.process.id());
    let (mut followers, heard) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..count {
        let url = server.url(&format!("/runs/{id}/events"));
        let heard = Arc::clone(&heard);
        // A connection of its own each, as different clients have.
        followers.spawn(async move {
            let client = Client::builder().no_proxy().build().unwrap();
            let mut events = client.get(url).header("accept", "text/event-stream").send().await.unwrap();
            assert_eq!(events.status(), StatusCode::OK);
            let mut text = Vec::new();
            let mut is_counted = false;
            while let Some(chunk) = events.chunk().await.unwrap() {
                text.extend_from_slice(&chunk);
                if !is_counted {
                    heard.fetch_add(1, Ordering::Relaxed);
                    is_counted = true;
                }
            }
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("done"), "{text}");
        });
    }
    while heard.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let more = memory(server.process.id()).saturating_sub(before);
    let clock = Instant::now();
    let approve = client.post(server.url(&format!("/runs/{id}/approve")));
    let approved = approve.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert!(approved.status().is_success(), "{}", approved.text().await.unwrap());
    while let Some(follower) = followers.join_next().await {
        follower.unwrap();
    }
    println!(
        "{count} clients follow one run: {:.1} MB, {:.1} kB each; all have heard its end {:.0} ms after its approval",
        megabytes(more),
        megabytes(more) * 1e3 / f64::from(u32::try_from(count).unwrap()),
        clock.elapsed().as_secs_f64() * 1e3
    );
}

#[allow(clippy::cast_precision_loss, reason = "shown to four digits")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// An agent whose model makes three calls and is done, and one whose call waits for approval.
fn write_agents(directory: &Path) {
    let weather = root().join("guest-tools/weather");
    let write = |name: &str, calls: usize, more: &str| {
        let path = directory.join(name);
        std::fs::create_dir(&path).unwrap();
        let call = "{ name = \"get_weather\", input = { city = \"San Francisco\" } }, ".repeat(calls);
        let script = format!("[[reply]]\ncalls = [{call}]\n[[reply]]\ntext = \"done\"");
        std::fs::write(path.join("script.toml"), script).unwrap();
        let toml = format!(
            "version = 1\n[agent]\nname = \"{name}\"\n[model]\nprovider = \"scripted\"\nscript = \"script.toml\"\n\
             [tools.weather]\nsource = \"{}\"\n{more}",
            weather.display()
        );
        std::fs::write(path.join("agent.toml"), toml).unwrap();
    };
    write("three", 3, "");
    write("asks", 1, "[[approval.ask]]\ntool = \"get_weather\"");
    let host = "[server]\nlisten = \"127.0.0.1:0\"\nagents = [\"three\", \"asks\"]\n\
                [server.limits]\nrequests_per_minute = 10_000_000";
    std::fs::write(directory.join("host.toml"), host).unwrap();
}

impl Server {
    /// Waits until no run is worked on or waits for a place.
    async fn idle(&self, client: &Client) {
        loop {
            let metrics = client.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap();
            let is_zero = |state: &str| metrics.contains(&format!("host_runs{{state=\"{state}\"}} 0\n"));
            if is_zero("working") && is_zero("queued") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
