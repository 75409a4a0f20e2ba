//! What the pages show of agent.toml and of cases has the keys and the values that these files have.

use serde_json::{Value, json};

use super::page::Page;

/// What is wrong with a piece of TOML.
fn wrong(block: &str) -> Option<String> {
    let mut file: Value = match toml::from_str(block) {
        Ok(file) => file,
        Err(error) => return Some(error.to_string()),
    };
    let keys = file.as_object_mut().unwrap();
    let schema = if keys.contains_key("expect") {
        host::cases::schema()
    } else if keys.contains_key("server") {
        host::server::schema()
    } else if keys.values().all(|value| value.is_object() || value.is_array()) || keys.contains_key("version")
    {
        // What a page leaves out of agent.toml.
        keys.entry("version").or_insert(json!(1));
        let model = keys.entry("model").or_insert(json!({})).as_object_mut().unwrap();
        model.entry("provider").or_insert(json!("openai"));
        host::config::schema()
    } else {
        // A few lines out of a table that the page names.
        return None;
    };
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

#[test]
fn they_fit_the_schemas() {
    let mut count = 0;
    for page in Page::all() {
        for block in page.blocks("toml").iter().filter(|block| !block.contains("[[reply]]\ncalls = [\n")) {
            let wrong = wrong(block);
            assert!(wrong.is_none(), "{}: {}\n{block}", page.path.display(), wrong.unwrap());
            count += 1;
        }
    }
    assert!(count > 30, "the pages have {count} pieces of TOML");
}

#[test]
fn a_piece_that_does_not_fit_is_found() {
    for (block, fits) in [
        ("[limits]\nmax_turns = 25", true),
        ("[limits]\nmax_turn = 25", false),
        ("[limits]\nmax_turns = \"many\"", false),
        ("[limits\nmax_turns = 25", false),
        ("[tools.web]\nsource = \"x\"\npermissions.calls = [\"a\"]", true),
        ("[expect]\nanswer = \"yes\"", true),
        ("[server]\nlisten = \"127.0.0.1:8080\"", true),
        ("[server]\nlitsen = \"127.0.0.1:8080\"", false),
        ("[expect]\nanswers = \"yes\"", false),
    ] {
        assert_eq!(wrong(block).is_none(), fits, "{block}");
    }
}
