//! Takes more random numbers at once than there is memory.

attack::attack!(|_| {
    let bytes = wasip2::random::random::get_random_bytes(u64::MAX / 2);
    Ok(attack::breach(&format!("{} bytes", bytes.len())))
});
