//! Any two texts as a schema and a value: the check ends, whatever they are. Run it with `-timeout=5`: an input that
//! takes longer is a crash.
#![no_main]

use host::message::Json;
use host::schema::{About, Schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str)| {
    let (schema, value) = data;
    // What a component may say of itself.
    if schema.len() > 64 * 1024 {
        return;
    }
    if let (Ok(schema), Ok(value)) = (Json::parse(schema.to_owned()), Json::parse(value.to_owned())) {
        let canonical = Json::parse_canonical(value.as_str()).expect("what is taken has a canonical form");
        assert_eq!(canonical, Json::parse_canonical(canonical.as_str()).expect("which is its own"));
        let _ = Schema::new(&schema).check_now(About::OUTPUT, &value);
    }
});
