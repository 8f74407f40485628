//! A rollout where TLS is spoken on both sides of the gateway.

use hotswap_gateway::rollout::Total;
use hotswap_matcher::{BackendProtocol, ExposureDraft, RequestKeyDraft};

use super::http2::{speak, with_alpn};
use super::*;
use crate::http2_support::Http2;
use crate::rollouts::{counted, is_about, who};
use crate::tls::{exchange, handshake};

#[tokio::test]
async fn a_share_of_the_users_meets_the_candidate_whatever_they_and_the_backends_speak() {
    const USERS: u64 = 100;
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["a.internal", "b.internal"]);
    let edge = authority.issue("edge", &["shop.example"]).option();
    let folder = folder_of(folder.path());
    let backends = [
        (BackendProtocol::Http1, Secured::telling(with_alpn(&files, &[b"http/1.1"])).await),
        (BackendProtocol::Http2, Secured::each(with_alpn(&files, &[b"h2"]), speak).await),
    ];
    let secured = ["--gateway-tls-listen", "127.0.0.1:0", "--gateway-tls-certificate", edge.as_str()];
    let args = [&["--gateway-engine", "own", "--backend-tls-dir", folder.as_str()][..], &secured].concat();
    for (protocol, backend) in &backends {
        let mut gateway = Gateway::start(&args);
        // Backends tell by which name they were reached: here that of their arm.
        for arm in ["a", "b"] {
            let tls = Some(by("corp", &format!("{arm}.internal")));
            let pool = of_backends(&[backend.address]);
            gateway.pool_of(arm, &PoolDraft { protocol: *protocol, tls, ..pool });
        }
        let half = Some(ExposureDraft::ShareBps(5_000));
        let by_user = who(1, half, Some(RequestKeyDraft::Cookie("user".into())));
        gateway.route_with("r", &to_pool("a"), &to_pool("b"), &by_user);
        gateway.swap();

        let mut one = handshake(&gateway, authority.client(), "shop.example").await.expect("agrees");
        let mut config = authority.client();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let other = Http2::over(handshake(&gateway, config, "shop.example").await.expect("agrees")).await;
        let mut met = 0;
        for user in 0..USERS {
            let request = format!("GET / HTTP/1.1\r\nhost: shop.example\r\ncookie: user={user}\r\n\r\n");
            let answers =
                [exchange(&mut one, &request).await.expect("a response"), other.ask(&request).await.text()];
            let arms = answers.map(|text| (text.contains("a.internal"), text.contains("b.internal")));
            assert!(arms[0] == arms[1] && arms[0].0 != arms[0].1, "{protocol:?}, {user}: {arms:?}");
            met += u64::from(arms[0].1);
        }
        assert!(is_about(met, USERS, 5_000), "{protocol:?}: {met}");
        let want = [USERS - met, met].map(|users| Total { requests: 2 * users, errors: 0 });
        assert_eq!(counted(&gateway, 2 * USERS).await, want, "{protocol:?}");
    }
}
