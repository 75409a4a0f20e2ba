//! Answers with what is not JSON.

attack::attack!(list: vec![attack::definition("attack", "Lies.")], call: |_: &str| Ok("{\"a\":".to_owned()));
