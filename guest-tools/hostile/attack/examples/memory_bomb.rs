//! Takes all the memory it can get.

attack::attack!(|_| {
    let mut taken = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
});
