//! Logs without end.

attack::attack!(|_| loop {
    attack::log(attack::Level::Info, &"x".repeat(1000));
});
