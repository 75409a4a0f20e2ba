use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Anybody's, out in the Internet.
    Public,
    /// Not reachable from elsewhere, or not meant to be; the text says which kind.
    Special(&'static str),
}

/// Networks that are not the public Internet, after the IANA registries of special-purpose addresses
/// (RFC 6890 and its updates) and the metadata services of clouds, some of which hide behind an address that
/// looks public.
const SPECIAL: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "cloud metadata"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("100::/64", "discard"),
    ("64:ff9b:1::/48", "local NAT64"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
];

static NETWORKS: LazyLock<Vec<(IpNet, &'static str)>> = LazyLock::new(|| {
    // A test parses every line, so nothing is left out here.
    SPECIAL.iter().filter_map(|(network, kind)| Some((network.parse().ok()?, *kind))).collect()
});

/// Says what an address is for. An IPv6 address that carries an IPv4 address is as special as that one.
#[must_use]
pub fn classify(address: IpAddr) -> AddressClass {
    let special = NETWORKS.iter().find(|(network, _)| network.contains(&address));
    if let Some((_, kind)) = special {
        return AddressClass::Special(kind);
    }
    match address {
        IpAddr::V4(_) => AddressClass::Public,
        IpAddr::V6(address) => match embedded(address) {
            Some(inside) => classify(IpAddr::V4(inside)),
            // Only this block is global unicast; the rest is not assigned.
            None if address.segments()[0] & 0xe000 == 0x2000 => AddressClass::Public,
            None => AddressClass::Special("unassigned"),
        },
    }
}

/// The IPv4 address that packets to this one end at: v4-mapped, NAT64 and 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let at = |start: usize| {
        let bytes: Option<[u8; 4]> = octets.get(start..start + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Ipv4Addr::from)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            at(12)
        }
        [0x2002, ..] => at(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn every_network_is_well_formed() {
        assert_eq!(NETWORKS.len(), SPECIAL.len());
    }

    #[test]
    fn private_addresses_in_every_form() {
        for special in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "169.254.169.254",
            "168.63.129.16",
            "192.0.0.192",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "4000::1",
        ] {
            assert_ne!(classify(special.parse().unwrap()), AddressClass::Public, "{special}");
        }
        for public in
            ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::"]
        {
            assert_eq!(classify(public.parse().unwrap()), AddressClass::Public, "{public}");
        }
    }
}
