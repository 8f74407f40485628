//! Networks of IP addresses, and sets of them.

use std::net::IpAddr;
use std::str::FromStr;

/// A network, as "10.0.0.0/8"; an address alone is a network of one. IPv4 is what it is within IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// IPv4 as it stands in IPv6.
    first: u128,
    /// How many bits of it count.
    bits: u32,
}

/// A set of networks. A look-up costs the logarithm of their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// First and last addresses, rising, none touching another.
    ranges: Vec<(u128, u128)>,
}

impl Network {
    /// Whether the address is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        let (first, last) = self.range();
        (first..=last).contains(&number(address))
    }

    /// Whether its address is the first of it, as one who knows it writes it.
    pub fn is_exact(&self) -> bool {
        self.range().0 == self.first
    }

    fn range(&self) -> (u128, u128) {
        // A shift by all bits is none.
        let free = if self.bits == 0 { u128::MAX } else { (1_u128 << (128 - self.bits)) - 1 };
        (self.first & !free, self.first | free)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no network, as 10.0.0.0/8, fd00::/8 or 192.0.2.7");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).ok().filter(|b| *b <= most).ok_or_else(bad)?;
        Ok(Self { first: number(address), bits: 128 - most + bits })
    }
}

impl Networks {
    /// Whether the address is in one of them.
    pub fn have(&self, address: IpAddr) -> bool {
        let number = number(address);
        let next = self.ranges.partition_point(|(first, _)| *first <= number);
        next.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, last)| number <= *last)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let mut all: Vec<_> = networks.into_iter().map(|network| network.range()).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match ranges.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        Self { ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks_are_read_strictly() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "10.0.0.0/", "a", "10.0.0.0/-1", " ::/0"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        assert!(network("::/0").has(address("1.2.3.4")));
        assert!(network("192.0.2.7").has(address("::ffff:192.0.2.7")));
        assert!(!network("192.0.2.7").has(address("192.0.2.6")));
        assert!(network("10.0.0.0/8").is_exact() && !network("10.0.0.1/8").is_exact());
    }

    #[test]
    fn a_set_has_what_one_of_its_networks_has() {
        let texts = ["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "192.0.2.7", "fd00::/8", "192.0.2.9/32"];
        let all: Vec<Network> = texts.iter().map(|t| network(t)).collect();
        let set: Networks = all.iter().copied().collect();
        assert_eq!(set.ranges.len(), 4, "neighbours are one");
        for text in [
            "9.255.255.255",
            "10.0.0.0",
            "10.127.255.255",
            "10.128.0.0",
            "10.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.7",
            "192.0.2.8",
            "192.0.2.9",
            "fcff::1",
            "fd00::",
            "fdff::1",
            "fe00::",
            "::ffff:10.1.2.3",
            "::",
            "ffff:ffff::",
        ] {
            let of_one = all.iter().any(|network| network.has(address(text)));
            assert_eq!(set.have(address(text)), of_one, "{text}");
        }
        assert!(!Networks::default().have(address("::")));
        let everything: Networks = [network("::/0"), network("::/1")].into_iter().collect();
        assert!(everything.have(address("ffff::")) && everything.have(address("0.0.0.0")));
    }
}
