//! The PROXY protocol, versions 1 and 2: what a load balancer that passes bytes on says of its client, before them.
//! Read strictly: whoever may say this is trusted, and a header that could be read in two ways would let somebody else
//! say it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8; 6] = b"PROXY ";
/// The longest header of version 1, in bytes.
const LONGEST_V1: usize = 107;
/// The longest header of version 2 that is taken, in bytes: what stands behind the addresses is passed over.
const LONGEST_V2: usize = 4_096;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its length, in bytes.
    pub len: usize,
    /// The client's address; `None`: the load balancer speaks for itself.
    pub source: Option<SocketAddr>,
}

/// There is no such header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no header of the PROXY protocol")]
pub struct Malformed;

/// Reads the header that `bytes` begin with. `None`: more must come; all of `bytes` belong to it.
///
/// # Errors
/// Where there is none, or one that is not taken.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        second(bytes)
    } else if begins(WORD) {
        first(bytes)
    } else {
        Err(Malformed)
    }
}

/// "PROXY TCP4 192.0.2.1 192.0.2.2 1000 443", and CRLF.
fn first(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let within = bytes.get(..LONGEST_V1).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if within.len() < LONGEST_V1 { Ok(None) } else { Err(Malformed) };
    };
    let line = within.get(..end).and_then(|l| l.strip_suffix(b"\r")).ok_or(Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ').skip(1);
    let mut next = || words.next().ok_or(Malformed);
    let source = match next()? {
        // What follows is not for us to read.
        "UNKNOWN" => return Ok(Some(Header { len: end + 1, source: None })),
        "TCP4" => {
            let (source, _) = (address::<Ipv4Addr>(next()?)?, address::<Ipv4Addr>(next()?)?);
            IpAddr::V4(source)
        }
        "TCP6" => {
            let (source, _) = (address::<Ipv6Addr>(next()?)?, address::<Ipv6Addr>(next()?)?);
            IpAddr::V6(source)
        }
        _ => return Err(Malformed),
    };
    let (from, _) = (port(next()?)?, port(next()?)?);
    match words.next() {
        None => Ok(Some(Header { len: end + 1, source: Some(SocketAddr::new(source, from)) })),
        Some(_) => Err(Malformed),
    }
}

fn address<A: std::str::FromStr>(word: &str) -> Result<A, Malformed> {
    word.parse().map_err(|_| Malformed)
}

/// Digits, the way a number is written.
fn port(word: &str) -> Result<u16, Malformed> {
    let plain = word.bytes().all(|b| b.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if plain { word.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}

/// The signature; version and command; family; length; addresses, and what else stands behind them.
fn second(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some([command, family, high, low]) = bytes.get(12..16) else { return Ok(None) };
    let (command, family) = (*command, *family);
    if !matches!(command, 0x20 | 0x21) {
        return Err(Malformed);
    }
    let len = 16 + usize::from(u16::from_be_bytes([*high, *low]));
    if len > LONGEST_V2 {
        return Err(Malformed);
    }
    let Some(addresses) = bytes.get(16..len) else { return Ok(None) };
    let source = match (command, family) {
        // The load balancer's own, as to see whether we are there; or of a kind that it can't tell.
        (0x20, _) | (_, 0x00) => None,
        (_, 0x11) => {
            let [a, b, c, d, _, _, _, _, high, low, ..] = addresses else { return Err(Malformed) };
            Some(SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low]))))
        }
        (_, 0x21) => {
            let (source, rest) = addresses.split_first_chunk::<16>().ok_or(Malformed)?;
            let Some([high, low]) = rest.get(16..18) else { return Err(Malformed) };
            rest.get(18..20).ok_or(Malformed)?;
            Some(SocketAddr::from((*source, u16::from_be_bytes([*high, *low]))))
        }
        _ => return Err(Malformed),
    };
    if (command, family) == (0x21, 0x11) && addresses.len() < 12 {
        return Err(Malformed);
    }
    Ok(Some(Header { len, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, rest].concat()
    }

    fn source(bytes: &[u8]) -> Result<Option<String>, Malformed> {
        let header = read(bytes)?.expect("whole");
        assert_eq!(header.len, bytes.len());
        Ok(header.source.map(|s| s.to_string()))
    }

    #[test]
    fn both_versions_say_where_a_client_comes_from() {
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(source(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n"), some("192.0.2.1:1000"));
        assert_eq!(source(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), some("[2001:db8::1]:0"));
        assert_eq!(source(b"PROXY UNKNOWN\r\n"), Ok(None));
        assert_eq!(source(b"PROXY UNKNOWN ffff::1 what ever\r\n"), Ok(None));
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 3, 0xe8, 1, 0xbb];
        assert_eq!(source(&v2(0x21, 0x11, &four)), some("192.0.2.1:1000"));
        assert_eq!(source(&v2(0x21, 0x11, &[&four[..], &[4, 0, 1, 9]].concat())), some("192.0.2.1:1000"));
        let mut six = [0; 36];
        (six[15], six[33]) = (1, 80);
        assert_eq!(source(&v2(0x21, 0x21, &six)), some("[::1]:80"));
        assert_eq!(source(&v2(0x20, 0x11, &four)), Ok(None));
        assert_eq!(source(&v2(0x20, 0, &[])), Ok(None));
        assert_eq!(source(&v2(0x21, 0, b"any")), Ok(None));
    }

    #[test]
    fn a_part_of_a_header_waits_for_the_rest_and_what_follows_is_left() {
        for whole in [b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n".to_vec(), v2(0x21, 0x11, &[1; 12])] {
            for end in 0..whole.len() {
                assert_eq!(read(&whole[..end]), Ok(None), "{end}");
            }
            let more = [&whole[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&more).expect("sound").expect("whole").len, whole.len());
        }
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\n",
            "PROXX",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY\r\n",
        ] {
            assert_eq!(read(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert_eq!(read(&[b"PROXY UNKNOWN ", &[b'a'; 100][..]].concat()), Err(Malformed), "too long");
        for bytes in [
            v2(0x11, 0x11, &[1; 12]),
            v2(0x22, 0x11, &[1; 12]),
            v2(0x21, 0x12, &[1; 12]),
            v2(0x21, 0x31, &[1; 216]),
            v2(0x21, 0x11, &[1; 11]),
            v2(0x21, 0x21, &[1; 35]),
            v2(0x21, 0x11, &[1; 5_000]),
        ] {
            assert_eq!(read(&bytes), Err(Malformed), "{:?}", &bytes[12..16]);
        }
    }
}
