//! Calls itself without end.

#[allow(unconditional_recursion, reason = "that is the attack")]
fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + frame[usize::try_from(depth).unwrap_or(0) % 64]
}

attack::attack!(|_| Ok(deeper(0).to_string()));
