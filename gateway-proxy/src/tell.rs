//! What the gateway tells those who wait for it or supervise it: a line in the log, files, and systemd.

use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::Path;

use hotswap_runtime::StartError;

use crate::options::GatewayOptions;

/// Where systemd listens.
const NOTIFY: &str = "NOTIFY_SOCKET";

/// Where the gateway listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// For traffic.
    pub(crate) listen: SocketAddr,
    /// For traffic with TLS.
    pub(crate) tls: Option<SocketAddr>,
    /// For the admin page.
    pub(crate) admin: SocketAddr,
}

/// The gateway listens.
///
/// # Errors
/// Where a file can't be written.
pub(crate) fn listens(options: &GatewayOptions, at: Addresses, generation: u64) -> Result<(), StartError> {
    let (listen, admin_listen) = (at.listen, at.admin);
    tracing::info!(%listen, %admin_listen, workers = options.workers(), generation, "gateway listens");
    if let Some(tls_listen) = at.tls {
        tracing::info!(%tls_listen, "gateway listens with TLS");
    }
    let pid = std::process::id();
    if let Some(file) = &options.pid_file {
        write(file, &pid.to_string()).map_err(|e| StartError::failed("writing the pid file")(e.into()))?;
    }
    if let Some(file) = &options.ready_file {
        let mut told = serde_json::json!({
            "listen": listen, "admin_listen": admin_listen, "pid": pid, "generation": generation
        });
        if let Some(tls_listen) = at.tls {
            told["tls_listen"] = serde_json::json!(tls_listen);
        }
        write(file, &told.to_string()).map_err(|e| StartError::failed("writing the ready file")(e.into()))?;
    }
    // Of a process that is kept systemd knows only its keeper.
    if !options.is_kept {
        // The id: where this gateway has taken over, systemd has another one's.
        notify(&format!("READY=1\nMAINPID={pid}"));
    }
    Ok(())
}

/// The gateway stops.
pub(crate) fn stops(options: &GatewayOptions) {
    if !options.is_kept {
        notify("STOPPING=1");
    }
}

/// Written aside and renamed, so that a reader never sees half of it.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let aside = file.with_extension("tmp");
    std::fs::write(&aside, format!("{text}\n")).and_then(|()| std::fs::rename(&aside, file))
}

/// Tells systemd, where it asked for it.
fn notify(what: &str) {
    let Some(name) = std::env::var_os(NOTIFY) else { return };
    if let Err(error) = send(name.as_bytes(), what) {
        tracing::warn!(%error, "systemd was not told");
    }
}

fn send(name: &[u8], what: &str) -> io::Result<()> {
    let address = match name.split_first() {
        Some((b'@', abstract_name)) => UnixAddress::from_abstract_name(abstract_name)?,
        _ => UnixAddress::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_at_a_path_or_at_an_abstract_name() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("notify");
        let at_path = UnixDatagram::bind(&path).expect("binds");
        let name = format!("hotswap-{}", std::process::id());
        let hidden = UnixAddress::from_abstract_name(&name).expect("a name");
        let at_name = UnixDatagram::bind_addr(&hidden).expect("binds");
        let named = format!("@{name}");
        for (socket, name) in [(at_path, path.as_os_str().as_bytes()), (at_name, named.as_bytes())] {
            send(name, "READY=1").expect("sent");
            let mut came = [0; 16];
            let n = socket.recv(&mut came).expect("came");
            assert_eq!(&came[..n], b"READY=1");
        }
        assert!(send(b"/none/there", "READY=1").is_err());
    }
}
