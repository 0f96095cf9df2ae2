//! Addresses as limits see them: an IPv4 address, an IPv6 network of one client, a CIDR block.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one alone.
///
/// An IPv4 address inside of IPv6 (`::ffff:10.0.0.1`, what a socket of both families sees) is the
/// IPv4 address. `0.0.0.0/0` is all of IPv4 and no IPv6, `::/0` the other way round.
///
/// ```
/// use skyring::limit::Network;
///
/// let office: Network = "10.1.0.0/16".parse()?;
/// assert!(office.contains("10.1.200.7".parse().unwrap()));
/// assert!(office.contains("::ffff:10.1.200.7".parse().unwrap()));
/// assert!(!office.contains("10.2.0.1".parse().unwrap()));
/// # Ok::<(), skyring::limit::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// The block of this prefix that the address lies in; a prefix beyond the address's bits is
    /// taken for all of them.
    pub fn new(address: IpAddr, prefix: u8) -> Network {
        let address = address.to_canonical();
        let prefix = prefix.min(bits_max(address));
        let first = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Network { first, prefix }
    }

    /// Its first address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// How many bits its addresses have in common.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && Network::new(address, self.prefix) == *self
    }
}

/// How many bits such an address has.
fn bits_max(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl From<IpAddr> for Network {
    /// One address alone.
    fn from(address: IpAddr) -> Network {
        Network::new(address, 128)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// What stands before the slash is no IP address.
    Address(String),
    /// What stands behind the slash is no number of bits of such an address.
    Prefix(String),
    /// The address has bits beyond the prefix: one of the two is a slip.
    Beyond {
        /// The text.
        given: String,
        /// The block that the address lies in.
        meant: Network,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkError::Address(text) => write!(
                f,
                "{text:?} is no network; write an address or a block, as 10.0.0.1 or 10.0.0.0/8"
            ),
            NetworkError::Prefix(text) => {
                write!(f, "{text:?} has no such prefix; IPv4 has /0 to /32, IPv6 /0 to /128")
            }
            NetworkError::Beyond { given, meant } => {
                write!(f, "{given} has bits beyond its prefix; write {meant}")
            }
        }
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let text = text.trim();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let wrong = |what: fn(String) -> NetworkError| what(text.chars().take(60).collect());
        let given: IpAddr = address.parse().map_err(|_| wrong(NetworkError::Address))?;
        let Some(prefix) = prefix else { return Ok(given.into()) };
        let is_plain = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse::<u8>().ok().filter(|n| is_plain && *n <= bits_max(given));
        let mut prefix = prefix.ok_or_else(|| wrong(NetworkError::Prefix))?;
        let address = given.to_canonical();
        if address.is_ipv4() && given.is_ipv6() {
            // ::ffff:10.0.0.0/104 is 10.0.0.0/8; a shorter one holds other addresses, too.
            prefix = prefix.checked_sub(96).ok_or_else(|| wrong(NetworkError::Prefix))?;
        }
        let network = Network::new(address, prefix);
        if network.first != address {
            return Err(NetworkError::Beyond { given: text.to_owned(), meant: network });
        }
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    #[test]
    fn the_first_and_last_address_lie_in_it_and_their_neighbours_do_not() {
        let cases = [
            ("10.1.0.0/16", "10.1.0.0", "10.1.255.255", "10.0.255.255", "10.2.0.0"),
            ("10.0.0.7/32", "10.0.0.7", "10.0.0.7", "10.0.0.6", "10.0.0.8"),
            ("128.0.0.0/1", "128.0.0.0", "255.255.255.255", "127.255.255.255", "::1"),
            ("2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", "2001:db7::", "::1"),
            ("fe80::1/128", "fe80::1", "fe80::1", "fe80::", "fe80::2"),
        ];
        for (block, first, last, before, after) in cases {
            let block = network(block);
            assert!(block.contains(ip(first)) && block.contains(ip(last)), "{block}");
            assert!(!block.contains(ip(before)) && !block.contains(ip(after)), "{block}");
            assert_eq!(block.to_string().parse(), Ok(block));
        }
    }

    #[test]
    fn an_address_alone_is_a_network_and_families_do_not_mix() {
        assert_eq!(network("10.0.0.1").to_string(), "10.0.0.1/32");
        assert_eq!(network(" ::1 ").to_string(), "::1/128");
        assert!(network("0.0.0.0/0").contains(ip("255.1.2.3")));
        assert!(network("0.0.0.0/0").contains(ip("::ffff:1.2.3.4")));
        assert!(!network("0.0.0.0/0").contains(ip("::1")));
        assert!(network("::/0").contains(ip("ffff::")) && !network("::/0").contains(ip("1.2.3.4")));
    }

    #[test]
    fn ipv4_inside_of_ipv6_is_ipv4() {
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:0.0.0.0/96"), network("0.0.0.0/0"));
        assert!("::ffff:0.0.0.0/95".parse::<Network>().is_err());
        assert_eq!(Network::new(ip("::ffff:10.9.9.9"), 8), network("10.0.0.0/8"));
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_to_write() {
        for text in ["", "/", "10.0.0/8", "10.0.0.1:80", "fe80::1%eth0", "host/8", "010.0.0.1"] {
            let error = text.parse::<Network>().expect_err(text);
            assert!(error.to_string().contains("as 10.0.0.1"), "{error}");
        }
        for text in ["10.0.0.0/", "10.0.0.0/33", "::/129", "::/+1", "::/-1", "::/1/2", "::/ 1"] {
            let error = text.parse::<Network>().expect_err(text);
            assert!(matches!(error, NetworkError::Prefix(_)), "{text}: {error}");
        }
        let error = "10.1.2.3/16".parse::<Network>().expect_err("bits beyond");
        assert_eq!(error.to_string(), "10.1.2.3/16 has bits beyond its prefix; write 10.1.0.0/16");
    }
}
