//! Lists: pages, filters and orders.

use hotswap_api::route::v1 as wire;

use crate::harness::{Server, create_pool, create_route, fields};

async fn server_with(dir: &std::path::Path, n: usize) -> Server {
    let server = Server::start(dir).await;
    let mut client = server.routes().await;
    client.create_pool(create_pool("p")).await.expect("pool");
    for i in 0..n {
        let mut request = create_route(&format!("r{i:02}"), "pools/p", &format!("/r{i}"));
        if let Some(route) = &mut request.route {
            route.labels.insert("parity".into(), if i % 2 == 0 { "even" } else { "odd" }.into());
        }
        client.create_route(request).await.expect("route");
    }
    server
}

async fn all(server: &Server, request: wire::ListRoutesRequest) -> Vec<String> {
    let mut client = server.routes().await;
    let mut names = Vec::new();
    let mut request = request;
    loop {
        let page = client.list_routes(request.clone()).await.expect("page").into_inner();
        names.extend(page.routes.into_iter().map(|r| r.name));
        if page.next_page_token.is_empty() {
            return names;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn pages_give_every_route_once_in_every_order() {
    let dir = tempfile::tempdir().expect("dir");
    let server = server_with(dir.path(), 11).await;
    let rising: Vec<String> = (0..11).map(|i| format!("routes/r{i:02}")).collect();
    let falling: Vec<String> = rising.iter().rev().cloned().collect();
    for key in ["name", "create_time", "update_time", "revision"] {
        for (suffix, want) in [("", &rising), (" desc", &falling)] {
            let order_by = format!("{key}{suffix}");
            let request = wire::ListRoutesRequest { page_size: 4, order_by, ..Default::default() };
            assert_eq!(&all(&server, request).await, want, "{key}{suffix}");
        }
    }
}

#[tokio::test]
async fn a_filter_keeps_what_it_says_over_page_limits() {
    let dir = tempfile::tempdir().expect("dir");
    let server = server_with(dir.path(), 9).await;
    let filter =
        |text: &str| wire::ListRoutesRequest { page_size: 2, filter: text.to_owned(), ..Default::default() };
    assert_eq!(all(&server, filter("labels.parity = odd")).await.len(), 4);
    assert_eq!(all(&server, filter("labels.parity = even AND name : \"r08\"")).await, ["routes/r08"]);
    assert_eq!(all(&server, filter("pool != pools/p")).await, Vec::<String>::new());
    assert_eq!(all(&server, filter("labels.none : *")).await, Vec::<String>::new());
}

#[tokio::test]
async fn faults_of_a_list_are_named_at_once() {
    let dir = tempfile::tempdir().expect("dir");
    let server = server_with(dir.path(), 0).await;
    let request = wire::ListRoutesRequest {
        page_size: -1,
        page_token: "!".into(),
        filter: "colour = red".into(),
        order_by: "colour".into(),
    };
    let refused = server.routes().await.list_routes(request).await.expect_err("faulty");
    assert_eq!(fields(&refused), ["page_size", "filter", "order_by", "page_token"]);
}

#[tokio::test]
async fn a_token_of_another_filter_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let server = server_with(dir.path(), 3).await;
    let mut client = server.routes().await;
    let first = wire::ListRoutesRequest { page_size: 1, ..Default::default() };
    let page_token = client.list_routes(first).await.expect("page").into_inner().next_page_token;
    let other = wire::ListRoutesRequest { page_token, filter: "name:r".into(), ..Default::default() };
    assert_eq!(fields(&client.list_routes(other).await.expect_err("other")), ["page_token"]);
}
