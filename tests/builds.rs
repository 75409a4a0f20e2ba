//! Tool crates are built where no other build is in the way, each gets what was built from it, and the person sees it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::{Agent, Ran};

/// A crate that makes a component, and depends on nothing.
fn tiny(at: &Path) {
    fs::create_dir_all(at.join("src")).unwrap();
    let manifest = "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                    [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    fs::write(at.join("Cargo.toml"), manifest).unwrap();
    fs::write(at.join("src/lib.rs"), "").unwrap();
}

/// A command with a cache of its own.
fn with_own_cache(agent: &Agent, args: &[&str]) -> Command {
    let mut command = agent.unhurried(args);
    command.env("HOST_CACHE", agent.dir.path().join("own-cache"));
    command
}

fn build(agent: &Agent, args: &[&str]) -> Ran {
    with_own_cache(agent, &[&["build"], args].concat()).output().unwrap().into()
}

/// The files below a directory, all as if nobody had touched them for long.
fn grow_old(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            grow_old(&entry.path());
        } else {
            let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            File::options().write(true).open(entry.path()).unwrap().set_modified(old).unwrap();
        }
    }
}

#[test]
fn two_agents_with_tools_of_one_name_get_each_its_own() {
    let agent = Agent::scripted("");
    let dir = agent.dir.path();
    for name in ["one", "two"] {
        agent.host(&["init", name]).ok();
    }
    let source = |name: &str| dir.join(name).join("tools/greet/src/lib.rs");
    let say = |name: &str, greeting: &str| {
        let text = fs::read_to_string(source(name)).unwrap();
        fs::write(source(name), text.replace("Hello, ", greeting)).unwrap();
    };
    say("two", "Good day, ");
    // To cargo alone, a tool that is older than the other's build would be that one.
    grow_old(&dir.join("two"));
    let greets = |name: &str, text: &str| {
        let called = Ran::from(agent.unhurried(&["call", name, "name=Ada"]).output().unwrap());
        assert!(called.ok().stdout.contains(&format!("{text}Ada!")), "{name}: {}", called.stdout);
        called
    };
    greets("one", "Hello, ").says("building greet");
    greets("two", "Good day, ").says("building greet");
    let again = greets("one", "Hello, ");
    assert!(!again.stderr.contains("building"), "what was built is kept: {}", again.stderr);
    File::options().write(true).open(source("one")).unwrap().set_modified(SystemTime::now()).unwrap();
    greets("one", "Hello, ").says("building greet");
    greets("two", "Good day, ");

    // Another directory at the same path is another tool, however old its files are.
    fs::rename(dir.join("one"), dir.join("three")).unwrap();
    fs::rename(dir.join("two"), dir.join("one")).unwrap();
    greets("one", "Good day, ");
    assert!(!dir.join("one/tools/target").exists(), "agents are built in the cache");
}

#[test]
fn a_build_leaves_nothing_beside_the_crate_but_where_its_workspace_says_so() {
    let agent = Agent::scripted("");
    let dir = agent.dir.path();
    let elsewhere = dir.join("elsewhere");
    tiny(&dir.join("tiny"));
    let mut command = with_own_cache(&agent, &["build", "tiny"]);
    let built = Ran::from(command.env("CARGO_TARGET_DIR", &elsewhere).output().unwrap());
    let artifact = PathBuf::from(built.ok().stdout.split("  ").next().unwrap());
    assert!(artifact.starts_with(dir.join("own-cache")) && artifact.is_file(), "{}", artifact.display());
    assert!(!dir.join("tiny/target").exists() && !elsewhere.exists());
    assert!(!build(&agent, &["tiny"]).ok().stderr.contains("building"));

    fs::create_dir(dir.join("tiny/.cargo")).unwrap();
    fs::write(dir.join("tiny/.cargo/config.toml"), "[build]\ntarget-dir = \"out\"\n").unwrap();
    build(&agent, &["tiny"]).ok().says("building tiny");
    assert!(dir.join("tiny/out/wasm32-wasip2/release/tiny.wasm").is_file());
    let outside = format!("[build]\ntarget-dir = {elsewhere:?}\n");
    fs::write(dir.join("tiny/.cargo/config.toml"), outside).unwrap();
    build(&agent, &["tiny"]).ok();
    assert!(!elsewhere.exists(), "a directory outside may be one of others, too");
}

/// How somebody builds for their own machine says nothing of how a tool is built.
#[test]
fn the_environment_of_the_builder_makes_no_other_component() {
    let components = [false, true].map(|is_odd| {
        let agent = Agent::scripted("");
        tiny(&agent.dir.path().join("tiny"));
        let mut command = with_own_cache(&agent, &["build", "tiny"]);
        let elsewhere = agent.dir.path().join("elsewhere");
        if is_odd {
            for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"] {
                command.env(name, &elsewhere);
            }
            for name in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS"] {
                command.env(name, "-C opt-level=0 -C debuginfo=2");
            }
            command.env("CARGO_ENCODED_RUSTFLAGS", "-Copt-level=0");
            command.env("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu");
            command.env("CARGO_INCREMENTAL", "1").env("CARGO_BUILD_INCREMENTAL", "true");
            command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "true");
        }
        let built = Ran::from(command.output().unwrap());
        let artifact = PathBuf::from(built.ok().stdout.split("  ").next().unwrap());
        assert!(!elsewhere.exists());
        fs::read(artifact).unwrap()
    });
    assert!(components[0] == components[1], "it is another component");
}

#[test]
fn a_host_waits_for_another_one_and_says_so() {
    let agent = Agent::scripted("");
    tiny(&agent.dir.path().join("tiny"));
    let shared = agent.dir.path().join("own-cache/target");
    fs::create_dir_all(&shared).unwrap();
    fs::set_permissions(shared.parent().unwrap(), PermissionsExt::from_mode(0o700)).unwrap();
    let held = File::open(&shared).unwrap();
    held.lock().unwrap();
    let mut command = with_own_cache(&agent, &["build", "tiny"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let waits = lines.find(|line| line.as_ref().unwrap().contains("another host builds in"));
    assert!(waits.unwrap().unwrap().contains("own-cache/target; waiting for it"));
    drop(held);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
}

#[test]
fn the_shared_directory_is_cleared_when_it_has_become_too_large() {
    let agent = Agent::scripted("");
    tiny(&agent.dir.path().join("tiny"));
    let deps = agent.dir.path().join("own-cache/target/wasm32-wasip2/release/deps");
    let build_with_old_bytes = |bytes: u64| {
        fs::create_dir_all(&deps).unwrap();
        fs::set_permissions(agent.dir.path().join("own-cache"), PermissionsExt::from_mode(0o700)).unwrap();
        // A file with a hole takes no room on the disk, however long it is.
        File::create(deps.join("old")).unwrap().set_len(bytes).unwrap();
        let source = agent.dir.path().join("tiny/src/lib.rs");
        File::options().write(true).open(source).unwrap().set_modified(SystemTime::now()).unwrap();
        build(&agent, &["tiny"])
    };
    let small = build_with_old_bytes(1 << 30);
    assert!(!small.ok().stderr.contains("cleared") && deps.join("old").is_file(), "{}", small.stderr);
    build_with_old_bytes(3 << 30).ok().says("own-cache/target had more than 2 GiB; it was cleared");
    assert!(!deps.join("old").exists() && deps.join("tiny.wasm").is_file());
    assert!(!build(&agent, &["tiny"]).ok().stderr.contains("building"), "what was built is kept elsewhere");
}

#[test]
fn the_compilers_own_words_are_shown_where_they_are_wanted_or_matter() {
    let agent = Agent::scripted("");
    let dir = agent.dir.path().join("tiny");
    tiny(&dir);
    let quiet = build(&agent, &["tiny"]);
    quiet.ok().says("building tiny …").says("built tiny in ");
    assert!(!quiet.stderr.contains("Compiling"), "{}", quiet.stderr);
    fs::write(dir.join("src/lib.rs"), "fn unused() {}").unwrap();
    build(&agent, &["tiny", "--verbose"]).ok().says("Compiling tiny v0.1.0").says("`unused` is never used");
    fs::write(dir.join("src/lib.rs"), "fn broken() -> u32 {}").unwrap();
    let broken = build(&agent, &["tiny"]);
    broken.exits(2).says("tiny does not build").says("mismatched types").says("src/lib.rs:1");
    assert!(
        !broken.stderr.contains("Compiling") && !broken.stderr.contains("Building ["),
        "{}",
        broken.stderr
    );
    fs::write(dir.join("Cargo.toml"), "[package]\nnam = 1\n").unwrap();
    build(&agent, &["tiny"]).exits(2).says("tiny does not build").says("Cargo.toml");
}
