//! What is not of a decision: bodies that are compressed, and lines of the access log.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hotswap_core::SystemClock;
use hotswap_gateway::access_log::{AccessLog, AccessLogMode, Entry, Sent};
use hotswap_gateway::metrics::ControlMetrics;
use hotswap_gateway::rollout::Met;
use hotswap_gateway::traffic::Encoder;
use hotswap_matcher::ContentCoding;
use http::{HeaderValue, Method, StatusCode, Uri, Version};

use crate::{Outcome, ROUNDS, tell};

const BODIES: u32 = 500;
/// Fewer than may wait, so that none is dropped.
const LINES: u32 = 8_000;

/// 10 KB of JSON by each coding.
pub fn bodies() -> Outcome<()> {
    let mut body = String::new();
    for n in 0.. {
        let _ =
            write!(body, "{{\"id\":{n},\"name\":\"item {}\",\"price\":{}}},", n * 7_919 % 1_000, n * 31 % 97);
        if body.len() >= 10_240 {
            break;
        }
    }
    for coding in ContentCoding::ALL {
        let mut values = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            for _ in 0..BODIES {
                let (mut encoder, mut out) = (Encoder::new(coding, None)?, Vec::new());
                encoder.take(body.as_bytes(), &mut out)?;
                encoder.end(&mut out)?;
                black_box(out);
            }
            values.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(BODIES));
        }
        tell(&format!("compression, 10 KB of JSON by {}", coding.name()), values);
    }
    Ok(())
}

/// A line that a core hands over, and one that the writer forms and writes.
pub fn log_lines() -> Outcome<()> {
    let (mut handed, mut written) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let metrics = Arc::new(ControlMetrics::default());
        let path = "/dev/null".into();
        let (log, writer) =
            AccessLog::start(AccessLogMode::All, Some(&path), SystemClock, Arc::clone(&metrics))?;
        let began = Instant::now();
        for _ in 0..LINES {
            log.log(black_box(entry()));
        }
        let each = |took: Duration| took.as_secs_f64() * 1e9 / f64::from(LINES);
        handed.push(each(began.elapsed()));
        drop(log);
        let _ = writer.join();
        written.push(each(began.elapsed()));
        if metrics.log_dropped.load(Ordering::Relaxed) > 0 {
            return Err("lines were dropped".into());
        }
    }
    tell("access log, a line handed over", handed);
    tell("access log, a line written, by a thread of its own", written);
    Ok(())
}

fn entry() -> Entry {
    let sent = Sent {
        client: IpAddr::from([203, 0, 113, 7]),
        version: Some(Version::HTTP_11),
        tls: Some("1.3"),
        user_agent: Some(HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64)")),
        trace: None,
        bytes: 0,
    };
    Entry {
        sent,
        method: Method::GET,
        host: Some(HeaderValue::from_static("shop.example")),
        uri: Uri::from_static("/cart/items?page=1"),
        route: None,
        backend: None,
        status: Some(StatusCode::OK),
        reason: None,
        code: None,
        took: Duration::from_micros(1_234),
        bytes: 1_024,
        met: Met::default(),
    }
}
