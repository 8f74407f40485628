//! What would be another request, or a longer one, once it is written down as HTTP/1.1.

use super::*;

/// What every request tells.
const START: [(&[u8], &[u8]); 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/")];

/// Values that must not stand in the place of those.
const CHANGED: [(usize, &[u8]); 17] = [
    (0, b"GET / HTTP/1.1\r\nhost: h\r\n\r\nGET"),
    (0, b"G ET"),
    (0, b""),
    (1, b"http://x/ HTTP/1.1\r\n"),
    (2, b"h\r\nx: 1"),
    (2, b"h h"),
    (2, b"u@h"),
    (2, b""),
    (3, b"/ HTTP/1.1\r\nhost: h\r\n\r\nGET /x"),
    (3, b"/a b"),
    (3, b"/\0"),
    (3, b"/\n"),
    (3, b""),
    (3, b"x"),
    (3, b"http://other/"),
    (3, b"*"),
    (3, b"/\xff"),
];

/// Fields that must not stand behind them.
const ADDED: [&[(&[u8], &[u8])]; 27] = [
    &[(b":path", b"/b")],
    &[(b":status", b"200")],
    &[(b":new", b"1")],
    &[(b"host", b"other")],
    &[(b"connection", b"close")],
    &[(b"connection", b"x-a"), (b"x-a", b"1")],
    &[(b"keep-alive", b"1")],
    &[(b"proxy-connection", b"close")],
    &[(b"transfer-encoding", b"chunked")],
    &[(b"transfer-encoding", b"identity")],
    &[(b"upgrade", b"h2c")],
    &[(b"te", b"gzip")],
    &[(b"content-length", b"5")],
    &[(b"content-length", b"-1")],
    &[(b"content-length", b"0x0")],
    &[(b"content-length", b"0"), (b"content-length", b"1")],
    &[(b"X-A", b"1")],
    &[(b"x a", b"1")],
    &[(b"x\r\nhost", b"1")],
    &[(b"x:y", b"1")],
    &[(b"x\0", b"1")],
    &[(b"", b"1")],
    &[(b"x-a", b"1\r\ntransfer-encoding: chunked")],
    &[(b"x-a", b"1\n\nGET /x HTTP/1.1")],
    &[(b"x-a", b"1\0")],
    &[(b"x-a", b" 1")],
    &[(b"x-a", b"1 ")],
];

/// Heads of which nothing may reach a backend.
fn hostile_heads() -> Vec<Vec<(&'static [u8], &'static [u8])>> {
    let changed = CHANGED.iter().map(|(at, value)| {
        let mut fields = START;
        fields[*at].1 = value;
        fields.to_vec()
    });
    let added = ADDED.iter().map(|added| [&START[..], added].concat());
    let missing = (0..START.len()).map(|gone| {
        let mut fields = START.to_vec();
        fields.remove(gone);
        fields
    });
    let late = [&[(&b"x-a"[..], &b"1"[..])][..], &START[..]].concat();
    changed.chain(added).chain(missing).chain([late]).collect()
}

#[tokio::test]
async fn nothing_that_would_be_another_request_in_http_1_1_reaches_a_backend() {
    let besieged = Besieged::start(&[]).await;
    for head in hostile_heads() {
        let mut raw = besieged.raw().await;
        raw.send(&frame(HEADERS, BOTH, 1, &fields(head.iter().copied()))).await;
        let shown: Vec<_> =
            head.iter().map(|(n, v)| (String::from_utf8_lossy(n), String::from_utf8_lossy(v))).collect();
        // Its stream ends, or the connection; a response is one of the gateway's own, with a status of 4xx.
        loop {
            match raw.next().await {
                Some(f) if f.kind == RST_STREAM || f.kind == GOAWAY => break,
                Some(f) if f.kind == HEADERS => {
                    // 0x8c: the field of the static table that says 400.
                    assert_eq!(f.payload.first(), Some(&0x8c), "{shown:?}");
                    break;
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    assert_eq!(besieged.backend.connections(), 0);
    let mut raw = besieged.raw().await;
    raw.send(&frame(HEADERS, BOTH, 1, &fields(START))).await;
    let answer = raw.next_of(HEADERS).await.expect("a response to what they were made of");
    assert_eq!(answer.payload.first(), OK.first());
    drop(raw);
    besieged.stands("").await;
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_said_never_becomes_a_whole_request() {
    let besieged = Besieged::start(&[]).await;
    for (length, sent) in [("5", "1234"), ("5", "123456"), ("0", "1")] {
        let mut raw = besieged.raw().await;
        let head = asked("POST", "/", &[("content-length", length)]);
        raw.send(&frame(HEADERS, END_HEADERS, 1, &head)).await;
        raw.send(&frame(DATA, END_STREAM, 1, sent.as_bytes())).await;
        let reset = raw.next_of(RST_STREAM).await.expect("a reset");
        assert_eq!((reset.stream, reset.number(0)), (1, PROTOCOL_ERROR), "{length} {sent}");
    }
    assert_eq!(besieged.reached.load(Ordering::SeqCst), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn trailers_that_are_refused_take_the_body_with_them_however_they_come() {
    let besieged = Besieged::start(&[]).await;
    let many = (0..101).map(|_| (&b"x-a"[..], &b"1"[..])).collect::<Vec<_>>();
    // What h2 itself lets pass, and the first byte of the answer: its status as the static table has it, 400, or spelled out, 431.
    for (trailers, status) in [(fields([(&b"x-a"[..], &b"1 "[..])]), 0x8c), (fields(many), 0x48)] {
        let pieces = [
            frame(HEADERS, END_HEADERS, 1, &asked("POST", "/", &[("trailer", "x-a")])),
            frame(DATA, 0, 1, b"hello"),
            frame(HEADERS, BOTH, 1, &trailers),
        ];
        for at_once in [true, false] {
            let mut raw = besieged.raw().await;
            if at_once {
                raw.send(&pieces.concat()).await;
            } else {
                let (last, before) = pieces.split_last().expect("three");
                for piece in before {
                    raw.send(piece).await;
                    // It has been read when this is answered.
                    raw.send(&frame(PING, 0, 0, &[1; 8])).await;
                    raw.next_of(PING).await.expect("an answer");
                }
                raw.send(last).await;
            }
            let answer = raw.next_of(HEADERS).await.expect("an answer");
            assert_eq!(answer.payload.first(), Some(&status), "{at_once}");
        }
    }
    assert_eq!(besieged.reached.load(Ordering::SeqCst), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn trailers_are_fields_as_others() {
    let besieged = Besieged::start(&[]).await;
    for field in [(&b"x-a"[..], &b"1\r\nx: 1"[..]), (b"transfer-encoding", b"chunked"), (b"X", b"1")] {
        let mut raw = besieged.raw().await;
        raw.send(&frame(HEADERS, END_HEADERS, 1, &asked("POST", "/", &[("trailer", "x-a")]))).await;
        raw.send(&frame(DATA, 0, 1, b"x")).await;
        raw.send(&frame(HEADERS, BOTH, 1, &fields([field]))).await;
        loop {
            match raw.next().await {
                Some(f) if f.kind == RST_STREAM || f.kind == GOAWAY => break,
                Some(f) => assert_ne!(f.kind, HEADERS, "{field:?}: an answer"),
                None => break,
            }
        }
    }
    assert_eq!(besieged.reached.load(Ordering::SeqCst), 0);
    besieged.stands("").await;
}
