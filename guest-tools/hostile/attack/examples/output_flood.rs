//! Answers with more than anybody can read.

attack::attack!(|input| {
    let bytes = input.get("bytes").and_then(serde_json::Value::as_u64).unwrap_or(1 << 30);
    Ok("x".repeat(usize::try_from(bytes).unwrap_or(usize::MAX)))
});
