//! Has a schema with two ways at each of thirty forks, all of which lead on.

attack::attack!(
    list: {
        let fork = |n: u32| {
            let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, n + 1);
            format!(r#""d{n}":{{"unevaluatedProperties":false,"anyOf":[{next},{next}]}}"#)
        };
        let forks: Vec<String> = (0..30).map(fork).collect();
        let schema = format!(
            r##"{{"type":"object","$ref":"#/$defs/d0","$defs":{{{},"d30":{{"type":"string"}}}}}}"##,
            forks.join(",")
        );
        vec![attack::ToolDefinition { input_schema: schema, ..attack::definition("attack", "Forks.") }]
    },
    call: |_: &str| Ok(String::new())
);
