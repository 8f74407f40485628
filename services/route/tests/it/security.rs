//! Who gets in: tokens, roles, the end of a stream with its token.

use std::time::Duration;

use hotswap_api::gateway::v1::config_distribution_service_client::ConfigDistributionServiceClient;
use hotswap_api::gateway::v1::{Hello, WatchConfigRequest, watch_config_request::Message};
use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_auth::{Access, Role, TABLE};
use hotswap_rpc::BearerToken;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request};

use crate::harness::{Server, error};

/// Calls an RPC with an empty message, as its role sees it.
async fn call(server: &Server, path: &'static str, token: Option<&str>) -> Result<(), tonic::Status> {
    let mut grpc = Grpc::new(server.channel().await);
    grpc.ready().await.expect("ready");
    let mut request = Request::new(());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("ascii");
        request.metadata_mut().insert("authorization", value);
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.unary(request, PathAndQuery::from_static(path), codec).await.map(drop)
}

#[tokio::test]
async fn every_role_meets_the_permission_table_on_every_rpc() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    for row in TABLE.iter().filter(|r| !r.path.starts_with("/grpc.")) {
        let none = call(&server, row.path, None).await.expect_err("no token");
        assert_eq!((none.code(), error(&none).reason.as_str()), (Code::Unauthenticated, "TOKEN_MISSING"));
        for role in Role::ALL {
            let token = server.token(&[role], Duration::from_secs(600));
            let got = call(&server, row.path, Some(&token)).await;
            let code = got.as_ref().map_or_else(tonic::Status::code, |()| Code::Ok);
            let Access::Roles(allowed) = row.access else { panic!("{} is for roles", row.path) };
            assert_eq!(
                code != Code::PermissionDenied,
                allowed.contains(&role),
                "{role} on {}: {code:?}",
                row.path
            );
            assert_ne!(code, Code::Unauthenticated, "{role} on {}", row.path);
        }
    }
}

#[tokio::test]
async fn an_expired_token_and_one_of_another_server_are_refused() {
    let (dir, other_dir) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let (server, other) = (Server::start(dir.path()).await, Server::start(other_dir.path()).await);
    let expired = server.token(&[Role::Admin], Duration::ZERO);
    let foreign = other.token(&[Role::Admin], Duration::from_secs(600));
    for (token, reason) in [(expired, "TOKEN_EXPIRED"), (foreign, "TOKEN_SIGNATURE")] {
        let token = BearerToken::new(&token).expect("token");
        let mut client = RouteServiceClient::new(InterceptedService::new(server.channel().await, token));
        let refused = client.list_routes(wire::ListRoutesRequest::default()).await.expect_err(reason);
        assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::Unauthenticated, reason));
        assert!(!error(&refused).request_id.is_empty(), "the request id comes back");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    let token = BearerToken::new(&server.token(&[Role::Gateway], Duration::from_secs(2))).expect("token");
    let channel = InterceptedService::new(server.channel().await, token);
    let hello = Hello { proxy: "p".into(), ..Hello::default() };
    let say = WatchConfigRequest { message: Some(Message::Hello(hello)) };
    let outbound = tokio_stream::StreamExt::chain(tokio_stream::once(say), tokio_stream::pending());
    let mut client = ConfigDistributionServiceClient::new(channel);
    let mut stream = client.watch_config(outbound).await.expect("opens").into_inner();
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream must not end as if all were well"),
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), error(&ended).reason.as_str()), (Code::Unauthenticated, "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn health_needs_no_token_and_reflection_does() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    assert!(call(&server, "/grpc.health.v1.Health/Check", None).await.is_ok());
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert_eq!(call(&server, path, None).await.expect_err("no token").code(), Code::Unauthenticated);
    let token = server.token(&[Role::Viewer], Duration::from_secs(600));
    for path in [path, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] {
        let code = call(&server, path, Some(&token)).await.map_or_else(|s| s.code(), |()| Code::Ok);
        assert!(
            !matches!(code, Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented),
            "{code:?}"
        );
    }
}
