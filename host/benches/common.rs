//! What the benchmarks share.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use host::engine::{Engine, Unwatched};
use host::server::{Serving, Settings};
use host::toolbox::{Compiler, Strangers, serve_compiler_if_asked};

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The memory of a process that is its own at this moment, in bytes.
#[allow(dead_code, reason = "not every benchmark measures it")]
pub(crate) fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The argument by which a benchmark becomes the server.
#[allow(dead_code, reason = "not every benchmark has a server")]
const SERVER: &str = "server";

/// A server in a process of its own.
#[allow(dead_code, reason = "not every benchmark has a server")]
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) url: String,
}

#[allow(dead_code, reason = "not every benchmark has a server")]
impl Server {
    pub(crate) fn start(directory: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(SERVER)
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { process, url: url.trim().to_owned() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the benchmarks of a server begin with: each is the compiler, or the server, if it was started as that. Gives the
/// arguments to whatever measures.
#[allow(dead_code, reason = "not every benchmark has a server")]
pub(crate) fn bench<F: Future<Output = ()>>(measure: impl FnOnce(&[String]) -> F) {
    if serve_compiler_if_asked().is_some() {
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Clients could speak TLS, and want to know by which cryptography.
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match &arguments[..] {
        [first, directory] if first == SERVER => runtime.block_on(serve(Path::new(directory))),
        _ => runtime.block_on(measure(&arguments)),
    }
}

/// Serves the agents of a directory until it is killed.
#[allow(dead_code, reason = "not every benchmark has a server")]
pub(crate) async fn serve(directory: &Path) {
    let settings = Settings::load(&directory.join("host.toml")).unwrap();
    let (state, cache) = (directory.join("state"), directory.join("cache"));
    let compiler = Compiler::new(&std::env::current_exe().unwrap());
    let engine = Engine::builder(&state, &cache, compiler)
        .strangers(Strangers::Allow)
        .instances(settings.instances)
        .build();
    let mut serving = Serving::begin(&engine, &state, settings, &Unwatched).await.unwrap();
    println!("{}", serving.url());
    println!("{}", serving.failed().await);
}
