//! The pages of the admin address, of a gateway that runs.

use std::net::SocketAddr;

use hotswap_api::gateway::v1::Resource;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::route::v1 as wire;
use serde_json::{Value, json};

use crate::control::*;
use crate::gateway_process::{Process, two_backends};
use crate::support::*;

async fn get(admin: SocketAddr, path: &str, headers: &str) -> Response {
    let mut client = Client::connect(admin).await;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\n{headers}connection: close\r\n\r\n")).await;
    client.response().await
}

async fn page(admin: SocketAddr, path: &str) -> String {
    let response = get(admin, path, "").await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    response.text()
}

async fn document(admin: SocketAddr, path: &str) -> Value {
    let response = get(admin, path, "accept: application/json\r\n").await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&response.body).expect("JSON")
}

fn route_of(id: &str, host: &str, prefix: &str) -> Resource {
    let mut resource = to_the_pool(1);
    resource.name = format!("routes/{id}");
    if let Some(Spec::Route(route)) = &mut resource.spec {
        route.hosts = vec![host.to_owned()];
        let kind = Some(wire::path_match::Kind::Prefix(prefix.to_owned()));
        route.matches = vec![wire::RouteMatch { path: Some(wire::PathMatch { kind }), ..Default::default() }];
    }
    resource
}

#[tokio::test]
async fn the_pages_tell_what_is_served() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let gateway = Process::start(control.address, &["--proxy-name", "edge-1", "--gateway-workers", "2"]);
    let (_, admin) = gateway.ready().await;
    let empty = document(admin, "/config").await;
    assert_eq!((&empty["revision"], &empty["routes"]), (&Value::Null, &json!(0)));

    let (mut stream, _) = control.stream().await;
    let mut pool = pool(1, a.address);
    if let Some(Spec::Pool(pool)) = &mut pool.spec {
        let backend = wire::Backend { address: b.address.to_string(), ..Default::default() };
        pool.backends.push(wire::Backend { state: wire::BackendState::Drained.into(), ..backend });
        pool.load_balancing = wire::LoadBalancing::LeastConnections.into();
        pool.circuit_breaker = Some(Default::default());
    }
    let routes = [("a", "shop.example", "/a"), ("b", "*.shop.example", "/b"), ("c", "shop.example", "/c")];
    let routes = routes.map(|(id, host, prefix)| route_of(id, host, prefix));
    let nonce = stream.say(whole(7, [vec![pool], routes.to_vec()].concat())).await;
    stream.acknowledged(&nonce).await;

    let config = document(admin, "/config").await;
    let all = [("pools/p", 1), ("routes/a", 1), ("routes/b", 1), ("routes/c", 1)];
    let hex: String = digest(&all).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&config["revision"], &config["digest"]), (&json!(7), &json!(hex)));
    assert_eq!((&config["routes"], &config["pools"], &config["workers"]), (&json!(3), &json!(1), &json!(2)));
    let plane = &config["control_plane"];
    assert_eq!((&plane["connected"], &plane["stale"]), (&json!(true), &json!(false)));
    assert_eq!((&plane["trouble"], &config["limits"]["max_headers"]), (&json!(""), &json!(100)));
    let text = page(admin, "/config").await;
    assert!(text.contains(&hex) && text.contains("connected\n") && text.contains("edge-1"), "{text}");

    let pools = document(admin, "/pools").await;
    let breakers = json!({ "closed": 2, "open": 0, "half_open": 0 });
    let told = json!({ "name": "pools/p", "strategy": "least_connections", "backends": 2, "usable": 1,
                       "active": 0, "breakers": breakers });
    assert_eq!(pools, json!({ "total": 1, "entries": [told] }));
    let text = page(admin, "/pools").await;
    assert!(text.contains("least connections") && text.contains("1 of 2"), "{text}");
    let backends = document(admin, "/backends?pool=pools/p").await;
    let holds: Vec<_> = backends.as_array().expect("a list").iter().map(|b| b["hold"].clone()).collect();
    assert_eq!(holds, [Value::Null, json!("drained")]);
    assert_eq!(get(admin, "/backends?pool=pools/q", "").await.status, 400);
    assert!(page(admin, "/backends").await.contains(&b.address.to_string()));
    assert!(page(admin, "/").await.contains("/routes"));
}

#[tokio::test]
async fn routes_come_in_parts_and_by_name_and_host() {
    let (a, _b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let gateway = Process::start(control.address, &[]);
    let (_, admin) = gateway.ready().await;
    let (mut stream, _) = control.stream().await;
    let routes =
        (0..5).map(|i| route_of(&format!("r{i}"), if i < 3 { "a.example" } else { "*.b.example" }, "/x"));
    let nonce = stream.say(whole(1, routes.chain([pool(1, a.address)]).collect())).await;
    stream.acknowledged(&nonce).await;

    let names = |page: &Value| -> Vec<String> {
        let entries = page["entries"].as_array().expect("entries").iter();
        entries.map(|e| e["name"].as_str().expect("a name").to_owned()).collect()
    };
    let first = document(admin, "/routes?limit=2").await;
    assert_eq!((names(&first), &first["total"]), (vec!["routes/r0".into(), "routes/r1".into()], &json!(5)));
    let mut seen = names(&first);
    let mut after = first["after"].as_str().map(str::to_owned);
    while let Some(at) = after {
        let next = document(admin, &format!("/routes?limit=2&after={at}")).await;
        seen.extend(names(&next));
        after = next["after"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(names(&document(admin, "/routes?name=r4").await), ["routes/r4"]);
    assert_eq!(names(&document(admin, "/routes?host=shop.B.example").await), ["routes/r3", "routes/r4"]);
    assert_eq!(names(&document(admin, "/routes?host=b.example").await).len(), 0);
    let text = page(admin, "/routes?limit=2").await;
    assert!(text.contains("a.example") && text.contains("/x/…") && text.contains("pools/p"), "{text}");
    assert!(text.ends_with("2 of 5 shown; go on with /routes?after=routes/r1\n"), "{text}");
    for bad in ["0", "1001", "x"] {
        assert_eq!(get(admin, &format!("/routes?limit={bad}"), "").await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn why_the_control_plane_is_not_there_is_told_and_so_are_the_limits_at_the_start() {
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let gateway = Process::start(control.address, &["--max-body-bytes", "4096"]);
    let (_, admin) = gateway.ready().await;
    control.stream().await;
    control.kill();
    in_time("the trouble", async {
        loop {
            let plane = document(admin, "/config").await["control_plane"].clone();
            if plane["connected"] == json!(false) && plane["trouble"] != json!("") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let text = page(admin, "/config").await;
    assert!(text.contains("not connected: ") && text.contains("none yet"), "{text}");
    let said = gateway.said();
    assert!(said.contains("limits") && said.contains("max_body_bytes=4096"), "{said}");
}
