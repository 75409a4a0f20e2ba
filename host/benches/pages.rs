//! What it takes to look at a run: of 1,000 parallel calls, and of 100,000 events. `-- QUICK` measures a tenth.
//!
//! The server is a process of its own, built like the one that is handed out. Where Chromium and its driver are there, it
//! is also measured when the page is first painted, and how smoothly it scrolls; on the same machine, which draws without
//! a graphics card.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::unreachable,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a benchmark may panic, prints, documents nothing, and uses a part of what it shares"
)]

#[path = "../../tests/pages/browser.rs"]
mod browser;
mod common;

/// What the browser is shared by with the tests.
mod support {
    pub(crate) use crate::common::root;
}

use std::path::Path;
use std::time::Instant;

use browser::Browser;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use common::{Server, bench, memory, root};

/// Calls of one turn.
const CALLS: usize = 1_000;

fn main() {
    bench(|arguments| measure(if arguments.iter().any(|argument| argument == "QUICK") { 5 } else { 50 }));
}

async fn measure(turns: usize) {
    let directory = tempfile::tempdir_in(root().join("target")).unwrap();
    write_agents(directory.path(), turns);
    let server = Server::start(directory.path());
    let client = Client::builder().no_proxy().build().unwrap();
    for (agent, turns, times) in [("wide", 1, 30), ("long", turns, 8)] {
        let begun = client.post(server.url(&format!("/agents/{agent}/runs?wait=10m")));
        let begun = begun.header("content-type", "application/json").body("{}").send().await.unwrap();
        let (status, text) = (begun.status(), begun.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{text}");
        let run: Value = serde_json::from_str(&text).unwrap();
        let page = server.url(&format!("/ui/runs/{}", run["run"].as_str().unwrap()));
        println!("a run of {turns} turns with {CALLS} calls each");
        let middle = format!("{page}?from={}", turns * CALLS / 2);
        let detail = format!("{page}/at/tool-0-{}", CALLS / 2);
        for (what, url, times) in [
            ("its page", &page, times),
            ("its lines in the middle", &middle, times),
            ("one call", &detail, times),
            ("its conversation", &format!("{page}/chat"), times),
            ("its file", &format!("{page}/file"), 3),
        ] {
            fetch(&client, what, url, times).await;
        }
        println!("  the server then has {:.0} MB", megabytes(memory(server.process.id())));
        look(&page).await;
    }
}

/// Gets a page so many times, and says how long that took.
async fn fetch(client: &Client, what: &str, url: &str, times: usize) {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for _ in 0..=times {
        let clock = Instant::now();
        let answer = client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{url}");
        bytes = answer.bytes().await.unwrap().len();
        all.push(clock.elapsed().as_secs_f64() * 1e3);
    }
    let first = all.remove(0);
    all.sort_by(f64::total_cmp);
    println!(
        "  {what}: {first:.1} ms at first, then {:.1} ms, {:.1} ms at most of {times}; {:.2} MB",
        all[all.len() / 2],
        all[all.len() - 1],
        megabytes(bytes as u64)
    );
}

/// Waits until the page is painted, and gives when that was, and when it was ready, in milliseconds.
const PAINTED: &str = "
    const done = arguments[arguments.length - 1];
    const look = () => {
        const painted = performance.getEntriesByName('first-contentful-paint')[0];
        if (!painted) return setTimeout(look, 20);
        done([painted.startTime, performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd]);
    };
    look();";

/// Scrolls what scrolls, one step a frame, and gives the times between frames in milliseconds.
const SCROLL: &str = "
    const done = arguments[arguments.length - 1], box = document.querySelector('.timeline.long') || document.scrollingElement;
    const times = []; let before = 0;
    box.scrollTop = 0;
    const step = (now) => {
        if (before) times.push(now - before);
        before = now;
        box.scrollTop += 120;
        if (times.length < 200) requestAnimationFrame(step); else done(times);
    };
    requestAnimationFrame(step);";

/// Looks at a page in a browser, if there is one.
async fn look(page: &str) {
    let Some(browser) = Browser::new(false, 1440).await else { return };
    let mut paints = Vec::new();
    for _ in 0..8 {
        browser.goto(page).await;
        browser.see(".tools:not([hidden])").await;
        let times = browser.client.execute_async(PAINTED, Vec::new()).await.unwrap();
        paints.push((times[0].as_f64().unwrap(), times[1].as_f64().unwrap()));
    }
    paints.remove(0);
    paints.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (paint, ready) = paints[paints.len() / 2];
    println!(
        "  in a browser: first painted after {paint:.0} ms, {:.0} ms at most of 7; ready after {ready:.0} ms",
        paints[6].0
    );
    let times = browser.client.execute_async(SCROLL, Vec::new()).await.unwrap();
    let mut times: Vec<f64> = times.as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
    times.sort_by(f64::total_cmp);
    println!(
        "  scrolled: a frame each {:.1} ms, p95 {:.1} ms, {:.1} ms at most of 200",
        times[100], times[190], times[199]
    );
    browser.end().await;
}

#[allow(clippy::cast_precision_loss, reason = "shown to four digits")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// An agent whose model asks for many calls at once, and one whose model does so in many turns.
fn write_agents(directory: &Path, turns: usize) {
    let weather = root().join("guest-tools/weather");
    for (name, turns) in [("wide", 1), ("long", turns)] {
        let path = directory.join(name);
        std::fs::create_dir(&path).unwrap();
        let call = |n: usize| format!("{{ name = \"get_weather\", input = {{ city = \"{n}\" }} }}");
        let turn = |turn: usize| {
            let calls: Vec<String> = (0..CALLS).map(|n| call(turn * CALLS + n)).collect();
            format!("[[reply]]\ncalls = [{}]\n", calls.join(", "))
        };
        let script: String = (0..turns).map(turn).collect();
        std::fs::write(path.join("script.toml"), format!("{script}[[reply]]\ntext = \"done\"")).unwrap();
        let toml = format!(
            "version = 1\n[agent]\nname = \"{name}\"\nprompt = \"What is it like?\"\n[model]\nprovider = \"scripted\"\n\
             script = \"script.toml\"\n[tools.weather]\nsource = \"{}\"\n\
             [limits]\nmax_calls_per_turn = {CALLS}\nmax_turns = 100\nwall_time = \"10m\"\n",
            weather.display()
        );
        std::fs::write(path.join("agent.toml"), toml).unwrap();
    }
    let host = "[server]\nlisten = \"127.0.0.1:0\"\nagents = [\"wide\", \"long\"]\n\
                [server.limits]\nrequests_per_minute = 10_000_000";
    std::fs::write(directory.join("host.toml"), host).unwrap();
}
