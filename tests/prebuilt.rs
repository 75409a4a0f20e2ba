//! The component of the weather example, which is part of the repository so that the first run builds no guest.

use std::process::Command;

use crate::support::{Agent, copy, root};

/// The compiler that built it. Another one may build other bytes of the same source.
const RUSTC: &str = "rustc 1.95.";

const MENDED: &str = "host build guest-tools/weather --output examples/weather/weather.wasm";

#[test]
fn it_is_what_its_source_builds_wherever_that_lies() {
    let version = Command::new("rustc").arg("--version").output().unwrap().stdout;
    if !version.starts_with(RUSTC.as_bytes()) {
        assert!(std::env::var_os("CI").is_none(), "CI has another compiler than {RUSTC}");
        return eprintln!("skipped: the component was built by {RUSTC}x, and this is another compiler");
    }
    let agent = Agent::scripted("");
    let sources = agent.dir.path().join("somewhere else/guest-tools");
    copy(&root().join("guest-tools"), &sources);
    let built = agent.dir.path().join("weather.wasm");
    let crate_dir = sources.join("weather");
    agent.host(&["build", crate_dir.to_str().unwrap(), "--output", built.to_str().unwrap()]).ok();
    let kept = std::fs::read(root().join("examples/weather/weather.wasm")).unwrap();
    let built = std::fs::read(&built).unwrap();
    let differs = kept.iter().zip(&built).position(|(kept, built)| kept != built);
    let near = |bytes: &[u8], at: usize| {
        let around = &bytes[at.saturating_sub(80).min(bytes.len())..(at + 80).min(bytes.len())];
        String::from_utf8_lossy(around).into_owned()
    };
    assert!(
        built == kept,
        "the source or its dependencies changed: {MENDED}\n{} bytes instead of {}; they differ from byte {differs:?} on: \
         {:?} instead of {:?}",
        built.len(),
        kept.len(),
        near(&built, differs.unwrap_or_default()),
        near(&kept, differs.unwrap_or_default())
    );
}

#[test]
fn no_path_of_the_machine_that_built_it_is_in_it() {
    let bytes = std::fs::read(root().join("examples/weather/weather.wasm")).unwrap();
    for part in ["/home/", "/root/", "/Users/", "registry/src"] {
        assert!(!bytes.windows(part.len()).any(|window| window == part.as_bytes()), "{part}");
    }
}
