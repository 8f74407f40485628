//! The wish to go on in another protocol: the client's, as its route lets it through, and what the backend says to it.
//! HTTP/1.1 asks with Upgrade, HTTP/2 with a CONNECT that names a protocol (RFC 8441); backends are asked with Upgrade.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotswap_h1::framing::Framing;
use hotswap_h1::{Head, Known};
use hotswap_matcher::WEBSOCKET;

use crate::config::RouteEntry;
use crate::dice::Dice;

const KEY: &str = "sec-websocket-key";
const ACCEPT: &str = "sec-websocket-accept";
/// What a server puts behind a key (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The wish.
pub(super) struct Wish {
    protocol: Box<str>,
    /// What the backend has to say of a key that the gateway made.
    accept: Option<String>,
}

impl Wish {
    /// The client's, where the route lets it. A request with a body is none that asks: what is a body to one reader could
    /// be the new protocol to another.
    pub(super) fn of(head: &Head, route: &RouteEntry, framing: Framing) -> Option<Self> {
        let wanted = head.wanted_protocol().filter(|_| framing == Framing::None)?;
        let mut allowed = route.forward()?.upgrades.iter().map(|protocol| &**protocol);
        let protocol = allowed.find(|p| p.as_bytes().eq_ignore_ascii_case(wanted))?;
        // RFC 6455 section 4.1.
        let sound = protocol != WEBSOCKET || head.method() == "GET";
        sound.then(|| Self { protocol: protocol.into(), accept: None })
    }

    /// The protocol, as the route has it.
    pub(super) fn protocol(&self) -> &str {
        &self.protocol
    }

    /// Puts it into a head that was stripped. A client of HTTP/2 has no key for a WebSocket (RFC 8441 section 5.1), and a
    /// backend wants one.
    pub(super) fn ask(&mut self, head: &mut Head, dice: &mut Dice) {
        head.push(Known::Connection.name(), b"upgrade");
        head.push(Known::Upgrade.name(), self.protocol.as_bytes());
        if head.is_told() && &*self.protocol == WEBSOCKET {
            let key = STANDARD.encode([dice.next().to_be_bytes(), dice.next().to_be_bytes()].concat());
            head.remove_named(KEY.as_bytes());
            head.push(KEY, key.as_bytes());
            self.accept = Some(accept(&key));
        }
    }

    /// Whether a backend that answers so does what was asked. What it says of the gateway's key is taken out.
    pub(super) fn is_met(&self, head: &mut Head) -> bool {
        if !head.switches_to(&self.protocol) {
            return false;
        }
        let Some(accept) = &self.accept else { return true };
        let mut said = head.named(ACCEPT);
        let is_right = said.next() == Some(accept.as_bytes()) && said.next().is_none();
        drop(said);
        head.remove_named(ACCEPT.as_bytes());
        is_right
    }
}

/// What a server says of a key (RFC 6455 section 4.2.2).
fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_standard_has_it() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
