//! Whose request it is. A proxy before the gateway says so in X-Forwarded-For, and anybody can claim anything there:
//! only the word of proxies that are trusted counts, from the end of the list backwards.

use std::net::{IpAddr, SocketAddr};

use hotswap_matcher::{Network, RequestHead};

use crate::headers::X_FORWARDED_FOR;

/// Addresses of proxies that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Trusts these.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether an address is one of theirs.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }

    /// The client's address: the last one in the chain that no trusted proxy has. Where all are trusted, the first of
    /// them; behind something that is no address nothing is believed.
    pub fn client(&self, peer: IpAddr, head: &impl RequestHead) -> IpAddr {
        self.client_of(peer, |visit| head.header(&X_FORWARDED_FOR, visit))
    }

    /// The same, where `chain` shows the lines of X-Forwarded-For; it is asked only where they are believed.
    pub fn client_of(&self, peer: IpAddr, chain: impl FnOnce(&mut dyn FnMut(&[u8]))) -> IpAddr {
        if self.0.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let (mut first, mut client) = (None, None);
        chain(&mut |line| {
            for entry in line.split(|b| *b == b',') {
                match parse(entry.trim_ascii()) {
                    None => (first, client) = (None, None),
                    Some(address) if self.trusts(address) => first = first.or(Some(address)),
                    Some(address) => client = Some(address),
                }
            }
        });
        client.or(first).unwrap_or(peer)
    }
}

/// An address, with a port or without.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip()))
}

#[cfg(test)]
mod tests {
    use super::super::wish::tests::Head;
    use super::*;

    fn trusted(text: &str) -> TrustedProxies {
        TrustedProxies::new(text.split(' ').map(|t| t.parse().expect("a network")).collect())
    }

    fn client(trusted: &TrustedProxies, peer: &str, chain: &[&'static str]) -> String {
        let head = Head(chain.iter().map(|line| ("x-forwarded-for", *line)).collect());
        trusted.client(peer.parse().expect("an address"), &head).to_string()
    }

    #[test]
    fn nobody_is_believed_unless_trusted() {
        assert_eq!(client(&TrustedProxies::default(), "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&trusted("10.0.0.0/8"), "192.0.2.1", &["1.2.3.4"]), "192.0.2.1");
        assert_eq!(client(&trusted("10.0.0.0/8"), "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_last_that_no_trusted_proxy_has_is_the_client() {
        let nets = trusted("10.0.0.0/8 fd00::/8");
        assert_eq!(client(&nets, "10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.9"]), "1.2.3.4");
        assert_eq!(client(&nets, "fd00::1", &["6.6.6.6", "1.2.3.4", "10.0.0.9:81, [fd00::2]"]), "1.2.3.4");
        assert_eq!(client(&nets, "::ffff:10.0.0.1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client(&nets, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3", "inside, the first");
    }

    #[test]
    fn behind_what_is_no_address_nothing_is_believed() {
        let nets = trusted("10.0.0.0/8");
        assert_eq!(client(&nets, "10.0.0.1", &["1.2.3.4, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client(&nets, "10.0.0.1", &["1.2.3.4, "]), "10.0.0.1");
    }
}
