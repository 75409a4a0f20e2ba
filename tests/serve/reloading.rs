//! Files that change while a server serves: agents, tokens, and the certificate.

use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::{Value, json};

use super::operating::name;
use super::server::Server;
use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::{Agent, until};

/// An agent that says this, and the file that it says it by.
fn saying(text: &str) -> Agent {
    Agent::scripted(&script(text))
}

fn script(text: &str) -> String {
    format!("[[reply]]\ntext = \"{text}\"")
}

fn answer(server: &Server, agent: &Agent) -> Value {
    server.post(&format!("/{}/run", name(agent)), &json!({ "message": "hello" })).ok()["answer"].clone()
}

fn change_script(agent: &Agent, text: &str) {
    std::fs::write(agent.dir.path().join("script.toml"), script(text)).unwrap();
}

#[test]
fn a_file_that_changes_is_read_again() {
    let agent = saying("one");
    let server = Server::of(&agent);
    assert_eq!(answer(&server, &agent), "one");
    change_script(&agent, "another one");
    until("the script is read again", || (answer(&server, &agent) == "another one").then_some(()));
}

#[test]
fn sighup_and_a_request_have_the_agents_read_again() {
    let agent = saying("one");
    let server = Server::of(&agent);
    change_script(&agent, "two");
    server.signal(Signal::HUP);
    server.says("everything was read again");
    assert_eq!(answer(&server, &agent), "two");
    change_script(&agent, "three");
    let agents = server.ask("POST", "/agents/reload", &[], None).ok();
    assert_eq!(agents["agents"][0]["name"], name(&agent), "{agents}");
    assert_eq!(answer(&server, &agent), "three");
    // It still ends as it is asked to.
    assert_eq!(server.end(), Some(0));
}

#[test]
fn what_breaks_stays_as_it_was_and_is_shown() {
    let agent = saying("one");
    let server = Server::of(&agent);
    let good = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), format!("{good}\nnonsense = 1")).unwrap();
    let agents = server.ask("POST", "/agents/reload", &[], None).ok();
    server.says("what was read before stays");
    for trouble in [&agents["agents"][0]["trouble"], &agents["troubles"][0]] {
        assert!(trouble.as_str().is_some_and(|it| it.contains("nonsense")), "{agents}");
    }
    assert_eq!(server.get("/agents").ok(), agents);
    assert_eq!(answer(&server, &agent), "one");
    std::fs::write(agent.toml(), good).unwrap();
    let agents = server.ask("POST", "/agents/reload", &[], None).ok();
    assert!(agents["agents"][0].get("trouble").is_none() && agents.get("troubles").is_none(), "{agents}");
}

#[test]
fn a_run_that_is_worked_on_keeps_its_agent() {
    let slow =
        "[[reply]]\ncalls = [{ name = \"slow\", input = { pause_ms = 600000 } }]\n[[reply]]\ntext = \"done\"";
    let agent = Agent::scripted(slow)
        .guest("hostile")
        .table("[tools.hostile.limits]\ncpu = \"30m\"\ntimeout = \"1h\"");
    let server = Server::of(&agent);
    let path = format!("/agents/{}/runs", name(&agent));
    let run = server.post(&path, &json!({})).is(202)["run"].as_str().unwrap().to_owned();
    change_script(&agent, "short");
    server.ask("POST", "/agents/reload", &[], None).ok();
    assert_eq!(answer(&server, &agent), "short");
    assert_eq!(server.get(&format!("/runs/{run}")).ok()["state"], "running");
    server.kill();
}

#[test]
fn tokens_are_read_again() {
    let agent = asking(ASK_NEW_YORK);
    let config = agent.dir.path().join("host.toml");
    let token = |text: &str| {
        let digest = host::message::Digest::of(text.as_bytes());
        format!("[[server.tokens]]\nname = \"ada\"\nsha256 = \"{digest}\"\nscopes = [\"admin\"]\n")
    };
    std::fs::write(&config, token("old")).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let get = |token: &str| {
        server.ask("GET", "/runs", &[("authorization", &format!("Bearer {token}"))], None).status
    };
    assert_eq!((get("old"), get("new")), (200, 401));
    std::fs::write(&config, token("new")).unwrap();
    until("the new token opens the server", || (get("new") == 200).then_some(()));
    assert_eq!(get("old"), 401);
    // A file that breaks changes nothing.
    std::fs::write(&config, "[server]\ntokens = 1").unwrap();
    server.says("what was read before stays");
    assert_eq!((get("old"), get("new")), (401, 200));
}

/// A certificate for 127.0.0.1, in the files of the server.
fn certified(agent: &Agent) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(agent.dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(agent.dir.path().join("certificate.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

/// Whether a server shows that it has a certificate.
fn shows(server: &Server, certificate: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    connection.complete_io(&mut server.connect()).is_ok()
}

#[test]
fn the_certificate_is_read_again() {
    let agent = saying("one");
    let first = certified(&agent);
    let config = "[server.tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"";
    std::fs::write(agent.dir.path().join("host.toml"), config).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    assert!(shows(&server, &first));
    let second = certified(&agent);
    server.signal(Signal::HUP);
    server.says("everything was read again");
    assert!(shows(&server, &second) && !shows(&server, &first));
}

#[test]
fn limits_names_and_rates_are_read_again_and_what_needs_a_restart_is_named() {
    let agent = saying("one");
    let config = agent.dir.path().join("host.toml");
    let write = |limits: &str, server: &str| {
        std::fs::write(&config, format!("[server]\n{server}\n[server.limits]\n{limits}\n")).unwrap();
    };
    write("body = \"100B\"\nscheduled = 1\nwait = \"1s\"", "");
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let path = format!("/agents/{}/runs", name(&agent));
    let long = json!({ "prompt": "x".repeat(200) });
    let later = json!({ "delay": "1h" });
    let elsewhere =
        |server: &Server| server.ask("GET", "/runs", &[("host", "agents.example.com")], None).status;
    let read_again = || server.ask("POST", "/agents/reload", &[], None).ok();
    server.post(&path, &long).problem(413, "more than 100 bytes");
    server.post(&path, &later).is(202);
    server.post(&path, &later).problem(429, "wait for their moment");
    server.post(&format!("{path}?wait=2s"), &json!({})).problem(400, "query: wait");
    assert_eq!(elsewhere(&server), 403);
    write("body = \"1kB\"\nscheduled = 2\nwait = \"1m\"", "hosts = [\"agents.example.com\"]");
    assert!(read_again().get("troubles").is_none());
    server.post(&path, &long).taken();
    server.post(&path, &later).is(202);
    server.post(&path, &later).problem(429, "wait for their moment");
    server.post(&format!("{path}?wait=20s"), &json!({})).taken();
    assert_eq!(elsewhere(&server), 200);
    // Lower ones count, too, and take nothing from what there is.
    write("scheduled = 0\nrequests_per_minute = 3", "listen = \"127.0.0.1:1\"\nagents = [\"other\"]");
    let shown = read_again();
    let trouble = shown["troubles"][0].as_str().unwrap();
    assert!(trouble.contains("`listen`, `agents`") && trouble.contains("restart it"), "{trouble}");
    assert!(server.says("restart it").contains("`listen`"));
    assert_eq!(shown["agents"][0]["name"], name(&agent), "{shown}");
    server.post(&path, &later).problem(429, "wait for their moment");
    let many = until("there are too many requests", || {
        let answer = server.get("/runs");
        (answer.status == 429).then_some(answer)
    });
    many.problem(429, "requests_per_minute");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn who_follows_a_run_is_told_nothing_more_once_the_token_is_gone() {
    let agent = asking(ASK_NEW_YORK);
    let config = agent.dir.path().join("host.toml");
    let token = |text: &str| {
        let digest = host::message::Digest::of(text.as_bytes());
        format!("[[server.tokens]]\nname = \"{text}\"\nsha256 = \"{digest}\"\nscopes = [\"admin\"]\n")
    };
    std::fs::write(&config, [token("ada"), token("bob")].concat()).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let ask = |token: &str, method: &str, path: &str| {
        let header = format!("Bearer {token}");
        server.ask(method, path, &[("authorization", &header)], (method == "POST").then_some("{}"))
    };
    let run = ask("ada", "POST", &format!("/agents/{}/runs?wait=5m", name(&agent))).is(202);
    let run = run["run"].as_str().unwrap();
    let followed = std::thread::scope(|scope| {
        let follow =
            |token: &'static str| scope.spawn(move || ask(token, "GET", &format!("/runs/{run}/events")).body);
        let (ada, bob) = (follow("ada"), follow("bob"));
        until("both follow", || {
            let metrics = ask("ada", "GET", "/metrics").body;
            metrics.contains("host_http_waits 2\n").then_some(())
        });
        std::fs::write(&config, token("ada")).unwrap();
        ask("ada", "POST", "/agents/reload").ok();
        assert_eq!(ask("bob", "GET", "/runs").status, 401);
        ask("ada", "POST", &format!("/runs/{run}/approve")).taken();
        [ada.join().unwrap(), bob.join().unwrap()]
    });
    let tells_the_end = |body: &str| body.contains("\"done\"");
    assert!(tells_the_end(&followed[0]), "{}", followed[0]);
    assert!(!tells_the_end(&followed[1]) && !followed[1].contains("approved"), "{}", followed[1]);
}
