//! Listens for TCP connections.

attack::attack!(|_| match std::net::TcpListener::bind("127.0.0.1:0") {
    Ok(_) => Ok(attack::breach("listening")),
    Err(error) => Err(format!("denied: {error}")),
});
