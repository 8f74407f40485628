//! What a proxy changes of a head: it takes away what concerns one connection, and says that it was
//! there.

use super::framing::Framing;
use super::write::Coding;
use super::{Head, Known};

/// What is said of a request's way.
#[derive(Clone, Copy, Debug)]
pub struct Announced<'a> {
    /// The client's address.
    pub client: &'a str,
    /// The scheme that the client used.
    pub scheme: &'static str,
}

impl Head {
    /// Takes the headers of the connection out of a request, those that Connection names included. The framing
    /// stays, in the one way to write it; trailers may come back if the client takes them.
    pub fn strip_request(&mut self) {
        let trailers = self.takes_trailers();
        let chunked = self.has(Known::TransferEncoding);
        self.strip();
        if chunked {
            self.push(Known::TransferEncoding.name(), b"chunked");
        }
        if trailers {
            self.push(Known::Te.name(), b"trailers");
        }
    }

    /// Takes the headers of the connection out of a response. Of the framing only a length stays.
    pub fn strip_response(&mut self) {
        if self.has(Known::TransferEncoding) {
            // RFC 9112 section 6.3: the transfer coding counts, and the length must go.
            self.remove(Known::ContentLength);
        }
        self.strip();
    }

    fn strip(&mut self) {
        if self.has(Known::Upgrade) {
            // It belongs to the wish for h2c, whether Connection names it or not.
            self.remove_named(b"http2-settings");
        }
        self.strip_named();
        for known in
            [Known::KeepAlive, Known::ProxyConnection, Known::Te, Known::TransferEncoding, Known::Upgrade]
        {
            self.remove(known);
        }
    }

    /// Takes out Connection and what it names.
    fn strip_named(&mut self) {
        if !self.has(Known::Connection) {
            return;
        }
        // Nearly always it is one "keep-alive" or "close", which names nothing.
        if !self.only(Known::Connection).is_some_and(is_connection_option) {
            let named: Vec<Vec<u8>> = self
                .values(Known::Connection)
                .flat_map(|v| v.split(|b| *b == b','))
                .map(|token| token.trim_ascii().to_ascii_lowercase())
                .filter(|token| may_be_named(token))
                .collect();
            named.iter().for_each(|name| self.remove_named(name));
        }
        self.remove(Known::Connection);
    }

    /// The one protocol that a request asks to switch to, or that a response switches to, in the way that RFC 9110
    /// section 7.8 has for it; `None`: none, or several.
    pub fn wanted_protocol(&self) -> Option<&[u8]> {
        let one = self.only(Known::Upgrade).filter(|one| !self.is_old() && !one.contains(&b','))?;
        let mut options = self.values(Known::Connection).flat_map(|v| v.split(|b| *b == b','));
        options.any(|o| o.trim_ascii().eq_ignore_ascii_case(b"upgrade")).then(|| one.trim_ascii())
    }

    /// Whether a response switches to this protocol.
    pub fn switches_to(&self, protocol: &str) -> bool {
        self.wanted_protocol().is_some_and(|p| p.eq_ignore_ascii_case(protocol.as_bytes()))
    }

    /// Whether the client takes trailers.
    pub fn takes_trailers(&self) -> bool {
        let mut tokens = self.values(Known::Te).flat_map(|v| v.split(|b| *b == b','));
        tokens.any(|t| {
            let name = t.split(|b| *b == b';').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(b"trailers")
        })
    }

    /// The fields that are said to follow the body, as one list; `None`: nothing is said.
    pub fn trailer_names(&self) -> Option<Box<[u8]>> {
        if !self.has(Known::Trailer) {
            return None;
        }
        Some(self.values(Known::Trailer).collect::<Vec<_>>().join(&b","[..]).into())
    }

    /// Says in a stripped response how its body, which came framed so, goes out to a client, to one of HTTP/1.0 or
    /// to another; and whether the connection may be used again after it.
    pub fn frame_response(&mut self, framing: Framing, old: bool) -> (Coding, bool) {
        match framing {
            // The end of the connection is the end of the body.
            Framing::Chunked | Framing::UntilClose if old => (Coding::Plain, false),
            Framing::Chunked | Framing::UntilClose => {
                self.push(Known::TransferEncoding.name(), b"chunked");
                (Coding::Chunked, true)
            }
            Framing::None | Framing::Length(_) => {
                self.keep_one_length();
                (Coding::Plain, true)
            }
        }
    }

    /// The same for a client of HTTP/2, whose frames say where the body ends.
    pub fn frame_told_response(&mut self, framing: Framing) -> Coding {
        if matches!(framing, Framing::None | Framing::Length(_)) {
            self.keep_one_length();
        }
        Coding::Told
    }

    /// Makes the length one field, where a body can have one at all.
    fn keep_one_length(&mut self) {
        if self.status() < 200 || self.status() == 204 {
            self.remove(Known::ContentLength);
        } else if self.values(Known::ContentLength).nth(1).is_some() {
            let one = self.first(Known::ContentLength).unwrap_or_default().to_vec();
            self.remove(Known::ContentLength);
            self.push(Known::ContentLength.name(), &one);
        }
    }

    /// Says where a request came from. What a client claims of the scheme, the host and its own certificate is
    /// replaced or taken out; the chain of addresses grows by the client's.
    pub fn announce_request(&mut self, announced: Announced<'_>) {
        self.chain(announced.client);
        for known in
            [Known::ForwardedProto, Known::ClientCert, Known::ClientCertChain, Known::ForwardedClientCert]
        {
            self.remove(known);
        }
        self.push(Known::ForwardedProto.name(), announced.scheme.as_bytes());
        self.remove(Known::ForwardedHost);
        if let Some(host) = self.host {
            self.push_copy(Known::ForwardedHost.name(), host);
        }
        self.announce();
    }

    /// Adds this hop to Via: the version is the one that the message came with.
    pub fn announce(&mut self) {
        let via: &[u8] = match (self.old, self.told) {
            (true, _) => b"1.0 hotswap",
            (_, true) => b"2.0 hotswap",
            _ => b"1.1 hotswap",
        };
        self.push(Known::Via.name(), via);
    }

    /// One line, since many backends read only the first.
    fn chain(&mut self, client: &str) {
        let name = Known::ForwardedFor.name();
        if !self.has(Known::ForwardedFor) {
            self.push(name, client.as_bytes());
            return;
        }
        let at = self.lines.len();
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        for field in self.fields.iter().filter(|f| f.live && f.known == Known::ForwardedFor) {
            self.lines.extend_from_within(field.value_place());
            self.lines.extend_from_slice(b", ");
        }
        self.lines.extend_from_slice(client.as_bytes());
        self.lines.extend_from_slice(b"\r\n");
        self.remove(Known::ForwardedFor);
        self.note(at, at + name.len());
    }
}

fn is_connection_option(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive")
}

/// The framing of the body and the host are not for a peer to name.
fn may_be_named(token: &[u8]) -> bool {
    let kept = matches!(Known::of(token), Known::ContentLength | Known::TransferEncoding | Known::Host);
    !token.is_empty() && !is_connection_option(token) && !kept
}

#[cfg(test)]
#[path = "hop_tests.rs"]
mod tests;
