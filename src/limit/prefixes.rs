//! What counts as one address.

use std::net::IpAddr;

use crate::config::Settings;
use crate::network::Network;

/// How many bits of an address tell one client from another.
///
/// An IPv6 client usually has a /64 to itself (RFC 6177), and would have 2^64 addresses to get
/// around a limit for each.
///
/// ```
/// use skyring::limit::Prefixes;
///
/// let prefixes = Prefixes { ipv4: 32, ipv6: 64 };
/// let network = prefixes.network("2001:db8:0:7:1234::1".parse().unwrap());
/// assert_eq!(network.to_string(), "2001:db8:0:7::/64");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Of IPv4 addresses, those inside of IPv6 among them.
    pub ipv4: u8,
    /// Of IPv6 addresses.
    pub ipv6: u8,
}

impl Prefixes {
    /// `SKYRING_IPV4_PREFIX` and `SKYRING_IPV6_PREFIX`.
    pub fn of(settings: &Settings) -> Prefixes {
        Prefixes { ipv4: settings.ipv4_prefix, ipv6: settings.ipv6_prefix }
    }

    /// What counts as one address.
    #[inline]
    pub fn network(self, address: IpAddr) -> Network {
        let address = address.to_canonical();
        Network::new(address, if address.is_ipv4() { self.ipv4 } else { self.ipv6 })
    }
}

impl Default for Prefixes {
    fn default() -> Prefixes {
        Prefixes { ipv4: 32, ipv6: 64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn prefixes_tell_clients_apart() {
        let prefixes = Prefixes::default();
        assert_eq!(prefixes.network(ip("2001:db8::1")), prefixes.network(ip("2001:db8::ffff:2")));
        assert_ne!(prefixes.network(ip("2001:db8::1")), prefixes.network(ip("2001:db8:0:1::1")));
        assert_ne!(prefixes.network(ip("10.0.0.1")), prefixes.network(ip("10.0.0.2")));
        assert_eq!(prefixes.network(ip("::ffff:10.0.0.1")), prefixes.network(ip("10.0.0.1")));
        let coarse = Prefixes { ipv4: 24, ipv6: 48 };
        assert_eq!(coarse.network(ip("10.0.0.1")), coarse.network(ip("::ffff:10.0.0.2")));
        assert_eq!(coarse.network(ip("2001:db8:0:1::")), coarse.network(ip("2001:db8::")));
    }
}
