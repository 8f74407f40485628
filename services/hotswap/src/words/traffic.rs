//! Traffic features of a route, for `describe`.

use hotswap_api::route::v1::{
    AccessLog, AccessLogMode, Compression, Cors, Fault, Jwt, Mirror, RateLimit, RateLimitScope, Traffic,
    mirror, rate_limit,
};

use super::Lines;
use crate::columns;

/// A line for each feature that is on.
pub(super) fn lines(traffic: Option<&Traffic>, lines: &mut Lines) {
    let Some(t) = traffic else { return };
    let mut note = |title, told: Option<Vec<String>>| lines.extend(told.map(|told| (title, told)));
    note(
        "Access",
        t.access.as_ref().map(|a| {
            let all = |verb: &'static str, of: &[String]| {
                of.iter().map(|network| format!("{verb} {network}")).collect::<Vec<_>>()
            };
            [all("allow", &a.allow), all("deny", &a.deny)].concat()
        }),
    );
    note("CORS", t.cors.as_ref().map(cors));
    note(
        "Request limits",
        t.limits.as_ref().map(|l| {
            let bytes = u64::from(l.max_head_bytes);
            [(l.max_body_bytes, "bytes of body"), (bytes, "bytes of head"), (l.max_headers.into(), "headers")]
                .into_iter()
                .filter(|(most, _)| *most > 0)
                .map(|(most, what)| format!("{most} {what}"))
                .collect()
        }),
    );
    note("Tokens", t.jwt.as_ref().map(jwt));
    note("Rate limit", t.rate_limit.as_ref().map(|r| vec![rate(r)]));
    note("Concurrency", t.concurrency.as_ref().map(|c| vec![format!("{} requests", c.max_requests)]));
    note("Fault", t.fault.as_ref().map(fault));
    note("Compression", t.compression.as_ref().map(|c| vec![compression(c)]));
    note("Mirror", t.mirror.as_ref().map(mirror));
    note("Access log", t.access_log.as_ref().map(|l| vec![log(l)]));
}

fn cors(c: &Cors) -> Vec<String> {
    let mut told = vec![format!("origins {}", c.origins.join(", "))];
    for (what, names) in [("methods", &c.methods), ("headers", &c.headers), ("exposed", &c.expose_headers)] {
        if !names.is_empty() {
            told.push(format!("{what} {}", names.join(", ")));
        }
    }
    if c.credentials {
        told.push("with credentials".to_owned());
    }
    told
}

fn jwt(j: &Jwt) -> Vec<String> {
    let mut told = vec![format!("signed with {}", j.algorithms.join(" or "))];
    let from = [&j.jwks_url, &j.jwks_file].into_iter().filter(|from| !from.is_empty());
    told.extend(from.map(|from| format!("by keys of {from}")));
    if !j.issuer.is_empty() {
        told.push(format!("of {}", j.issuer));
    }
    if !j.audiences.is_empty() {
        told.push(format!("for {}", j.audiences.join(" or ")));
    }
    told.extend(j.claim_headers.iter().map(|c| format!("{} to {}", c.claim, c.header)));
    if j.optional {
        told.push("or none".to_owned());
    }
    told
}

fn compression(c: &Compression) -> String {
    let codings = if c.codings.is_empty() { "zstd, br, gzip".to_owned() } else { c.codings.join(", ") };
    let types = if c.content_types.is_empty() { "texts".to_owned() } else { c.content_types.join(", ") };
    let least = if c.min_length == 0 { 1_024 } else { c.min_length };
    format!("{codings} of {types} from {least} bytes on")
}

fn rate(r: &RateLimit) -> String {
    let period = if r.period_ms == 0 { 1_000 } else { r.period_ms };
    let burst = if r.burst == 0 { r.requests } else { r.burst };
    let each = match &r.key {
        None => "for all".to_owned(),
        Some(rate_limit::Key::ClientAddress(_)) => "for each client address".to_owned(),
        Some(rate_limit::Key::Header(name)) => format!("for each value of {name}"),
    };
    let shared = if r.scope() == RateLimitScope::Fleet { ", at all gateways together" } else { "" };
    format!("{} requests in {period} ms, {burst} at once, {each}{shared}", r.requests)
}

fn fault(f: &Fault) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(abort) = &f.abort {
        told.push(format!("{} of requests get {}", columns::percent(abort.share_bps), abort.status));
    }
    if let Some(delay) = &f.delay {
        told.push(format!("{} of requests wait {} ms", columns::percent(delay.share_bps), delay.delay_ms));
    }
    if !f.header.is_empty() {
        told.push(format!("only those with {}", f.header));
    }
    told
}

fn mirror(m: &Mirror) -> Vec<String> {
    let share = columns::percent(if m.share_bps == 0 { 10_000 } else { m.share_bps });
    match &m.target {
        None => vec![format!("{share} of requests to nobody")],
        Some(mirror::Target::Pool(pool)) => vec![format!("{share} of requests to {pool}")],
        Some(mirror::Target::Inline(inline)) => {
            let strategy = columns::strategy(inline.load_balancing);
            let mut told = vec![format!("{share} of requests to backends of its own, {strategy}")];
            told.extend(inline.backends.iter().map(columns::backend));
            told.extend(inline.tls.iter().map(|tls| format!("TLS {}", super::backend_tls(tls))));
            told
        }
    }
}

fn log(l: &AccessLog) -> String {
    match l.mode() {
        AccessLogMode::Off => "nothing".to_owned(),
        AccessLogMode::Errors => "requests with a reason code".to_owned(),
        AccessLogMode::Unspecified | AccessLogMode::All if l.share_bps == 0 => "all requests".to_owned(),
        AccessLogMode::Unspecified | AccessLogMode::All => {
            format!("requests with a reason code, and {} of the others", columns::percent(l.share_bps))
        }
    }
}

#[cfg(test)]
mod tests {
    use hotswap_api::route::v1::{Backend, InlineBackends};

    use super::*;

    #[test]
    fn a_mirror_tells_whom_it_leads_to() {
        let told = |target, share_bps| mirror(&Mirror { target: Some(target), share_bps });
        let pool = mirror::Target::Pool("pools/m".into());
        assert_eq!(told(pool, 2_500), ["25 % of requests to pools/m"]);
        let backend = Backend { address: "10.0.0.7:80".into(), ..Backend::default() };
        let own =
            mirror::Target::Inline(InlineBackends { backends: vec![backend], ..InlineBackends::default() });
        let told = told(own, 0);
        assert_eq!(told[0], "100 % of requests to backends of its own, round robin");
        assert!(told[1].contains("10.0.0.7:80"), "{told:?}");
    }

    #[test]
    fn what_is_on_is_told_with_its_defaults() {
        let traffic = Traffic {
            rate_limit: Some(RateLimit { requests: 5, ..RateLimit::default() }),
            access_log: Some(AccessLog { mode: 0, share_bps: 100 }),
            ..Traffic::default()
        };
        let mut told = Lines::new();
        lines(Some(&traffic), &mut told);
        let rate = vec!["5 requests in 1000 ms, 5 at once, for all".to_owned()];
        let log = vec!["requests with a reason code, and 1 % of the others".to_owned()];
        assert_eq!(told, [("Rate limit", rate), ("Access log", log)]);
    }
}
