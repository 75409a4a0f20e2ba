//! `host add`, `update`, `lock`, `publish` and `tools gc`, as a person uses them.

use host::message::Digest;
use serde_json::Value;

use super::fake::Registry;
use super::{Place, component};

#[test]
fn a_tool_is_added_pinned_run_and_called() {
    let (registry, place) = (Registry::start(), Place::new());
    let (reference, bytes) = (registry.reference("tools/sums:1"), component(None));
    let manifest = registry.put("1", &bytes);
    // Nobody is there to agree.
    place.host(&["add", &reference]).exits(2).says("--yes");
    assert!(!place.path("host.lock").exists());
    let before = place.read("agent.toml");
    let added = place.host(&["add", &reference, "--yes"]);
    added.ok().says("added [tools.sums]");
    assert!(added.stdout.contains("1 tool") && added.stdout.contains("add"), "{}", added.stdout);
    let after = place.read("agent.toml");
    assert_eq!(after, format!("{before}\n[tools.sums]\nsource = \"{reference}\"\n"));
    let lock: toml::Table = place.read("host.lock").parse().unwrap();
    let locked = &lock["tools"]["sums"];
    assert_eq!(locked["source"].as_str(), Some(reference.as_str()));
    assert_eq!(locked["sha256"].as_str(), Some(Digest::of(&bytes).to_string().as_str()));
    assert_eq!(locked["manifest"].as_str(), Some(manifest.to_string().as_str()));
    assert!(locked["exports"]["add"]["input"].as_str().unwrap().contains("\"a\""), "{lock}");
    // What is pinned is taken from the store, and by its digest where it is not there.
    registry.forget();
    place.host(&["check"]).ok();
    place.host(&["run"]).ok();
    assert_eq!(place.host(&["call", ".", "add", "a=1", "b=2"]).ok().stdout.trim(), "3");
    assert!(registry.asked().is_empty());
    place.empty_store();
    place.host(&["--offline", "run"]).exits(2).says("offline");
    let refused = place.command(&["run"]).env("HOST_OFFLINE", "1").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(registry.asked().is_empty());
    place.host(&["run"]).ok();
    assert!(
        registry.was_asked(&format!("manifests/sha256:{manifest}")) && !registry.was_asked("manifests/1")
    );
    place.host(&["--offline", "run"]).ok();
    place.host(&["add", &reference, "--yes"]).exits(2).says("[tools.sums] already");
}

#[test]
fn a_tag_that_moved_changes_nothing_until_it_is_taken() {
    let (registry, place) = (Registry::start(), Place::new());
    let reference = registry.reference("tools/sums:1");
    registry.put("1", &component(None));
    place.host(&["add", &reference, "--yes"]).ok();
    let pinned = place.read("host.lock");
    registry.put("1", &component(Some("plus")));
    place.empty_store();
    let checked = place.host(&["check"]);
    checked.ok();
    assert!(!checked.stdout.contains("plus"), "{}", checked.stdout);
    let refused = place.host(&["update"]);
    refused.exits(2).says("--yes");
    assert!(refused.stdout.contains("+ tool plus"), "{}", refused.stdout);
    assert_eq!(place.read("host.lock"), pinned);
    place.host(&["update", "other"]).exits(2).says("those of").says("sums");
    place.host(&["update", "sums", "--yes"]).ok().says("is pinned");
    assert!(place.host(&["check"]).ok().stdout.contains("plus"));
    place.host(&["update"]).ok().says("up to date");
}

#[test]
fn an_edited_lock_is_noticed() {
    let (registry, place) = (Registry::start(), Place::new());
    let reference = registry.reference("tools/sums:1");
    let (one, two) = (component(None), component(Some("plus")));
    let manifest = registry.put("1", &one);
    let other = registry.put("2", &two);
    place.host(&["add", &reference, "--yes"]).ok();
    place.host(&["lock", "--verify"]).ok().says("is what host.lock says");
    let lock = place.read("host.lock");
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    for (from, to, code, said) in [
        (digest(&one), digest(&two), 2, "is pinned"),
        (manifest.to_string(), other.to_string(), 2, "is pinned"),
        (manifest.to_string(), digest(b"nothing"), 2, "404"),
        (format!("bytes = {}", one.len()), "bytes = 7".to_owned(), 2, "is pinned"),
        (reference.clone(), registry.reference("tools/sums:2"), 2, "host.lock pins"),
        (digest(&one), "12".to_owned(), 2, "host.lock"),
        ("tools.sums".to_owned(), "tools.sum".to_owned(), 2, "is not in host.lock"),
    ] {
        place.edit("host.lock", &from, &to);
        place.empty_store();
        place.host(&["run"]).exits(code).says(said);
        assert_ne!(place.host(&["lock", "--verify"]).code, Some(0), "{from} {to}");
        std::fs::write(place.path("host.lock"), &lock).unwrap();
        place.host(&["run"]).ok();
    }
    // What is said of the component is compared, too.
    place.edit("host.lock", "\"a\"", "\"z\"");
    place.host(&["run"]).ok();
    place.host(&["lock", "--verify"]).exits(1).says("is not what host.lock says");
}

#[test]
fn a_store_that_was_changed_is_fetched_anew() {
    let (registry, place) = (Registry::start(), Place::new());
    let bytes = component(None);
    registry.put("1", &bytes);
    place.host(&["add", &registry.reference("a:1"), "--yes"]).ok();
    let kept = place.path(&format!("cache/components/{}.wasm", Digest::of(&bytes)));
    std::fs::write(&kept, component(Some("plus"))).unwrap();
    place.host(&["--offline", "run"]).exits(2).says("offline");
    place.host(&["run"]).ok().says("is damaged");
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
}

#[test]
fn what_is_published_is_what_is_inspected_called_and_added() {
    let (registry, place) = (Registry::start(), Place::new());
    let bytes = component(None);
    std::fs::write(place.path("sums.wasm"), &bytes).unwrap();
    std::fs::write(place.path("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let reference = registry.reference("tools/sums:1.0");
    place.host(&["publish", "module.wasm", &reference]).exits(1).says("core module");
    place.host(&["publish", "sums.wasm", "https://example.com/x.wasm"]).exits(2).says("oci://");
    assert!(registry.asked().is_empty());
    let published = place.host(&["publish", "sums.wasm", &reference]);
    let by_digest = published.ok().stdout.trim().to_owned();
    let manifest: Value = serde_json::from_slice(&registry.manifest("1.0")).unwrap();
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(place.host(&["publish", "sums.wasm", &reference]).ok().stdout.trim(), by_digest);
    let inspected = place.host(&["inspect", &reference, "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.ok().stdout).unwrap();
    assert_eq!(inspected["sha256"], Digest::of(&bytes).to_string());
    assert_eq!(place.host(&["call", &by_digest, "a=1", "b=2"]).ok().stdout.trim(), "3");
    place.host(&["add", &by_digest, "--name", "plus", "--yes"]).ok();
    place.host(&["run"]).ok();
}

#[test]
fn a_file_is_added_with_its_digest_and_the_rest_of_the_file_stays() {
    let place = Place::new();
    std::fs::write(place.path("sums.wasm"), component(None)).unwrap();
    place.edit("agent.toml", "version = 1\n", "version = 1\ntools = {} # none yet\n");
    place.host(&["add", "sums.wasm", "--yes", "--name", "a b"]).exits(2).says("cannot be named");
    place.host(&["add", "sums.wasm", "--yes"]).ok();
    let text = place.read("agent.toml");
    assert!(text.contains("# none yet") && text.contains("source = \"sums.wasm\""), "{text}");
    assert!(!place.path("host.lock").exists());
    std::fs::write(place.path("sums.wasm"), component(Some("plus"))).unwrap();
    place.host(&["check"]).exits(2).says("pins");
}

#[test]
fn room_is_made_only_where_no_lock_that_is_named_needs_it() {
    let (registry, place) = (Registry::start(), Place::new());
    let (one, two) = (component(None), component(Some("plus")));
    registry.put("1", &one);
    registry.put("2", &two);
    place.host(&["add", &registry.reference("a:1"), "--yes"]).ok();
    place.host(&["inspect", &registry.reference("a:2")]).ok();
    let kept = |bytes: &[u8]| place.path(&format!("cache/components/{}.wasm", Digest::of(bytes))).exists();
    place.host(&["tools", "gc"]).exits(2);
    place.host(&["tools", "gc", "nowhere/host.lock"]).exits(2).says("nothing was removed");
    place.host(&["tools", "gc", ".", "--dry-run"]).ok().says("1 component would be removed");
    assert!(kept(&one) && kept(&two));
    place.host(&["tools", "gc", "host.lock"]).ok().says("1 component removed");
    assert!(kept(&one) && !kept(&two));
}

#[test]
fn the_contract_is_published_as_a_package() {
    let (registry, place) = (Registry::start(), Place::new());
    place.host(&["wit", "tool.wasm"]).ok();
    let reference = registry.reference("host/tool:0.1.0");
    let published = place.host(&["publish", "tool.wasm", &reference]);
    published.ok().says("with sha256");
    assert!(published.stdout.contains("@sha256:"), "{}", published.stdout);
    // It has types alone.
    place.host(&["inspect", published.stdout.trim()]).ok();
}
