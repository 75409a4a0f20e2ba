//! `host init`: what is there is looked at first, and nothing is lost that the person did not give away.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use crate::support::{Agent, Ran};

/// Everything below a directory: what is in files, where links lead, and which directories there are.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    fn add(root: &Path, at: &Path, tree: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(at).into_iter().flatten().map(Result::unwrap) {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            let what = if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if kind.is_dir() {
                add(root, &path, tree);
                "directory".to_owned()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            tree.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    let mut tree = BTreeMap::new();
    add(root, root, &mut tree);
    tree
}

/// The files of a new agent.
fn new_agent() -> BTreeMap<PathBuf, String> {
    let agent = Agent::scripted("");
    agent.host(&["init", "new"]).ok();
    tree(&agent.dir.path().join("new"))
}

fn files(tree: &BTreeMap<PathBuf, String>) -> Vec<&PathBuf> {
    tree.iter().filter(|(_, what)| *what != "directory").map(|(path, _)| path).collect()
}

/// A way in which something stands at a path already.
type Put = fn(&Path, &Path);

#[test]
fn whatever_is_in_the_place_of_any_file_is_told_and_kept() {
    let new = new_agent();
    let files = files(&new);
    assert!(files.len() > 12, "{files:?}");
    let kinds: [(&str, Put, bool); 5] = [
        ("a file", |path, _| fs::write(path, "mine").unwrap(), true),
        ("a link to a file", |path, other| symlink(other, path).unwrap(), true),
        ("a link to nothing", |path, _| symlink("/nowhere/at/all", path).unwrap(), true),
        ("a directory", |path, _| fs::create_dir(path).unwrap(), false),
        ("a link to a directory", |path, other| symlink(other.parent().unwrap(), path).unwrap(), true),
    ];
    for (kind, put, replaceable) in kinds {
        for file in &files {
            if kind == "a file" && file.ends_with(".gitignore") {
                continue;
            }
            let agent = Agent::scripted("");
            let (dir, other) = (agent.dir.path().join("dir"), agent.dir.path().join("other"));
            fs::write(&other, "precious").unwrap();
            fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
            put(&dir.join(file), &other);
            let before = tree(&dir);
            let refused = agent.host(&["init", "dir"]);
            let name = Path::new("dir").join(file);
            refused.exits(2).says("nothing was written").says(&name.display().to_string());
            assert_eq!(tree(&dir), before, "{kind} at {}", file.display());
            let forced = agent.host(&["init", "dir", "--force"]);
            if replaceable {
                forced.ok();
                assert_eq!(tree(&dir).keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
                assert!(fs::symlink_metadata(dir.join(file)).unwrap().is_file());
            } else {
                forced.exits(2).says("nothing was written").says(&name.display().to_string());
                assert_eq!(tree(&dir), before, "{kind} at {}", file.display());
            }
            assert_eq!(fs::read_to_string(&other).unwrap(), "precious", "nothing is written through a link");
        }
    }
}

#[test]
fn a_directory_that_is_something_else_is_in_the_way_and_no_link_is_followed() {
    let new = new_agent();
    for (directory, _) in new.iter().filter(|(_, what)| *what == "directory") {
        for is_link in [false, true] {
            let agent = Agent::scripted("");
            let (dir, other) = (agent.dir.path().join("dir"), agent.dir.path().join("other"));
            fs::create_dir_all(dir.join(directory).parent().unwrap()).unwrap();
            fs::create_dir(&other).unwrap();
            if is_link {
                symlink(&other, dir.join(directory)).unwrap();
            } else {
                fs::write(dir.join(directory), "mine").unwrap();
            }
            let before = tree(&dir);
            for args in [&["init", "dir"][..], &["init", "dir", "--force"]] {
                agent.host(args).exits(2).says(&format!("dir/{} (", directory.display()));
            }
            assert_eq!(tree(&dir), before);
            assert!(tree(&other).is_empty(), "nothing is written through a link");
        }
    }
    let agent = Agent::scripted("");
    fs::write(agent.dir.path().join("file"), "mine").unwrap();
    for name in ["file", "file/below"] {
        let refused = agent.host(&["init", name, "--force"]);
        assert!(matches!(refused.code, Some(1 | 2)), "{name}: {}", refused.stderr);
        refused.says("file");
    }
    symlink("nowhere", agent.dir.path().join("link")).unwrap();
    agent.host(&["init", "link", "--force"]).exits(2).says("link (a directory has to be there)");
}

#[test]
fn all_that_is_in_the_way_is_listed_at_once() {
    let agent = Agent::scripted("");
    agent.host(&["init"]).ok().says("host run my-agent");
    let (dir, new) = (agent.dir.path().join("my-agent"), new_agent());
    assert_eq!(tree(&dir), new, "without a directory it is one that has a name");
    let mine = dir.join("agent.toml");
    fs::write(&mine, "mine").unwrap();
    let refused = agent.host(&["init"]);
    refused.exits(2).says("--force");
    for file in files(&new).into_iter().filter(|file| !file.ends_with(".gitignore")) {
        refused.says(&format!("  my-agent/{}\n", file.display()));
    }
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    agent.host(&["init", "--force"]).ok();
    assert_eq!(tree(&dir), new);
}

#[test]
fn a_gitignore_gets_the_lines_that_it_lacks() {
    for (before, after) in [
        ("", "/tools/target\n"),
        ("*.log", "*.log\n/tools/target\n"),
        ("*.log\n", "*.log\n/tools/target\n"),
        ("a\r\n/tools/target\r\nb\r\n", "a\r\n/tools/target\r\nb\r\n"),
        ("/tools/target", "/tools/target"),
        ("# /tools/target\n", "# /tools/target\n/tools/target\n"),
    ] {
        let agent = Agent::scripted("");
        let dir = agent.dir.path().join("dir");
        fs::create_dir(&dir).unwrap();
        let file = dir.join(".gitignore");
        fs::write(&file, before).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        agent.host(&["init", "dir"]).ok();
        assert_eq!(fs::read_to_string(&file).unwrap(), after);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }
    let agent = Agent::scripted("");
    let dir = agent.dir.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(".gitignore"), b"\xff\n").unwrap();
    agent.host(&["init", "dir"]).exits(2).says(".gitignore").says("nothing was written");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

/// A command that can write no file larger than this, as on a disk that is full.
#[allow(unsafe_code, reason = "a limit that goes on after exec can only be set between fork and exec")]
fn with_small_files(agent: &Agent, args: &[&str], bytes: u64) -> Ran {
    let mut command = agent.command(args);
    // SAFETY: both calls are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            if libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    command.output().unwrap().into()
}

#[test]
fn a_failure_half_way_leaves_everything_as_it_was() {
    let new = new_agent();
    let mut sizes: Vec<usize> = files(&new).into_iter().map(|file| new[file].len()).collect();
    sizes.sort_unstable();
    for size in sizes.iter().map(|size| size - 1) {
        let agent = Agent::scripted("");
        let limit = size.try_into().unwrap();
        with_small_files(&agent, &["init", "deep/new"], limit).exits(1).says("nothing was written");
        assert!(!agent.dir.path().join("deep").exists(), "with files of {size} bytes at most");

        let dir = agent.dir.path().join("dir");
        fs::create_dir_all(dir.join("tools")).unwrap();
        for mine in ["agent.toml", ".gitignore", "tools/Cargo.toml"] {
            fs::write(dir.join(mine), format!("my {mine}")).unwrap();
        }
        let before = tree(&dir);
        with_small_files(&agent, &["init", "dir", "--force"], limit).exits(1).says("nothing was written");
        assert_eq!(tree(&dir), before, "with files of {size} bytes at most");
    }
    let agent = Agent::scripted("");
    with_small_files(&agent, &["init", "new"], (*sizes.last().unwrap()).try_into().unwrap()).ok();
    assert_eq!(tree(&agent.dir.path().join("new")), new);
}

#[test]
fn one_more_tool_changes_nothing_but_the_list_of_members() {
    let agent = Agent::scripted("");
    agent.host(&["init", "mine"]).ok();
    let dir = agent.dir.path().join("mine");
    let before = tree(&dir);
    agent.host(&["init", "--tool", "find-flights", "mine"]).ok().says("[tools.find-flights]");
    let mut after = tree(&dir);
    let manifest = after.get_mut(Path::new("tools/Cargo.toml")).unwrap();
    assert!(
        manifest.contains("members = [\"greet\", \"sdk\", \"sdk-macros\", \"find-flights\"]"),
        "{manifest}"
    );
    *manifest = before[Path::new("tools/Cargo.toml")].clone();
    let added: Vec<String> =
        after.keys().filter(|it| !before.contains_key(*it)).map(|it| it.display().to_string()).collect();
    let crate_files = ["", "/Cargo.toml", "/src", "/src/lib.rs"].map(|it| format!("tools/find-flights{it}"));
    assert_eq!(added, crate_files);
    assert!(after[Path::new("tools/find-flights/src/lib.rs")].contains("pub fn find_flights("));
    agent.host(&["init", "--tool", "find-flights", "mine"]).exits(2).says("tools/find-flights/src/lib.rs");
    agent.host(&["init", "--tool", "serde", "mine"]).exits(2).says("choose another name");

    // A workspace without the SDK is somebody's own.
    let own = agent.dir.path().join("own/tools");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
    agent.host(&["init", "--tool", "x", "own"]).exits(2).says("own/tools/Cargo.toml");
    assert_eq!(tree(&own).len(), 1);
}
