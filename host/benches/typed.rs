//! What a call of a component costs that knows nothing of the host: `cargo bench -p benches --bench typed`.
//!
//! The same work, the weather in a city, by a function with types and by a tool of the host's own world, in rounds that
//! alternate between the two; and a table of 1 MB of JSON that goes in as records and comes back.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a benchmark may panic, and prints"
)]

mod common;

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::root;
use host::config::Config;
use host::dispatch::ToolRunner as _;
use host::message::{Json, RunId, Slot, ToolEntry};
use host::sandbox::Sandbox;
use host::session::{Attempt, NoCalls};
use host::toolbox::{Compiler, ComponentCache, Toolbox};
use tokio::runtime::Runtime;

const ROUNDS: usize = 21;
const CALLS: u32 = 4_000;
const TABLE_BYTES: usize = 1_000_000;
const TABLES: u32 = 5;

fn main() {
    // The compiler is this program, too.
    if host::toolbox::serve_compiler_if_asked().is_some() {
        return;
    }
    let directory = tempfile::tempdir_in(root().join("target")).unwrap();
    let compiler = Compiler::new(&std::env::current_exe().unwrap());
    let cache = ComponentCache::open(&directory.path().join("cache"), compiler).unwrap();
    let table = |name: &str| {
        let source = root().join("guest-tools").join(name);
        format!("[tools.{name}]\nsource = \"{}\"\n", source.display())
    };
    let toml = format!(
        "version = 1\n[model]\nprovider = \"scripted\"\nscript = \"-\"\n{}{}limits.output = \"16MiB\"\nlimits.memory = \"256MiB\"",
        table("weather"),
        table("typed")
    );
    let config = Config::parse(&toml, &directory.path().join("agent.toml")).unwrap();
    let (runtime, sandbox) = (Runtime::new().unwrap(), Sandbox::new().unwrap());
    let toolbox = Arc::new(
        runtime.block_on(Toolbox::load(&config, &sandbox, &cache, &|it| eprintln!("{it:?}"))).unwrap(),
    );
    let entry = |name: &str| toolbox.entries().iter().find(|it| it.spec.name == name).unwrap();
    let calls = |entry: &ToolEntry, input: &Json, count: u32| -> Duration {
        let attempt = Attempt::new(RunId::new(), 1, &Slot::tool(0, 0), 1, 1);
        let clock = Instant::now();
        runtime.block_on(async {
            for _ in 0..count {
                let _seat = toolbox.seat(RunId::from_bytes([7; 16]), 0).await;
                let done = toolbox.call(entry, input, &attempt, Arc::<NoCalls>::default()).await;
                assert!(black_box(done).value.is_output());
            }
        });
        clock.elapsed() / count
    };
    let city = Json::parse(r#"{"city":"San Francisco"}"#.to_owned()).unwrap();
    let (own, typed) = (entry("get_weather"), entry("weather_get-weather"));
    let mut ratios = Vec::new();
    let mut times = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (of_own, of_typed) = (calls(own, &city, CALLS), calls(typed, &city, CALLS));
        ratios.push(of_typed.as_secs_f64() / of_own.as_secs_f64());
        times = (times.0.min(of_own), times.1.min(of_typed));
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "a call of a typed function: {:.2} x one of the host's own world, round by round; at best {:?} beside {:?}",
        ratios[ROUNDS / 2],
        times.1,
        times.0
    );
    let records = records();
    let best = (0..ROUNDS).map(|_| calls(entry("echo_rows"), &records, TABLES)).min().unwrap();
    #[allow(clippy::cast_precision_loss, reason = "shown in whole megabytes")]
    let rate = 2.0 * records.as_str().len() as f64 / 1e6 / best.as_secs_f64();
    println!("1 MB of records in, and the same out: {best:.1?}, {rate:.0} MB of JSON a second");
}

/// Records as JSON, of so many bytes.
fn records() -> Json {
    let mut rows = String::new();
    for id in 0.. {
        if rows.len() >= TABLE_BYTES {
            break;
        }
        let comma = if id == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(
            rows,
            "{comma}{{\"id\":{id},\"name\":\"row number {id}\",\"score\":{}.25,\"active\":{},\"tags\":[\"a\",\"tag {id}\"]}}",
            id % 1000,
            id % 2 == 0
        );
    }
    Json::parse(format!("{{\"rows\":[{rows}]}}")).unwrap()
}
