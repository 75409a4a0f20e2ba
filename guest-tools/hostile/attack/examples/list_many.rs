//! Has more tools than any model can read about.

attack::attack!(
    list: (0..10_000).map(|n| attack::definition(&format!("tool_{n}"), "One of many.")).collect(),
    call: |_: &str| Ok(String::new())
);
