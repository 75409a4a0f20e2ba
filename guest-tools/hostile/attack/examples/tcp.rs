//! Opens a TCP connection.

attack::attack!(|input| match std::net::TcpStream::connect(attack::text(input, "address")) {
    Ok(_) => Ok(attack::breach("connected")),
    Err(error) => Err(format!("denied: {error}")),
});
