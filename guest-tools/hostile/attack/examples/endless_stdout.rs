//! Prints without end.

attack::attack!(|_| loop {
    println!("{}", "x".repeat(1000));
});
