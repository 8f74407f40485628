//! Heads that are too long, too slow, or larger than they look.

use super::*;

/// Bytes of memory that this process, the gateway's too, has had at once at the most.
fn most_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[tokio::test]
async fn a_head_without_an_end_is_not_waited_for_nor_kept() {
    let besieged = Besieged::start(&[]).await;
    let mut raw = besieged.raw().await;
    raw.send(&frame(HEADERS, END_STREAM, 1, &get("/"))).await;
    let piece = fields([(&b"x-a"[..], &[b'a'; 100][..])]);
    for _ in 0..10_000 {
        if !raw.send(&frame(CONTINUATION, 0, 1, &piece)).await {
            break;
        }
    }
    assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    // Nor one of pieces with nothing in them.
    let mut raw = besieged.raw().await;
    raw.send(&frame(HEADERS, END_STREAM, 1, &get("/"))).await;
    raw.send(&frame(CONTINUATION, 0, 1, &[]).repeat(5_000)).await;
    assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(besieged.backend.connections(), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn a_head_that_stands_still_ends_the_connection() {
    let besieged = Besieged::start(&["--client-head-ms", "150"]).await;
    for begun in [frame(HEADERS, END_STREAM, 1, &get("/")), frame(HEADERS, BOTH, 1, &get("/"))[..15].to_vec()]
    {
        let mut raw = besieged.raw().await;
        raw.send(&begun).await;
        assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    }
    let mut silent = Wire::connect(besieged.gateway.address()).await;
    silent.send(&PREFACE[..20]).await;
    assert!(!silent.ended().await, "a connection that never begins");
    besieged.stands("").await;
}

#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one_is_refused_and_costs_no_memory() {
    let besieged = Besieged::start(&[]).await;
    let before = most_memory();
    let mut raw = besieged.raw().await;
    // One field goes into the table of the connection; each byte behind it stands for that field.
    let mut block = get("/");
    block.extend_from_slice(&[0x40, 1, b'x']);
    integer(4_000, &mut block);
    block.extend_from_slice(&[b'a'; 4_000]);
    block.extend_from_slice(&vec![0xbe; 12_000]);
    assert!(block.len() <= 16_384, "one frame");
    raw.send(&frame(HEADERS, BOTH, 1, &block)).await;
    let code = raw.goodbye().await;
    assert!(matches!(code, Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR | COMPRESSION_ERROR)), "{code:?}");
    // Unpacked it has 48 MB.
    let more = most_memory() - before;
    assert!(more < 8 << 20, "{more} bytes");
    assert_eq!(besieged.backend.connections(), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn a_head_beyond_the_limits_gets_431_and_the_connection_goes_on() {
    let besieged = Besieged::start(&["--max-head-bytes", "8192", "--max-headers", "10"]).await;
    let long = "a".repeat(8_192);
    let response = besieged.other.ask(&format!("GET / HTTP/1.1\r\nx-a: {long}\r\n\r\n")).await;
    assert_eq!((response.status, response.reason()), (431, Some("HEAD_TOO_LARGE")));
    let many = "x-a: 1\r\n".repeat(20);
    for method in ["GET", "HEAD"] {
        let response = besieged.other.ask(&format!("{method} / HTTP/1.1\r\n{many}\r\n")).await;
        assert_eq!((response.status, response.reason()), (431, Some("HEAD_TOO_LARGE")));
        assert_eq!((response.body.is_empty(), response.whole), (method == "HEAD", true), "{method}");
    }
    let call = format!("POST / HTTP/1.1\r\ncontent-type: application/grpc\r\n{many}\r\n");
    let call = besieged.other.ask(&call).await;
    assert_eq!((call.status, call.reason()), (200, Some("HEAD_TOO_LARGE")));
    assert!(call.header("grpc-status").is_some() && call.body.is_empty(), "{}", call.head);
    assert_eq!(besieged.backend.connections(), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn a_head_well_beyond_the_limits_is_refused_logged_and_counted_and_the_connection_goes_on() {
    let dir = tempfile::tempdir().expect("dir");
    let log = dir.path().join("log").display().to_string();
    let besieged = Besieged::start(&["--access-log", "errors", "--access-log-file", &log]).await;
    // By bytes: 1.2, 2 and 3 times 64 KiB, as many cookies bring.
    for (n, bytes) in [78_643, 131_072, 196_608].into_iter().enumerate() {
        let lines: String = (0..bytes / 4_096).map(|n| format!("x-{n}: {}\r\n", "a".repeat(4_096))).collect();
        let response = besieged.other.ask(&format!("GET / HTTP/1.1\r\n{lines}\r\n")).await;
        assert_eq!((response.status, response.reason()), (431, Some("HEAD_TOO_LARGE")), "{bytes}");
        let line = r#"gateway_requests_failed_total{reason="HEAD_TOO_LARGE"}"#;
        besieged.gateway.counts(&format!("{line} {}", n + 1)).await;
    }
    let logged = || std::fs::read_to_string(&log).expect("text");
    in_time("the log", async {
        while logged().matches("\"reason\":\"HEAD_TOO_LARGE\"").count() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(besieged.backend.connections(), 0);
    besieged.stands("").await;
}
