//! Looks at what it was given as a secret.

attack::attack!(|_| std::env::var("SECRET").map_err(|error| format!("denied: {error}")));
