//! Who has to have signed what comes from elsewhere: asked for, verified, pinned, and refused where it is not so.

use host::message::Digest;
use host::registry::BUNDLE_BYTES_MAX;
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::fake::{BUNDLE, Registry, Reply};
use super::sigstore::{IDENTITY, ISSUER, Signature, Sigstore};
use super::{Place, component};
use crate::support::Ran;

const EXAMPLE: &str = "oci://127.0.0.1:*/tools/*";

/// A place where an identity of this Sigstore is asked for.
fn asking(sigstore: &Sigstore) -> Place {
    let place = Place::new();
    std::fs::write(place.path("root.json"), sigstore.root()).unwrap();
    let tags = IDENTITY.replace("/v1", "/*");
    let add = ["trust", "add", EXAMPLE, "--identity", &tags, "--issuer", ISSUER, "--root", "root.json"];
    place.host(&add).ok().says("now asks");
    place
}

/// A place where a key is asked for.
fn asking_for(key: &KeyPair, sigstore: &Sigstore, more: &[&str]) -> Place {
    let place = Place::new();
    std::fs::write(place.path("root.json"), sigstore.root()).unwrap();
    std::fs::write(place.path("signer.pub"), key.public_key_pem()).unwrap();
    let add = ["trust", "add", EXAMPLE, "--key", "signer.pub", "--root", "root.json"];
    place.host(&[&add, more].concat()).ok();
    place
}

/// Nothing was pinned or kept, and stderr says this.
#[track_caller]
fn refuses(place: &Place, registry: &Registry, said: &str) -> Ran {
    let ran = place.host(&["add", &registry.reference("tools/sums:1"), "--yes"]);
    ran.exits(1).says(said);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert!(!place.path("host.lock").exists() && !place.path("cache/components").exists());
    ran
}

/// A registry with one component, and the digest of its manifest.
fn with_one() -> (Registry, Digest) {
    let registry = Registry::start();
    let manifest = registry.put("1", &component(None));
    (registry, manifest)
}

fn signed(sigstore: &Sigstore, registry: &Registry) -> Value {
    sigstore.attest(&registry.manifest("1"), &Signature::default())
}

#[test]
fn what_an_identity_signed_is_pinned_and_verified_at_every_start() {
    for sigstore in [Sigstore::new(), Sigstore::new().logging_certificates()] {
        let (registry, manifest) = with_one();
        let place = asking(&sigstore);
        refuses(&place, &registry, "no signature was found").says(IDENTITY.rsplit_once('/').unwrap().0);
        registry.sign(manifest, &signed(&sigstore, &registry).to_string());
        let added = place.host(&["add", &registry.reference("tools/sums:1"), "--yes"]);
        assert!(added.ok().stdout.contains(&format!("signed by {IDENTITY} ({ISSUER})")), "{}", added.stdout);
        assert!(place.host(&["lock"]).ok().stdout.contains(&format!("signed by {IDENTITY}")));
        registry.forget();
        place.host(&["--offline", "run"]).ok();
        place.host(&["--offline", "lock", "--verify"]).ok();
        place.host(&["run"]).ok();
        assert!(registry.asked().is_empty());
        // What is compiled and cached is verified like what is fresh.
        let lock = place.read("host.lock");
        for (from, to, said) in [
            (IDENTITY, &IDENTITY.replace("tools", "other"), "host.lock says another signer"),
            ("\"sig\":\"M", &"\"sig\":\"N".to_owned(), "is of no use"),
            ("\"layers\":", &"\"layerz\":".to_owned(), "another manifest"),
        ] {
            place.edit("host.lock", from, to);
            for way in [&["--offline", "run"][..], &["run"], &["check"], &["call", ".", "add", "a=1", "b=2"]]
            {
                place.host(way).exits(2).says("is not signed as").says(said);
            }
            place.host(&["lock", "--verify"]).exits(1).says("is not signed as");
            std::fs::write(place.path("host.lock"), &lock).unwrap();
        }
        place.empty_store();
        place.host(&["run"]).ok();
    }
}

#[test]
fn a_signature_is_found_below_the_tag_that_stands_in_for_the_list() {
    let (sigstore, (registry, manifest)) = (Sigstore::new(), with_one());
    let place = asking(&sigstore);
    registry.sign_by_tag(manifest, &signed(&sigstore, &registry).to_string());
    place.host(&["add", &registry.reference("tools/sums:1"), "--yes"]).ok();
    assert!(registry.was_asked(&format!("referrers/sha256:{manifest}")));
    assert!(registry.was_asked(&format!("manifests/sha256-{manifest}")));
    place.host(&["--offline", "run"]).ok();
}

#[test]
fn a_signature_is_taken_from_a_file() {
    let sigstore = Sigstore::new();
    let (server, one) = (Registry::start(), component(None));
    let answered = one.clone();
    server.rule(move |_| Some(Reply::of(200, answered.clone())));
    let place = asking(&sigstore);
    let own = place.read("config/host/trust.toml");
    std::fs::write(place.path("config/host/trust.toml"), own.replace(EXAMPLE, "http://127.0.0.1:*")).unwrap();
    let url = format!("http://{}/sums.wasm", server.host());
    place.host(&["add", &url, "--yes"]).exits(1).says("--bundle");
    for (bundle, is_good) in [
        (sigstore.sign_file(b"another file", &Signature::default()), false),
        (Sigstore::new().sign_file(&one, &Signature::default()), false),
        (sigstore.sign_file(&one, &Signature::default()), true),
        (sigstore.attest(&one, &Signature::default()), true),
    ] {
        std::fs::write(place.path("sums.sigstore.json"), bundle.to_string()).unwrap();
        let add = ["add", &url, "--yes", "--bundle", "sums.sigstore.json", "--name"];
        let name = format!("sums{}", bundle["messageSignature"].is_null());
        let ran = place.host(&[&add[..], &[&name]].concat());
        if is_good {
            ran.ok()
        } else {
            ran.exits(1).says("is of no use")
        };
    }
    std::fs::remove_file(place.path("sums.sigstore.json")).unwrap();
    place.host(&["--offline", "run"]).exits(2).says("already offered");
    place.edit("agent.toml", "[tools.sumstrue]\n", "[tools.sumstrue]\nprefix = \"other_\"\n");
    place.host(&["--offline", "run"]).ok();
    // The file was changed, and its signature is for what it was.
    server.rule(|_| Some(Reply::of(200, component(Some("plus")))));
    place.host(&["update", "--yes"]).exits(1).says("is not signed as");
    place.host(&["update", "--bundle", "x"]).exits(2).says("one component");
    place.host(&["add", "x.wasm", "--bundle", "x"]).exits(2);
}

#[test]
fn whoever_is_not_asked_for_is_nobody() {
    let sigstore = Sigstore::new();
    let (registry, manifest) = with_one();
    let place = asking(&sigstore);
    let as_it_should = Signature::default();
    let bytes = registry.manifest("1");
    let with = |change: fn(&mut Signature)| {
        let mut signature = as_it_should.clone();
        change(&mut signature);
        sigstore.attest(&bytes, &signature)
    };
    let mut unsigned = signed(&sigstore, &registry);
    unsigned["dsseEnvelope"]["signatures"] = json!([]);
    let mut of_another_kind = signed(&sigstore, &registry);
    of_another_kind["mediaType"] = "application/json".into();
    let mut of_another_type = signed(&sigstore, &registry);
    of_another_type["dsseEnvelope"]["payloadType"] = "text/plain".into();
    let mut moved = signed(&sigstore, &registry);
    moved["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1704110401".into();
    let key = KeyPair::generate().unwrap();
    for (bundle, said) in [
        (sigstore.attest(b"another manifest", &as_it_should), "a signature of something else"),
        (with(|it| it.logged_s = 36 * 3600), "had expired"),
        (with(|it| it.logged_s = -36 * 3600), "not yet valid"),
        (with(|it| it.identity = IDENTITY.replace("tools", "other")), "example/other/"),
        (with(|it| it.identity = IDENTITY.replace("tags", "heads")), "refs/heads"),
        (with(|it| it.identity = format!("https://evil.example/{IDENTITY}")), "evil.example"),
        (
            with(|it| it.issuer = "https://evil.example".to_owned()),
            "(https://evil.example) signed it, and not",
        ),
        (with(|it| it.kind = "https://cosign.sigstore.dev/attestation/vuln/v1"), "it is no signature"),
        (with(|it| it.in_log = false), "is of no use"),
        (Sigstore::new().attest(&bytes, &as_it_should), "No log key"),
        (sigstore.attest_by(&key, &bytes, &as_it_should), "a key signed it, and no identity"),
        (unsigned, "does not read"),
        (of_another_kind, "media type"),
        (of_another_type, "text/plain"),
        (moved, "is of no use"),
        (json!({}), "does not read"),
        (Value::from("["), "does not read"),
    ] {
        registry.sign(manifest, &bundle.to_string());
        refuses(&place, &registry, said);
    }
    // Where the certificate has to be in a log, too, one that is in none is refused.
    let logging = Sigstore::new().logging_certificates();
    let mut root: Value = serde_json::from_str(&logging.root()).unwrap();
    let mut other: Value = serde_json::from_str(&sigstore.root()).unwrap();
    other["ctlogs"] = root["ctlogs"].take();
    std::fs::write(place.path("root.json"), other.to_string()).unwrap();
    registry.sign(manifest, &signed(&sigstore, &registry).to_string());
    refuses(&place, &registry, "timestamp");
}

#[test]
fn what_only_looks_like_a_signature_is_passed_over() {
    let sigstore = Sigstore::new();
    let (registry, manifest) = with_one();
    let place = asking(&sigstore);
    let good = signed(&sigstore, &registry).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let huge = format!("{good}{}", " ".repeat(usize::try_from(BUNDLE_BYTES_MAX).unwrap()));
    for (bundle, said) in [(&deep, "does not read"), (&huge, "longer than")] {
        registry.sign(manifest, bundle);
        refuses(&place, &registry, said);
    }
    // The registry answers whatever it likes.
    for (answer, said) in [
        ("[".repeat(100_000), "does not read"),
        (
            json!({ "manifests": [{ "artifactType": BUNDLE, "digest": "md5:1" }] }).to_string(),
            "no signature was",
        ),
        (
            json!({ "manifests": [{ "artifactType": BUNDLE, "digest": format!("sha256:{manifest}") }] })
                .to_string(),
            "no signature was",
        ),
        (
            json!({ "manifests": [{ "digest": format!("sha256:{}", Digest::of(b"gone")) }] }).to_string(),
            "it is not there",
        ),
        (" ".repeat(1 << 20), "is longer than"),
    ] {
        registry.rule(move |it| it.path.contains("/referrers/").then(|| Reply::of(200, answer.clone())));
        refuses(&place, &registry, said);
    }
    registry.rule(|_| None);
    // What is of another type is not looked at, and what is of use is found among what is not.
    let of_another = registry.referring(&good, "application/spdx+json");
    registry.rule(move |it| it.path.contains("/referrers/").then(|| Reply::of(200, of_another.clone())));
    refuses(&place, &registry, "no signature was found");
    let [mut list, more] = [registry.referring("[", BUNDLE), registry.referring(&good, BUNDLE)]
        .map(|it| serde_json::from_slice::<Value>(&it).unwrap());
    list["manifests"].as_array_mut().unwrap().push(more["manifests"][0].clone());
    registry.rule(move |it| it.path.contains("/referrers/").then(|| Reply::of(200, list.to_string())));
    place.host(&["add", &registry.reference("tools/sums:1"), "--yes"]).ok();
}

#[test]
fn a_key_signs_in_a_log_or_where_that_is_taken_without() {
    let (sigstore, key, other) =
        (Sigstore::new(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (registry, manifest) = with_one();
    let (logging, alone) = (asking_for(&key, &sigstore, &[]), asking_for(&key, &sigstore, &["--no-log"]));
    let bytes = registry.manifest("1");
    let unlogged = Signature { in_log: false, ..Signature::default() };
    let mut forged = sigstore.attest_by(&key, &bytes, &unlogged);
    forged["dsseEnvelope"]["payload"] = sigstore.attest_by(
        &key,
        &bytes,
        &Signature { kind: "https://slsa.dev/provenance/v1", ..unlogged.clone() },
    )["dsseEnvelope"]["payload"]
        .take();
    for (bundle, in_log, by_itself) in [
        (sigstore.attest_by(&key, &bytes, &Signature::default()), None, None),
        (sigstore.attest_by(&key, &bytes, &unlogged), Some("log = false"), None),
        (sigstore.attest_by(&other, &bytes, &Signature::default()), Some("invalid"), Some("invalid")),
        (Sigstore::new().attest_by(&key, &bytes, &Signature::default()), Some("is of no use"), None),
        (signed(&sigstore, &registry), Some("certificate"), Some("and no key")),
        (sigstore.attest_by(&key, b"other", &unlogged), Some("something else"), Some("something else")),
        (forged, Some("log = false"), Some("invalid")),
    ] {
        registry.sign(manifest, &bundle.to_string());
        for (place, said) in [(&logging, in_log), (&alone, by_itself)] {
            if let Some(said) = said {
                refuses(place, &registry, said);
                continue;
            }
            let added = place.host(&["add", &registry.reference("tools/sums:1"), "--yes"]);
            assert!(added.ok().stdout.contains("signed by key sha256:"), "{}", added.stdout);
            place.host(&["--offline", "run"]).ok();
            std::fs::remove_file(place.path("host.lock")).unwrap();
            place.empty_store();
            let table = place.read("agent.toml");
            std::fs::write(place.path("agent.toml"), table.split("\n[tools.sums]").next().unwrap()).unwrap();
        }
    }
}

#[test]
fn one_of_the_signers_of_a_rule_is_enough() {
    let (sigstore, key) = (Sigstore::new(), KeyPair::generate().unwrap());
    let (registry, manifest) = with_one();
    let place = asking_for(&key, &sigstore, &[]);
    let other = format!(
        "[{{ identity = \"{IDENTITY}\", issuer = \"{ISSUER}\", root = \"../../root.json\" }}, {{ key"
    );
    place.edit("config/host/trust.toml", "[{ key", &other);
    let bytes = registry.manifest("1");
    let somebody = Signature { identity: "https://evil.example/x".to_owned(), ..Signature::default() };
    registry.sign(manifest, &sigstore.attest(&bytes, &somebody).to_string());
    refuses(&place, &registry, "evil.example").says("; and ").says(", or key sha256:");
    for (name, bundle) in [
        ("one", signed(&sigstore, &registry)),
        ("two", sigstore.attest_by(&key, &bytes, &Signature::default())),
    ] {
        registry.sign(manifest, &bundle.to_string());
        place.host(&["add", &registry.reference("tools/sums:1"), "--yes", "--name", name]).ok();
    }
    let lock = place.host(&["lock"]).ok().stdout.clone();
    assert!(
        lock.contains("signed by key sha256:") && lock.contains(&format!("signed by {IDENTITY}")),
        "{lock}"
    );
    place.edit("agent.toml", "[tools.two]\n", "[tools.two]\nprefix = \"other_\"\n");
    place.host(&["--offline", "run"]).ok();
}

#[test]
fn a_rule_holds_for_what_was_pinned_before() {
    let (sigstore, (registry, manifest)) = (Sigstore::new(), with_one());
    let place = Place::new();
    std::fs::write(place.path("root.json"), sigstore.root()).unwrap();
    let bundle = signed(&sigstore, &registry).to_string();
    place.host(&["add", &registry.reference("tools/sums:1"), "--yes"]).ok();
    place.host(&["run"]).ok();
    let rule = ["--identity", IDENTITY, "--issuer", ISSUER, "--root", "root.json"];
    place.host(&[&["trust", "add", EXAMPLE, "--agent", "."], &rule[..]].concat()).ok();
    let text = place.read("agent.toml");
    assert!(text.contains("# whenever") && text.contains("[[trust.require]]"), "{text}");
    place.host(&["run"]).exits(2).says("host.lock keeps no signature of it");
    place.host(&["update", "--yes"]).exits(1).says("no signature was found");
    registry.sign(manifest, &bundle);
    let updated = place.host(&["update", "--yes"]);
    assert!(updated.ok().stdout.contains(&format!("is now {IDENTITY}")), "{}", updated.stdout);
    place.host(&["--offline", "run"]).ok();
    place.host(&["update"]).ok().says("up to date");
    // Without the rule, what is kept stays as long as the component does.
    std::fs::write(place.path("agent.toml"), text.split("\n[[trust.require]]").next().unwrap()).unwrap();
    let lock = place.read("host.lock");
    place.host(&["update"]).ok().says("up to date");
    assert_eq!(place.read("host.lock"), lock);
    std::fs::write(place.path("agent.toml"), text).unwrap();
    // Another rule has to be met, too.
    let other =
        ["trust", "add", "*", "--identity", "me@example.com", "--issuer", ISSUER, "--root", "root.json"];
    place.host(&other).ok();
    place.host(&["--offline", "run"]).exits(2).says("me@example.com");
    let shown = place.host(&["trust"]).ok().stdout.clone();
    assert!(shown.contains("me@example.com") && shown.contains(IDENTITY), "{shown}");
    let shown: Value = serde_json::from_str(&place.host(&["trust", "--json"]).ok().stdout).unwrap();
    assert_eq!(shown[0]["signers"][0]["identity"], "me@example.com", "{shown}");
    assert_eq!(shown[1]["signers"][0]["issuer"], ISSUER, "{shown}");
    // A file that cannot be read is no file without rules.
    std::fs::write(place.path("config/host/trust.toml"), "version = 1\n[[trust.requires]]\n").unwrap();
    place.host(&["--offline", "run"]).exits(2).says("requires");
}

#[test]
fn a_manifest_that_is_signed_is_no_passport_for_another_component() {
    let (sigstore, (registry, manifest)) = (Sigstore::new(), with_one());
    let place = asking(&sigstore);
    registry.sign(manifest, &signed(&sigstore, &registry).to_string());
    place.host(&["add", &registry.reference("tools/sums:1"), "--yes"]).ok();
    // Whoever can write host.lock, and has the other component in the store, still lacks its signature.
    let (one, other) = (component(None), component(Some("plus")));
    let path = place.path(&format!("cache/components/{}.wasm", Digest::of(&other)));
    std::fs::write(path, &other).unwrap();
    let lock = place.read("host.lock");
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    // The manifest in the lock names the component, too.
    let (entry, signature) = lock.split_once("[[tools.sums.signatures]]").unwrap();
    let entry = entry.replace(&digest(&one), &digest(&other));
    let entry = entry.replace(&format!("bytes = {}", one.len()), &format!("bytes = {}", other.len()));
    std::fs::write(place.path("host.lock"), format!("{entry}[[tools.sums.signatures]]{signature}")).unwrap();
    place.host(&["--offline", "run"]).exits(2).says("names another component");
}

#[test]
fn who_signed_is_told_where_nobody_asks_for_it() {
    let (registry, _) = with_one();
    let place = Place::new();
    let inspected = place.host(&["inspect", &registry.reference("tools/sums:1")]);
    assert!(inspected.ok().stdout.contains("nobody is known to have signed it"), "{}", inspected.stdout);
    let inspected = place.host(&["inspect", &registry.reference("tools/sums:1"), "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.ok().stdout).unwrap();
    assert_eq!(inspected["signers"], json!({ "asked_for": false, "signed_by": [] }));
    let sigstore = Sigstore::new();
    let asking = asking(&sigstore);
    registry.sign(Digest::of(&registry.manifest("1")), &signed(&sigstore, &registry).to_string());
    let inspected = asking.host(&["inspect", &registry.reference("tools/sums:1"), "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.ok().stdout).unwrap();
    assert_eq!(inspected["signers"]["signed_by"], json!([format!("{IDENTITY} ({ISSUER})")]));
    assert_eq!(
        asking.host(&["call", &registry.reference("tools/sums:1"), "a=1", "b=2"]).ok().stdout.trim(),
        "3"
    );
    // Somebody's Sigstore is nobody to whoever does not know it.
    let inspected = place.host(&["inspect", &registry.reference("tools/sums:1")]);
    assert!(inspected.ok().stdout.contains("nobody is known to have signed it"), "{}", inspected.stdout);
}

#[test]
fn a_rule_that_could_not_be_kept_is_not_added() {
    let place = Place::new();
    std::fs::write(place.path("signer.pub"), KeyPair::generate().unwrap().public_key_pem()).unwrap();
    std::fs::write(place.path("empty.json"), "{}").unwrap();
    for (args, said) in [
        (&["tools/*", "--key", "signer.pub"][..], "no source"),
        (&["oci://registry.example/a:1", "--key", "signer.pub"], "tag"),
        (&["*", "--key", "gone.pub"], "does not exist"),
        (&["*", "--key", "agent.toml"], "PUBLIC KEY"),
        (&["*", "--key", "signer.pub", "--root", "empty.json"], "root"),
        (&["*", "--identity", "*", "--issuer", ISSUER], "leave open who"),
        (&["*", "--identity", "me@example.com"], "--issuer"),
        (&["*"], "--key"),
    ] {
        place.host(&[&["trust", "add"], args].concat()).exits(2).says(said);
        assert!(!place.path("config/host/trust.toml").exists(), "{args:?}");
        let before = place.read("agent.toml");
        place.host(&[&["trust", "add", "--agent", "agent.toml"], args].concat()).exits(2).says(said);
        assert_eq!(place.read("agent.toml"), before);
    }
    place.host(&["trust"]).ok().says("no rule asks");
    // A tool that could change the key would decide who signs.
    let grant = "\n[tools.x]\nsource = \"x.wasm\"\n[[tools.x.permissions.dirs]]\npath = \".\"\nguest = \"/a\"\naccess = \"write\"\n";
    std::fs::create_dir_all(place.path("agent")).unwrap();
    let text = place.read("agent.toml").replace("script.toml", "../script.toml");
    std::fs::write(place.path("agent/agent.toml"), text + &grant.replace("\".\"", "\"../keys\"")).unwrap();
    std::fs::create_dir_all(place.path("keys")).unwrap();
    std::fs::rename(place.path("signer.pub"), place.path("keys/signer.pub")).unwrap();
    place
        .host(&["trust", "add", "*", "--key", "keys/signer.pub", "--agent", "agent"])
        .exits(2)
        .says("signer.pub");
}
