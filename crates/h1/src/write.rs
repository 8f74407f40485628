//! Writing a message as HTTP/1.1.

use super::Head;

/// How a body goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As it is: its length was said in the head, or it ends with the connection.
    #[default]
    Plain,
    /// In chunks.
    Chunked,
    /// In frames that tell where it ends. Trailers are written as lines, behind the data.
    Told,
}

impl Head {
    /// Writes a request's head: the target is `path`, or the one that came.
    pub fn write_request(&self, path: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method().as_bytes());
        out.push(b' ');
        out.extend_from_slice(path.unwrap_or(self.target()).as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.write_fields(out);
    }

    /// Writes a response's head, to a client of HTTP/1.0 as such.
    pub fn write_response(&self, old: bool, out: &mut Vec<u8>) {
        let version: &[u8] = if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
        out.extend_from_slice(version);
        let digit = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or(0);
        let status = self.status();
        out.extend_from_slice(&[digit(status / 100), digit(status / 10), digit(status), b' ']);
        out.extend_from_slice(self.reason().as_bytes());
        out.extend_from_slice(b"\r\n");
        self.write_fields(out);
    }

    /// The fields that are left; runs of them are copied at once.
    fn write_fields(&self, out: &mut Vec<u8>) {
        let mut run = (0, 0);
        for field in self.fields.iter().filter(|f| f.live) {
            if field.at != run.1 {
                self.write_run(run, out);
                run.0 = field.at;
            }
            run.1 = field.end;
        }
        self.write_run(run, out);
        out.extend_from_slice(b"\r\n");
    }

    fn write_run(&self, (from, to): (u32, u32), out: &mut Vec<u8>) {
        out.extend_from_slice(self.lines.get(from as usize..to as usize).unwrap_or_default());
    }

    /// Writes fields that stand behind a body: those whose names `may`, but none that could change how the message is
    /// framed, routed or understood.
    pub fn write_trailers(&self, may: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            if !is_for_heads(name) && may(name) {
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// What may stand in a head alone: RFC 9110 section 6.5.1, and what the gateway takes out of heads.
fn is_for_heads(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "authorization",
        "cache-control",
        "client-cert",
        "client-cert-chain",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "max-forwards",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    // Who asks, and from where, is the gateway's to say, and it says it in the head.
    name.starts_with(b"x-forwarded-") || NAMES.iter().any(|n| n.as_bytes() == name)
}

impl Coding {
    /// Writes what stands before `len` bytes of data.
    pub fn open(self, len: usize, out: &mut Vec<u8>) {
        if self != Self::Chunked || len == 0 {
            return;
        }
        let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
        for place in (0..digits).rev() {
            let digit = len >> (4 * place) & 0xf;
            out.extend_from_slice(b"0123456789abcdef".get(digit..=digit).unwrap_or_default());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Writes what stands behind `len` bytes of data.
    pub fn close(self, len: usize, out: &mut Vec<u8>) {
        if self == Self::Chunked && len > 0 {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the end of the body, with `trailers`, which are whole lines.
    pub fn end(self, trailers: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Plain => {}
            Self::Chunked => {
                out.extend_from_slice(b"0\r\n");
                out.extend_from_slice(trailers);
                out.extend_from_slice(b"\r\n");
            }
            Self::Told if trailers.is_empty() => {}
            Self::Told => {
                out.extend_from_slice(trailers);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
