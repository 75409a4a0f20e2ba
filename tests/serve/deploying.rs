//! The files by which a server is run as a service or in a container.

use std::process::Command;

use host::server::Settings;

use crate::support::{Agent, root};

fn file(name: &str) -> String {
    std::fs::read_to_string(root().join("examples/serve").join(name)).unwrap()
}

#[test]
fn the_example_of_host_toml_is_one() {
    let settings = Settings::load(&root().join("examples/serve/host.toml")).unwrap();
    assert!(settings.is_local());
    assert!(settings.agents.iter().all(|agent| agent.join("agent.toml").is_file()), "{:?}", settings.agents);
}

/// The command line of `host`, without its own path.
fn is_taken(args: &[&str]) {
    let agent = Agent::scripted("");
    let gone = agent.dir.path().join("gone.toml");
    let args: Vec<&str> = args
        .iter()
        .map(|arg| if arg.ends_with("/host.toml") { gone.to_str().unwrap() } else { arg })
        .collect();
    // The command line is right, and the file is not there.
    agent.host(&args).exits(2).says("give the path of a host.toml");
}

#[test]
fn the_unit_starts_reloads_and_ends_the_server_as_it_wants_to_be() {
    let unit = file("host.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    let mut start = value("ExecStart").split(' ');
    assert_eq!(start.next(), Some("/usr/local/bin/host"));
    is_taken(&start.collect::<Vec<_>>());
    assert_eq!(value("ExecReload"), "/bin/kill -HUP $MAINPID");
    let stop_s: u64 = value("TimeoutStopSec").parse().unwrap();
    assert!(stop_s > 35, "runs have 30 s by default, and answers 5 s");
    for directory in ["StateDirectory", "CacheDirectory"] {
        assert_eq!(value(directory), "host");
    }
    assert!(value("Environment").contains("HOST_STATE=/var/lib/host"));
    assert!(!unit.contains("MemoryDenyWriteExecute=yes"), "components are compiled to machine code");
    // It verifies that what it starts is there, too.
    let Ok(true) = Command::new("systemd-analyze").arg("--version").output().map(|it| it.status.success())
    else {
        return;
    };
    let agent = Agent::scripted("");
    let here = agent.dir.path().join("host.service");
    std::fs::write(&here, unit.replace("/usr/local/bin/host", env!("CARGO_BIN_EXE_host"))).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&here).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(!said.contains("host.service"), "{said}");
}

#[test]
fn the_container_runs_the_server_as_nobody_special() {
    let container = file("Containerfile");
    let value =
        |key: &str| container.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let args: Vec<String> = serde_json::from_str(value("CMD").unwrap()).unwrap();
    is_taken(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((value("USER"), value("STOPSIGNAL")), (Some("host"), Some("SIGTERM")));
    assert_eq!(value("ENV"), Some("HOST_STATE=/var/lib/host HOST_CACHE=/var/cache/host"));
    let rust = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version =
        container.lines().find_map(|line| line.strip_prefix("FROM docker.io/library/rust:")).unwrap();
    let version = version.split('-').next().unwrap();
    assert!(rust.contains(&format!("rust-version = \"{version}\"")), "{version} is the version in {rust}");
}
