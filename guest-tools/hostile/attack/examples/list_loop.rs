//! Never says which tools it has.

attack::attack!(
    list: loop {
        std::hint::black_box(());
    },
    call: |_: &str| Ok(String::new())
);
