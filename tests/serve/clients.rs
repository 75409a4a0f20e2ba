//! The clients of `examples/clients`, and what a fuzzer makes of the description of the API.

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::beginning::name;
use super::server::Server;
use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::{Agent, Ran, root};

/// The directories in which a program is looked for: the one into which `.ci/run` installs, and the usual ones.
fn paths() -> OsString {
    let usual = env::var_os("PATH").unwrap_or_default();
    let own = root().join("target/venv/bin");
    env::join_paths(std::iter::once(own).chain(env::split_paths(&usual))).unwrap()
}

/// A program that does what `check` asks of it; `None`, and a word on stderr, if there is none.
fn program(what: &str, name: &str, check: &[&str]) -> Option<PathBuf> {
    let paths = paths();
    let found = env::split_paths(&paths).map(|path| path.join(name));
    let found = found
        .filter(|path| path.is_file())
        .find(|path| Command::new(path).args(check).output().is_ok_and(|checked| checked.status.success()));
    if found.is_none() {
        assert!(env::var_os("HOST_CI").is_none(), "{what} has to be there where HOST_CI is set");
        // Past the test harness, which shows nothing of a test that passes.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped a test of clients: there is no {what}").unwrap();
    }
    found
}

/// A client that approves everything prints the answer, and one that is told no such thing what is wrong.
fn works(agent: &Agent, server: &Server, client: &dyn Fn(&[&str]) -> Ran) {
    let ran = client(&[&server.url, &name(agent), "go on", "--yes"]);
    assert_eq!(ran.ok().stdout, "done\n");
    ran.says("run ").says("tool(0,1) begins");
    client(&[&server.url, "nobody", "--yes"]).exits(1).says("there is no agent nobody").says("there are: ");
    let shown = server.get("/runs/last").ok();
    assert_eq!(shown["answer"], "done", "{shown}");
}

#[test]
fn the_python_client_runs_an_agent_and_approves() {
    let python = program("Python with httpx", "python3", &["-c", "import httpx"]);
    let Some(python) = python else { return };
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let script = root().join("examples/clients/client.py");
    works(&agent, &server, &|args| Command::new(&python).arg(&script).args(args).output().unwrap().into());
}

#[test]
fn the_typescript_client_runs_an_agent_and_approves() {
    let types = "process.exit(process.features.typescript === 'strip' ? 0 : 1)";
    let Some(node) = program("Node 22.18 or later", "node", &["-e", types]) else { return };
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let script = root().join("examples/clients/client.ts");
    works(&agent, &server, &|args| Command::new(&node).arg(&script).args(args).output().unwrap().into());
}

#[test]
fn no_request_that_the_description_allows_or_forbids_fails_the_server() {
    let Some(schemathesis) = program("schemathesis", "schemathesis", &["--version"]) else { return };
    let agent = asking(ASK_NEW_YORK);
    std::fs::write(
        agent.dir.path().join("host.toml"),
        "[server.limits]\nrequests_per_minute = 1000000\nwait = \"1s\"",
    )
    .unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let ran = server.post(&format!("/{}/run", name(&agent)), &serde_json::json!({}));
    assert!([200, 202].contains(&ran.status), "{ran:?}");
    // What comes is the same each time.
    let fuzzed = Command::new(schemathesis)
        .args(["run", &format!("{}/openapi.json", server.url), "--seed", "1", "--max-examples", "15"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .args(["--checks", "response_schema_conformance,response_headers_conformance"])
        // Links between operations it only guesses, and guesses wrongly.
        .args(["--phases", "examples,coverage,fuzzing"])
        // Endless by their nature.
        .args(["--exclude-path", "/runs/{run}/events"])
        // It makes JSON alone, and this takes lines of it.
        .args(["--exclude-path", "/runs/import"])
        .args(["--no-color", "--workers", "1"])
        .current_dir(agent.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&fuzzed.stdout);
    assert!(fuzzed.status.success(), "{said}\n{}", String::from_utf8_lossy(&fuzzed.stderr));
    server.get("/healthz").is(200);
}
