//! The tool `fetch`, as somebody who was just given it uses it; and HTTPS, which takes a certificate.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::json;

use crate::attacks::Server;
use crate::secure::Secure;
use crate::support::{Agent, tool_error, tool_output};

/// An agent whose model wants one request made.
fn agent(url: &str, headers: &str, tables: &[&str]) -> Agent {
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"fetch\", input = {{ url = \"{url}\", headers = {headers} }} }}]\n\
         [[reply]]\ntext = \"ok\""
    );
    tables.iter().fold(Agent::scripted(&script).guest("fetch"), |agent, table| agent.table(table))
}

#[test]
fn one_host_is_granted_with_one_secret_which_nobody_sees() {
    let server = Server::start();
    let url = format!("http://127.0.0.1:{}/allowed/echo", server.port());
    let headers = "{ authorization = \"Bearer ${API_KEY}\" }";
    let secret = "[secrets.API_KEY]\nenv = \"THE_KEY\"";
    let run = |tables: &[&str]| {
        let agent = agent(&url, headers, tables);
        let ran = agent.command(&["run"]).env("THE_KEY", "value-of-the-key").output().unwrap();
        (crate::support::Ran::from(ran), agent.show())
    };
    let (_, shown) = run(&[]);
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert_eq!((kind, message), ("invalid_input", "no secret \"API_KEY\" is granted to this tool"));
    let site = format!("[[tools.fetch.permissions.network]]\nhost = \"http://127.0.0.1:{}\"", server.port());
    let grant = format!("{site}\nmethods = [\"GET\"]\nallow_private = true\nsecrets = [\"API_KEY\"]");
    let (ran, shown) = run(&[secret, &grant]);
    ran.ok();
    assert!(
        server.requests()[0].contains("authorization: Bearer value-of-the-key"),
        "{:?}",
        server.requests()
    );
    let output = tool_output(&shown, "tool(0,0)");
    assert_eq!(output["status"], 200);
    assert!(output["body"].as_str().unwrap().contains("[secret API_KEY]"), "{output}");
    assert!(
        !json!(shown).to_string().contains("value-of-the-key") && !ran.stderr.contains("value-of-the-key")
    );
}

#[test]
fn a_denial_says_which_lines_to_add() {
    let server = Server::start();
    let url = format!("http://127.0.0.1:{}/allowed/ok", server.port());
    let (ran, shown) = agent(&url, "{}", &[]).run_and_show();
    ran.ok().says("no grant reaches").says("[[tools.fetch.permissions.network]]").says("methods = [\"GET\"]");
    assert!(tool_error(&shown, "tool(0,0)").1.contains("may not send this request"), "{shown:?}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_page_comes_as_markdown_unless_it_is_wanted_as_it_is() {
    const PAGE: &str =
        "<title>T</title><script>track()</script><h1>Opening hours</h1><p>From <b>9</b> to 17.";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // The head of a request that has no body.
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close";
            let length = PAGE.len();
            stream.write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{PAGE}").as_bytes()).unwrap();
        }
    });
    let grant = format!(
        "[[tools.fetch.permissions.network]]\nurl = \"{url}\"\nmethods = [\"GET\"]\nallow_private = true"
    );
    let agent = agent(&url, "{}", &[&grant]);
    let fetched = |raw: bool| {
        let called = agent.host(&["call", ".", "fetch", &json!({ "url": url, "raw": raw }).to_string()]);
        serde_json::from_str::<serde_json::Value>(&called.ok().stdout).unwrap()
    };
    let output = fetched(false);
    assert_eq!(output["is_markdown"], true);
    let body = output["body"].as_str().unwrap();
    assert!(body.contains("# Opening hours\n\nFrom **9** to 17.") && !body.contains("track"), "{body}");
    let output = fetched(true);
    assert_eq!((&output["body"], &output["is_markdown"]), (&json!(PAGE), &json!(null)));
}

/// The body is longer than what is taken before anybody reads it, so that the guest still writes when it is denied, or
/// when nobody listens.
#[test]
fn why_a_request_failed_is_told_while_its_body_is_written() {
    let body = "x".repeat(3 << 20);
    let site = Server::closed();
    let url = format!("http://127.0.0.1:{}/", site.port());
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"fetch\", input = {{ url = \"{url}\", method = \"POST\", body = \"{body}\" }} }}]\n\
         [[reply]]\ntext = \"ok\""
    );
    let agent = Agent::scripted(&script).guest("fetch");
    let (_, shown) = agent.run_and_show();
    assert!(tool_error(&shown, "tool(0,0)").1.contains("may not send this request"), "{shown:?}");
    let grant = format!("[[tools.fetch.permissions.network]]\nhost = \"http://127.0.0.1:{}\"", site.port());
    let agent = agent.table(&format!("{grant}\nmethods = [\"POST\"]\nallow_private = true"));
    let (_, shown) = agent.run_and_show();
    assert!(tool_error(&shown, "tool(0,0)").1.contains("ConnectionRefused"), "{shown:?}");
}

#[test]
fn https_is_spoken_with_the_name_of_the_site_at_the_address_that_was_checked() {
    let service = Secure::start("secure.test", "over TLS");
    let (ran, shown) = asked_as(&service, "secure.test");
    assert_eq!(tool_output(&shown, "tool(0,0)")["body"], "over TLS", "{}", ran.stderr);
    let request = service.requests.recv_timeout(std::time::Duration::from_mins(1)).unwrap();
    assert!(request.starts_with("secure.test GET /here HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: secure.test:{}\r\n", service.port)), "{request}");
}

#[test]
fn a_certificate_of_another_site_ends_the_request_before_anything_is_sent() {
    let service = Secure::start("other.test", "over TLS");
    let (_, shown) = asked_as(&service, "secure.test");
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert_eq!((kind, message.contains("Tls")), ("failed", true), "{message}");
    assert!(service.requests.try_recv().is_err());
}

/// Runs an agent that asks a service by a name, which leads to loopback.
fn asked_as(service: &Secure, name: &str) -> (crate::support::Ran, Vec<serde_json::Value>) {
    let site = format!("https://{name}:{}", service.port);
    let grant = format!(
        "[[tools.fetch.permissions.network]]\nhost = \"{site}\"\nmethods = [\"GET\"]\nallow_private = true"
    );
    let agent = agent(&format!("{site}/here"), "{}", &[&grant]);
    let trusted: PathBuf = agent.dir.path().join("trusted.pem");
    std::fs::write(&trusted, &service.certificate).unwrap();
    let ran = agent
        .command(&["run"])
        .env("SSL_CERT_FILE", trusted)
        .env("FAILPOINTS", "egress-resolve=return(127.0.0.1)")
        .output()
        .unwrap();
    (ran.into(), agent.show())
}
