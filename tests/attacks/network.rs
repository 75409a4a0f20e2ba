//! Attacks over the network: where a request may go, and what becomes of secrets.
//!
//! The service that must not be reached is on loopback. Names are answered by the failpoint `egress-resolve`,
//! in the place of a name server that the attacker controls; no name leaves the machine.

use serde_json::{Value, json};

use super::server::{Server, encodings};
use super::{Attack, Scene, Stopped, attack, hostile};

const SECRET: &str = "s3cret/value+of-the\"test";

pub fn attacks() -> Vec<Attack> {
    let server = Server::start();
    [elsewhere(&server), private(&server), floods(&server), sockets(&server), secrets(&server)]
        .into_iter()
        .flatten()
        .collect()
}

/// May GET and POST below /allowed on the service, which is private and granted as such.
fn granted(server: &Server) -> String {
    format!(
        "[[tools.attack.permissions.network]]\nhost = \"http://127.0.0.1:{}/allowed\"\n\
         methods = [\"GET\", \"POST\"]\nallow_private = true",
        server.port()
    )
}

/// May GET from a site with a public name.
fn public(server: &Server) -> String {
    let port = server.port();
    format!(
        "[[tools.attack.permissions.network]]\nhost = \"http://service.example:{port}\"\nmethods = [\"GET\"]"
    )
}

fn request(name: &'static str, stopped: Stopped) -> Attack {
    attack(name, hostile("request"), stopped)
}

/// Nothing that arrived at the service carries this mark in its path.
fn unreached(server: &Server, mark: &'static str) -> impl Fn(&Scene) -> Result<(), String> + 'static {
    let server = server.clone();
    move |_| match server.requests().into_iter().find(|request| request.contains(mark)) {
        Some(request) => Err(format!("the service was reached: {request}")),
        None => Ok(()),
    }
}

/// Requests that leave what is granted: another host, port, method, path.
fn elsewhere(server: &Server) -> Vec<Attack> {
    let port = server.port();
    let try_url = |name, url: String, said| {
        request(name, Stopped::Denied(said))
            .grants(&granted(server))
            .input(json!({ "url": url }))
            .after(unreached(server, "/escaped"))
    };
    let local = format!("http://127.0.0.1:{port}");
    let path = |name, path: &str, said| try_url(name, format!("{local}{path}"), said);
    vec![
        try_url("another host", "http://other.example/escaped".to_owned(), "no grant reaches"),
        try_url("another port", "http://127.0.0.1:1/escaped".to_owned(), "no grant reaches"),
        try_url("another scheme", format!("https://127.0.0.1:{port}/allowed/escaped"), "no grant reaches"),
        try_url(
            "user name in the address",
            format!("http://127.0.0.1:{port}@other.example/escaped"),
            "user name",
        ),
        path("another URL path", "/escaped", "does not reach the path"),
        path("URL path with ..", "/allowed/../escaped", "as a segment"),
        path("URL path with .., encoded", "/allowed/%2e%2e/escaped", "as a segment"),
        path("URL path with .., encoded twice", "/allowed/%252e%252e%252fescaped", "as a segment"),
        path("URL path with .. and a parameter", "/allowed/..;x/escaped", "as a segment"),
        request("another method", Stopped::Denied("does not allow DELETE"))
            .grants(&granted(server))
            .input(json!({ "url": format!("{local}/allowed/escaped"), "method": "DELETE" }))
            .after(unreached(server, "/escaped")),
        request("a proxy's method", Stopped::Denied("no grant can allow the method CONNECT"))
            .grants(&granted(server))
            .input(json!({ "url": format!("{local}/allowed/escaped"), "method": "CONNECT" })),
        request("a method that no grant can have", Stopped::Denied("no grant can allow the method PURGE"))
            .input(json!({ "url": format!("{local}/allowed/escaped"), "method": "PURGE" }))
            .after(unreached(server, "/escaped")),
        request("Host header of another host", Stopped::Error("failed", "Forbidden"))
            .grants(&granted(server))
            .input(
                json!({ "url": format!("{local}/allowed/escaped"), "headers": { "host": "other.example" } }),
            )
            .after(unreached(server, "/escaped")),
        request("absolute URL in the place of a path", Stopped::Error("failed", "denied: path"))
            .grants(&granted(server))
            .input(json!({ "url": local, "path": "http://other.example/escaped" })),
        attack("redirect to another host", hostile("redirect"), Stopped::Denied("no grant reaches"))
            .grants(&granted(server))
            .input(json!({ "url": format!("{local}/allowed/redirect") }))
            .after(unreached(server, "/elsewhere")),
        attack("request when none is granted", hostile("request"), Stopped::Denied("no grant reaches"))
            .input(json!({ "url": format!("{local}/escaped") })),
    ]
}

/// Private addresses in every spelling, and names that lead to them.
fn private(server: &Server) -> Vec<Attack> {
    let port = server.port();
    let spelt = |name, host: &str| {
        request(name, Stopped::Denied("no grant reaches"))
            .grants(&public(server))
            .input(json!({ "url": format!("http://{host}:{port}/private") }))
            .after(unreached(server, "/private"))
    };
    let named = |name, answer: &str, said| {
        request(name, Stopped::Denied(said))
            .grants(&public(server))
            .env("FAILPOINTS", format!("egress-resolve=return({answer})"))
            .input(json!({ "url": format!("http://service.example:{port}/private") }))
            .after(unreached(server, "/private"))
    };
    vec![
        spelt("loopback address", "127.0.0.1"),
        spelt("loopback address, decimal", "2130706433"),
        spelt("loopback address, hexadecimal", "0x7f000001"),
        spelt("loopback address, octal", "0177.0.0.1"),
        spelt("loopback address, shortened", "127.1"),
        spelt("loopback address, IPv6", "[::1]"),
        spelt("loopback address, v4-mapped", "[::ffff:127.0.0.1]"),
        spelt("localhost with a dot", "localhost."),
        spelt("this host", "0.0.0.0"),
        spelt("metadata address", "169.254.169.254"),
        named("name of a loopback address", "127.0.0.1", "127.0.0.1, a loopback address"),
        named("name of a private address", "10.0.0.1", "10.0.0.1, a private address"),
        named("name of a metadata address", "169.254.169.254", "a link-local address"),
        named("name of a v4-mapped address", "::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        named("name of a public and a private address", "8.8.8.8 127.0.0.1", "127.0.0.1, a loopback address"),
        // The second answer would be private; it is never asked for, and the checked address is not reached
        // because a test must not send anything to it.
        request("rebinding between check and connection", Stopped::Error("failed", "DestinationUnavailable"))
            .grants(&public(server))
            .env("FAILPOINTS", "egress-resolve=1*return(8.8.8.8)->return(127.0.0.1);egress-connect=return")
            .input(json!({ "url": format!("http://service.example:{port}/private") }))
            .after(unreached(server, "/private")),
    ]
}

fn floods(server: &Server) -> Vec<Attack> {
    let local = format!("http://127.0.0.1:{}", server.port());
    let flood = |name, guest: &str, stopped, path: &str| {
        let input =
            json!({ "url": format!("{local}{path}"), "authority": server.address.to_string(), "path": path });
        attack(name, hostile(guest), stopped).grants(&granted(server)).input(input)
    };
    let body = || Stopped::Error("http_body", "limits.http_body");
    vec![
        flood("body at 1 B/s", "request", Stopped::Error("timeout", "limits.timeout"), "/allowed/slow")
            .limits("timeout = \"1s\""),
        flood("endless body", "request", body(), "/allowed/endless").limits("http_body = \"1MiB\""),
        flood("endless upload", "upload_flood", body(), "/allowed/upload").limits("http_body = \"1MiB\""),
        flood(
            "requests without end",
            "request_flood",
            Stopped::Error("http_requests", "limits.http_requests"),
            "/allowed/x",
        )
        .limits("http_requests = 5, cpu = \"200ms\", timeout = \"3s\""),
    ]
}

fn sockets(server: &Server) -> Vec<Attack> {
    let to = json!({ "address": server.address.to_string() });
    let socket = |name, guest: &str, said| {
        attack(name, hostile(guest), Stopped::Denied(said)).grants(&granted(server)).input(to.clone())
    };
    vec![
        socket("raw TCP connection", "tcp", "a TCP socket"),
        socket("raw TCP listener", "listen", "a TCP socket"),
        socket("raw UDP packet", "udp", "a UDP socket"),
        socket("name look-up as a channel", "dns", "the addresses of stolen-data.localhost"),
    ]
}

/// The secret is granted for one path of the service, whose answer holds all that it was sent.
fn secrets(server: &Server) -> Vec<Attack> {
    let port = server.port();
    let url = format!("http://127.0.0.1:{port}/allowed/echo");
    let echo = |name, then: &str, stopped| {
        let input = json!({ "url": url, "headers": { "authorization": "Bearer {SECRET}" }, "then": then });
        with_secret(port, name, "secret", stopped, input)
    };
    let masked = || Stopped::Harmless("masked in the response");
    let encoded = |name, then: &str| {
        let url = format!("http://127.0.0.1:{port}/allowed/encoded");
        let input = json!({ "url": url, "headers": { "authorization": "Bearer {SECRET}" }, "then": then });
        with_secret(port, name, "secret", masked(), input)
            .limits("log = \"1MiB\"")
            .after(masked_in_each_encoding)
    };
    let elsewhere = |name, host: &str| {
        let input = json!({
            "url": format!("http://{host}:{port}/other?token={{SECRET}}"), "method": "POST", "body": "{SECRET}",
            "headers": { "authorization": "Bearer {SECRET}" },
        });
        with_secret(port, name, "secret", Stopped::Harmless("only the placeholder arrives"), input)
            .after(only_placeholder_arrived(server))
    };
    let body = json!({
        "url": url, "method": "POST", "body": "{\"token\":\"{SECRET}\"}",
        "headers": { "content-type": "application/json" },
    });
    let query = json!({ "url": format!("{url}?token={{SECRET}}") });
    let placeholder = Stopped::Harmless("only a placeholder is seen");
    vec![
        with_secret(port, "look at a secret", "see_secret", placeholder, json!({})),
        echo("secret echoed, into the output", "output", masked()).after(arrived_and_kept(server)),
        echo("secret echoed, into an error", "error", Stopped::Error("failed", "[secret SECRET]")),
        echo("secret echoed, into log and stdout", "log", masked()),
        echo("secret echoed, into the output, backwards", "backwards", masked()),
        encoded("secret echoed, in all encodings", "output"),
        encoded("secret echoed, in all encodings, into log and stdout", "log"),
        with_secret(port, "secret echoed, from a body", "secret", masked(), body),
        with_secret(port, "secret echoed, from a query", "secret", masked(), query),
        elsewhere("secret to another granted path", "127.0.0.1"),
        elsewhere("secret to another granted host", "localhost"),
    ]
}

/// An attack on a secret that is granted for one part of a server and not for another.
fn with_secret(port: u16, name: &'static str, guest: &str, stopped: Stopped, input: Value) -> Attack {
    let grant = format!(
        "[[tools.attack.permissions.network]]\nhost = \"http://127.0.0.1:{port}/allowed\"\n\
         methods = [\"GET\", \"POST\"]\nsecrets = [\"SECRET\"]\nallow_private = true\n\
         [[tools.attack.permissions.network]]\nhost = \"http://127.0.0.1:{port}/other\"\n\
         methods = [\"POST\"]\nallow_private = true\n\
         [[tools.attack.permissions.network]]\nhost = \"http://localhost:{port}\"\n\
         methods = [\"POST\"]\nallow_private = true"
    );
    attack(name, hostile(guest), stopped)
        .grants(&grant)
        .table("[secrets.SECRET]\nenv = \"TEST_SECRET\"")
        .env("TEST_SECRET", SECRET)
        .input(input)
        .after(kept_secret)
}

fn arrived_and_kept(server: &Server) -> impl Fn(&Scene) -> Result<(), String> + 'static {
    let server = server.clone();
    move |scene| {
        let arrived = server.requests().iter().any(|it| it.contains(&format!("Bearer {SECRET}")));
        if !arrived {
            return Err("the secret did not arrive where it is granted".to_owned());
        }
        kept_secret(scene)
    }
}

fn only_placeholder_arrived(server: &Server) -> impl Fn(&Scene) -> Result<(), String> + 'static {
    let server = server.clone();
    move |scene| {
        let requests: Vec<String> =
            server.requests().into_iter().filter(|it| it.contains("/other")).collect();
        match requests.iter().find(|it| it.contains("s3cret")) {
            Some(request) => Err(format!("the secret arrived: {request}")),
            None if requests.is_empty() => Err("no request arrived".to_owned()),
            None => kept_secret(scene),
        }
    }
}

/// The service sent it in each of its encodings, and each time something else arrived.
fn masked_in_each_encoding(scene: &Scene) -> Result<(), String> {
    let report = scene.shown.iter().find(|report| report["slot"] == "tool(0,1)").unwrap();
    let finished = &report["finished"];
    let log = finished["trace"]["log"].as_array().cloned().unwrap_or_default();
    let lines = log.iter().filter(|line| line["from"] == "stdout").filter_map(|line| line["text"].as_str());
    let output = finished["outcome"]["tool"]["output"].as_str().unwrap_or_default();
    let text = format!("{output}{}", lines.collect::<Vec<_>>().join("\n"));
    let labels = text.matches("[secret SECRET]").count();
    let expected = encodings("").len();
    if labels < expected {
        return Err(format!("{labels} of {expected} are masked:\n{text}"));
    }
    kept_secret(scene)
}

/// The value is nowhere: not on the screen, not in what `runs show` says, not in any file of the run.
fn kept_secret(scene: &Scene) -> Result<(), String> {
    let mut forms = vec![SECRET.replace('"', "\\\""), SECRET.chars().rev().collect()];
    forms.extend(encodings(SECRET).into_iter().map(|(_, form)| form));
    let mut places = vec![
        ("stdout".to_owned(), scene.ran.stdout.clone()),
        ("stderr".to_owned(), scene.ran.stderr.clone()),
    ];
    // What is in the run's file, unpacked.
    for args in [["runs", "show", "last", "--json"].as_slice(), &["journal", "export", "last"]] {
        places.push((args.join(" "), scene.agent.host(args).ok().stdout.clone()));
    }
    let mut directories = vec![scene.agent.state()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_dir() {
                directories.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                places
                    .push((entry.path().display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    for (place, text) in &places {
        if let Some(form) = forms.iter().find(|form| text.contains(form.as_str())) {
            return Err(format!("{form} is in {place}"));
        }
    }
    Ok(())
}
