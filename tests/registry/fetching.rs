//! Registries that are damaged, hostile, slow or closed: nothing of what they send is kept, and what happened is said.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::registry::{Client, FetchError, Timeouts};
use host::toolbox::COMPONENT_BYTES_MAX;
use serde_json::json;

use super::fake::{Ending, Registry, Reply};
use super::{Place, component};

/// Nothing was kept, agent.toml and host.lock are as before, and stderr says this.
#[track_caller]
fn refused(registry: &Registry, said: &str) {
    let place = Place::new();
    let before = place.read("agent.toml");
    let ran = place.host(&["add", &registry.reference("a:1"), "--yes"]);
    assert_ne!(ran.code, Some(0), "{}", ran.stderr);
    ran.says(said);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert!(!place.path("host.lock").exists() && !place.path("cache/components").exists());
    assert_eq!(place.read("agent.toml"), before);
}

#[test]
fn a_layer_of_other_bytes_is_refused() {
    let registry = Registry::start();
    let (one, mut other) = (component(None), component(None));
    registry.put("1", &one);
    *other.last_mut().unwrap() ^= 1;
    registry.tamper(&one, &other);
    refused(&registry, "gave other bytes");
    registry.tamper(&one, &one[..one.len() - 1]);
    refused(&registry, "ended after");
    registry.tamper(&one, &[&one[..], b"more"].concat());
    refused(&registry, "is longer than");
}

#[test]
fn a_download_that_ends_early_or_never_is_cut() {
    let registry = Registry::start();
    let one = component(None);
    registry.put("1", &one);
    let answered = one.clone();
    registry.rule(move |it| {
        it.path.contains("/blobs/").then(|| Reply::of(200, answered.clone()).ending(Ending::Cut))
    });
    refused(&registry, "the connection to");
    registry
        .rule(|it| it.path.contains("/blobs/").then(|| Reply::of(200, [0; 4096]).ending(Ending::Endless)));
    refused(&registry, "is longer than");
    registry.rule(|it| {
        it.path.contains("/manifests/").then(|| Reply::of(200, [b' '; 4096]).ending(Ending::Endless))
    });
    refused(&registry, "the manifest");
    let size = COMPONENT_BYTES_MAX + 1;
    let layer = json!({ "mediaType": "application/wasm", "digest": format!("sha256:{}", "0".repeat(64)), "size": size });
    let registry = Registry::start();
    registry.put_manifest("1", &json!({ "schemaVersion": 2, "layers": [layer] }).to_string(), b"");
    refused(&registry, "is longer than");
    assert!(!registry.was_asked("/blobs/"));
}

#[test]
fn a_manifest_that_is_a_bomb_or_of_something_else_is_refused() {
    let registry = Registry::start();
    let deep = format!("{{\"schemaVersion\":2,\"layers\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let layers: Vec<_> =
        (0..200_000).map(|n| json!({ "mediaType": "a", "digest": "b", "size": n })).collect();
    let wide = json!({ "schemaVersion": 2, "layers": layers }).to_string();
    let tar = json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:0", "size": 1 });
    for (manifest, said) in [
        (deep, "does not read"),
        (wide, "is longer than"),
        (json!({ "schemaVersion": 2, "layers": [tar] }).to_string(), "tar+gzip"),
        ("<html>\u{1b}[2J".to_owned(), "does not read"),
    ] {
        registry.put_manifest("1", &manifest, b"");
        refused(&registry, said);
    }
    registry.put("1", b"\0asm\x01\0\0\0");
    refused(&registry, "core module");
    registry.put("1", b"#!/bin/sh");
    refused(&registry, "is no component");
}

#[test]
fn a_manifest_by_digest_is_the_one_that_was_asked_for() {
    let (registry, place) = (Registry::start(), Place::new());
    let manifest = registry.put("1", &component(None));
    registry.put("2", &component(Some("plus")));
    let other = registry.manifest("2");
    registry.rule(move |it| it.path.contains("/manifests/sha256:").then(|| Reply::of(200, other.clone())));
    let name = format!("oci://{}/a@sha256:{manifest}", registry.host());
    place.host(&["inspect", &name]).exits(1).says("gave other bytes");
}

#[test]
fn redirects_are_followed_within_limits_and_without_the_login() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let one = component(None);
    registry.put("1", &one);
    storage.put("1", &one);
    let to = storage.host();
    let token = |it: &super::fake::Asked| {
        it.authorization.is_none().then(|| Reply::of(401, "").header("www-authenticate", "Basic realm=\"x\""))
    };
    registry.rule(move |it| {
        let elsewhere = || Reply::of(307, "").header("location", format!("http://{to}{}", it.path));
        token(it).or_else(|| it.path.contains("/blobs/").then(elsewhere))
    });
    let place = Place::new();
    login(&place, &registry, "me:secret");
    place.host(&["add", &registry.reference("a:1"), "--yes"]).ok();
    assert!(registry.asked().iter().any(|it| it.authorization.is_some()));
    assert!(storage.was_asked("/blobs/") && storage.asked().iter().all(|it| it.authorization.is_none()));
    let registry = Registry::start();
    registry.rule(|it| Some(Reply::of(302, "").header("location", format!("{}x", it.path))));
    refused(&registry, "too often");
    registry.rule(|_| Some(Reply::of(302, "").header("location", "http://example.com/")));
    refused(&registry, "not encrypted");
    registry.rule(|_| Some(Reply::of(302, "").header("location", "file:///etc/passwd")));
    refused(&registry, "is not followed");
    registry.rule(|_| Some(Reply::of(302, "")));
    refused(&registry, "too often");
}

/// Gives docker's configuration a login for a registry.
fn login(place: &Place, registry: &Registry, login: &str) {
    let auth = json!({ "auths": { registry.host(): { "auth": STANDARD.encode(login) } } });
    std::fs::create_dir_all(place.path("docker")).unwrap();
    std::fs::write(place.path("docker/config.json"), auth.to_string()).unwrap();
}

#[test]
fn a_login_that_is_asked_for_is_the_one_that_docker_has() {
    let registry = Registry::start();
    registry.put("1", &component(None));
    let realm = format!("http://{}/token", registry.host());
    let expected = format!("Basic {}", STANDARD.encode("me:secret"));
    registry.rule(move |it| {
        if it.path.starts_with("/token") {
            let known = it.authorization.as_ref() == Some(&expected);
            let token = if known { "good" } else { "bad" };
            return Some(Reply::of(200, json!({ "token": token }).to_string()));
        }
        let challenge = format!("Bearer realm=\"{realm}\",service=\"here\",scope=\"repository:a:pull\"");
        let known = it.authorization.as_deref() == Some("Bearer good");
        (!known).then(|| Reply::of(401, "").header("www-authenticate", challenge))
    });
    refused(&registry, "docker login");
    let place = Place::new();
    let reference = registry.reference("a:1");
    login(&place, &registry, "me:wrong");
    let ran = place.host(&["add", &reference, "--yes"]);
    ran.exits(1).says("refuses this");
    assert!(!ran.stderr.contains("wrong"), "{}", ran.stderr);
    login(&place, &registry, "me:secret");
    place.host(&["add", &reference, "--yes"]).ok();
    assert!(registry.was_asked("scope=repository%3Aa%3Apull&service=here"), "{:?}", registry.asked());
    std::fs::write(place.path("sums.wasm"), component(Some("plus"))).unwrap();
    place.host(&["publish", "sums.wasm", &registry.reference("a:2")]).ok();
    // A server of tokens that is elsewhere, and not asked over an encrypted connection, gets nothing.
    registry.rule(|_| {
        Some(Reply::of(401, "").header("www-authenticate", "Bearer realm=\"http://example.com/token\""))
    });
    place.host(&["inspect", &reference]).exits(1).says("not encrypted");
}

#[test]
fn a_registry_that_is_closed_says_so() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = Place::new();
    let ran = place.host(&["inspect", &format!("oci://127.0.0.1:{port}/a:1")]);
    ran.exits(1).says("the connection to").says(&port.to_string());
    let registry = Registry::start();
    registry.rule(|_| Some(Reply::of(503, "")));
    refused(&registry, "503");
    let registry = Registry::start();
    refused(&registry, "404: it is not known");
}

#[tokio::test]
async fn a_registry_that_is_slow_is_given_up() {
    let registry = Registry::start();
    registry.put("1", &component(None));
    registry.rule(|it| {
        it.path.contains("/manifests/").then(|| Reply::of(200, [b' '; 100]).ending(Ending::Stalled))
    });
    let remote = registry.reference("a:1").parse().unwrap();
    let (long, short) = (Duration::from_mins(10), Duration::from_secs(1));
    for timeouts in [
        Timeouts { idle: short, connect: long, whole: long },
        Timeouts { idle: long, connect: long, whole: short },
    ] {
        let error = Client::new(timeouts).fetch(&remote).await.unwrap_err();
        assert!(matches!(error, FetchError::Slow { seconds: 1, .. }), "{error}");
    }
}

#[test]
fn a_file_of_a_web_server_is_pinned_by_its_bytes() {
    let (server, place) = (Registry::start(), Place::new());
    let one = component(None);
    let answered = one.clone();
    server.rule(move |_| Some(Reply::of(200, answered.clone())));
    let url = format!("http://{}/files/sums.wasm", server.host());
    place.host(&["add", &url, "--yes"]).ok().says("added [tools.sums]");
    place.host(&["lock", "--verify"]).ok();
    server.rule(|_| Some(Reply::of(200, component(Some("plus")))));
    place.host(&["run"]).ok();
    place.host(&["lock", "--verify"]).exits(1).says("is pinned");
    place.empty_store();
    place.host(&["run"]).exits(2).says("is not what host.lock pins");
    place.host(&["update", "--yes"]).ok();
    place.host(&["run"]).ok();
    server.rule(|_| Some(Reply::of(200, "<html>not found</html>")));
    place.host(&["update", "--yes"]).exits(1).says("is no component");
}
