//! What the benchmarks of runs carry out: runs whose model has a script, and whose tool is the weather.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::common::root;
use host::agent::Agent;
use host::config::Config;
use host::dispatch::{Dispatcher, ToolRunner as _};
use host::journal::{JournalStore, SledStore};
use host::message::{
    Approvals, Budgets, Ending, Json, Manifest, ModelIdentity, Retry, Rules, RunId, Slot, Words,
};
use host::model::{Model, Models, Script, Scripted};
use host::sandbox::Sandbox;
use host::session::{Attempt, Decisions, Mode, NoCalls, Session};
use host::toolbox::{Compiler, ComponentCache, Owner, Strangers, Toolbox, build};

pub(crate) const INPUT: &str = r#"{"city":"San Francisco"}"#;

/// The weather tool, loaded once, and a directory for journals.
pub(crate) fn cache(directory: &TempDir) -> ComponentCache {
    let compiler = Compiler::new(&std::env::current_exe().unwrap());
    let cache = ComponentCache::open(&directory.path().join("cache"), compiler).unwrap();
    cache.with_strangers(Strangers::Allow)
}

pub(crate) struct Bench {
    pub(crate) runtime: Runtime,
    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) sandbox: Sandbox,
    pub(crate) toolbox: Arc<Toolbox>,
    /// The same with a limit on instructions, which are counted then.
    #[allow(dead_code, reason = "not every benchmark counts them")]
    pub(crate) fueled: Arc<Toolbox>,
    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) component: PathBuf,
    pub(crate) directory: TempDir,
}

impl Bench {
    /// Journals are made in a directory.
    pub(crate) fn new(directory: &Path) -> Self {
        let root = root();
        let directory = tempfile::tempdir_in(directory).unwrap();
        let cache = cache(&directory);
        let weather = root.join("guest-tools/weather");
        let runtime = Runtime::new().unwrap();
        let built = build(&weather, Owner::Person, &cache, &|it| eprintln!("{it:?}"));
        let component = runtime.block_on(built).unwrap().artifact;
        let toml = format!(
            "version = 1\n[model]\nprovider = \"scripted\"\nscript = \"-\"\n[tools.weather]\nsource = \"{}\"",
            component.display()
        );
        let sandbox = Sandbox::new().unwrap();
        let load = |toml: &str| {
            let config = Config::parse(toml, &directory.path().join("agent.toml")).unwrap();
            Arc::new(runtime.block_on(Toolbox::load(&config, &sandbox, &cache, &|_| {})).unwrap())
        };
        let (toolbox, fueled) = (load(&toml), load(&format!("{toml}\nlimits.fuel = 5_000_000_000")));
        Self { runtime, sandbox, toolbox, fueled, component, directory }
    }

    /// A run as `host run` does it, with a journal of its own: made, written, closed. Says how long that took, and how many
    /// syncs there were before it was closed.
    pub(crate) fn run_in_own_journal(
        &self,
        manifest: &Arc<Manifest>,
        model: &Arc<dyn Model>,
    ) -> (Duration, u64) {
        let journal = tempfile::tempdir_in(self.directory.path()).unwrap();
        let clock = Instant::now();
        let store = Arc::new(SledStore::open(journal.path()).unwrap());
        self.spawn_run(RunId::new(), &(Arc::clone(&store) as _), manifest, model);
        let (_, syncs) = store.events_and_syncs();
        drop(store);
        (clock.elapsed(), syncs)
    }

    /// A run as a task, which is how `host run` carries it out.
    pub(crate) fn spawn_run(
        &self,
        id: RunId,
        store: &Arc<dyn JournalStore>,
        manifest: &Arc<Manifest>,
        model: &Arc<dyn Model>,
    ) {
        let run =
            run(id, Arc::clone(store), Arc::clone(manifest), Arc::clone(model), Arc::clone(&self.toolbox));
        self.runtime.block_on(self.runtime.spawn(run)).unwrap();
    }

    /// Carries out so many runs, `count` of them at once.
    pub(crate) fn runs_at_once(
        &self,
        (count, runs): (usize, u64),
        store: &Arc<dyn JournalStore>,
        manifest: &Arc<Manifest>,
        model: &Arc<dyn Model>,
    ) -> Duration {
        let left = Arc::new(AtomicU64::new(runs));
        let worker = || {
            let (left, store) = (Arc::clone(&left), Arc::clone(store));
            let (manifest, model) = (Arc::clone(manifest), Arc::clone(model));
            let toolbox = Arc::clone(&self.toolbox);
            self.runtime.spawn(async move {
                let another = |n: u64| n.checked_sub(1);
                while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, another).is_ok() {
                    let (store, toolbox) = (Arc::clone(&store), Arc::clone(&toolbox));
                    run(RunId::new(), store, Arc::clone(&manifest), Arc::clone(&model), toolbox).await;
                }
            })
        };
        let clock = Instant::now();
        let workers: Vec<_> = (0..count).map(|_| worker()).collect();
        for worker in workers {
            self.runtime.block_on(worker).unwrap();
        }
        clock.elapsed()
    }

    pub(crate) fn manifest(&self, max_turns: u32, max_calls_per_turn: u32) -> Arc<Manifest> {
        Arc::new(Manifest {
            agent: "bench".to_owned(),
            config: "agent.toml".to_owned(),
            instructions: String::new(),
            prompt: "What is the weather like?".to_owned(),
            images: vec![],
            model: ModelIdentity {
                provider: "scripted".to_owned(),
                name: "bench".to_owned(),
                base_url: None,
                temperature: None,
                max_tokens: None,
                structured_output: false,
                extra: None,
                omit: Vec::new(),
            },
            fallbacks: Vec::new(),
            summary: None,
            max_turns,
            max_calls_per_turn,
            budgets: Budgets::default(),
            approvals: Approvals::default(),
            output_schema: None,
            parameters: std::collections::BTreeMap::default(),
            outside: false,
            ignored: Vec::new(),
            tools: self.toolbox.entries().to_vec().into(),
            seed: 1,
            said: Vec::new(),
            session: None,
            earlier: Vec::new(),
            compact_at_tokens: None,
            forked: None,
            order: None,
            before: None,
            rules: Rules::NOW,
            words: Some(Arc::new(Words::now())),
        })
    }
}

pub(crate) async fn run(
    id: RunId,
    store: Arc<dyn JournalStore>,
    manifest: Arc<Manifest>,
    model: Arc<dyn Model>,
    toolbox: Arc<Toolbox>,
) {
    let session =
        Session::open(id, Mode::Live(store), Vec::new(), &manifest, Decisions::default(), Box::new(|_| {}))
            .await
            .unwrap();
    let dispatcher = Arc::new(Dispatcher::new(&manifest, toolbox, 16));
    let models = Models::only(model, Retry::NEVER);
    let agent = Agent { manifest, session: Arc::new(session), models, dispatcher, slot: Slot::RUN };
    assert_eq!(agent.run(None).await.unwrap().ending, Ending::Answer("done".to_owned()));
}

/// A model that calls the tool so often in each of so many turns, and then is done.
pub(crate) fn scripted(turns: usize, calls: usize) -> Arc<dyn Model> {
    let call = "{ name = \"get_weather\", input = { city = \"San Francisco\" } }, ".repeat(calls);
    let script = format!("[[reply]]\ncalls = [{call}]\n").repeat(turns) + "[[reply]]\ntext = \"done\"";
    Arc::new(Scripted::new(Script::parse(&script, Path::new("bench")).unwrap()))
}

/// One call through the host's own path: context, limits, log, outcome.
pub(crate) fn caller(toolbox: &Arc<Toolbox>) -> impl AsyncFnMut() + Send + use<> {
    let toolbox = Arc::clone(toolbox);
    let input = Json::parse(INPUT.to_owned()).unwrap();
    let attempt = Attempt::new(RunId::new(), 1, &Slot::tool(0, 0), 1, 1);
    async move || {
        let _seat = toolbox.seat(RunId::from_bytes([7; 16]), 0).await;
        let done = toolbox.call(&toolbox.entries()[0], &input, &attempt, Arc::<NoCalls>::default()).await;
        assert!(black_box(done).value.is_output());
    }
}

/// Makes n calls on so many threads, each with a runtime of its own, and takes the time from the moment
/// they all start.
pub(crate) fn threads<C: AsyncFnMut() + Send>(count: u64, n: u64, caller: impl Fn() -> C) -> Duration {
    let barrier = std::sync::Barrier::new(usize::try_from(count).unwrap() + 1);
    std::thread::scope(|scope| {
        for _ in 0..count {
            let (mut caller, barrier) = (caller(), &barrier);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(caller());
                barrier.wait();
                runtime.block_on(async {
                    for _ in 0..n.div_ceil(count) {
                        caller().await;
                    }
                });
                barrier.wait();
            });
        }
        barrier.wait();
        let clock = Instant::now();
        barrier.wait();
        clock.elapsed()
    })
}
