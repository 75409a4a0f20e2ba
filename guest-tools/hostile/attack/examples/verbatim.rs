//! Gives its input back as the text that it got.

attack::attack!(
    list: vec![attack::definition("verbatim", "Gives back what it gets, letter by letter.")],
    call: |input: &str| Ok(serde_json::Value::from(input).to_string())
);
