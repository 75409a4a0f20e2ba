//! Promises nothing, and gives more than parsers take.

attack::attack!(
    list: {
        let promise = r#"{"type":"null"}"#.to_owned();
        vec![attack::ToolDefinition { output_schema: Some(promise), ..attack::definition("attack", "Is deep.") }]
    },
    call: |_: &str| Ok(format!("{}{}", "[".repeat(200), "]".repeat(200)))
);
