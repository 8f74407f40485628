//! Servers for tests.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use hotswap_metric_query::{PrometheusClient, PrometheusOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A task that ends with the test.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
    let address = listener.local_addr().expect("address");
    (listener, address)
}

#[expect(clippy::disallowed_methods, reason = "a test ends its tasks itself")]
pub(crate) fn served(address: SocketAddr, task: impl Future<Output = ()> + Send + 'static) -> Served {
    Served { address, task: tokio::spawn(task) }
}

pub(crate) async fn serve(app: Router) -> Served {
    let (listener, address) = listener().await;
    served(address, async move { axum::serve(listener, app).await.expect("serves") })
}

pub(crate) fn options(address: SocketAddr) -> PrometheusOptions {
    PrometheusOptions::new(format!("http://{address}"), vec![address.to_string()])
}

pub(crate) fn client(address: SocketAddr) -> PrometheusClient {
    PrometheusClient::new(&options(address)).expect("valid")
}
