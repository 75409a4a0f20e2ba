//! Looks for the environment and the arguments of the host.

attack::attack!(|_| {
    let seen: Vec<String> =
        std::env::vars().map(|(name, value)| format!("{name}={value}")).chain(std::env::args()).collect();
    if seen.is_empty() {
        Err("denied: both are empty".to_owned())
    } else {
        Ok(attack::breach(&seen.join(" ")))
    }
});
