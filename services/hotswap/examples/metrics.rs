//! Prints what is counted as a page of the documentation: `cargo xtask docs` puts it at `docs/reference/metrics.md`.

use std::fmt::Write as _;
use std::io::Write as _;

use hotswap_core::MetricDef;

const HEAD: &str = "\
# Metrics

<!-- Made by `cargo xtask docs` from the declarations of the crates that count. -->

Each process shows its metrics to Prometheus at `/metrics` of its admin page: the control plane on 127.0.0.1:7490, a
gateway on 127.0.0.1:8090 ([how to scrape them](../guides/telemetry.md)). A metric keeps its name, its unit and its labels.
The values of a label are bounded, whoever calls. A histogram has `_bucket`, `_sum` and `_count` behind its name.
";

/// A section of the page.
type Part = (&'static str, &'static [&'static [MetricDef]]);

const PARTS: &[Part] = &[
    ("The control plane: calls", &[hotswap_telemetry::SERVER_METRICS, hotswap_rpc::limits::METRICS]),
    ("The control plane: routes, pools and the watch", &[hotswap_route::METRICS]),
    ("The control plane: rollouts", &[hotswap_rollout_host::METRICS]),
    ("The control plane: the audit log", &[hotswap_audit::METRICS]),
    ("The control plane: notifications", &[hotswap_notify::METRICS]),
    ("The control plane: the cache and Redis", &[hotswap_cache::METRICS]),
    ("The gateway", &[hotswap_gateway::metrics::METRICS]),
    ("Every process", &[hotswap_telemetry::PROCESS_METRICS]),
];

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(page().as_bytes())
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (title, lists) in PARTS {
        let _ = write!(
            page,
            "\n## {title}\n\n| metric | type | unit | labels | what it means |\n|---|---|---|---|---|\n"
        );
        for def in lists.iter().flat_map(|list| list.iter()) {
            let labels: Vec<_> =
                def.labels.iter().map(|label| format!("`{}`: {}", label.name, label.values)).collect();
            let MetricDef { name, unit, meaning, .. } = def;
            let _ = writeln!(
                page,
                "| `{name}` | {} | {unit} | {} | {meaning} |",
                def.kind.as_str(),
                labels.join("; ")
            );
        }
    }
    page
}
