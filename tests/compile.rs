//! Compiling happens elsewhere, under limits, and what is kept is only used if this host wrote it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::message::Digest;
use host::sandbox::{Metering, Sandbox};
use host::toolbox::{CacheError, CompileError, Compiler, ComponentCache, Progress};

use crate::attacks::hostile;
use crate::support::root;

/// Loads a component, and says what was said.
async fn load(cache: &ComponentCache, bytes: &[u8]) -> (Result<(), CacheError>, String) {
    let sandbox = Sandbox::new().unwrap();
    let said = std::sync::Mutex::new(String::new());
    let tell = |progress: Progress<'_>| {
        if let Progress::Said(line) = progress {
            said.lock().unwrap().push_str(line);
        }
    };
    let engine = sandbox.engine(Metering::Time).unwrap();
    let loaded = cache.load(engine, Metering::Time, (bytes, Digest::of(bytes)), "hostile.wasm", &tell).await;
    (loaded.map(drop), said.into_inner().unwrap())
}

fn compiler() -> Compiler {
    Compiler::new(Path::new(env!("CARGO_BIN_EXE_host")))
}

fn code(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "cwasm")).unwrap()
}

#[tokio::test]
async fn what_is_kept_is_used_until_a_byte_of_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = dir.path().join("cache");
    let cache = ComponentCache::open(&cache_dir, compiler()).unwrap();
    let bytes = fs::read(hostile("env_and_args")).unwrap();
    assert!(load(&cache, &bytes).await.1.starts_with("compiled"));
    assert_eq!(load(&cache, &bytes).await.1, "");
    let path = code(&cache_dir);
    let whole = fs::read(&path).unwrap();
    for at in [0, 31, 32, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let (loaded, said) = load(&cache, &bytes).await;
        loaded.unwrap();
        assert!(said.contains("was not written by this host"), "{at}: {said}");
        assert_eq!(fs::read(&path).unwrap(), whole, "the code is the same each time");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load(&cache, &bytes).await.1.contains("was not written by this host"));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    ComponentCache::open(&cache, compiler()).unwrap();
    fs::set_permissions(cache.join("key"), fs::Permissions::from_mode(0o640)).unwrap();
    let error = ComponentCache::open(&cache, compiler()).unwrap_err().to_string();
    assert!(error.contains("its key") && error.contains("remove it"), "{error}");
}

#[tokio::test]
async fn a_compiler_that_exceeds_a_limit_is_stopped_and_the_limit_named() {
    let dir = tempfile::tempdir().unwrap();
    for (does, expected) in [
        ("sleep 60", "took more than 300ms"),
        ("kill -XCPU $$", "s of processor time"),
        ("kill -ABRT $$", "GiB of memory"),
        ("cat > /dev/null; echo broken >&2; exit 2", "does not compile: broken"),
        ("printf '\\033[2Jbad' >&2; exit 1", "exit status: 1: [2Jbad"),
        ("exit 0", "this host cannot hold it"),
    ] {
        let program = dir.path().join("compiler");
        fs::write(&program, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let compiler = Compiler::new(&program).with_deadline(Duration::from_millis(300));
        let cache = ComponentCache::open(&dir.path().join("cache"), compiler).unwrap();
        let error = load(&cache, &fs::read(hostile("dns")).unwrap()).await.0.unwrap_err();
        assert!(error.to_string().contains(expected), "{does}: {error}");
        assert!(matches!(error, CacheError::Compile(_)));
    }
    let gone = Compiler::new(&dir.path().join("gone"));
    let cache = ComponentCache::open(&dir.path().join("cache"), gone).unwrap();
    let error = load(&cache, b"").await.0.unwrap_err();
    assert!(matches!(error, CacheError::Compile(CompileError::Failed { .. })), "{error}");
}

/// Without this a Python component takes more processor time than its compiler may have.
#[test]
fn a_checkout_optimises_what_compiles() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let packages = &manifest["profile"]["release"]["package"];
    for name in ["cranelift-codegen", "regalloc2", "wasmtime-internal-cranelift", "wasmparser"] {
        let level = packages.get(name).and_then(|package| package.get("opt-level")?.as_integer());
        assert_eq!(
            level,
            Some(3),
            "{name}: cargo deletes the lines of what is no dependency of the workspace's own"
        );
    }
}
