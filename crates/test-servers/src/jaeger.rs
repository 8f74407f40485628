//! A Jaeger of one's own: a collector of spans that shows them.

use std::net::SocketAddr;

use rustix::process::Signal;

use crate::Unavailable;
use crate::find::jaeger_program;
use crate::folder::Folder;
use crate::http::{free_addresses, get};
use crate::process::Server;

/// A server that takes spans over OTLP and keeps them in memory. Dropped, it is gone.
#[derive(Debug)]
pub struct Jaeger {
    // Fields are dropped in this order: the folder's end kills the server, and is to find it named.
    _folder: Folder,
    server: Server,
    otlp: SocketAddr,
    query: SocketAddr,
}

impl Jaeger {
    /// Starts an empty one.
    ///
    /// # Errors
    /// Where Jaeger is not there or does not start.
    pub fn start() -> Result<Self, Unavailable> {
        let program = jaeger_program()?;
        let folder = Folder::new("hotswap-jaeger-", None)?;
        let addresses = free_addresses::<7>().map_err(|e| Unavailable::failed("ports for jaeger", e))?;
        let [otlp, query, ..] = addresses;
        let flags = [
            "collector.otlp.grpc.host-port",
            "query.http-server.host-port",
            "query.grpc-server.host-port",
            "collector.otlp.http.host-port",
            "collector.grpc-server.host-port",
            "collector.http-server.host-port",
            "admin.http.host-port",
        ];
        let ports = flags.iter().zip(addresses).map(|(flag, address)| format!("--{flag}={address}"));
        let args = ports.chain(["--log-level=warn".to_owned()]).collect();
        let dir = folder.path().to_owned();
        let server = Server { program, args, user: None, dir, name: "jaeger", child: None };
        let mut jaeger = Self { _folder: folder, server, otlp, query };
        jaeger.start_again()?;
        Ok(jaeger)
    }

    /// Where it takes spans, over OTLP with gRPC.
    pub fn otlp_url(&self) -> String {
        format!("http://{}", self.otlp)
    }

    /// Starts it after [`Self::stop`], empty, at the same address.
    ///
    /// # Errors
    /// Where it runs already, or does not start.
    pub fn start_again(&mut self) -> Result<(), Unavailable> {
        let (query, otlp) = (self.query, self.otlp);
        self.server
            .start(|_| get(query, "/api/services").is_ok() && std::net::TcpStream::connect(otlp).is_ok())
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn stop(&mut self) -> Result<(), Unavailable> {
        self.server.end(Signal::TERM)
    }

    /// A trace, as its query service gives it in JSON; `None` where it has none of that id (32 hexadecimal digits).
    pub fn trace(&self, id: &str) -> Option<String> {
        get(self.query, &format!("/api/traces/{id}")).ok()
    }
}
