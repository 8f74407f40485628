//! What `deploy/` gives to Grafana and Prometheus, on a real Prometheus that reads a real suite under traffic.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hotswap_testkit::{Prometheus, promtool, required};
use regex::Regex;
use serde_json::Value;

use crate::harness::{Browser, Server, UP, backend, eventually, folder, shop};
use crate::telemetry::admin_pages;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Every expression in a dashboard, with the dashboard's variables filled in.
fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = dashboard["panels"].as_array().expect("panels").iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{}", panel["title"]);
        targets
    });
    let filled = |target: &Value| {
        let text = target["expr"].as_str().expect("an expression");
        text.replace("$__rate_interval", "1m").replace("$instance", ".*")
    };
    targets.map(filled).collect()
}

/// A suite, requests of every kind to it, and a Prometheus that reads both its processes.
struct Watched {
    suite: Server,
    prometheus: Prometheus,
}

impl Watched {
    fn start(folder: &Path) -> Option<Self> {
        let channel = format!(
            "[[channels]]\nkind = 'webhook'\nid = 'hook'\nurl = 'http://{}/'\nsecret_file = 'secret'\n",
            backend("hook")
        );
        std::fs::write(folder.join("notify.toml"), channel).expect("a file");
        let secret = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(folder.join("secret"));
        secret
            .expect("a file")
            .write_all(b"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
            .expect("written");
        let suite = Server::start(folder, &[&UP[..], &["--notify-config", "notify.toml"]].concat(), "token");
        let [plane, proxy] = admin_pages(&suite);
        let jobs = [("hotswap-control-plane", plane), ("hotswap-gateway", proxy)];
        let prometheus = required(Prometheus::start(&jobs))?;
        suite.apply("control plane", &shop(backend("blue")), &[]).ok();
        Some(Self { suite, prometheus })
    }

    /// Has another backend under a rollout, and keeps it there.
    fn roll_out(&self) {
        self.suite.apply("control plane", &shop(backend("green")), &["--draft"]).ok();
        let how = ["rollout", "create", "pools/shop", "--canary", "50", "--bake", "1h"];
        self.suite.client("control plane", &how).ok();
    }

    /// A request that a backend answers, and one that the gateway does; a look-up.
    fn work(&self) {
        let gateway = self.suite.address("gateway");
        let _ = Browser::open(gateway).get("shop.example");
        let _ = Browser::open(gateway).get("no host");
        self.suite.client("control plane", &["get", "routes/shop"]).ok();
    }

    /// The values that an expression has now; `None`: it is none.
    fn values(&self, expression: &str) -> Option<Vec<f64>> {
        let told = self.prometheus.query(expression).ok()?;
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let series = told["data"]["result"].as_array()?;
        series.iter().map(|s| s["value"][1].as_str().and_then(|v| v.parse().ok())).collect()
    }
}

#[test]
fn every_panel_shows_figures_of_a_running_suite() {
    let folder = folder();
    let Some(watched) = Watched::start(folder.path()) else { return };
    eventually("a first look", || watched.values("hotswap_rollout_active").is_some_and(|v| !v.is_empty()));
    watched.roll_out();
    // Acts and messages of a rollout are few: they are looked at first.
    for name in ["rollouts", "gateway", "control-plane"] {
        let text = std::fs::read_to_string(deploy().join(format!("grafana/dashboards/{name}.json")));
        let dashboard = serde_json::from_str(&text.expect("a dashboard")).expect("JSON");
        let expressions = expressions(&dashboard);
        assert!(expressions.len() > 10);
        for expression in expressions {
            eventually(&expression, || {
                watched.work();
                let values = watched.values(&expression).unwrap_or_else(|| panic!("no query: {expression}"));
                values.iter().any(|v| v.is_finite())
            });
        }
    }
}

#[test]
fn alerts_ask_for_metrics_that_exist_and_none_fires_on_a_healthy_suite() {
    let folder = folder();
    let Some(watched) = Watched::start(folder.path()) else { return };
    watched.work();
    let rules = std::fs::read_to_string(deploy().join("prometheus/hotswap.rules.yml")).expect("rules");
    let rules: Value = serde_saphyr::from_str(&rules).expect("YAML");
    let of_group = |group: &Value| group["rules"].as_array().expect("rules").clone();
    let rules: Vec<Value> = rules["groups"].as_array().expect("groups").iter().flat_map(of_group).collect();
    assert!(rules.len() > 10);
    let name = Regex::new(r"\b(?:gateway|hotswap|cache)_[a-z_]+\b").expect("a pattern");
    let mut metrics = BTreeSet::new();
    for rule in &rules {
        let expression = rule["expr"].as_str().expect("an expression");
        metrics.extend(name.find_iter(expression).map(|m| m.as_str().to_owned()));
        eventually("a healthy suite", || {
            let values = watched.values(expression).unwrap_or_else(|| panic!("no query: {expression}"));
            values.is_empty()
        });
    }
    // There is none without a certificate; the guide of TLS shows it.
    assert!(metrics.remove("gateway_tls_certificate_expiry_timestamp_seconds"));
    assert!(metrics.len() > 10);
    for metric in metrics {
        eventually(&metric, || watched.values(&metric).is_some_and(|v| !v.is_empty()));
    }
}

#[test]
fn alerts_fire_on_what_they_name_and_on_nothing_else() {
    let dir = deploy().join("prometheus");
    let check = [&["check", "config", "prometheus.yml"][..], &["test", "rules", "hotswap.rules.test.yml"]];
    for args in check {
        let Some(told) = required(promtool(&dir, args)) else { return };
        assert!(told.contains("SUCCESS"), "{told}");
    }
    let read = |file| std::fs::read_to_string(dir.join(file)).expect("a file");
    let (rules, tests) = (read("hotswap.rules.yml"), read("hotswap.rules.test.yml"));
    let named = |text: &str, key: &str| -> BTreeSet<String> {
        text.lines().filter_map(|l| l.trim().strip_prefix(key).map(str::to_owned)).collect()
    };
    assert_eq!(named(&rules, "- alert: "), named(&tests, "- name: "), "each alert has its test");
}
