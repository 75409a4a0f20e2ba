//! Never comes to an end.

attack::attack!(|_| loop {
    std::hint::black_box(());
});
