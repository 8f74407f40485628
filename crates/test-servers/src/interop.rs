//! The server of gRPC's interoperability tests.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use crate::Unavailable;
use crate::find::interop_server_program;
use crate::folder::Folder;
use crate::http::free_addresses;
use crate::process::Server;

/// A server that answers as the tests' descriptions have it. Dropped, it is gone.
#[derive(Debug)]
pub struct Interop {
    // Fields are dropped in this order: the folder's end kills the server, and is to find it named.
    _folder: Folder,
    _server: Server,
    address: SocketAddr,
}

impl Interop {
    /// Starts one; with TLS where there is a certificate and its key, PEM files both.
    ///
    /// # Errors
    /// Where the server is not there or does not start.
    pub fn start(tls: Option<(&Path, &Path)>) -> Result<Self, Unavailable> {
        let program = interop_server_program()?;
        let folder = Folder::new("hotswap-interop-", None)?;
        let [address] = free_addresses().map_err(|e| Unavailable::failed("a port for the server", e))?;
        let mut args = vec![format!("--port={}", address.port())];
        if let Some((certificate, key)) = tls {
            args.push("--use_tls".to_owned());
            args.push(format!("--tls_cert_file={}", certificate.display()));
            args.push(format!("--tls_key_file={}", key.display()));
        }
        let dir = folder.path().to_owned();
        let mut server = Server { program, args, user: None, dir, name: "interop", child: None };
        server.start(|_| TcpStream::connect(address).is_ok())?;
        Ok(Self { _folder: folder, _server: server, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
