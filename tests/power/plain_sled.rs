//! The same done to plain sled 0.34.7, one insert and one flush a record: why the journal's truth is a log of our
//! own. `cargo test --release --test main plain_sled -- --ignored --nocapture --test-threads 1`.

use std::path::{Path, PathBuf};
use std::process::Command;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::disk::{History, Syncs};
use super::{crash, trace};

const RECORDS: u32 = 40;

/// The directory that the tests below work on, in a process of their own.
const DISK: &str = "HOST_TEST_SLED";

fn process(test: &str, disk: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("power::plain_sled::{test}"), "--exact", "--ignored", "--nocapture"]);
    command.env(DISK, disk);
    command
}

fn open() -> Option<sled::Db> {
    let disk = PathBuf::from(std::env::var_os(DISK)?);
    Some(sled::Config::new().path(disk).cache_capacity(1 << 24).flush_every_ms(None).open().unwrap())
}

#[test]
#[ignore = "a process of the test below"]
fn writer() {
    let Some(db) = open() else { return };
    for n in 0..RECORDS {
        db.insert(n.to_be_bytes(), vec![b'x'; 700]).unwrap();
        db.flush().unwrap();
        println!("acknowledged {n}");
    }
}

#[test]
#[ignore = "a process of the test below"]
fn reader() {
    let Some(db) = open() else { return };
    let there = |n: &u32| db.get(n.to_be_bytes()).unwrap().is_some_and(|value| *value == [b'x'; 700]);
    println!("there {}", (0..RECORDS).take_while(there).count());
}

/// How many of the states cannot be opened, and how many lack an acknowledged record.
fn losses(history: &History, states: usize) -> (usize, usize) {
    let (mut unopened, mut lost) = (0, 0);
    for state in 0..states {
        let length = 1 + state * history.length / states;
        let (disk, _) = crash(history, length, &mut ChaCha8Rng::seed_from_u64(state as u64));
        let before = history.told.iter().filter(|(at, _)| *at < length);
        let acknowledged = before.filter(|(_, text)| text.contains("acknowledged")).count();
        let read = process("reader", disk.path()).output().unwrap();
        let said = String::from_utf8_lossy(&read.stdout).into_owned();
        let there = said.split("there ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        match there {
            None => unopened += 1,
            Some(there) => lost += usize::from(there < acknowledged),
        }
    }
    (unopened, lost)
}

#[test]
#[ignore = "evidence, and no test of the host"]
fn plain_sled_loses_acknowledged_records() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, log) = (directory.path().join("sled"), directory.path().join("disk.log"));
    let mut writer = process("writer", &disk);
    trace(&mut writer, &disk, &log);
    assert!(writer.output().unwrap().status.success());
    for syncs in [Syncs::Heeded, Syncs::RangesToo] {
        let history = History::read(&log, &disk, syncs);
        let (unopened, lost) = losses(&history, 1000);
        println!(
            "plain sled, {syncs:?}: of 1000 states {unopened} do not open and {lost} lack an acknowledged record"
        );
    }
}
