//! Backends that do what a test says.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use super::{Wire, spawn};

/// A backend that does with each connection what the test says. `connections` counts them.
pub struct Backend {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Backend {
    pub async fn each<F, Fut>(serve: F) -> Self
    where
        F: Fn(usize, Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("binds"), serve)
    }

    /// The same, on a socket of the test's.
    pub fn on<F, Fut>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(usize, Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("addr");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                let number = count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(number, Wire::new(stream)));
            }
        });
        Self { address, connections, task }
    }

    /// Answers every request with the same bytes, keeping the connection.
    pub async fn always(response: &'static str) -> Self {
        Self::each(move |_, mut wire| async move {
            while wire.request().await.is_some() {
                wire.send(response).await;
            }
        })
        .await
    }

    /// Answers every request with its head and body, as text.
    pub async fn echo() -> Self {
        Self::each(|_, mut wire| async move {
            while let Some(request) = wire.request().await {
                let text = format!("{}\n{}", request.head, String::from_utf8_lossy(&request.body));
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
                wire.send(&(head + &text)).await;
            }
        })
        .await
    }

    /// Ends, and with it all its connections: when this returns nobody listens.
    pub async fn end(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}
