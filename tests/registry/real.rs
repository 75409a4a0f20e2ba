//! The same against the registry that people run.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

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

#[test]
fn docker_registry_takes_what_is_published_and_gives_it_back() {
    if Command::new("docker-registry").arg("--version").output().is_err() {
        let ci = std::env::var_os("HOST_CI").is_some();
        assert!(!ci, "docker-registry has to be there where HOST_CI is set");
        return eprintln!("skipped: there is no docker-registry");
    }
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        place.path("registry").display()
    );
    std::fs::write(place.path("registry.yml"), config).unwrap();
    let mut command = Command::new("docker-registry");
    command.args(["serve", "registry.yml"]).current_dir(place.dir.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(command.spawn().unwrap());
    until("the registry listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
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
