//! `hotswap watch`: a line for each change, as it happens. A cut connection, a control plane that starts anew and a
//! token that was renewed are lived through: what happened meanwhile is told afterwards, once.

mod look;

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use hotswap_api::route::v1::{Certificate, Pool, Route};
use tokio::signal::unix::{SignalKind, signal};

use self::look::Looker;
use super::revision;
use super::target::Target as Words;
use super::trouble::Trouble;
use crate::cli::Watch;
use crate::client::Api;
use crate::connection::Target;
use crate::exit::Failure;
use crate::output::{self, View};
use crate::resource::{Resource, ResourceKind};

pub(super) async fn run(args: &Watch) -> Result<(), Failure> {
    let (kind, names) = match Words::parse(&args.resources)? {
        Words::All(kind) => (kind, None),
        Words::Some(names) => {
            let kind = names[0].0;
            if names.iter().any(|(k, _)| *k != kind) {
                return Err(Failure::usage("routes, pools and certificates are watched one kind at a time"));
            }
            (kind, Some(names.into_iter().map(|(_, name)| name).collect()))
        }
    };
    let target = args.client.target()?;
    let at = AtomicI64::new(-1);
    let mut watcher =
        Watcher { view: args.output.view(&target), api: target.connect().await?, target, args, at: &at };
    // A first Ctrl-C ends it well, also while nothing can be reached.
    let stop = stopped()?;
    let work = async {
        match kind {
            ResourceKind::Route => watcher.follow::<Route>(names).await,
            ResourceKind::Pool => watcher.follow::<Pool>(names).await,
            ResourceKind::Certificate => watcher.follow::<Certificate>(names).await,
        }
    };
    tokio::select! {
        ended = work => ended,
        () = stop => {
            let at = at.load(Relaxed);
            if at >= 0 {
                // The terminal shows ^C where the cursor stands.
                output::remark(&format!("\nended at revision {at}; --since {at} goes on from there"));
            }
            Ok(())
        }
    }
}

/// Ends at the first SIGINT or SIGTERM.
pub(super) fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    let caught = |kind| signal(kind).map_err(|e| Failure::other(format!("can't catch signals: {e}")));
    let (mut interrupt, mut terminate) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

struct Watcher<'a> {
    target: Target,
    api: Api,
    args: &'a Watch,
    view: View,
    /// The revision up to which everything is told; below 0 before the first look.
    at: &'a AtomicI64,
}

impl Watcher<'_> {
    /// Follows until nobody reads any more, or something is wrong that time does not mend.
    async fn follow<R: Resource>(&mut self, names: Option<Vec<String>>) -> Result<(), Failure> {
        if let Some(since) = self.args.since {
            revision::check(&self.api, since).await?;
        }
        let mut looker = Looker::<R>::start(&self.api, names, self.args.since).await?;
        output::remark(&format!("watching {} from revision {}; Ctrl-C ends it", looker.what(), looker.at()));
        let mut trouble = Trouble::default();
        loop {
            let wait = match looker.look(&self.api).await {
                Ok(events) => {
                    if trouble.ends() {
                        output::remark(&format!("back, at revision {}", looker.at()));
                    }
                    for event in events {
                        if !output::told(&event.shown(self.view)?)? {
                            return Ok(());
                        }
                    }
                    self.at.store(looker.at(), Relaxed);
                    self.args.interval
                }
                Err(failure) => {
                    let wait = trouble.met(&failure, self.args.interval)?;
                    if trouble.began() {
                        output::remark(&format!("trying again: {}", failure.message()));
                    }
                    // The token may have been renewed, or the server be another one.
                    if let Ok(api) = self.target.connect().await {
                        self.api = api;
                    }
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}
