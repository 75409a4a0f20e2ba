//! Takes random numbers without end.

attack::attack!(|_| loop {
    std::hint::black_box(wasip2::random::random::get_random_bytes(64 * 1024));
});
