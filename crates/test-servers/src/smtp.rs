//! A mail server of one's own.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use crate::Unavailable;
use crate::find::smtp_program;
use crate::folder::Folder;
use crate::http::free_addresses;
use crate::process::Server;

const SCRIPT: &str = include_str!("smtp.py");

/// How a mail server is talked to. The paths are a certificate and its key (PEM).
#[derive(Clone, Copy, Debug, Default)]
pub enum SmtpTls<'a> {
    /// In the clear.
    #[default]
    Plain,
    /// In the clear first; it takes nothing before STARTTLS.
    StartTls(&'a Path, &'a Path),
    /// TLS from the start.
    Tls(&'a Path, &'a Path),
}

/// A server that keeps the mails it takes (aiosmtpd). It refuses addresses that begin with "refused" for good. Dropped,
/// it is gone.
#[derive(Debug)]
pub struct Smtp {
    // Fields are dropped in this order: the folder's end kills the server, and is to find it named.
    folder: Folder,
    _server: Server,
    address: SocketAddr,
}

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Who sent it, by the envelope.
    pub from: String,
    /// Who gets it, by the envelope.
    pub to: Vec<String>,
    /// Whether it came over TLS.
    pub encrypted: bool,
    /// Its head and body as they came, with CR and LF at the end of a line.
    pub content: String,
}

impl Smtp {
    /// Starts one. Where a user and password are given, nobody else can send.
    ///
    /// # Errors
    /// Where aiosmtpd is not installed or does not start.
    pub fn start(tls: SmtpTls<'_>, login: Option<(&str, &str)>) -> Result<Self, Unavailable> {
        let program = smtp_program()?;
        let folder = Folder::new("hotswap-smtp-", None)?;
        let dir = folder.path().to_owned();
        let failed = |e: std::io::Error| Unavailable::failed("preparing a mail server", e);
        fs::write(dir.join("smtp.py"), SCRIPT).map_err(failed)?;
        let (mode, files) = match tls {
            SmtpTls::Plain => ("plain", None),
            SmtpTls::StartTls(cert, key) => ("starttls", Some((cert, key))),
            SmtpTls::Tls(cert, key) => ("tls", Some((cert, key))),
        };
        if let Some((cert, key)) = files {
            fs::copy(cert, dir.join("cert.pem")).map_err(failed)?;
            fs::copy(key, dir.join("key.pem")).map_err(failed)?;
        }
        let [address] = free_addresses().map_err(failed)?;
        let (user, password) = login.unwrap_or_default();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let args = ["smtp.py", &host, &port, mode, user, password].map(str::to_owned).to_vec();
        let mut server = Server { program, args, user: None, dir, name: "smtp", child: None };
        server.start(|_| TcpStream::connect(address).is_ok())?;
        Ok(Self { folder, _server: server, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it refuse all for now, or take them again.
    ///
    /// # Errors
    /// Where its folder can't be written.
    pub fn set_busy(&self, busy: bool) -> Result<(), Unavailable> {
        let file = self.folder.path().join("busy");
        let done = if busy { fs::write(file, "") } else { fs::remove_file(file) };
        done.map_err(|e| Unavailable::failed("telling a mail server", e))
    }

    /// The mails that it took, in their order.
    ///
    /// # Errors
    /// Where its folder can't be read.
    pub fn mails(&self) -> Result<Vec<Mail>, Unavailable> {
        let failed = |e: std::io::Error| Unavailable::failed("reading mails", e);
        let files = fs::read_dir(self.folder.path()).map_err(failed)?.flatten().map(|file| file.path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "mail")).collect();
        files.sort();
        files.iter().map(|path| Ok(mail(&fs::read(path).map_err(failed)?))).collect()
    }
}

fn mail(bytes: &[u8]) -> Mail {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (from, to, tls, content) = (part(), part(), part(), part());
    Mail { from, to: to.split(' ').map(str::to_owned).collect(), encrypted: tls == "tls", content }
}
