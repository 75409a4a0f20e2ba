//! Runs of one process, over one exporter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use host::config::Config;
use host::dispatch::{Person, Spoken};
use host::engine::{
    Engine, Front, LoadedAgent, NewRun, Outcome, People, Purpose, RunHandle, Told, Unwatched, Watcher,
};
use host::message::{Decision, Manifest, RunId, Slot, ToolAsk};
use host::toolbox::{Compiler, Strangers};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::collector::Collector;
use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::{Agent, cache};

/// More than there could be threads to spare for.
const RUNS: usize = 50;

/// What the threads that export are called: the two of the queue, and that of the client.
const THREADS: [&str; 3] = ["OpenTelemetry.T", "reqwest-interna", "traces-flush"];

/// Somebody who notes that he is asked, and never answers.
#[derive(Clone)]
struct Asked(Arc<Semaphore>);

impl Person for Asked {
    fn decide<'a>(&'a self, _slot: &'a Slot, _ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        self.0.add_permits(1);
        Box::pin(std::future::pending())
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, _question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(std::future::pending())
    }
}

impl People for Asked {
    fn attend(&self, _agent: &LoadedAgent, _manifest: &Manifest) -> Arc<dyn Person> {
        Arc::new(self.clone())
    }
}

/// Notes what goes wrong beside the run.
struct Troubles(UnboundedSender<String>);

impl Watcher for Troubles {
    fn tell(&self, told: Told<'_>) {
        if let Told::Trouble(trouble) = told {
            self.0.send(trouble.to_owned()).unwrap();
        }
    }
}

/// How many threads of this process have each of these names.
fn threads() -> BTreeMap<&'static str, usize> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end meanwhile.
    let names: Vec<String> =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect();
    THREADS.map(|name| (name, names.iter().filter(|it| it.trim() == name).count())).into()
}

/// Starts the runs, waits until all go on at once, interrupts them, and waits until what they did is exported. The
/// threads that there were meanwhile, and what was said to be lost.
async fn fifty_at_once(
    agent: &Agent,
    url: &str,
) -> (BTreeSet<RunId>, BTreeMap<&'static str, usize>, Vec<String>) {
    let exporter = host::telemetry::Collector::find(Some(&url.parse().unwrap())).unwrap();
    let compiler = Compiler::new(env!("CARGO_BIN_EXE_host").as_ref());
    let engine = Engine::builder(&agent.state(), &cache(), compiler)
        .exporter(exporter)
        .strangers(Strangers::Allow)
        .build();
    let config = Config::load(&agent.toml()).unwrap();
    let loaded = engine.load(config, Purpose::Run, &Unwatched).await.unwrap();
    let (troubles, mut told) = unbounded_channel();
    let asked = Asked(Arc::new(Semaphore::new(0)));
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let front = Front { watcher: Arc::new(Troubles(troubles.clone())), people: Arc::new(asked.clone()) };
        runs.push(engine.start(NewRun::new(Arc::clone(&loaded), "go on"), front).await.unwrap());
    }
    let _all = asked.0.acquire_many(u32::try_from(RUNS).unwrap()).await.unwrap();
    let ids = runs.iter().map(RunHandle::id).collect();
    let threads = threads();
    for run in &mut runs {
        run.interrupt();
        assert!(matches!(run.outcome().await, Outcome::Interrupted));
    }
    join_all(runs.into_iter().map(RunHandle::close)).await;
    drop(troubles);
    told.close();
    let mut lost = Vec::new();
    while let Some(trouble) = told.recv().await {
        lost.push(trouble);
    }
    (ids, threads, lost)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// One test, because it counts the threads of its process.
#[test]
fn runs_share_one_exporter_and_each_says_what_was_lost_of_its_own() {
    let collector = Collector::start();
    let agent = asking(ASK_NEW_YORK);
    let (runs, threads, lost) = runtime().block_on(fifty_at_once(&agent, &collector.server.uri()));
    assert_eq!(lost, [""; 0]);
    assert!(threads.values().all(|count| *count <= 1), "{threads:?}");
    assert_eq!((threads["OpenTelemetry.T"], threads["traces-flush"]), (1, 1), "{threads:?}");
    let spans = collector.spans();
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.id).collect();
    assert_eq!(ids.len(), spans.len(), "each span arrives once");
    let of = |slot: &str| -> BTreeSet<RunId> {
        let spans = spans.iter().filter(|span| span.text("host.slot") == slot);
        spans.map(|span| span.text("host.run.id").parse().unwrap()).collect()
    };
    for slot in ["run", "model(0)"] {
        assert_eq!(of(slot), runs, "{slot}");
        assert_eq!(spans.iter().filter(|span| span.text("host.slot") == slot).count(), RUNS, "{slot}");
    }
    for span in &spans {
        let run: RunId = span.text("host.run.id").parse().unwrap();
        assert_eq!(span.trace, run.to_bytes(), "the trace is the run");
    }

    // The same with a collector that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let (_, _, lost) = runtime().block_on(fifty_at_once(&agent, &url));
    assert_eq!(lost.len(), RUNS, "each run says it once: {lost:#?}");
    for said in &lost {
        assert!(said.contains("spans were not exported to"), "{said}");
        // Not of all runs together.
        let of: usize = said.split(' ').nth(2).unwrap().parse().unwrap();
        assert_eq!(of, spans.len() / RUNS, "{said}");
    }
}
