//! Traces and metrics, as a real collector and a real Prometheus see them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc;

use hotswap_api::route::v1 as api;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_core::MetricDef;
use hotswap_testkit::{Jaeger, Prometheus, http_get, lint_metrics, required};
use serde_json::Value;
use tonic::Request;

use crate::harness::{Browser, Server, UP, backend, backend_that, eventually, folder, hotswap, shop};

/// Spans go at once: nobody waits 5 s for a test.
const AT_ONCE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

/// Creates a pool as a caller whose span is `span` in `trace`, recorded or not.
fn create_pool(suite: &Server, id: &str, (trace, span): (&str, &str), recorded: bool) {
    let token = std::fs::read_to_string(suite.folder.join("data/admin.token")).expect("a token");
    let url = format!("http://{}", suite.address("control plane"));
    let backends = vec![api::Backend { address: "127.0.0.1:9".into(), weight: None, ..Default::default() }];
    let pool = api::Pool { backends, ..api::Pool::default() };
    let request = api::CreatePoolRequest { pool_id: id.into(), pool: Some(pool), ..Default::default() };
    let mut request = Request::new(request);
    let mut put = |key, value: String| request.metadata_mut().insert(key, value.parse().expect("ASCII"));
    put("authorization", format!("Bearer {}", token.trim()));
    put("traceparent", format!("00-{trace}-{span}-0{}", u8::from(recorded)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let call = async { RouteServiceClient::connect(url).await.expect("connects").create_pool(request).await };
    runtime.block_on(call).expect("created");
}

/// What Jaeger tells of a span.
#[derive(Debug)]
struct Seen {
    service: String,
    name: String,
    id: String,
    parent: String,
    tags: Value,
}

/// The spans of a trace; none where it is not known.
fn spans(jaeger: &Jaeger, trace: &str) -> Vec<Seen> {
    let Some(told) = jaeger.trace(trace) else { return Vec::new() };
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let (trace, text) = (&told["data"][0], |value: &Value| value.as_str().unwrap_or_default().to_owned());
    let seen = trace["spans"].as_array().expect("spans").iter().map(|span| Seen {
        service: text(&trace["processes"][span["processID"].as_str().expect("a process")]["serviceName"]),
        name: text(&span["operationName"]),
        id: text(&span["spanID"]),
        parent: text(&span["references"][0]["spanID"]),
        tags: span["tags"].as_array().expect("tags").iter().map(tag).collect(),
    });
    seen.collect()
}

fn tag(tag: &Value) -> (String, Value) {
    (tag["key"].as_str().unwrap_or_default().to_owned(), tag["value"].clone())
}

/// The suite, sending its spans to a collector.
fn traced_suite(folder: &std::path::Path, jaeger: &Jaeger) -> Server {
    let url = jaeger.otlp_url();
    let args = [&UP[..], &["--otlp-endpoint", &url]].concat();
    Server::start_with(folder, &[AT_ONCE], &args, "token")
}

#[test]
fn a_write_is_one_trace_from_its_caller_over_the_store_to_the_gateway() {
    let Some(jaeger) = required(Jaeger::start()) else { return };
    let folder = folder();
    let suite = traced_suite(folder.path(), &jaeger);
    let (unrecorded, recorded) = ("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736");
    let caller = "00f067aa0ba902b7";
    create_pool(&suite, "a", (unrecorded, caller), false);
    create_pool(&suite, "b", (recorded, caller), true);
    eventually("the whole trace", || spans(&jaeger, recorded).iter().any(|s| s.name == "gateway.apply"));
    eventually("the call", || spans(&jaeger, recorded).len() >= 3);

    let spans_seen = spans(&jaeger, recorded);
    let named = |name: &str| {
        let mut found = spans_seen.iter().filter(|s| s.name == name);
        found.next().unwrap_or_else(|| panic!("{name} in {spans_seen:?}"))
    };
    let call = named("hotswap.route.v1.RouteService/CreatePool");
    let (write, apply) = (named("store.write"), named("gateway.apply"));
    assert_eq!((call.parent.as_str(), call.service.as_str()), (caller, "hotswap-control-plane"));
    assert_eq!(call.tags["rpc.grpc.status_code"], 0);
    assert_eq!((&write.parent, write.service.as_str()), (&call.id, "hotswap-control-plane"));
    assert_eq!((&apply.parent, apply.service.as_str()), (&call.id, "hotswap-gateway"));
    assert_eq!(write.tags["revision"], apply.tags["revision"], "the same change");
    assert!(spans(&jaeger, unrecorded).is_empty(), "what the caller does not record is not recorded");
}

#[test]
fn a_command_goes_on_with_the_trace_of_its_environment() {
    let Some(jaeger) = required(Jaeger::start()) else { return };
    let folder = folder();
    let suite = traced_suite(folder.path(), &jaeger);
    let (trace, caller) = ("33f92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let server = format!("http://{}", suite.address("control plane"));
    let mut command = hotswap(folder.path());
    command.env("TRACEPARENT", format!("00-{trace}-{caller}-01"));
    let get = command.args(["get", "routes", "--server", &server, "--data-dir", "data"]);
    assert!(get.status().expect("runs").success());
    let is_call = |s: &Seen| s.name == "hotswap.route.v1.RouteService/ListRoutes" && s.parent == caller;
    eventually("the call", || spans(&jaeger, trace).iter().any(is_call));
}

#[test]
fn a_request_is_four_spans_and_its_backend_goes_on_with_them() {
    let Some(jaeger) = required(Jaeger::start()) else { return };
    for (engine, trace) in
        [("hyper", "44f92f3577b34da6a3ce929d0e0e4736"), ("own", "55f92f3577b34da6a3ce929d0e0e4736")]
    {
        let folder = folder();
        let url = jaeger.otlp_url();
        let args = [&UP[..], &["--otlp-endpoint", &url]].concat();
        let log = folder.path().join("access.log");
        let file = ("HOTSWAP_ACCESS_LOG_FILE", log.to_str().expect("text"));
        let variables = [AT_ONCE, ("HOTSWAP_GATEWAY_ENGINE", engine), ("HOTSWAP_ACCESS_LOG", "all"), file];
        let suite = Server::start_with(folder.path(), &variables, &args, "token");
        let seen = backend_that(|head| {
            head.iter().find_map(|l| l.strip_prefix("traceparent: ")).unwrap_or("none").to_owned()
        });
        suite.apply("control plane", &shop(seen), &[]).ok();
        let mut browser = Browser::open(suite.address("gateway"));
        eventually("the route", || browser.get("a.example").is_ok_and(|a| a.0 == 200));

        let caller = "00f067aa0ba902b7";
        let from = |flag: &str| format!("traceparent: 00-{trace}-{caller}-{flag}\r\n");
        let unrecorded = browser.get_with("a.example", &from("00")).expect("an answer").1;
        assert_eq!(unrecorded, format!("00-{trace}-{caller}-00"), "{engine}: it goes on as it came");
        let told = browser.get_with("a.example", &from("01")).expect("an answer").1;
        eventually("four spans", || spans(&jaeger, trace).len() >= 4);

        let all = spans(&jaeger, trace);
        let named =
            |name: &str| all.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name}: {all:?}"));
        let (request, proxy) = (named("gateway.request"), named("gateway.proxy"));
        assert_eq!((all.len(), request.parent.as_str()), (4, caller), "{engine}: {all:?}");
        for child in ["gateway.match", "gateway.select", "gateway.proxy"] {
            assert_eq!(named(child).parent, request.id, "{engine}: {child}");
        }
        assert_eq!(told, format!("00-{trace}-{}-01", proxy.id), "{engine}");
        let tags = &request.tags;
        assert_eq!(
            (&tags["http.response.status_code"], &tags["hotswap.route"]),
            (&200.into(), &"routes/shop".into())
        );
        assert_eq!(tags["url.path"], "/", "{engine}: {tags}");
        let logged = || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.map(|line| line["trace_id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        // One that began here, one that is not recorded, one that is.
        eventually("its lines", || logged().iter().filter(|id| *id == trace).count() == 2);
        assert!(logged().iter().all(|id| id.len() == 32), "{engine}: {:?}", logged());
    }
}

const CALLER: &str = "00f067aa0ba902b7";

/// A pool of one backend, and a route that sends calls of a service there.
fn calls_to(backend: SocketAddr, protocol: &str, service: &str) -> String {
    format!(
        "kind: Pool\nname: pools/calls\nprotocol: {protocol}\nbackends: [{{ address: '{backend}' }}]\n---\n\
         kind: Route\nname: routes/calls\nmatches: [{{ path: {{ prefix: /{service} }} }}]\n\
         forward: {{ pool: pools/calls }}\n"
    )
}

/// Lists routes by the gateway, as a caller whose span is recorded. Whether it was answered.
fn list_routes(suite: &Server, trace: &str) -> bool {
    let token = std::fs::read_to_string(suite.folder.join("data/admin.token")).expect("a token");
    let mut request = Request::new(api::ListRoutesRequest::default());
    let mut put = |key, value: String| request.metadata_mut().insert(key, value.parse().expect("ASCII"));
    put("authorization", format!("Bearer {}", token.trim()));
    put("traceparent", format!("00-{trace}-{CALLER}-01"));
    let url = format!("http://{}", suite.address("gateway"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let call = async { RouteServiceClient::connect(url).await.expect("connects").list_routes(request).await };
    runtime.block_on(call).is_ok()
}

#[test]
fn a_call_of_grpc_is_one_trace_over_the_gateway() {
    let Some(jaeger) = required(Jaeger::start()) else { return };
    let folder = folder();
    let suite = traced_suite(folder.path(), &jaeger);
    // Its backend is the control plane.
    let plane = suite.address("control plane");
    let service = "hotswap.route.v1.RouteService";
    suite.apply("control plane", &calls_to(plane, "BACKEND_PROTOCOL_HTTP2", service), &[]).ok();
    eventually("the route", || list_routes(&suite, "66f92f3577b34da6a3ce929d0e0e4735"));
    let trace = "66f92f3577b34da6a3ce929d0e0e4736";
    assert!(list_routes(&suite, trace));
    let served = "hotswap.route.v1.RouteService/ListRoutes";
    let names = ["gateway.request", "gateway.match", "gateway.select", "gateway.proxy", served];
    eventually("the whole trace", || {
        let all = spans(&jaeger, trace);
        names.iter().all(|name| all.iter().any(|span| span.name == *name))
    });

    let all = spans(&jaeger, trace);
    let named = |name: &str| all.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name}: {all:?}"));
    let (request, proxy) = (named("gateway.request"), named("gateway.proxy"));
    let served = named(served);
    assert_eq!((request.parent.as_str(), request.service.as_str()), (CALLER, "hotswap-gateway"));
    for child in ["gateway.match", "gateway.select", "gateway.proxy"] {
        assert_eq!(named(child).parent, request.id, "{child}");
    }
    assert_eq!((&served.parent, served.service.as_str()), (&proxy.id, "hotswap-control-plane"));
    assert_eq!(request.tags["hotswap.route"], "routes/calls");
    assert_eq!(request.tags["url.path"], "/hotswap.route.v1.RouteService/ListRoutes");
}

#[test]
fn a_request_of_http_2_is_traced_to_a_backend_of_http_1_1() {
    let Some(jaeger) = required(Jaeger::start()) else { return };
    let folder = folder();
    let suite = traced_suite(folder.path(), &jaeger);
    let (told, came) = mpsc::channel();
    let backend = backend_that(move |head| {
        let traceparent = head.iter().find_map(|line| line.strip_prefix("traceparent: "));
        let _ = told.send(traceparent.unwrap_or_default().to_owned());
        String::new()
    });
    let service = "hotswap.route.v1.RouteService";
    suite.apply("control plane", &calls_to(backend, "BACKEND_PROTOCOL_HTTP1", service), &[]).ok();
    let trace = "77f92f3577b34da6a3ce929d0e0e4736";
    // It is no server of gRPC: what counts is what it was told.
    let mut seen = String::new();
    eventually("the route", || {
        list_routes(&suite, trace);
        seen = came.try_recv().unwrap_or_default();
        !seen.is_empty()
    });
    let proxy = || spans(&jaeger, trace).into_iter().find(|s| s.name == "gateway.proxy");
    eventually("its spans", || proxy().is_some());
    assert_eq!(seen, format!("00-{trace}-{}-01", proxy().expect("a try").id));
}

#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let Some(mut jaeger) = required(Jaeger::start()) else { return };
    let folder = folder();
    jaeger.stop().expect("stops");
    let suite = traced_suite(folder.path(), &jaeger);
    let (before, after) = ("11f7651916cd43dd8448eb211c80319c", "22f92f3577b34da6a3ce929d0e0e4736");
    let (caller, admin) = ("00f067aa0ba902b7", suite.address("admin"));
    create_pool(&suite, "a", (before, caller), true);
    let lost = || {
        http_get(admin, "/metrics").expect("metrics").contains(r#"hotswap_trace_spans_total{outcome="lost"}"#)
    };
    eventually("spans lost and counted", lost);
    jaeger.start_again().expect("starts");
    let mut tries = 0..;
    eventually("spans of later calls", || {
        let id = tries.next().map(|n| format!("p{n}")).expect("endless");
        create_pool(&suite, &id, (after, caller), true);
        !spans(&jaeger, after).is_empty()
    });
}

/// The admin pages of the control plane and of the gateway.
pub(crate) fn admin_pages(suite: &Server) -> [SocketAddr; 2] {
    let pages = suite.told.iter().filter(|(name, _)| name == "admin");
    let addresses = pages.map(|(_, url)| url.trim_start_matches("http://").trim_end_matches("/metrics"));
    let addresses: Vec<_> = addresses.map(|a| a.parse().expect("an address")).collect();
    addresses.try_into().expect("two pages")
}

/// What the control plane, and what the gateway declares.
fn declared() -> [Vec<MetricDef>; 2] {
    let both = hotswap_telemetry::PROCESS_METRICS;
    let plane = [
        hotswap_telemetry::SERVER_METRICS,
        hotswap_rpc::limits::METRICS,
        hotswap_route::METRICS,
        hotswap_rollout_host::METRICS,
        hotswap_audit::METRICS,
        hotswap_cache::METRICS,
        both,
    ];
    [plane.concat(), [hotswap_gateway::metrics::METRICS, both].concat()]
}

#[test]
fn each_metric_is_declared_once_and_by_the_rules() {
    let all = declared().concat();
    let faults: Vec<_> = all.iter().filter_map(MetricDef::fault).collect();
    assert!(faults.is_empty(), "{faults:?}");
    for list in declared() {
        let names: BTreeSet<_> = list.iter().map(|def| def.name).collect();
        assert_eq!(names.len(), list.len(), "a name is there twice");
    }
}

/// A name without what a histogram puts behind it, and its labels.
fn series(line: &str) -> (&str, Vec<&str>) {
    let (name, rest) = line.split_once(['{', ' ']).expect("a series");
    let labels = rest.rsplit_once('}').map(|(labels, _)| labels).unwrap_or_default();
    // No value of ours has a comma or an equals sign in it.
    let names = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name);
    (name, names.filter(|name| *name != "le").collect())
}

#[test]
fn whatever_is_shown_is_declared_with_its_kind_its_words_and_its_labels() {
    let folder = folder();
    let suite = Server::suite(folder.path());
    suite.apply("control plane", &shop(backend("blue")), &[]).ok();
    suite.client("control plane", &["get", "routes/none"]).fails(4);
    for (page, declared) in admin_pages(&suite).into_iter().zip(declared()) {
        let text = http_get(page, "/metrics").expect("metrics");
        let body = text.split_once("\r\n\r\n").map_or(text.as_str(), |(_, body)| body);
        let find = |name: &str| declared.iter().find(|def| def.name == name);
        let mut kinds = 0;
        for line in body.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
                assert_eq!(find(name).map(|def| def.kind.as_str()), Some(kind), "{line}");
                kinds += 1;
            } else if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
                assert_eq!(find(name).map(|def| def.meaning), Some(help), "{line}");
            } else if !line.is_empty() {
                let (name, labels) = series(line);
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let def = find(name).or_else(|| base.and_then(find)).unwrap_or_else(|| panic!("{line}"));
                let undeclared: Vec<_> =
                    labels.iter().filter(|label| !def.label_names().contains(label)).collect();
                assert!(undeclared.is_empty(), "{line}: {undeclared:?}");
            }
        }
        assert!(kinds > 10, "{text}");
    }
}

#[test]
fn metrics_pass_the_lint_and_a_real_prometheus_reads_them() {
    let folder = folder();
    let suite = Server::suite(folder.path());
    suite.apply("control plane", &shop(backend("blue")), &[]).ok();
    let gateway = suite.address("gateway");
    eventually("blue", || Browser::open(gateway).get("shop.example").is_ok_and(|a| a.1 == "blue"));

    let [plane, proxy] = admin_pages(&suite);
    let jobs = [("control-plane", plane), ("gateway", proxy)];
    for (job, page) in jobs {
        let text = http_get(page, "/metrics").expect("metrics");
        let Some(faults) = required(lint_metrics(&text)) else { return };
        assert_eq!(faults, "", "{job}");
    }
    let Some(prometheus) = required(Prometheus::start(&jobs)) else { return };
    let value = |query: &str| {
        let told: Value = serde_json::from_str(&prometheus.query(query).expect("parses")).expect("JSON");
        told["data"]["result"][0]["value"][1].as_str().and_then(|v| v.parse::<f64>().ok())
    };
    eventually("both are up", || value("sum(up)") == Some(2.0));
    let written = r#"sum(hotswap_rpc_requests_total{method=~".*/(Create|Update)Route",code="ok"})"#;
    eventually("the write is counted", || value(written) >= Some(1.0));
}
