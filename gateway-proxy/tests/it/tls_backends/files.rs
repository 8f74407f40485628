//! The folder: what is refused in it, and what happens when it changes.

use std::os::unix::fs::PermissionsExt as _;

use hotswap_gateway::plane::DataPlane;

use super::*;

fn start(folder: &Path) -> Result<DataPlane, String> {
    DataPlane::start(&options(&["--backend-tls-dir", folder_of(folder).as_str()])).map_err(|e| e.to_string())
}

#[tokio::test]
async fn what_is_of_no_use_is_refused_at_the_start_and_named() {
    let authority = Authority::new();
    let nowhere = Path::new("/nowhere/at-all");
    assert!(start(nowhere).expect_err("no folder").contains("/nowhere/at-all"));
    let folder = folder_with(&authority);
    let edge = authority.issue_in(folder.path(), "edge", &["edge.internal"]);
    std::fs::write(folder.path().join("README"), "no certificate").expect("written");
    std::fs::write(folder.path().join("Not a name.pem"), "no certificate").expect("written");
    drop(start(folder.path()).expect("what nobody can name is left alone"));

    std::fs::set_permissions(&edge.key, std::fs::Permissions::from_mode(0o644)).expect("set");
    let refused = start(folder.path()).expect_err("others may read it");
    assert!(refused.contains("edge.key: others may read or change the key"), "{refused}");
    let secret = std::fs::read_to_string(&edge.key).expect("read");
    assert!(!refused.contains(secret.lines().nth(1).expect("a line")));

    let other = authority.issue("other", &["other.internal"]);
    std::fs::copy(other.key, &edge.key).expect("copied");
    std::fs::set_permissions(&edge.key, std::fs::Permissions::from_mode(0o600)).expect("set");
    assert!(start(folder.path()).expect_err("of another").contains("edge.pem: the key in"));
    std::fs::remove_file(&edge.cert).expect("removed");
    std::fs::write(folder.path().join("corp.pem"), "-----BEGIN NOTHING-----").expect("written");
    assert!(start(folder.path()).expect_err("none").contains("corp.pem: there is no certificate"));
}

#[tokio::test]
async fn a_pool_that_names_files_needs_the_folder() {
    let authority = Authority::new();
    let backend = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let mut gateway = Gateway::start(&["--gateway-engine", "own"]);
    gateway.pool_of("p", &PoolDraft { tls: Some(by("corp", "")), ..of_backends(&[backend.address]) });
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    refused(&gateway, "tls.ca: the gateway has no --backend-tls-dir").await;
}

#[tokio::test]
async fn new_files_are_taken_in_use_and_connections_of_the_old_ones_are_not_used_again() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = folder_with(&authority);
    authority.issue_in(folder.path(), "unused", &["unused.internal"]);
    let backend = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
    let corp = folder.path().join("corp.pem");
    assert_eq!(gateway.ask(GET).await.status, 200);
    assert_eq!(files_of(&gateway).reload().map_err(|e| e.to_string()), Ok(false));

    // What no pool uses changes nothing for those that are open.
    authority.issue_in(folder.path(), "unused", &["unused.internal"]);
    assert!(files_of(&gateway).reload().expect("sound"));
    assert_eq!((gateway.ask(GET).await.status, backend.full()), (200, 1));

    // Who is not trusted any more is not, whatever is open and whatever session there was.
    std::fs::copy(stranger.ca(), &corp).expect("copied");
    assert!(files_of(&gateway).reload().expect("sound"));
    refused(&gateway, "nobody whom the pool trusts vouches").await;
    assert_eq!(backend.full() + backend.resumed(), 1);

    std::fs::copy(authority.ca(), &corp).expect("copied");
    assert!(files_of(&gateway).reload().expect("sound"));
    assert_eq!((gateway.ask(GET).await.status, trouble(&gateway)), (200, None));
    assert_eq!((backend.full(), backend.resumed()), (2, 0));

    // What can't be used leaves the one before in force.
    std::fs::write(&corp, "nothing").expect("written");
    let wrong = files_of(&gateway).reload().expect_err("of no use").to_string();
    assert!(wrong.contains("corp.pem"), "{wrong}");
    assert_eq!((gateway.ask(GET).await.status, backend.full()), (200, 2));
}

#[tokio::test]
async fn a_new_certificate_of_the_gateway_is_shown_from_then_on() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["shop.internal"]);
    let edge = Authority::new().issue_in(folder.path(), "edge", &["edge.internal"]);
    let asks = server_that_asks(&files, &authority, rustls::ALL_VERSIONS);
    let backend = Secured::telling(asks).await;
    let tls = BackendTlsDraft { client_certificate: "edge".into(), ..by("corp", "shop.internal") };
    let gateway = gateway(folder.path(), &[backend.address], tls, |_| {});
    refused(&gateway, "it refused").await;
    edge.replace_by(&authority.issue("edge", &["edge.internal"]));
    assert!(files_of(&gateway).reload().expect("sound"));
    assert_eq!(gateway.ask(GET).await.text(), "shop.internal 1 -");
}
