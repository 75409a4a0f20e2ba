//! Keeps the host busy with calls that cost it something.

attack::attack!(|_| loop {
    std::hint::black_box(wasip2::clocks::monotonic_clock::now());
});
