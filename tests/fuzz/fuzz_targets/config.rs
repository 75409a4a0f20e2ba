//! Any text as agent.toml is read or refused with places that can be shown.
#![no_main]

use std::path::Path;

use host::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(text, Path::new("/agents/fuzz/agent.toml")) {
        assert!(error.problems().count() > 0);
        let said = error.to_string();
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    }
});
