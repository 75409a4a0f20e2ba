//! What is told to whom, and who may look at it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use super::receiver::{Reaction, Receiver, secret};
use super::{begin, configure, serve, serve_with, standing, webhook};
use crate::approval::{ASK_NEW_YORK, asking};
use crate::serve::operating::{name, value};
use crate::serve::server::Server;
use crate::support::{Agent, root, until};

#[test]
fn a_run_that_waits_and_then_ends_is_told_twice_and_signed_by_every_secret() {
    let agent = asking(ASK_NEW_YORK);
    let receiver = Receiver::new();
    configure(&agent, &[webhook(&receiver, "old_secrets = [{ env = \"OLD_SECRET\" }]")]);
    let server = serve_with(&agent, "OLD_SECRET", &secret(9).0);
    let run = begin(&server, &agent);
    let waiting = receiver.told("run.waiting", &run);
    waiting.is_signed_by(&[&secret(7).1, &secret(9).1]);
    assert_eq!(waiting.header("content-type"), "application/json");
    let said = waiting.json();
    let (data, shown) = (&said["data"], server.get(&format!("/runs/{run}")).ok());
    for member in ["run", "agent", "state", "prompt", "started", "waiting"] {
        assert_eq!(data[member], shown[member], "{member}: {said}");
    }
    assert_eq!((&data["state"], &data["waiting"][0]["wants"]), (&json!("suspended"), &json!("approval")));
    assert_eq!(data["cut"], false);
    assert_eq!(waiting.id(), format!("{run}_{}", data["event"]));
    server.post(&format!("/runs/{run}/approve"), &json!({})).taken();
    let ended = receiver.told("run.ended", &run);
    ended.is_signed_by(&[&secret(7).1, &secret(9).1]);
    let data = &ended.json()["data"];
    assert_eq!((&data["state"], &data["answer"]), (&json!("answered"), &json!("done")));
    assert!(data["event"].as_u64() > said["data"]["event"].as_u64());
    assert!(data["used"]["turns"].is_number() || data["used"].is_object(), "{data}");
    until("both are known to have arrived", || (standing(&server)["delivered"] == 2).then_some(()));
    let metrics = server.get("/metrics").body;
    let named = |outcome: &str| {
        format!("host_webhooks_total{{webhook=\"{}\",outcome=\"{outcome}\"}}", receiver.address)
    };
    assert!((value(&metrics, &named("delivered")) - 2.0).abs() < 1e-9, "{metrics}");
    let pending = format!("host_webhooks_pending{{webhook=\"{}\"}}", receiver.address);
    assert!(value(&metrics, &pending).abs() < 1e-9, "{metrics}");
    server.kill();
    // What arrived is not told again.
    let server = serve(&{
        configure(&agent, &[webhook(&receiver, "")]);
        agent
    });
    let tested = server.ask("POST", &format!("/webhooks/{}/test", receiver.address), &[], None).ok();
    assert_eq!(tested, json!({ "delivered": true, "status": 204 }));
    let all = receiver.first(3);
    assert_eq!(all[2].json()["type"], "webhook.test");
    all[2].is_signed_by(&[&secret(7).1]);
}

#[test]
fn a_run_that_failed_is_told_to_those_who_want_that() {
    let script = "[[reply]]\nerror = { message = \"HTTP 401: no such key\", may_pass = false }\n[[reply]]\ntext = \"done\"";
    let agent = Agent::scripted(script);
    let (all, failures, others) = (Receiver::new(), Receiver::new(), Receiver::new());
    let only = "name = \"failures\"\nevents = [\"run.failed\"]";
    configure(
        &agent,
        &[webhook(&all, ""), webhook(&failures, only), webhook(&others, "agents = [\"somebody else\"]")],
    );
    let server = serve(&agent);
    let run = begin(&server, &agent);
    let failed = failures.told("run.failed", &run);
    let data = &failed.json()["data"];
    assert_eq!(data["state"], "failed");
    assert!(data["reason"].as_str().unwrap().contains("HTTP 401: no such key"), "{data}");
    assert_eq!(all.told("run.failed", &run).body, failed.body);
    server.post(&format!("/runs/{run}/resume"), &json!({})).taken();
    all.told("run.ended", &run);
    until("all is told", || {
        let shown = server.get("/webhooks").ok();
        shown["webhooks"].as_array().unwrap().iter().all(|it| it["pending"] == 0).then_some(())
    });
    assert_eq!((all.all().len(), failures.all().len(), others.all().len()), (2, 1, 0));
}

#[test]
fn a_run_that_is_cancelled_where_it_waits_is_told_once() {
    let agent = asking(ASK_NEW_YORK);
    let receiver = Receiver::new();
    configure(&agent, &[webhook(&receiver, "events = [\"run.ended\"]")]);
    let server = serve(&agent);
    let runs: Vec<String> = (0..4).map(|_| begin(&server, &agent)).collect();
    for run in &runs {
        server.once_not(run, &["queued", "running"]);
        server.post(&format!("/runs/{run}/cancel"), &json!({ "reason": "no" })).ok();
        server.post(&format!("/runs/{run}/cancel"), &json!({ "reason": "no" })).problem(409, "ended");
        assert_eq!(receiver.told("run.ended", run).json()["data"]["state"], "cancelled");
    }
    server.end();
    assert_eq!(receiver.all().len(), runs.len());
}

#[test]
fn long_texts_are_cut_and_said_to_be() {
    let agent = Agent::scripted(&format!("[[reply]]\ntext = \"{}\"", "é".repeat(50_000)));
    let receiver = Receiver::new();
    configure(&agent, &[webhook(&receiver, "")]);
    let server = serve(&agent);
    let told = receiver.told("run.ended", &begin(&server, &agent));
    assert!(told.body.len() < 20_000, "{} bytes", told.body.len());
    assert_eq!(told.json()["data"]["cut"], true);
    assert!(told.json()["data"]["answer"].as_str().unwrap().starts_with("ééé"));
}

#[test]
fn webhooks_are_read_again_and_take_effect_for_runs_that_are_going_on() {
    let agent = asking(ASK_NEW_YORK);
    configure(&agent, &[]);
    let server = serve(&agent);
    let run = begin(&server, &agent);
    server.once_not(&run, &["queued", "running"]);
    assert_eq!(server.get("/webhooks").ok(), json!({ "webhooks": [] }));
    assert!(!agent.state().join("webhooks.jsonl").exists(), "nobody is told anything");
    let (one, two) = (Receiver::new(), Receiver::new());
    configure(&agent, &[webhook(&one, "name = \"hook\"")]);
    server.signal(Signal::HUP);
    server.says("everything was read again");
    server.post(&format!("/runs/{run}/approve"), &json!({})).taken();
    one.told("run.ended", &run);
    // Another place of the same name, and another secret.
    configure(&agent, &[webhook(&two, "name = \"hook\"")]);
    std::fs::write(agent.dir.path().join("hook.secret"), secret(8).0).unwrap();
    server.ask("POST", "/agents/reload", &[], None).ok();
    let run = begin(&server, &agent);
    two.told("run.waiting", &run).is_signed_by(&[&secret(8).1]);
    // What breaks stays as it was.
    std::fs::write(agent.dir.path().join("hook.secret"), "whsec_short").unwrap();
    let agents = server.ask("POST", "/agents/reload", &[], None).ok();
    assert!(agents["troubles"][0].as_str().unwrap().contains("host.toml:3"), "{agents}");
    server.post(&format!("/runs/{run}/approve"), &json!({})).taken();
    two.told("run.ended", &run).is_signed_by(&[&secret(8).1]);
    assert!(one.all().iter().all(|it| it.json()["data"]["run"] != run));
}

#[test]
fn only_an_admin_of_all_agents_sees_webhooks() {
    let agent = asking("");
    let receiver = Receiver::new();
    let token = |name: &str, more: &str| {
        let digest = host::message::Digest::of(name.as_bytes());
        format!("[[server.tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n{more}\n")
    };
    let some = format!("scopes = [\"admin\"]\nagents = [\"{}\"]", name(&agent));
    let tokens = [
        token("read", "scopes = [\"read\", \"run\", \"decide\"]"),
        token("some", &some),
        token("all", "scopes = [\"admin\"]"),
    ];
    configure(&agent, &[webhook(&receiver, "name = \"hook\""), tokens.concat()]);
    let server = serve(&agent);
    let ask = |method: &str, path: &str, token: &str| {
        server.ask(method, path, &[("authorization", &format!("Bearer {token}"))], None)
    };
    for (method, path) in
        [("GET", "/webhooks"), ("POST", "/webhooks/hook/test"), ("POST", "/webhooks/hook/retry")]
    {
        server.ask(method, path, &[], None).problem(401, "Authorization");
        ask(method, path, "read").problem(403, "scope");
        ask(method, path, "some").problem(403, "all of them");
        ask(method, path, "all").ok();
    }
    ask("POST", "/webhooks/other/test", "all").problem(404, "other");
    ask("POST", "/webhooks/other/retry", "all").problem(404, "other");
}

#[test]
fn no_secret_and_no_path_is_shown_anywhere() {
    let agent = asking("");
    let receiver = Receiver::with(|_, _| Reaction::Status(500, ""));
    let hook = webhook(&receiver, "name = \"hook\"")
        .replace("/hooks/host", "/hooks/path-of-the-hook?q=query-of-the-hook");
    configure(&agent, &[hook]);
    let server = serve(&agent);
    let run = begin(&server, &agent);
    assert_eq!(receiver.first(3)[2].path, "/hooks/path-of-the-hook?q=query-of-the-hook");
    let mut shown = vec![
        server.get("/webhooks").body,
        server.get("/metrics").body,
        server.get(&format!("/runs/{run}/detail")).body,
    ];
    shown.push(server.ask("POST", "/webhooks/hook/test", &[], None).body);
    shown.push(server.get("/openapi.json").body);
    until("it is given up", || (standing(&server)["pending"] == 0).then_some(()));
    assert!(shown[0].contains(&format!("\"url\":\"http://{}\"", receiver.address)), "{}", shown[0]);
    shown.push(server.rest_of_log());
    assert!(
        shown.last().unwrap().contains("the webhook is not told of the run"),
        "{}",
        shown.last().unwrap()
    );
    for file in files(&agent.state()) {
        shown.push(String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned());
    }
    let (text, key) = secret(7);
    let key = String::from_utf8(key).unwrap();
    for shown in shown {
        for kept in [&text, text.trim_start_matches("whsec_"), &key, "path-of-the-hook", "query-of-the-hook"]
        {
            assert!(!shown.contains(kept), "{kept:?} is in {shown}");
        }
    }
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn what_is_wrong_with_a_webhook_is_said_with_its_place() {
    let good = "url = \"https://example.com/\"\nsecret = { file = \"hook.secret\" }\n";
    let one = |lines: &str| format!("[[server.webhooks]]\n{lines}");
    let secret_of = |secret: &str| one(&format!("url = \"https://example.com/\"\nsecret = {secret}"));
    let with = |more: &str| one(&format!("{good}{more}"));
    let url = |url: &str| one(&format!("url = \"{url}\"\nsecret = {{ file = \"hook.secret\" }}"));
    let many: String = (0..33).map(|number| with(&format!("name = \"{number}\"\n"))).collect();
    let cases = [
        (one("url = \"https://example.com\""), "secret"),
        (url("http://example.com/"), "host.toml:2:7: http is for receivers on this machine alone"),
        (url("http://192.168.0.1/"), "http is for receivers on this machine alone"),
        (url("http://localhost.example.com/"), "http is for receivers on this machine alone"),
        (url("ftp://example.com/"), "neither https nor http"),
        (url("https://ada:hidden-pass@example.com/"), "holds a user name or password"),
        (url("https://example.com/#a"), "fragment"),
        (url("example.com/hook"), "not the URL of a receiver"),
        (url(""), "not the URL of a receiver"),
        (secret_of("\"whsec_aGlkZGVuLXBhc3MtaGlkZGVuLXBhc3M=\""), "secret"),
        (secret_of("{ env = \"whsec_hidden-pass\" }"), "host.toml:3:10: env is not the name of a variable"),
        (secret_of("{ env = \"NOT_SET_ANYWHERE\" }"), "NOT_SET_ANYWHERE is not set"),
        (secret_of("{ file = \"nowhere\" }"), "cannot read"),
        (secret_of("{ file = \"bad.secret\" }"), "does not begin with whsec_"),
        (secret_of("{ file = \"short.secret\" }"), "the secret has 3 bytes"),
        (secret_of("{}"), "does not say where the secret is"),
        (secret_of("{ env = \"A\", file = \"b\" }"), "keep one of them"),
        (with("events = []"), "nothing would be told"),
        (with("events = [\"run.end\"]"), "run.ended"),
        (with("name = \"a b\""), "cannot be named so"),
        (with("retry = [\"soon\"]"), "retry = \"soon\""),
        (with("retry = [\"25h\"]"), "is too much"),
        (with(&format!("retry = [{}]", ["\"1s\""; 21].join(","))), "more than 20 waits"),
        (with("timeout = \"2m\""), "is too much"),
        (with("timeuot = \"20s\""), "did you mean `timeout`"),
        (format!("{}\n{}", with(""), with("")), "two webhooks are named example.com"),
        (many, "host.toml:130:7: there are more than 32 webhooks"),
    ];
    let agent = asking("");
    configure(&agent, &[]);
    std::fs::write(agent.dir.path().join("bad.secret"), "hidden-pass").unwrap();
    std::fs::write(agent.dir.path().join("short.secret"), "whsec_AQID").unwrap();
    for (toml, says) in cases {
        std::fs::write(agent.dir.path().join("host.toml"), &toml).unwrap();
        let ran = agent.host(&["serve", ".", "--listen", "127.0.0.1:0", "--config", "host.toml"]);
        assert_eq!(ran.code, Some(2), "{toml}\n{}", ran.stderr);
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(says), "{says:?} is said of\n{toml}\n{}", ran.stderr);
        for hidden in ["hidden-pass", "aGlkZGVuLXBhc3M"] {
            assert!(!ran.stderr.contains(hidden), "{toml}\n{}", ran.stderr);
        }
    }
}

/// The page's check of a signature, in the words of the page.
#[test]
fn the_page_shows_how_to_check_a_signature() {
    let page = std::fs::read_to_string(root().join("docs/WEBHOOKS.md")).unwrap();
    let (_, code) = page.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let agent = asking("");
    let receiver = Receiver::new();
    configure(&agent, &[webhook(&receiver, "")]);
    let server: Server = serve(&agent);
    let told = receiver.told("run.ended", &begin(&server, &agent));
    let headers = json!({
        "webhook-id": told.id(),
        "webhook-timestamp": told.header("webhook-timestamp"),
        "webhook-signature": format!("v1a,AAAA {}", told.header("webhook-signature")),
    });
    let late = json!({ "webhook-timestamp": "1700000000" });
    let verify = |secret: &str, changed: &serde_json::Value, body: &str| {
        let mut headers = headers.clone();
        headers.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        let program = format!(
            "{code}\nimport json, sys\nsecret, headers, body = json.load(sys.stdin)\nverify(secret, headers, body.encode())\n"
        );
        let mut python = Command::new("python3")
            .args(["-c", &program])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        python
            .stdin
            .take()
            .unwrap()
            .write_all(json!([secret, headers, body]).to_string().as_bytes())
            .unwrap();
        python.wait_with_output().unwrap()
    };
    let good = verify(&secret(7).0, &json!({}), &told.body);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    for bad in [
        verify(&secret(8).0, &json!({}), &told.body),
        verify(&secret(7).0, &late, &told.body),
        verify(&secret(7).0, &json!({}), &format!("{} ", told.body)),
        verify(&secret(7).0, &json!({ "webhook-id": "other" }), &told.body),
    ] {
        let said = String::from_utf8_lossy(&bad.stderr).into_owned();
        assert!(!bad.status.success() && said.contains("ValueError"), "{said}");
    }
}
