//! The configuration in the form in which it goes to proxies, kept in step with the store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{Resource, ResumeToken};
use hotswap_core::{CertificateName, ResourceName as _, Revision, SetDigest, StoreId};
use hotswap_runtime::{Supervisor, TaskKind};
use prost::bytes::Bytes;
use tokio::sync::watch;

use super::codec;
use crate::app::{App, Batch, Error, Followed, Logged, Start};
use crate::metrics::RouteMetrics;
use crate::rpc::convert::distributed;

/// How many log entries are kept for deltas.
const KEPT: usize = 100_000;

/// How often the store is asked, should a wake-up get lost.
const RECONCILE: Duration = Duration::from_secs(5);

/// The feed; cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    store_id: StoreId,
    view: Arc<Mutex<View>>,
    head: watch::Sender<Revision>,
}

struct View {
    head: Revision,
    /// The number that the store drew for the head.
    stamp: Option<i64>,
    /// Rises where the history that led here no longer counts.
    epoch: u64,
    resources: BTreeMap<String, Arc<Resource>>,
    digests: Digests,
    /// The revision from which on the log is whole.
    floor: Revision,
    log: VecDeque<(i64, String)>,
    /// Recorded traces of the newest writes, oldest first, each with its revision.
    traces: VecDeque<(i64, String)>,
    /// Steps that lead to this head, with the place that each begins at.
    steps: VecDeque<(Revision, Arc<Step>)>,
}

/// What leads from a revision to the head. Most streams stand at the same place, so they share it.
pub(super) struct Step {
    pub(super) to: ResumeToken,
    pub(super) upserts: Vec<Arc<Resource>>,
    pub(super) removes: Vec<String>,
    digests: Digests,
    /// Recorded traces of the writes that led here, newest first.
    pub(super) traces: Vec<String>,
    /// The delta that says it, once a stream has asked, for each taste.
    encoded: [OnceLock<Bytes>; 4],
}

/// What a proxy takes of what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taste {
    /// It knows the candidates of rollouts.
    pub(super) candidates: bool,
    /// It takes certificates with their keys, and the way to it is such that they may go there.
    pub(super) certificates: bool,
}

impl Taste {
    fn index(self) -> usize {
        usize::from(self.candidates) + 2 * usize::from(self.certificates)
    }

    /// Whether it takes what has this name.
    fn takes(self, name: &str) -> bool {
        self.certificates || !is_certificate(name)
    }
}

/// The digests of all that there is, and of what goes to those who take no certificates.
#[derive(Clone, Copy, Debug, Default)]
struct Digests {
    whole: SetDigest,
    plain: SetDigest,
}

impl Digests {
    fn of(&self, taste: Taste) -> SetDigest {
        if taste.certificates { self.whole } else { self.plain }
    }

    /// The same change in each digest that has the name.
    fn change(&mut self, name: &str, change: impl Fn(&mut SetDigest)) {
        change(&mut self.whole);
        if !is_certificate(name) {
            change(&mut self.plain);
        }
    }
}

fn is_certificate(name: &str) -> bool {
    CertificateName::parse(name).is_ok()
}

impl Step {
    /// The step as a delta from `from`, which is where it begins: encoded once, for every stream that stands there.
    pub(super) fn delta(&self, from: Revision, taste: Taste) -> Bytes {
        let delta = || wire::Delta {
            from: from.0,
            to: Some(self.to.clone()),
            upserts: self.for_proxy(taste).map(|r| for_proxy(r, taste)).collect(),
            removes: self.removes.iter().filter(|name| taste.takes(name)).cloned().collect(),
            digest: self.digest(taste).to_bytes().to_vec().into(),
            // Each of them was deleted by a call that named it: only such deletions are in the change log.
            allow_mass_delete: true,
            trace_contexts: self.traces.clone(),
        };
        self.encoded[taste.index()].get_or_init(|| codec::encoded(ToProxy::Delta(delta()))).clone()
    }

    /// The digest of what a proxy has at its end.
    pub(super) fn digest(&self, taste: Taste) -> SetDigest {
        self.digests.of(taste)
    }

    /// The resources of it that go to a proxy.
    pub(super) fn for_proxy(&self, taste: Taste) -> impl Iterator<Item = &Arc<Resource>> {
        self.upserts.iter().filter(move |r| taste.takes(&r.name))
    }

    /// Whether it is about this resource. Both lists are in the order of names.
    pub(super) fn touches(&self, name: &str) -> bool {
        self.upserts.binary_search_by(|r| r.name.as_str().cmp(name)).is_ok()
            || self.removes.binary_search_by(|r| r.as_str().cmp(name)).is_ok()
    }
}

/// A resource as a proxy gets it: one that does not know candidates gets none. Its version, and so the digest, is the
/// same.
pub(super) fn for_proxy(resource: &Resource, taste: Taste) -> Resource {
    match resource {
        Resource { candidate: Some(_), name, version, spec, .. } if !taste.candidates => {
            Resource { name: name.clone(), version: *version, spec: spec.clone(), candidate: None }
        }
        other => other.clone(),
    }
}

/// Recorded traces that are kept, and go with a step, at most.
const KEPT_TRACES: usize = 16;

/// Steps to the head that are kept for the next stream that asks.
const KEPT_STEPS: usize = 8;

impl Feed {
    /// Loads the configuration and follows the store from there.
    pub(crate) async fn start(app: App, supervisor: &Supervisor) -> Result<Self, Error> {
        // Subscribed before the load: a commit between the two wakes the follower.
        let mut commits = app.db.watch_commits();
        let view = View::load(app.feed_start().await?);
        view.show(&app.metrics);
        let feed = Self {
            store_id: app.db.store_id(),
            head: watch::Sender::new(view.head),
            view: Arc::new(Mutex::new(view)),
        };
        let (this, shutdown) = (feed.clone(), supervisor.shutdown());
        supervisor.spawn("gateway feed", TaskKind::Essential, async move {
            loop {
                tokio::select! {
                    _ = commits.changed() => {}
                    () = tokio::time::sleep(RECONCILE) => {}
                    () = shutdown.cancelled() => return,
                }
                let (head, stamp) = this.stamped();
                match app.feed_after(head, stamp).await {
                    Ok(Followed::Same) => continue,
                    Ok(Followed::Changed(batch)) => this.apply(batch),
                    Ok(Followed::Anew(start)) => {
                        app.forget_cache();
                        this.begin_anew(start);
                    }
                    Err(error) => {
                        app.metrics.store_errors.inc();
                        tracing::warn!(%error, "the feed could not read the store; it tries again");
                        continue;
                    }
                }
                this.lock().show(&app.metrics);
                app.catch_up_cache().await;
            }
        });
        Ok(feed)
    }

    /// The newest revision.
    pub(crate) fn head(&self) -> Revision {
        *self.head.borrow()
    }

    /// Waits for a head at or behind `revision`; ends, too, when the process does.
    pub(crate) async fn reached(&self, revision: Revision) {
        let _ = self.watch().wait_for(|head| *head >= revision).await;
    }

    /// Changes with the head.
    pub(super) fn watch(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }

    pub(crate) fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// Rises where the history no longer counts: what a session has sent is then no place to go on from.
    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    fn stamped(&self) -> (Revision, Option<i64>) {
        let view = self.lock();
        (view.head, view.stamp)
    }

    /// The head, and the digest of what a proxy has there.
    pub(super) fn place(&self, taste: Taste) -> (ResumeToken, SetDigest) {
        let view = self.lock();
        (self.token(view.head), view.digests.of(taste))
    }

    /// Everything, at the head.
    pub(super) fn snapshot(&self) -> Step {
        let view = self.lock();
        Step {
            to: self.token(view.head),
            upserts: view.resources.values().cloned().collect(),
            removes: Vec::new(),
            digests: view.digests,
            traces: Vec::new(),
            encoded: Default::default(),
        }
    }

    /// Every resource, and the revision that they are at.
    pub(crate) fn everything(&self) -> (Revision, Vec<Arc<Resource>>) {
        let view = self.lock();
        (view.head, view.resources.values().cloned().collect())
    }

    /// What changed behind `from`; `None`: the history from there is gone.
    pub(super) fn since(&self, from: Revision) -> Option<Arc<Step>> {
        let mut view = self.lock();
        if from < view.floor || from > view.head {
            return None;
        }
        if let Some((_, step)) = view.steps.iter().find(|(begin, _)| *begin == from) {
            return Some(Arc::clone(step));
        }
        let begin = view.log.partition_point(|(revision, _)| *revision <= from.0);
        let names: BTreeSet<&String> = view.log.range(begin..).map(|(_, name)| name).collect();
        let mut upserts = Vec::new();
        let mut removes = Vec::new();
        for name in names {
            match view.resources.get(name) {
                Some(resource) => upserts.push(Arc::clone(resource)),
                None => removes.push(name.clone()),
            }
        }
        let led_here = view.traces.iter().rev().take_while(|(revision, _)| *revision > from.0);
        let traces = led_here.map(|(_, trace)| trace.clone()).collect();
        let (to, digests) = (self.token(view.head), view.digests);
        let step = Arc::new(Step { to, upserts, removes, digests, traces, encoded: Default::default() });
        view.steps.truncate(KEPT_STEPS - 1);
        view.steps.push_front((from, Arc::clone(&step)));
        Some(step)
    }

    fn apply(&self, batch: Batch) {
        let mut view = self.lock();
        if batch.to <= view.head {
            return;
        }
        for name in batch.removes {
            view.take(&name);
        }
        for resource in batch.upserts {
            view.put(distributed(&resource));
        }
        view.extend_log(batch.log);
        while view.log.len() > KEPT {
            if let Some((revision, _)) = view.log.pop_front() {
                view.floor = Revision(revision);
            }
        }
        view.steps.clear();
        view.head = batch.to;
        view.stamp = batch.stamp;
        drop(view);
        self.head.send_replace(batch.to);
    }

    /// Takes what the store has for everything, and no place before it as one to go on from.
    fn begin_anew(&self, start: Start) {
        tracing::warn!(
            from = self.head().0,
            to = start.revision.0,
            "the store has another history than this process; every proxy gets a snapshot"
        );
        let mut view = View::load(start);
        let head = view.head;
        view.floor = head;
        view.log.clear();
        let mut current = self.lock();
        view.epoch = current.epoch + 1;
        let old = std::mem::replace(&mut *current, view);
        drop(current);
        drop(old);
        self.head.send_replace(head);
    }

    fn token(&self, revision: Revision) -> ResumeToken {
        ResumeToken { store_id: self.store_id.to_string(), revision: revision.0 }
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn load(start: Start) -> Self {
        let mut view = Self {
            head: start.revision,
            stamp: start.stamp,
            epoch: 0,
            resources: BTreeMap::new(),
            digests: Digests::default(),
            floor: start.floor,
            log: VecDeque::new(),
            traces: VecDeque::new(),
            steps: VecDeque::new(),
        };
        view.extend_log(start.log);
        for resource in &start.resources {
            view.put(distributed(resource));
        }
        view
    }

    fn extend_log(&mut self, entries: Vec<Logged>) {
        for Logged { revision, name, trace_context } in entries {
            if let Some(trace) = trace_context {
                self.traces.push_back((revision, trace));
                let surplus = self.traces.len().saturating_sub(KEPT_TRACES);
                self.traces.drain(..surplus);
            }
            self.log.push_back((revision, name));
        }
    }

    fn show(&self, metrics: &RouteMetrics) {
        metrics.revision.set(self.head.0);
        metrics.resources.set(i64::try_from(self.resources.len()).unwrap_or(i64::MAX));
    }

    fn put(&mut self, resource: Resource) {
        self.take(&resource.name);
        self.digests.change(&resource.name, |digest| digest.insert(&resource.name, resource.version));
        self.resources.insert(resource.name.clone(), Arc::new(resource));
    }

    fn take(&mut self, name: &str) {
        if let Some(old) = self.resources.remove(name) {
            self.digests.change(name, |digest| digest.remove(&old.name, old.version));
        }
    }
}
