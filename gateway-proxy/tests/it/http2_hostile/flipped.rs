//! Bytes that no client would send on purpose.

use super::*;

/// Numbers that only look random.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[tokio::test]
async fn frames_with_flipped_bytes_leave_no_trace() {
    let besieged = Besieged::start(&[]).await;
    let post = asked("POST", "/a?b", &[("content-type", "text/plain")]);
    let sound = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        &frame(HEADERS, END_HEADERS, 1, &post),
        &frame(DATA, 0, 1, b"hello"),
        &frame(PING, 0, 0, &[7; 8]),
        &frame(DATA, END_STREAM, 1, b"world"),
        &frame(HEADERS, BOTH, 3, &get("/")),
    ]
    .concat();
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..400 {
        let mut bytes = sound.clone();
        for _ in 0..=next(&mut state) % 3 {
            let at = next(&mut state) % bytes.len();
            match next(&mut state) % 3 {
                0 => bytes[at] = next(&mut state) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, next(&mut state) as u8),
            }
        }
        let mut client = besieged.gateway.connect().await;
        client.send(&bytes).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await;
        let _ = client.ended().await;
    }
    besieged.stands("").await;
    let metrics = besieged.gateway.metrics();
    for reason in ["BACKEND_PROTOCOL", "BACKEND_CLOSED", "BACKEND_CUT"] {
        let none = format!("gateway_requests_failed_total{{reason=\"{reason}\"}} 0\n");
        assert!(metrics.contains(&none), "{metrics}");
    }
}
