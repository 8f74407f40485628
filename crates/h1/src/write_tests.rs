use super::*;
use crate::Known;
use crate::read::{self, HeadLimits};

const LIMITS: HeadLimits = HeadLimits { bytes: 65_536, headers: 100 };

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn a_head_is_written_with_what_is_left_of_it() {
    let mut head = Head::default();
    let came = b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-A:1\r\nX-B: \t2 \r\nx-c:\r\nX-A: 3\r\n\r\n";
    read::request(came, LIMITS, &mut head).expect("sound");
    assert_eq!(
        text(|out| head.write_request(None, out)),
        "GET /a?b HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-b: 2\r\nx-c: \r\nx-a: 3\r\n\r\n"
    );
    head.remove_named(b"X-A");
    head.push("x-d", b"4");
    head.remove(Known::Host);
    assert_eq!(
        text(|out| head.write_request(Some("/c"), out)),
        "GET /c HTTP/1.1\r\nx-b: 2\r\nx-c: \r\nx-d: 4\r\n\r\n"
    );
}

#[test]
fn a_status_line_has_the_clients_version_and_the_backends_reason() {
    let mut head = Head::default();
    read::response(b"HTTP/1.1 207 Many Words\r\n\r\n", LIMITS, &mut head).expect("sound");
    assert_eq!(text(|out| head.write_response(false, out)), "HTTP/1.1 207 Many Words\r\n\r\n");
    assert_eq!(text(|out| head.write_response(true, out)), "HTTP/1.0 207 Many Words\r\n\r\n");
    head.respond(http::StatusCode::NOT_FOUND);
    assert_eq!(text(|out| head.write_response(false, out)), "HTTP/1.1 404 Not Found\r\n\r\n");
}

#[test]
fn the_size_of_a_chunk_is_written_without_leading_zeros() {
    for len in [1, 9, 10, 15, 16, 255, 256, 65_536, 0x00ab_cdef, usize::MAX] {
        assert_eq!(text(|out| Coding::Chunked.open(len, out)), format!("{len:x}\r\n"));
    }
    assert_eq!(text(|out| Coding::Chunked.open(0, out)), "", "it would end the body");
    assert_eq!(text(|out| Coding::Plain.open(5, out)), "");
}
