//! How a candidate is judged, as the contract has it.

use hotswap_api::rollout::v1 as wire;
use hotswap_core::Violations;
use hotswap_rollout::judge::{JudgeDraft, Limit, Method, Panic, Undecided};
use hotswap_rollout::{CountSource, Millis, PrometheusQueries};

use super::spans::{chosen, limit, millis, or};

/// Five percentage points.
const USUAL: Limit = Limit::Points(500);

/// The judge, and where its counts come from. `None`: nothing judges.
pub(super) fn judgement(
    v: &mut Violations,
    m: Option<&wire::Judgement>,
) -> (Option<JudgeDraft>, CountSource) {
    let Some(m) = m else { return (Some(JudgeDraft::default()), CountSource::Target) };
    let mut faults = Violations::new();
    let read = read(&mut faults, m);
    v.nest("judgement", faults);
    read
}

fn read(v: &mut Violations, m: &wire::Judgement) -> (Option<JudgeDraft>, CountSource) {
    if m.off {
        if *m != (wire::Judgement { off: true, ..wire::Judgement::default() }) {
            v.add("off", "must stand alone: nothing judges, so nothing else has a meaning");
        }
        return (None, CountSource::Target);
    }
    if m.ignore_latency && m.max_slow_rise.is_some() {
        v.add("max_slow_rise", "must be absent where ignore_latency is true");
    }
    if m.no_panic && (m.panic_bps != 0 || m.panic_min_samples != 0) {
        v.add("no_panic", "must be false where panic_bps or panic_min_samples is set");
    }
    let slow = limit(v, "max_slow_rise", m.max_slow_rise.as_ref(), USUAL);
    let panic = Panic { above_bp: or(m.panic_bps, 5_000), min_requests: or(m.panic_min_samples, 20) };
    let mut draft = JudgeDraft {
        method: method(v, m.method.as_ref()),
        errors: limit(v, "max_error_rise", m.max_error_rise.as_ref(), USUAL),
        slow: (!m.ignore_latency).then_some(slow),
        min_requests: or(m.min_samples, 20),
        false_rollback_bp: or(m.false_rollback_bps, 100),
        false_promotion_bp: or(m.false_promotion_bps, 100),
        panic: (!m.no_panic).then_some(panic),
        patience_ms: millis(v, "patience", m.patience.as_ref(), Millis::minutes(30)),
        undecided: undecided(v, m.inconclusive),
    };
    let source = source(v, m.source.as_ref());
    if let CountSource::Prometheus(queries) = &source
        && queries.slow.is_none()
    {
        if m.max_slow_rise.is_some() {
            v.add("max_slow_rise", "needs source.prometheus.slow_query");
        }
        draft.slow = None;
    }
    (Some(draft), source)
}

fn method(v: &mut Violations, method: Option<&wire::judgement::Method>) -> Method {
    use wire::judgement::Method as Wire;
    match method {
        None | Some(Wire::Sequential(wire::Sequential {})) => Method::Sequential,
        Some(Wire::Threshold(m)) => Method::Threshold {
            window_ms: millis(v, "threshold.window", m.window.as_ref(), Millis::minutes(1)),
            failures: or(m.failures, 2),
            successes: or(m.successes, 3),
        },
        Some(Wire::MannWhitney(m)) => Method::MannWhitney {
            window_ms: millis(v, "mann_whitney.window", m.window.as_ref(), Millis(10_000)),
            min_windows: or(m.min_windows, 50),
            tolerance_percent: or(m.tolerance_percent, 25),
            level_bp: or(m.level_bps, 200),
        },
    }
}

fn undecided(v: &mut Violations, number: i32) -> Undecided {
    use wire::judgement::Inconclusive;
    match Inconclusive::try_from(number) {
        Ok(Inconclusive::Unspecified | Inconclusive::Pause) => Undecided::Pause,
        Ok(Inconclusive::Promote) => Undecided::Promote,
        Ok(Inconclusive::RollBack) => Undecided::Rollback,
        Err(_) => {
            v.add("inconclusive", "is not a value of Inconclusive");
            Undecided::Pause
        }
    }
}

fn source(v: &mut Violations, source: Option<&wire::MetricSource>) -> CountSource {
    use wire::metric_source::Kind;
    match source.and_then(|source| source.kind.as_ref()) {
        None => CountSource::Target,
        Some(Kind::Reported(given)) => {
            chosen(v, "source.reported", *given);
            CountSource::Reported
        }
        Some(Kind::Prometheus(m)) => {
            for (field, text) in
                [("address", &m.address), ("total_query", &m.total_query), ("error_query", &m.error_query)]
            {
                if text.is_empty() {
                    v.add(format!("source.prometheus.{field}"), "must be set");
                }
            }
            if !m.slow_query.is_empty() && m.p95_query.is_empty() {
                v.add("source.prometheus.p95_query", "must be set where slow_query is");
            }
            let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
            CountSource::Prometheus(PrometheusQueries {
                address: m.address.clone(),
                total: m.total_query.clone(),
                errors: m.error_query.clone(),
                slow: some(&m.slow_query),
                p95: some(&m.p95_query),
            })
        }
    }
}
