//! Just enough HTTP to ask a server on this machine, and ports for servers that can't take a free one themselves.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A server that hangs must not hang the test.
const LIMIT: Duration = Duration::from_secs(10);

/// The body of an answer with status 200.
///
/// # Errors
/// Where nobody answers, and where the status is another.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // HTTP/1.0: the body ends with the connection, and never comes in chunks.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no head"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("{} {body}", head.lines().next().unwrap_or_default()))),
    }
}

/// Addresses on the loopback that were free a moment ago, all different.
pub(crate) fn free_addresses<const N: usize>() -> io::Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    let mut held = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        // Held until all are found, so that none comes twice.
        held.push(listener);
    }
    Ok(addresses)
}

/// A text as part of a query.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_query_is_escaped() {
        assert_eq!(escaped("up{job=\"a\"}"), "up%7Bjob%3D%22a%22%7D");
    }

    #[test]
    fn free_addresses_differ() {
        let [a, b, c] = free_addresses::<3>().expect("free");
        assert!(a != b && b != c && a != c);
    }
}
