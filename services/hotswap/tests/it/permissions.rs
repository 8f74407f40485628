//! The permission table against a process that serves: every method, every role, and every token that is none.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use hotswap_auth::{Access, LocalKey, Role, Row, TABLE, TokenRequest, row};
use hotswap_core::{Clock as _, SystemClock, SystemIds};
use hotswap_rpc::ClientError;
use hotswap_testkit::Forge;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::harness::{LIMIT, Server, folder};

const SERVE: [&str; 8] =
    ["serve", "route", "--data-dir", "data", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// Every method that a server answers: the contract, health, and both versions of reflection.
fn methods() -> Vec<MethodDescriptor> {
    let mut pool = DescriptorPool::decode(hotswap_api::FILE_DESCRIPTOR_SET).expect("the contract");
    for set in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(set).expect("descriptors");
    }
    pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()).collect()
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// A process, and the folder of its key.
struct Plane {
    _server: Server,
    folder: tempfile::TempDir,
    channel: Channel,
}

impl Plane {
    async fn start() -> Self {
        let folder = folder();
        let server = Server::start(folder.path(), &[&SERVE[..], &["--log", "warn"]].concat(), "token");
        let address = format!("http://{}", server.address("listening"));
        let channel = Channel::from_shared(address).expect("an address").connect().await.expect("connects");
        Self { _server: server, folder, channel }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Calls a method with an empty message, as a unary call or a stream as the contract has it; of a stream the
    /// first message is awaited.
    async fn call(&self, method: &MethodDescriptor, token: Option<&str>) -> Result<(), Status> {
        let called = tokio::time::timeout(LIMIT, call(self.channel.clone(), method, token)).await;
        called.unwrap_or_else(|_| panic!("{} does not answer", path(method)))
    }
}

async fn call(channel: Channel, method: &MethodDescriptor, token: Option<&str>) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("ready");
    let path = PathAndQuery::from_maybe_shared(path(method)).expect("a path");
    let codec = ProstCodec::<(), ()>::default();
    let token = token.map(|token| format!("Bearer {token}").parse().expect("ASCII"));
    let with_token = |metadata: &mut tonic::metadata::MetadataMap| {
        token.map(|token| metadata.insert("authorization", token));
    };
    if method.is_client_streaming() {
        let mut request = Request::new(tokio_stream::once(()));
        with_token(request.metadata_mut());
        let answers = grpc.streaming(request, path, codec).await?;
        return answers.into_inner().message().await.map(drop);
    }
    let mut request = Request::new(());
    with_token(request.metadata_mut());
    if method.is_server_streaming() {
        return grpc.server_streaming(request, path, codec).await?.into_inner().message().await.map(drop);
    }
    grpc.unary(request, path, codec).await.map(drop)
}

/// A good token of one role.
fn token(dir: &Path, role: Role) -> String {
    let ttl = Duration::from_secs(600);
    let request = TokenRequest { subject: "tester".into(), roles: vec![role], tenant: None, ttl };
    LocalKey::load(dir).expect("a key").mint(&request, SystemClock.now(), &SystemIds).expect("a token")
}

/// Tokens that must not be taken, though each claims to be an administrator's, by the reason to be refused for.
fn refused_tokens(dir: &Path) -> Vec<(&'static str, String, &'static str)> {
    let forge = Forge::of(dir);
    let id = LocalKey::load(dir).expect("a key").id().to_owned();
    let now = SystemClock.now().seconds();
    let header = |algorithm: &str| format!(r#"{{"alg":"{algorithm}","typ":"JWT","kid":"{id}"}}"#);
    let claims = |audience: &str, from: i64, until: i64| {
        format!(
            r#"{{"iss":"hotswap","aud":"{audience}","sub":"mallory","roles":["admin"],"iat":{from},"nbf":{from},"exp":{until}}}"#
        )
    };
    let good = claims("hotswap", now - 60, now + 600);
    let other = tempfile::tempdir().expect("a folder");
    LocalKey::load_or_create(other.path()).expect("another key");
    let stranger = Forge::of(other.path());
    let mut cut = forge.signed(&header("EdDSA"), &good);
    cut.insert(30, ' ');
    vec![
        ("expired", forge.signed(&header("EdDSA"), &claims("hotswap", now - 600, now - 1)), "TOKEN_EXPIRED"),
        (
            "not yet valid",
            forge.signed(&header("EdDSA"), &claims("hotswap", now + 300, now + 600)),
            "TOKEN_NOT_YET_VALID",
        ),
        (
            "for others",
            forge.signed(&header("EdDSA"), &claims("elsewhere", now - 60, now + 600)),
            "TOKEN_AUDIENCE",
        ),
        ("of another key", stranger.signed(&header("EdDSA"), &good), "TOKEN_SIGNATURE"),
        ("without a signature", Forge::unsigned(&header("EdDSA"), &good), "TOKEN_SIGNATURE"),
        ("of the algorithm none", Forge::unsigned(&header("none"), &good), "TOKEN_MALFORMED"),
        ("signed with the public key", forge.confused(&header("HS256"), &good), "TOKEN_ALGORITHM"),
        ("with a space in it", cut, "TOKEN_MALFORMED"),
        ("no token at all", "admin".to_owned(), "TOKEN_MALFORMED"),
    ]
}

fn reason(status: &Status) -> String {
    ClientError::from(status).reason
}

#[test]
fn every_method_that_is_served_has_a_row_and_every_row_a_method() {
    let served: BTreeSet<String> = methods().iter().map(path).collect();
    assert!(served.len() > 35, "{served:?}");
    let rows: BTreeSet<String> = TABLE.iter().map(|row| row.path.to_owned()).collect();
    assert_eq!(served.difference(&rows).collect::<Vec<_>>(), Vec::<&String>::new(), "methods without a row");
    assert_eq!(rows.difference(&served).collect::<Vec<_>>(), Vec::<&String>::new(), "rows without a method");
}

#[tokio::test]
async fn a_server_names_no_other_services_than_those_of_the_table() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let plane = Plane::start().await;
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut request = Request::new(tokio_stream::once(ask));
    let token = format!("Bearer {}", token(&plane.data(), Role::Viewer)).parse().expect("ASCII");
    request.metadata_mut().insert("authorization", token);
    let mut client = ServerReflectionClient::new(plane.channel.clone());
    let mut answers = client.server_reflection_info(request).await.expect("opens").into_inner();
    let answer = answers.message().await.expect("answers").and_then(|a| a.message_response);
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let mut served: BTreeSet<String> = list.service.into_iter().map(|s| s.name).collect();
    // Each version of reflection names itself alone.
    served.insert("grpc.reflection.v1alpha.ServerReflection".to_owned());
    let known: BTreeSet<String> =
        methods().iter().map(|m| m.parent_service().full_name().to_owned()).collect();
    assert_eq!(served, known);
}

#[tokio::test]
async fn without_a_good_token_nothing_opens() {
    let plane = Plane::start().await;
    let refused = refused_tokens(&plane.data());
    for method in methods() {
        let path = path(&method);
        let Row { access, .. } = row(&path).expect("a row");
        if *access == Access::Open {
            plane.call(&method, None).await.unwrap_or_else(|s| panic!("{path} is open: {s:?}"));
            continue;
        }
        let status = plane.call(&method, None).await.expect_err(&path);
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unauthenticated, "TOKEN_MISSING"),
            "{path}"
        );
        for (kind, token, why) in &refused {
            let status = plane.call(&method, Some(token)).await.expect_err(&path);
            let got = (status.code(), reason(&status));
            assert_eq!(
                got,
                (Code::Unauthenticated, (*why).to_owned()),
                "a token {kind} on {path}: {status:?}"
            );
            assert!(!status.message().contains("mallory"), "{status:?}");
        }
    }
}

#[tokio::test]
async fn each_role_opens_what_the_table_says_and_nothing_else() {
    let plane = Plane::start().await;
    for role in Role::ALL {
        let token = token(&plane.data(), role);
        for method in methods() {
            let path = path(&method);
            let may = match row(&path).expect("a row").access {
                Access::Open | Access::Authenticated => true,
                Access::Roles(roles) => roles.contains(&role),
            };
            let answered = plane.call(&method, Some(&token)).await;
            let code = answered.as_ref().map_or_else(Status::code, |()| Code::Ok);
            if may {
                let shut = [Code::Unauthenticated, Code::PermissionDenied, Code::Unknown, Code::Internal];
                assert!(!shut.contains(&code), "{role} on {path}: {answered:?}");
            } else {
                let status = answered.expect_err(&path);
                let got = (status.code(), reason(&status));
                assert_eq!(got, (Code::PermissionDenied, "ROLE_MISSING".to_owned()), "{role} on {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_without_a_role_opens_what_needs_none() {
    let plane = Plane::start().await;
    let now = SystemClock.now().seconds();
    let claims = format!(r#"{{"aud":"hotswap","sub":"new","roles":["root"],"exp":{}}}"#, now + 600);
    let token = Forge::of(&plane.data()).signed(r#"{"alg":"EdDSA"}"#, &claims);
    for method in methods() {
        let path = path(&method);
        let answered = plane.call(&method, Some(&token)).await;
        let code = answered.map_or_else(|s| s.code(), |()| Code::Ok);
        let open = !matches!(row(&path).expect("a row").access, Access::Roles(_));
        assert_eq!(code != Code::PermissionDenied, open, "{path}: {code:?}");
        assert_ne!(code, Code::Unauthenticated, "{path}");
    }
}
