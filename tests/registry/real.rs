//! The same against the registry that people run.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use host::message::Digest;
use serde_json::json;

use super::fake::BUNDLE;
use super::sigstore::{IDENTITY, ISSUER, Signature, Sigstore};
use super::{Place, component};
use crate::support::until;

/// A registry that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The registry, where there is one, and its port.
fn started(place: &Place) -> Option<(Running, u16)> {
    if Command::new("docker-registry").arg("--version").output().is_err() {
        let ci = std::env::var_os("HOST_CI").is_some();
        assert!(!ci, "docker-registry has to be there where HOST_CI is set");
        eprintln!("skipped: there is no docker-registry");
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        place.path("registry").display()
    );
    std::fs::write(place.path("registry.yml"), config).unwrap();
    let mut command = Command::new("docker-registry");
    command.args(["serve", "registry.yml"]).current_dir(place.dir.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    until("the registry listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    Some((running, port))
}

/// What the registry answers to a request that has to succeed.
fn ask(port: u16, method: &str, path: &str, kind: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nAccept: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
    answer
}

/// Pushes bytes, and gives what a manifest says of them.
fn push(port: u16, kind: &str, bytes: &[u8]) -> serde_json::Value {
    let begun = ask(port, "POST", "/v2/tools/sums/blobs/uploads/", kind, b"");
    let location = begun.lines().find_map(|it| it.strip_prefix("Location: ")).unwrap().trim();
    let digest = format!("sha256:{}", Digest::of(bytes));
    let place = location.split_once(&format!(":{port}")).map_or(location, |(_, path)| path);
    ask(port, "PUT", &format!("{place}&digest={digest}"), "application/octet-stream", bytes);
    json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
}

#[test]
fn docker_registry_keeps_signatures_below_the_tag_for_them() {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let (place, sigstore) = (Place::new(), Sigstore::new());
    let Some((_running, port)) = started(&place) else { return };
    std::fs::write(place.path("sums.wasm"), component(None)).unwrap();
    std::fs::write(place.path("root.json"), sigstore.root()).unwrap();
    let reference = format!("oci://127.0.0.1:{port}/tools/sums:1");
    let published = place.host(&["publish", "sums.wasm", &reference]).ok().stdout.trim().to_owned();
    let digest = published.rsplit_once("sha256:").unwrap().1;
    let rule = ["trust", "add", "*", "--identity", IDENTITY, "--issuer", ISSUER, "--root", "root.json"];
    place.host(&rule).ok();
    place.host(&["add", &reference, "--yes"]).exits(1).says("no signature was found");
    let asked = ask(port, "GET", &format!("/v2/tools/sums/manifests/sha256:{digest}"), MANIFEST, b"");
    let manifest = asked.split_once("\r\n\r\n").unwrap().1;
    let bundle = sigstore.attest(manifest.as_bytes(), &Signature::default()).to_string();
    let layer = push(port, BUNDLE, bundle.as_bytes());
    let config = push(port, "application/vnd.oci.empty.v1+json", b"{}");
    let referring = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer],
        "subject": { "mediaType": MANIFEST, "digest": format!("sha256:{digest}"), "size": manifest.len() }
    })
    .to_string();
    let name = format!("sha256:{}", Digest::of(referring.as_bytes()));
    ask(port, "PUT", &format!("/v2/tools/sums/manifests/{name}"), MANIFEST, referring.as_bytes());
    let list = json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{ "mediaType": MANIFEST, "artifactType": BUNDLE, "digest": name, "size": referring.len() }]
    });
    let path = format!("/v2/tools/sums/manifests/sha256-{digest}");
    ask(port, "PUT", &path, INDEX, list.to_string().as_bytes());
    let added = place.host(&["add", &reference, "--yes"]);
    assert!(added.ok().stdout.contains("signed by"), "{}", added.stdout);
    place.host(&["--offline", "run"]).ok();
}

#[test]
fn docker_registry_takes_what_is_published_and_gives_it_back() {
    let place = Place::new();
    let Some((_running, port)) = started(&place) else { return };
    std::fs::write(place.path("sums.wasm"), component(None)).unwrap();
    let reference = format!("oci://127.0.0.1:{port}/tools/sums:1");
    let by_digest = place.host(&["publish", "sums.wasm", &reference]).ok().stdout.trim().to_owned();
    assert_eq!(place.host(&["publish", "sums.wasm", &reference]).ok().stdout.trim(), by_digest);
    place.host(&["inspect", &by_digest]).ok();
    place.host(&["add", &reference, "--yes"]).ok();
    place.host(&["run"]).ok();
    std::fs::write(place.path("sums.wasm"), component(Some("plus"))).unwrap();
    place.host(&["publish", "sums.wasm", &reference]).ok();
    place.empty_store();
    place.host(&["lock", "--verify"]).ok();
    place.host(&["update", "--yes"]).ok();
    assert!(place.host(&["check"]).ok().stdout.contains("plus"));
    place.host(&["inspect", &format!("oci://127.0.0.1:{port}/nothing:1")]).exits(1).says("404");
}
