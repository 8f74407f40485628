//! What must hold of everything that reads bytes of strangers, whatever the bytes are: one function for each
//! kind, which panics where it does not hold.
//!
//! The fuzzers (`fuzz/`, run by `cargo xtask fuzz`) call them with bytes that they make up; the tests of this
//! crate with those that are kept: what fuzzers once found (`fuzz/found`), and a small set that reaches all that
//! they have reached (`fuzz/corpus`).
//!
//! | target | what is read | what must hold |
//! |---|---|---|
//! | `request_head` | a request's head, in pieces | pieces do not change the verdict; what is written reads as the same |
//! | `response_head` | a response's head, in pieces | the same |
//! | `chunked` | a chunked body, in pieces | a second reading of the grammar agrees |
//! | `framing` | header lines of a message | a second reading of RFC 9112 agrees on where the body ends |
//! | `target` | a target and a host | what is taken, other libraries take as the same; a dot segment is seen |
//! | `requests` | a client's connection | what a backend sees is the first of what it would see behind hyper |
//! | `responses` | a backend's connection | what a client sees is what it would see behind hyper, or a refusal |
//! | `state_files` | a gateway's folder | what is loaded is whole and has no name twice |
//! | `proxy_header` | a header of the PROXY protocol | pieces do not change the verdict; it is written in one way |
//! | `told` | heads that HTTP/2 tells, and trailers | written as HTTP/1.1 they read as the same, and nothing more |
//! | `control_text` | names, filters, page tokens | what is taken is written as it was read |

mod case;
mod chunked;
mod control_text;
mod framing;
mod heads;
mod oracle;
mod proxy_header;
mod requests;
mod responses;
mod state_files;
mod target;
mod told;

pub use chunked::chunked;
pub use control_text::control_text;
pub use framing::framing;
pub use heads::{request_head, response_head};
pub use proxy_header::proxy_header;
pub use requests::requests;
pub use responses::responses;
pub use state_files::state_files;
pub use target::target;
pub use told::told;

/// What is fuzzed.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("request_head", request_head),
    ("response_head", response_head),
    ("chunked", chunked),
    ("framing", framing),
    ("target", target),
    ("requests", requests),
    ("responses", responses),
    ("state_files", state_files),
    ("control_text", control_text),
    ("proxy_header", proxy_header),
    ("told", told),
];
