//! gRPC through the gateway, with tonic on both sides.

mod calls;
mod checks;
mod counts;
mod failures;
mod rollouts;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use hotswap_matcher::{PoolDraft, RouteDraft};
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::Service;
use tonic::metadata::MetadataValue;
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::http2_backends::{OWN, pool_of};
use crate::support::*;

pub type Codec = ProstCodec<String, String>;
type Answers = BoxStream<'static, Result<String, Status>>;

/// A server that does what the path says.
#[derive(Clone)]
pub struct Servant {
    name: &'static str,
    /// Told when a call is over, however it ends.
    over: mpsc::UnboundedSender<()>,
}

/// A server on a socket of its own.
pub struct Running {
    pub address: SocketAddr,
    pub over: mpsc::UnboundedReceiver<()>,
    task: tokio::task::JoinHandle<()>,
}

/// A call that is under way at the server.
struct UnderWay(mpsc::UnboundedSender<()>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Running {
    pub async fn start(name: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("addr");
        let (told, over) = mpsc::unbounded_channel();
        let server = Server::builder().add_service(Servant { name, over: told });
        let task = spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("serves");
        });
        Self { address, over, task }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NamedService for Servant {
    const NAME: &'static str = "t.T";
}

impl Service<http::Request<Body>> for Servant {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Method { path: request.uri().path().to_owned(), servant: self.clone() };
        Box::pin(async move {
            let grpc = tonic::server::Grpc::new(Codec::default());
            let mut grpc = grpc.apply_max_message_size_config(Some(32 << 20), Some(32 << 20));
            Ok(grpc.streaming(method, request).await)
        })
    }
}

struct Method {
    path: String,
    servant: Servant,
}

impl Service<Request<Streaming<String>>> for Method {
    type Response = Response<Answers>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<String>>) -> Self::Future {
        let (path, servant) = (self.path.clone(), self.servant.clone());
        Box::pin(async move { answer(&path, servant, request).await })
    }
}

async fn answer(
    path: &str,
    servant: Servant,
    request: Request<Streaming<String>>,
) -> Result<Response<Answers>, Status> {
    let under_way = UnderWay(servant.over.clone());
    let (metadata, _, mut messages) = request.into_parts();
    let text = |name: &str| metadata.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let answers: Answers = match path {
        "/t.T/Echo" => Box::pin(messages.map(move |message| {
            let _ = &under_way;
            message.map(|m| format!("re: {m}"))
        })),
        "/t.T/Name" => {
            while messages.message().await?.is_some() {}
            Box::pin(tokio_stream::once(Ok(servant.name.to_owned())))
        }
        "/t.T/Join" => {
            let mut all = String::new();
            while let Some(message) = messages.message().await? {
                all += &message;
            }
            Box::pin(tokio_stream::once(Ok(all)))
        }
        "/t.T/Many" => Box::pin(tokio_stream::iter((0..1_000).map(|n| Ok(n.to_string())))),
        "/t.T/Timeout" => Box::pin(tokio_stream::once(Ok(text("grpc-timeout")))),
        "/t.T/Code" => {
            let code = Code::from_bytes(text("x-code").as_bytes());
            let mut status = Status::with_details(code, "as asked", b"\0details\xff".to_vec().into());
            status.metadata_mut().insert("x-more", MetadataValue::from_static("1"));
            return Err(status);
        }
        "/t.T/Late" => {
            Box::pin(tokio_stream::iter([Ok("one".to_owned()), Err(Status::data_loss("then lost"))]))
        }
        "/t.T/One" => Box::pin(tokio_stream::once(Ok("one".to_owned())).chain(forever(under_way))),
        _ => {
            let _under_way = under_way;
            std::future::pending().await
        }
    };
    let mut response = Response::new(answers);
    response.metadata_mut().insert("x-seen", MetadataValue::try_from(text("x-sent")).expect("text"));
    Ok(response)
}

fn forever(under_way: UnderWay) -> Answers {
    Box::pin(futures_util::stream::once(async move {
        let _under_way = under_way;
        std::future::pending().await
    }))
}

/// A gateway before servers of gRPC.
pub fn before(servers: &[SocketAddr]) -> Gateway {
    with_route(&pool_of(servers), &to_pool("p"))
}

pub fn with_route(pool: &PoolDraft, route: &RouteDraft) -> Gateway {
    let mut gateway = Gateway::start(&OWN);
    gateway.pool_of("p", pool);
    gateway.route("r", route);
    gateway.swap();
    gateway
}

/// A client of the gateway.
pub async fn client(gateway: &Gateway) -> Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address())).expect("a URI");
    let channel = in_time("connect", endpoint.connect()).await.expect("connects");
    let mut grpc = Grpc::new(channel).max_decoding_message_size(32 << 20).max_encoding_message_size(32 << 20);
    grpc.ready().await.expect("ready");
    grpc
}

pub fn path(method: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(method)
}

/// One message there, one back.
pub async fn unary(
    client: &mut Grpc<Channel>,
    method: &'static str,
    message: &str,
    change: impl FnOnce(&mut Request<String>),
) -> Result<Response<String>, Status> {
    let mut request = Request::new(message.to_owned());
    change(&mut request);
    client.ready().await.expect("ready");
    in_time(method, client.unary(request, path(method), Codec::default())).await
}

/// A message there, a stream of them back.
pub async fn stream(client: &mut Grpc<Channel>, method: &'static str) -> Streaming<String> {
    client.ready().await.expect("ready");
    let asked = client.server_streaming(Request::new(String::new()), path(method), Codec::default());
    in_time(method, asked).await.expect("answers").into_inner()
}

/// What comes of a call that the server answers with this status.
pub async fn coded(client: &mut Grpc<Channel>, code: Code) -> Status {
    let number = (code as i32).to_string();
    let asked = unary(client, "/t.T/Code", "", |request| {
        request.metadata_mut().insert("x-code", number.parse().expect("text"));
    });
    asked.await.expect_err("a failure")
}
