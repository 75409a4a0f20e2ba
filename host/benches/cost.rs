//! What a run costs, and who spends it: `cargo bench -p benches --bench cost`.
//!
//! For the works (a), (b), (c) and (e) of the benchmark `host`: processor time by thread beside wall time, how much it
//! differs from run to run, allocations, and syncs. `--in DIR` has the journals elsewhere: in a directory that is in
//! memory, such as `/dev/shm`, a sync costs nothing, and what is left is the processor's work.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark may panic, and prints"
)]

mod common;
mod work;

use std::alloc::System;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::root;
use host::journal::{JournalStore, SledStore};
use host::toolbox::serve_compiler_if_asked;
use stats_alloc::{Region, StatsAlloc};
use work::{Bench, caller, scripted, threads};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// How often each work is measured.
const ROUNDS: usize = 200;

/// Rounds of the work that takes longest.
const WIDE_ROUNDS: usize = 40;

/// Runs that are made in one round of many at once.
const CROWD: u64 = 2_000;

/// Calls that are made one after the other.
const CALLS: u64 = 20_000;

fn main() {
    if serve_compiler_if_asked().is_some() {
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let after = |name: &str| arguments.iter().position(|it| it == name).map(|at| &arguments[at + 1..]);
    let directory = after("--in").and_then(|rest| rest.first()).map_or(root().join("target"), PathBuf::from);
    let bench = Bench::new(&directory);
    let works = ["a", "b", "c", "e32", "e128"];
    println!("journals in {}; times in us, each of one run", directory.display());
    for work in works {
        println!("{work}: {}", measured(&bench, work));
    }
}

/// Carries a work out, `rounds` times: how long each run took, how many runs that were, and how many syncs.
fn carry_out(bench: &Bench, work: &str, rounds: usize) -> (Vec<Duration>, u64, Option<u64>) {
    let many = |count: usize| {
        let (manifest, model) = (bench.manifest(2, 128), scripted(1, 3));
        let journal = tempfile::tempdir_in(bench.directory.path()).unwrap();
        let store = Arc::new(SledStore::open(journal.path()).unwrap());
        let shared: Arc<dyn JournalStore> = Arc::clone(&store) as _;
        let took = bench.runs_at_once((count, CROWD), &shared, &manifest, &model);
        (vec![took / u32::try_from(CROWD).unwrap()], CROWD, Some(store.events_and_syncs().1))
    };
    let alone = |turns: usize, calls: usize, rounds: usize| {
        let manifest =
            bench.manifest(u32::try_from(turns).unwrap() + 1, u32::try_from(calls.max(128)).unwrap());
        let model = scripted(turns, calls);
        let rounds = (0..rounds).map(|_| bench.run_in_own_journal(&manifest, &model));
        let (took, syncs): (Vec<Duration>, Vec<u64>) = rounds.unzip();
        let runs = took.len() as u64;
        (took, runs, Some(syncs.iter().sum()))
    };
    match work {
        "a" => {
            let took = threads(1, CALLS, || caller(&bench.toolbox));
            (vec![took / u32::try_from(CALLS).unwrap()], CALLS, None)
        }
        "b" => alone(10, 3, rounds),
        "c" => alone(1, 1_000, rounds.min(WIDE_ROUNDS)),
        "e32" => many(32),
        "e128" => many(128),
        other => panic!("there is no work {other}"),
    }
}

fn measured(bench: &Bench, work: &str) -> String {
    carry_out(bench, work, 5);
    let (region, before) = (Region::new(ALLOCATOR), by_thread());
    let (mut took, runs, syncs) = carry_out(bench, work, ROUNDS);
    let (allocated, after) = (region.change(), by_thread());
    took.sort_unstable();
    let us = |duration: &Duration| duration.as_secs_f64() * 1e6;
    let said = if let [each] = took.as_slice() {
        format!("{:.0} wall, {:.0} runs/s", us(each), 1.0 / each.as_secs_f64())
    } else {
        let at = |part: usize| took.get(took.len() * part / 100).map_or(0.0, us);
        let slow = took.iter().filter(|took| us(took) > 10.0 * at(50)).count();
        let most = took.last().map_or(0.0, us);
        format!("{:.0} wall, p99 {:.0}, at most {most:.0}, {slow} over 10 x the median", at(50), at(99))
    };
    let each = |count: u64| count as f64 / runs as f64;
    let [workers, rest] = [0, 1].map(|at| each(after[at].saturating_sub(before[at])) / 1e3);
    let said = format!(
        "{said}; {:.0} of processor time (workers {workers:.0}, journal and rest {rest:.0}); {:.0} allocations, {:.0} kB",
        workers + rest,
        each((allocated.allocations + allocated.reallocations) as u64),
        each(allocated.bytes_allocated as u64) / 1e3
    );
    match syncs {
        Some(syncs) => format!("{said}; {:.2} syncs", each(syncs)),
        None => said,
    }
}

/// The processor time of the threads that carry runs out, and that of all others, the journal's among them, in nanoseconds.
fn by_thread() -> [u64; 2] {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let workers = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.join("comm")).ok()?;
        let stat = fs::read_to_string(task.join("schedstat")).ok()?;
        name.starts_with("tokio").then(|| stat.split_whitespace().next().unwrap().parse::<u64>().unwrap())
    });
    let workers = workers.sum();
    [workers, of_process().saturating_sub(workers)]
}

/// The processor time of this process, user and system, with that of threads that have ended, in nanoseconds.
fn of_process() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}
