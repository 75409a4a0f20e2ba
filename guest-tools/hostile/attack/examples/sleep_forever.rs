//! Waits for something that does not come.

attack::attack!(|_| {
    std::thread::sleep(std::time::Duration::from_secs(1_000_000));
    Ok(attack::breach("slept"))
});
