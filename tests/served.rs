//! An agent of the real binary behind a server that stands for its provider.

use serde_json::Value;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::providers::{KEY, Rules, Server, no_rules};
use crate::support::{Agent, InTurn, Ran};

/// Retries without a wait.
pub const FAST: &str = "retry = { initial_delay = \"1ms\" }";

/// An agent, its provider, and a runtime that keeps that up.
pub struct Served {
    pub agent: Agent,
    server: MockServer,
    runtime: tokio::runtime::Runtime,
}

impl Served {
    /// An agent whose provider gives these answers in turn, the last one again and again. `model` is what else stands in
    /// [model], and below it, with URI for the server's address. The key is in the file `key`, and in `THE_KEY`.
    pub fn new(provider: &str, answers: Vec<ResponseTemplate>, model: &str) -> Self {
        Self::strictly(no_rules, provider, answers, model)
    }

    /// The same, and requests have to keep to the rules of the provider.
    pub fn strictly(rules: Rules, provider: &str, answers: Vec<ResponseTemplate>, model: &str) -> Self {
        let toml = format!(
            "version = 1\n[agent]\nprompt = \"go on\"\n[model]\nprovider = \"{provider}\"\nname = \"m\"\n\
             base_url = \"URI\"\n{model}\n"
        );
        Self::start(&toml, async { Server::start(rules, answers).await.server })
    }

    /// An agent with this agent.toml, and a server that answers by the path of a request.
    pub fn by_path(answers: Vec<(&str, Vec<ResponseTemplate>)>, toml: &str) -> Self {
        Self::responding(answers.into_iter().map(|(at, answers)| (at, InTurn::new(answers))), toml)
    }

    /// The same, where the answer at a path follows from the request.
    pub fn responding<'a, R: Respond + 'static>(
        answers: impl IntoIterator<Item = (&'a str, R)>,
        toml: &str,
    ) -> Self {
        Self::start(toml, async {
            let server = MockServer::start().await;
            for (at, answers) in answers {
                Mock::given(path(at)).respond_with(answers).mount(&server).await;
            }
            server
        })
    }

    fn start(toml: &str, server: impl Future<Output = MockServer>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(server);
        let agent = Agent::raw(&toml.replace("URI", &server.uri()));
        std::fs::write(agent.dir.path().join("key"), format!("{KEY}\n")).unwrap();
        Self { agent, server, runtime }
    }

    /// With a tool crate of this repository.
    pub fn guest(self, name: &str) -> Self {
        Self { agent: self.agent.guest(name), ..self }
    }

    pub fn host(&self, args: &[&str]) -> Ran {
        self.agent.command(args).env("THE_KEY", KEY).output().unwrap().into()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.runtime.block_on(self.server.received_requests()).unwrap()
    }

    /// Their number.
    pub fn asked(&self) -> usize {
        self.requests().len()
    }

    /// Their bodies.
    pub fn bodies(&self) -> Vec<String> {
        self.requests().into_iter().map(body).collect()
    }

    /// The same, read.
    pub fn sent(&self) -> Vec<Value> {
        self.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect()
    }

    /// The bodies of those to a path.
    pub fn sent_to(&self, path: &str) -> Vec<String> {
        self.requests().into_iter().filter(|request| request.url.path() == path).map(body).collect()
    }

    /// What is recorded of the attempts at a slot that failed.
    pub fn failures(&self, slot: &str) -> Vec<Value> {
        let shown = self.agent.show();
        let report = shown.iter().find(|report| report["slot"] == slot).unwrap();
        report["failures"].as_array().cloned().unwrap_or_default()
    }
}

fn body(request: Request) -> String {
    String::from_utf8(request.body).unwrap()
}
