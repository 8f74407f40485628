//! Who is believed, what is shown, which sessions are taken up again.

use super::*;

#[tokio::test]
async fn a_backend_is_asked_for_its_name_and_its_connection_is_kept() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let backend = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "Shop.internal"), |_| {});
    for _ in 0..4 {
        assert_eq!(gateway.ask(GET).await.text(), "shop.internal 0 http/1.1");
    }
    assert_eq!((backend.full(), backend.resumed()), (1, 0));
    gateway.counts("gateway_upstream_tls_handshakes_total{result=\"full\"} 1").await;
    gateway.counts("gateway_upstream_reuses_total 3").await;
    assert_eq!(trouble(&gateway), None);
}

#[tokio::test]
async fn without_a_name_it_must_bear_the_host_of_its_address() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let backend = Secured::telling(server(&authority.issue("here", &["127.0.0.1", "localhost"]))).await;
    let by_ip = gateway(folder.path(), &[backend.address], by("corp", ""), |_| {});
    assert_eq!(by_ip.ask(GET).await.text(), "- 0 http/1.1", "an address is asked for by no name");
    let named =
        |pool: &mut PoolDraft| pool.backends[0].address = format!("localhost:{}", backend.address.port());
    let by_name = gateway(folder.path(), &[backend.address], by("corp", ""), named);
    assert_eq!(by_name.ask(GET).await.text(), "localhost 0 http/1.1");
}

#[tokio::test]
async fn a_backend_that_nobody_vouches_for_gets_no_request_and_it_is_told_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = folder_with(&authority);
    std::fs::copy(stranger.ca(), folder.path().join("other.crt")).expect("copied");
    let backend = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    for (why, tls) in [
        ("nobody whom the pool trusts vouches", by("other", "shop.internal")),
        ("not for cart.internal, but for shop.internal", by("corp", "cart.internal")),
        ("not for 127.0.0.1", by("corp", "")),
        ("nobody", by("", "shop.internal")),
        ("tls.ca: none.pem", by("none", "shop.internal")),
        (
            "tls.client_certificate: none.pem",
            BackendTlsDraft { client_certificate: "none".into(), ..by("corp", "") },
        ),
    ] {
        refused(&gateway(folder.path(), &[backend.address], tls, |_| {}), why).await;
    }
    assert_eq!(backend.full() + backend.resumed(), 0);
}

#[tokio::test]
async fn a_certificate_that_has_run_out_or_is_of_tomorrow_is_none() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let (past, future) = (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2091, 1, 1));
    for (why, from, until) in [
        ("run out", past, rcgen::date_time_ymd(2002, 1, 1)),
        ("not valid yet", future, rcgen::date_time_ymd(2092, 1, 1)),
    ] {
        let of = authority.issue_with(authority.folder.path(), "shop", &["shop.internal"], |params| {
            (params.not_before, params.not_after) = (from, until);
        });
        let backend = Secured::telling(server(&of)).await;
        let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
        refused(&gateway, why).await;
    }
}

#[tokio::test]
async fn where_nothing_is_verified_any_certificate_will_do() {
    let (stranger, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let backend = Secured::telling(server(&stranger.issue("shop", &["shop.internal"]))).await;
    let any = BackendTlsDraft { skip_verification: true, ..by("", "asked.internal") };
    let gateway = gateway(folder.path(), &[backend.address], any, |_| {});
    assert_eq!(gateway.ask(GET).await.text(), "asked.internal 0 http/1.1");
}

#[tokio::test]
async fn the_gateway_shows_its_certificate_where_the_pool_says_so() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["shop.internal"]);
    authority.issue_in(folder.path(), "edge", &["edge.internal"]);
    let mounted = folder.path().join("mounted");
    std::fs::create_dir(&mounted).expect("made");
    let pair = authority.issue_in(&mounted, "tls", &["edge.internal"]);
    std::fs::rename(pair.cert, mounted.join("tls.crt")).expect("renamed");
    std::fs::copy(authority.ca(), mounted.join("ca.crt")).expect("copied");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let backend = Secured::telling(server_that_asks(&files, &authority, &[version])).await;
        for (ca, shown) in [("corp", "edge"), ("mounted", "mounted")] {
            let tls = BackendTlsDraft { client_certificate: shown.into(), ..by(ca, "shop.internal") };
            let with = gateway(folder.path(), &[backend.address], tls, |_| {});
            assert_eq!(with.ask(GET).await.text(), "shop.internal 1 -", "{shown} {version:?}");
        }
        // With TLS 1.3 it says so only after the handshake.
        let without = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
        refused(&without, "it wants a certificate of the gateway").await;
        without.counts("gateway_upstream_tls_handshakes_total{result=\"failed\"} 1").await;
    }
}

#[tokio::test]
async fn a_session_is_taken_up_again_with_the_backend_that_it_was_begun_with() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["shop.internal"]);
    let (one, two) = (Secured::telling(server(&files)).await, Secured::telling(server(&files)).await);
    let gateway = gateway(folder.path(), &[one.address, two.address], by("corp", "shop.internal"), |_| {});
    for _ in 0..6 {
        assert_eq!(gateway.ask(CLOSING).await.status, 200);
    }
    for backend in [&one, &two] {
        assert_eq!((backend.full(), backend.resumed()), (1, 2));
    }
    gateway.counts("gateway_upstream_tls_handshakes_total{result=\"full\"} 2").await;
    gateway.counts("gateway_upstream_tls_handshakes_total{result=\"resumed\"} 4").await;
}
