//! The guest workspace has tests of its own, which run natively.

use std::process::{Command, Stdio};

use crate::support::root;

#[test]
fn the_guest_tools_pass_their_own_tests() {
    let tested = Command::new(env!("CARGO"))
        .args(["test", "--release", "--workspace", "--lib"])
        .current_dir(root().join("guest-tools"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr));
    assert!(tested.status.success(), "{stdout}\n{stderr}");
    let passed = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(passed.sum::<u32>() >= 10, "{stdout}");
}
