//! One gateway takes over from another, as processes.

mod cores;
mod keys;
mod lasting;
mod load;
mod refused;
mod signals;
mod talk;
mod watching;

use std::net::SocketAddr;

use hotswap_api::gateway::v1::Resource;

use crate::control::*;
use crate::gateway_process::*;

/// A gateway that serves revision 1, which leads to `backend`, safe on disk, and its stream.
async fn serving(control: &mut ControlPlane, backend: SocketAddr, args: &[&str]) -> (Process, Stream) {
    serving_all(control, vec![pool(1, backend), to_the_pool(1)], args).await
}

/// The same, with all of these.
async fn serving_all(
    control: &mut ControlPlane,
    resources: Vec<Resource>,
    args: &[&str],
) -> (Process, Stream) {
    // The one on hyper closes what is idle, and has no TLS.
    let process = Process::start(control.address, &[&["--gateway-engine", "own"], args].concat());
    let (mut stream, _) = control.stream().await;
    let (_, admin) = process.ready().await;
    let nonce = stream.say(whole(1, resources)).await;
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_revision 1").await;
    (process, stream)
}

/// The stream of one that has taken over with revision 1, which is told that this is what there is.
async fn confirmed(control: &mut ControlPlane) -> Stream {
    confirmed_all(control, &[("pools/p", 1), ("routes/r", 1)]).await
}

/// The same, with all of these.
async fn confirmed_all(control: &mut ControlPlane, of: &[(&str, i64)]) -> Stream {
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, token(1));
    stream.say(bookmark(1, of)).await;
    stream
}

/// Which generation the admin page is of, and which process.
async fn generation(admin: SocketAddr) -> (u64, u64) {
    let (_, text) = page(admin, "/config?format=json").await;
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    (told["generation"].as_u64().expect("a number"), told["pid"].as_u64().expect("a number"))
}
