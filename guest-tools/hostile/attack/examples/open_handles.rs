//! Keeps handles of the host without end.

attack::attack!(|_| {
    let mut held = Vec::new();
    loop {
        held.push(wasip2::clocks::monotonic_clock::subscribe_duration(1));
    }
});
