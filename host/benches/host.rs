//! What a call, a run and a replay cost: `cargo bench -p benches`.
//!
//! (a) one isolated call beside a bare wasmtime loop over the same guest and the same engine, on one thread
//! and on two; (b) a durable run of 10 turns x 3 calls; (c) one turn of 1,000 calls; (d) replay; (e) 32 runs
//! at once over one journal. Criterion measures, and a table at the end puts the medians of this very run
//! beside each other. Every journal here is sled on disk, with every acknowledged record fdatasynced.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a benchmark may panic, and prints"
)]

mod bare;
mod common;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

use bare::Bare;
use common::root;
use host::agent::Agent;
use host::config::Config;
use host::dispatch::{Dispatcher, NoRunner, ToolRunner as _};
use host::journal::{JournalStore, SledStore};
use host::message::{Digest, Ending, Json, Manifest, RunId, Slot};
use host::model::Models;
use host::sandbox::Metering;
use host::session::{Attempt, Decisions, Mode, NoCalls, Session};
use host::toolbox::{Toolbox, serve_compiler_if_asked};
use work::{Bench, INPUT, cache, caller, scripted, threads};

/// Runs measured at once in (e).
const CONCURRENT_RUNS: [usize; 5] = [1, 8, 32, 128, 1_000];

/// How often a call is cancelled.
const CANCELLED: usize = 50;

fn main() {
    if serve_compiler_if_asked().is_some() {
        return;
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    // Beside the build, because a temporary directory may be in memory, where a sync costs nothing.
    let bench = Bench::new(&root().join("target"));
    bench.isolated_call(&mut criterion);
    let pairs = bench.pairs();
    bench.durable_run(&mut criterion);
    bench.wide_turn(&mut criterion);
    bench.replay(&mut criterion);
    let events_per_sync = bench.concurrent_runs(&mut criterion);
    let cancelled_ms = bench.cancel();
    criterion.final_summary();
    summary(&pairs);
    println!("    events per sync: {}", events_per_sync.join(", "));
    println!(
        "a call that is cancelled while it computes is gone after {:.1} ms, {:.1} ms at most (a tick is 5 ms)",
        cancelled_ms[CANCELLED / 2],
        cancelled_ms[CANCELLED - 1]
    );
}

/// How much slower a call through the host is than the bare one, in rounds that alternate between the two:
/// a machine whose speed drifts drifts for both.
struct Pairs {
    /// The ratios on one thread, sorted.
    ratios: Vec<f64>,
    /// The same where instructions are counted, too.
    fueled: Vec<f64>,
    /// How many times as many calls two threads make, sorted.
    scaling: Vec<f64>,
}

impl Bench {
    fn isolated_call(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("a_isolated_call");
        let bare = Bare::new(&self.sandbox, &self.component);
        group.bench_function("bare", |b| b.iter_custom(|n| threads(1, n, || bare.caller(INPUT))));
        group.bench_function("host", |b| b.iter_custom(|n| threads(1, n, || caller(&self.toolbox))));
        group.bench_function("bare_2_threads", |b| b.iter_custom(|n| threads(2, n, || bare.caller(INPUT))));
        group
            .bench_function("host_2_threads", |b| b.iter_custom(|n| threads(2, n, || caller(&self.toolbox))));
        group.finish();
        let (bytes, cache) = (std::fs::read(&self.component).unwrap(), cache(&self.directory));
        let digest = Digest::of(&bytes);
        criterion.bench_function("load_from_cache", |b| {
            let engine = self.sandbox.engine(Metering::Time).unwrap();
            b.iter(|| {
                let load = cache.load(engine, Metering::Time, (&bytes, digest), "weather.wasm", &|_| {});
                self.runtime.block_on(load).unwrap()
            });
        });
    }

    fn pairs(&self) -> Pairs {
        const ROUNDS: usize = 21;
        const CALLS: u64 = 4_000;
        let bare = Bare::new(&self.sandbox, &self.component);
        let (mut ratios, mut fueled, mut scaling) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let of_bare = threads(1, CALLS, || bare.caller(INPUT));
            let of_host = threads(1, CALLS, || caller(&self.toolbox));
            let of_two = threads(2, CALLS, || caller(&self.toolbox));
            let of_fueled = threads(1, CALLS, || caller(&self.fueled));
            ratios.push(of_host.as_secs_f64() / of_bare.as_secs_f64());
            fueled.push(of_fueled.as_secs_f64() / of_bare.as_secs_f64());
            scaling.push(of_host.as_secs_f64() / of_two.as_secs_f64());
        }
        ratios.sort_by(f64::total_cmp);
        fueled.sort_by(f64::total_cmp);
        scaling.sort_by(f64::total_cmp);
        Pairs { ratios, fueled, scaling }
    }

    fn durable_run(&self, criterion: &mut Criterion) {
        let (manifest, model) = (self.manifest(11, 128), scripted(10, 3));
        criterion.bench_function("b_durable_run_10_turns_x_3_calls", |b| {
            b.iter_custom(|n| (0..n).map(|_| self.run_in_own_journal(&manifest, &model).0).sum());
        });
    }

    fn wide_turn(&self, criterion: &mut Criterion) {
        let (manifest, model) = (self.manifest(2, 1000), scripted(1, 1000));
        criterion.bench_function("c_turn_of_1000_calls", |b| {
            b.iter_custom(|n| (0..n).map(|_| self.run_in_own_journal(&manifest, &model).0).sum());
        });
    }

    fn replay(&self, criterion: &mut Criterion) {
        let (manifest, model) = (self.manifest(101, 128), scripted(100, 10));
        let store: Arc<dyn JournalStore> =
            Arc::new(SledStore::open(&self.directory.path().join("d")).unwrap());
        let id = RunId::new();
        self.spawn_run(id, &store, &manifest, &model);
        let entries = store.read(id).unwrap().len();
        let mut group = criterion.benchmark_group("d_replay");
        group.throughput(Throughput::Elements(entries as u64));
        group.bench_function(format!("{entries}_entries"), |b| {
            b.iter(|| {
                let replay = replay(id, Arc::clone(&store), Arc::clone(&manifest));
                self.runtime.block_on(self.runtime.spawn(replay)).unwrap();
            });
        });
        group.finish();
    }

    /// From the moment a call is cancelled to that when its instance is gone, in milliseconds, sorted.
    fn cancel(&self) -> Vec<f64> {
        let root = root();
        let hostile = root.join("guest-tools/hostile");
        let toml = format!(
            "version = 1\n[model]\nprovider = \"scripted\"\nscript = \"-\"\n[tools.t]\nsource = \"{}\"",
            hostile.display()
        );
        let config = Config::parse(&toml, &self.directory.path().join("agent.toml")).unwrap();
        let cache = cache(&self.directory);
        let load = Toolbox::load(&config, &self.sandbox, &cache, &|_| {});
        let toolbox = Arc::new(self.runtime.block_on(load).unwrap());
        let one = || {
            let toolbox = Arc::clone(&toolbox);
            self.runtime.block_on(async {
                let spinning = tokio::spawn(async move {
                    let entry = toolbox.entries().iter().find(|entry| entry.export == "spin").unwrap();
                    let attempt = Attempt::new(RunId::new(), 1, &Slot::tool(0, 0), 1, 1);
                    toolbox.call(entry, &Json::empty_object(), &attempt, Arc::<NoCalls>::default()).await
                });
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert_eq!(self.sandbox.live_instances(), 1);
                spinning.abort();
                let clock = Instant::now();
                while self.sandbox.live_instances() > 0 {
                    // Not so often that it delays what it waits for.
                    std::thread::sleep(Duration::from_micros(50));
                }
                clock.elapsed().as_secs_f64() * 1e3
            })
        };
        let mut times: Vec<f64> = (0..CANCELLED).map(|_| one()).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// Says how many events a sync made durable, for each number of runs.
    fn concurrent_runs(&self, criterion: &mut Criterion) -> Vec<String> {
        let of = |count| {
            let store = Arc::new(SledStore::open(&self.directory.path().join(format!("e{count}"))).unwrap());
            self.crowd(criterion, count, &(Arc::clone(&store) as _));
            let (events, syncs) = store.events_and_syncs();
            #[allow(clippy::cast_precision_loss, reason = "shown to two digits")]
            let ratio = events as f64 / syncs.max(1) as f64;
            format!("{ratio:.1} with {count}")
        };
        CONCURRENT_RUNS.into_iter().map(of).collect()
    }

    fn crowd(&self, criterion: &mut Criterion, count: usize, store: &Arc<dyn JournalStore>) {
        let (manifest, model) = (self.manifest(2, 128), scripted(1, 3));
        let mut group = criterion.benchmark_group("e_runs_at_once");
        group.throughput(Throughput::Elements(1));
        group.bench_function(count.to_string(), |b| {
            b.iter_custom(|runs| self.runs_at_once((count, runs), store, &manifest, &model));
        });
        group.finish();
    }
}

/// From the records on disk to the answer.
async fn replay(id: RunId, store: Arc<dyn JournalStore>, manifest: Arc<Manifest>) {
    let entries = store.read(id).unwrap();
    let session = Session::open(id, Mode::Replay, entries, &manifest, Decisions::default(), Box::new(|_| {}))
        .await
        .unwrap();
    let dispatcher = Arc::new(Dispatcher::new(&manifest, Arc::new(NoRunner), 128));
    let models = Models::absent();
    let agent = Agent { manifest, session: Arc::new(session), models, dispatcher, slot: Slot::RUN };
    assert_eq!(agent.run(None).await.unwrap().ending, Ending::Answer("done".to_owned()));
}

/// The medians of this run, beside each other.
fn summary(pairs: &Pairs) {
    let median = |name: &str| -> Option<f64> {
        let root = root().join("target/criterion").join(name);
        let text = std::fs::read_to_string(root.join("new/estimates.json")).ok()?;
        let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
        estimates["median"]["point_estimate"].as_f64()
    };
    let replay = std::fs::read_dir(root().join("target/criterion/d_replay"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find_map(|name| {
            Some((name.strip_suffix("_entries")?.parse::<f64>().ok()?, median(&format!("d_replay/{name}"))?))
        });
    println!("\nmedians of this run");
    if let (Some(bare), Some(host), Some(bare2), Some(host2)) = (
        median("a_isolated_call/bare"),
        median("a_isolated_call/host"),
        median("a_isolated_call/bare_2_threads"),
        median("a_isolated_call/host_2_threads"),
    ) {
        println!(
            "(a) one isolated call: {:.1} us, {:.2} x bare wasmtime ({:.1} us)",
            host / 1e3,
            host / bare,
            bare / 1e3
        );
        println!(
            "    on 2 threads: {:.2} x as many calls (bare wasmtime: {:.2} x)",
            host / host2,
            bare / bare2
        );
    }
    let middle = |sorted: &[f64]| sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    println!(
        "    round by round: {:.2} x bare wasmtime ({:.2} x with fuel counted), {:.2} x as many calls on 2 threads",
        middle(&pairs.ratios),
        middle(&pairs.fueled),
        middle(&pairs.scaling)
    );
    if let Some(ns) = median("load_from_cache") {
        println!("    loading the compiled component from the cache: {:.2} ms", ns / 1e6);
    }
    if let Some(ns) = median("b_durable_run_10_turns_x_3_calls") {
        println!("(b) durable run of 10 turns x 3 calls: {:.2} ms", ns / 1e6);
    }
    if let Some(ns) = median("c_turn_of_1000_calls") {
        println!("(c) one turn of 1,000 calls: {:.1} ms", ns / 1e6);
    }
    if let Some((entries, ns)) = replay {
        println!("(d) replay: {:.0} entries/s", entries / (ns / 1e9));
    }
    for count in CONCURRENT_RUNS {
        if let Some(ns) = median(&format!("e_runs_at_once/{count}")) {
            println!("(e) {count} runs of 1 turn x 3 calls at once over one journal: {:.0} runs/s", 1e9 / ns);
        }
    }
}
