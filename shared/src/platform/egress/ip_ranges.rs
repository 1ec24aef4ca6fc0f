//! IP ranges: which addresses are public, that is, global unicast and
//! outside private and special-purpose networks.
//!
//! The standard library's `is_global` is unstable, and no crate with a current copy of IANA's
//! tables was found. So the tables are here, row by row as IANA publishes them:
//! <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>,
//! <https://www.iana.org/assignments/ipv6-address-space>.
//!
//! A block is rejected as a whole, even where IANA assigns a few reachable anycast addresses in it:
//! agents do not run at those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// IPv4 blocks that are not global unicast.
const BLOCKED_V4: [Ipv4Net; 20] = [
    v4([0, 0, 0, 0], 8),          // "this network" (RFC 791)
    v4([10, 0, 0, 0], 8),         // private (RFC 1918)
    v4([100, 64, 0, 0], 10),      // carrier-grade NAT (RFC 6598); also Alibaba's metadata service
    v4([127, 0, 0, 0], 8),        // loopback (RFC 1122)
    v4([168, 63, 129, 16], 32),   // Azure's host, reachable from its virtual machines only
    v4([169, 254, 0, 0], 16),     // link-local (RFC 3927); the metadata services of most clouds
    v4([172, 16, 0, 0], 12),      // private (RFC 1918)
    v4([192, 0, 0, 0], 24),       // IETF protocols (RFC 6890); also Oracle's metadata service
    v4([192, 0, 2, 0], 24),       // documentation (RFC 5737)
    v4([192, 31, 196, 0], 24),    // AS112 (RFC 7535)
    v4([192, 52, 193, 0], 24),    // AMT relays (RFC 7450)
    v4([192, 88, 99, 0], 24),     // 6to4 relays, deprecated (RFC 7526)
    v4([192, 168, 0, 0], 16),     // private (RFC 1918)
    v4([192, 175, 48, 0], 24),    // AS112 (RFC 7534)
    v4([198, 18, 0, 0], 15),      // benchmarking (RFC 2544)
    v4([198, 51, 100, 0], 24),    // documentation (RFC 5737)
    v4([203, 0, 113, 0], 24),     // documentation (RFC 5737)
    v4([224, 0, 0, 0], 4),        // multicast (RFC 5771)
    v4([240, 0, 0, 0], 4),        // reserved (RFC 1112)
    v4([255, 255, 255, 255], 32), // broadcast (RFC 919)
];

/// IPv6 global unicast space that IANA has allocated. Addresses outside it are loopback,
/// link-local, unique local, multicast, reserved, or an IPv4 address in another form.
const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

/// Blocks in that space that are not global unicast.
const BLOCKED_V6: [Ipv6Net; 5] = [
    v6([0x2001, 0, 0], 23), // IETF protocol assignments (RFC 2928), such as Teredo (RFC 4380)
    v6([0x2001, 0x0db8, 0], 32), // documentation (RFC 3849)
    v6([0x2002, 0, 0], 16), // 6to4: embeds an IPv4 address (RFC 3056)
    v6([0x2620, 0x4f, 0x8000], 48), // AS112 (RFC 7534)
    v6([0x3fff, 0, 0], 20), // documentation (RFC 9637)
];

/// The well-known NAT64 prefix (RFC 6052). Networks without IPv4 use it to reach the IPv4 address
/// in the last four bytes.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

/// Returns whether a function may connect to this address for a URL from the registry.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            is_global_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => {
            GLOBAL_UNICAST_V6.contains(&address) && !BLOCKED_V6.iter().any(|block| block.contains(&address))
        }
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    !BLOCKED_V4.iter().any(|block| block.contains(&address))
}

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6([a, b, c]: [u16; 3], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(address: &str) -> bool {
        is_global(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_accepted() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "3ffe:ffff::",
            "3fff:1000::",
            "64:ff9b::101:101",
        ] {
            assert!(global(address), "{address}");
        }
    }

    #[test]
    fn both_ends_of_every_blocked_range_are_rejected() {
        for block in BLOCKED_V4 {
            assert!(!is_global(block.network().into()) && !is_global(block.broadcast().into()), "{block}");
        }
        for block in BLOCKED_V6 {
            assert!(!is_global(block.network().into()) && !is_global(block.broadcast().into()), "{block}");
        }
    }

    /// Kept apart from the tables, so that a row that is missing there fails here.
    #[test]
    fn private_and_special_addresses_are_rejected() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.1.1",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            // Unspecified, loopback, IPv4-compatible and IPv4-mapped.
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:1.1.1.1",
            // NAT64 of addresses that are rejected themselves, and the local-use NAT64 prefix.
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::a00:1",
            "64:ff9b:1::101:101",
            // Discard-only, Teredo, benchmarking, ORCHID, documentation, 6to4, segment routing.
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2620:4f:8000::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "5f00::1",
            // Unique local (including AWS's metadata service), link-local, site-local, multicast.
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!global(address), "{address}");
        }
    }
}
