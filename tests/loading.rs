//! Agents that are loaded more than once by one engine: what they share, and what is looked at again.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use host::config::Config;
use host::engine::{Engine, LoadedAgent, Purpose, Told, Watcher};
use host::message::Digest;
use host::toolbox::{Compiler, Strangers};

use crate::support::{Agent, root};

/// Notes what is done while an agent is loaded.
#[derive(Default)]
struct Work(Mutex<Vec<String>>);

impl Watcher for Work {
    fn tell(&self, told: Told<'_>) {
        if let Told::Loading(progress) = told {
            self.0.lock().unwrap().push(format!("{progress:?}"));
        }
    }
}

async fn load(engine: &Engine, agent: &Agent) -> (Arc<LoadedAgent>, Vec<String>) {
    let work = Work::default();
    let loaded = engine.load(Config::load(&agent.toml()).unwrap(), Purpose::Run, &work).await.unwrap();
    (loaded, work.0.into_inner().unwrap())
}

fn forget_compiled(cache: &Path) -> usize {
    let compiled = std::fs::read_dir(cache).unwrap().map(|file| file.unwrap().path());
    let compiled = compiled.filter(|path| path.extension().is_some_and(|it| it == "cwasm"));
    compiled.map(|path| std::fs::remove_file(path).unwrap()).count()
}

fn component(agent: &LoadedAgent) -> Digest {
    agent.tools()[0].component
}

#[test]
fn a_component_is_made_once_for_all_who_load_it_and_a_changed_one_is_seen() {
    let agent = Agent::scripted("[[reply]]\ntext = \"done\"").table("[tools.weather]\nsource = \"w.wasm\"");
    let (wasm, cache) = (agent.dir.path().join("w.wasm"), agent.dir.path().join("components"));
    let mut bytes = std::fs::read(root().join("examples/weather/weather.wasm")).unwrap();
    std::fs::write(&wasm, &bytes).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let compiler = Compiler::new(env!("CARGO_BIN_EXE_host").as_ref());
        let engine = Engine::builder(&agent.state(), &cache, compiler).strangers(Strangers::Allow).build();
        let loaded = join_all((0..4).map(|_| load(&engine, &agent))).await;
        let with_work =
            loaded.iter().filter(|(_, work)| work.iter().any(|it| it.contains("compiled w.wasm")));
        assert_eq!(with_work.count(), 1, "the others wait for it");
        assert_eq!(forget_compiled(&cache), 1);
        let first = component(&loaded[0].0);
        // Whoever loads it now would have to compile it again.
        let (again, work) = load(&engine, &agent).await;
        assert_eq!((component(&again), work), (first, Vec::new()));
        drop((loaded, again));
        let (again, work) = load(&engine, &agent).await;
        assert_eq!((component(&again), work), (first, Vec::new()), "it is kept for a while");

        // A section that says nothing, and makes another component of it.
        bytes.extend([0, 2, 1, b'x']);
        std::fs::write(&wasm, &bytes).unwrap();
        let (changed, work) = load(&engine, &agent).await;
        assert!(component(&changed) != first && !work.is_empty(), "{work:?}");
        // What bounds its calls bounds its listing, too, so another agent.toml shares nothing.
        let toml = std::fs::read_to_string(agent.toml()).unwrap();
        let line = "source = \"w.wasm\"";
        assert!(toml.contains(line));
        let bounded = toml.replace(line, &format!("{line}\nlimits.memory = \"40MiB\""));
        std::fs::write(agent.toml(), bounded).unwrap();
        assert_eq!(forget_compiled(&cache), 1);
        let (_, work) = load(&engine, &agent).await;
        assert!(!work.is_empty());
    });
}
