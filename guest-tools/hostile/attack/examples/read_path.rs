//! Reads a file that it should not know of: the input says which.

attack::attack!(|input| match std::fs::read_to_string(attack::text(input, "path")) {
    Ok(text) => Ok(attack::breach(&text)),
    Err(error) => Err(format!("denied: {error}")),
});
