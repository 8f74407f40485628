//! `cargo xtask bench watch`: from a write to whoever waits for it, beside etcd.
//!
//! ```text
//!   fanout   a write call ──► visible at the last of N watchers; CPU and bytes of it
//!   memory   a server with and without idle watchers
//!   get      one resource by its name, warm and cold
//!   e2e      a write call ──► the first request that a gateway answers by it
//! ```
//!
//! The servers stand on one core, this process with all watchers on another. What it speaks is the contract, which
//! the rest of `xtask` must build without; so the load is behind the feature `watch`, and the command starts a
//! release build of itself that has it.

#[cfg_attr(
    not(any(feature = "watch", test)),
    expect(dead_code, reason = "read by the build that has the load")
)]
mod args;
pub(crate) mod codegen;
#[cfg(feature = "watch")]
mod load;
#[cfg(not(feature = "watch"))]
mod relaunch;

#[cfg(feature = "watch")]
pub(crate) use load::run;
#[cfg(not(feature = "watch"))]
pub(crate) use relaunch::run;

pub(crate) use args::WatchArgs;
