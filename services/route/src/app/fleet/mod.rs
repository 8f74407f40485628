//! The fleet: what each proxy has. Of those that this process speaks with it knows by itself; what others
//! speak with it reads in the store, and tells them there of its own ([`sync`](super::fleet::sync)).

mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotswap_core::{Clock, Revision};
use tokio::sync::{Notify, watch};

use crate::domain::{Conditions, Place, Proxy, ROLLOUTS, Refusal};

/// What a proxy says of itself when it connects.
pub(crate) struct Introduction {
    pub(crate) id: String,
    pub(crate) instance_id: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) build_version: String,
    pub(crate) features: BTreeSet<String>,
    pub(crate) have: Option<Place>,
}

/// Names the stream that speaks for a proxy; an older one's words no longer count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session(u64);

/// The proxies that are, or were, connected; cheap to clone.
#[derive(Clone)]
pub(crate) struct Fleet {
    /// The id of this process, which its words in the store carry.
    replica: Arc<str>,
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<Inner>>,
    /// Changes with every change of a member.
    changed: watch::Sender<u64>,
    /// There is something to write.
    dirty: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    sessions: u64,
    /// Those that this process speaks with, or spoke with last.
    own: BTreeMap<String, Own>,
    /// Those of other processes, as the store has them.
    others: BTreeMap<String, Proxy>,
    /// The revision of the store's fleet up to which `others` is read.
    read: Revision,
    /// Processes that are alive. `None`: where none shares the store, as long as proxies of the one before may come back.
    alive: Option<BTreeSet<String>>,
}

/// How the connected proxies stand to a version of a resource.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// All of them.
    pub(crate) connected: BTreeSet<String>,
    /// Those that do not serve it yet.
    pub(crate) lagging: Vec<String>,
    /// Those that do not know candidates.
    pub(crate) unable: Vec<String>,
    /// Those that refused it.
    pub(crate) refused: Vec<(String, Refusal)>,
}

struct Own {
    session: Session,
    proxy: Proxy,
    /// Rises with each change.
    version: u64,
    /// The version that the store has.
    written: u64,
    /// The store's number of the claim to speak for this proxy.
    claim: Option<i64>,
}

impl Fleet {
    pub(crate) fn new(replica: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            replica: replica.into(),
            clock,
            inner: Arc::default(),
            changed: watch::Sender::new(0),
            dirty: Arc::default(),
        }
    }

    /// A proxy has said hello.
    pub(crate) fn connect(&self, who: Introduction) -> Session {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.sessions += 1;
        let session = Session(inner.sessions);
        let proxy = Proxy {
            id: who.id.clone(),
            replica: self.replica.to_string(),
            instance_id: who.instance_id,
            labels: who.labels,
            build_version: who.build_version,
            features: who.features,
            connected: true,
            active: who.have,
            sent: None,
            refusals: Vec::new(),
            backends: Conditions::default(),
            connected_at: now,
            last_seen_at: now,
        };
        let version = inner.own.get(&who.id).map_or(0, |own| own.version) + 1;
        inner.others.remove(&who.id);
        inner.own.insert(who.id, Own { session, proxy, version, written: 0, claim: None });
        drop(inner);
        self.touch();
        session
    }

    /// Changes a member, unless another session has taken its place.
    fn update(&self, id: &str, session: Session, change: impl FnOnce(&mut Proxy)) {
        let now = self.clock.now();
        let mut inner = self.lock();
        if let Some(own) = inner.own.get_mut(id).filter(|own| own.session == session) {
            own.proxy.last_seen_at = now;
            change(&mut own.proxy);
            own.version += 1;
        }
        drop(inner);
        self.touch();
    }

    pub(crate) fn sent(&self, id: &str, session: Session, at: Place) {
        self.update(id, session, |p| p.sent = Some(at));
    }

    /// It serves this place.
    pub(crate) fn active(&self, id: &str, session: Session, at: Place) {
        self.update(id, session, |p| p.active = Some(at));
    }

    /// It refuses these. A resource's newer refusal takes the place of its older one.
    pub(crate) fn refused(&self, id: &str, session: Session, refusals: Vec<Refusal>) {
        self.update(id, session, |p| {
            p.refusals.retain(|old| refusals.iter().all(|new| new.name != old.name));
            p.refusals.extend(refusals);
        });
    }

    /// These of its backends are not in order.
    pub(crate) fn backends(&self, id: &str, session: Session, backends: Conditions) {
        self.update(id, session, |p| p.backends = backends);
    }

    /// These resources were sent (`sent` tells which): what was refused of them is open anew.
    pub(crate) fn sent_again(&self, id: &str, session: Session, at: Place, sent: impl Fn(&str) -> bool) {
        self.update(id, session, |p| {
            p.refusals.retain(|r| !sent(&r.name));
            p.sent = Some(at);
        });
    }

    pub(crate) fn disconnect(&self, id: &str, session: Session) {
        self.update(id, session, |p| p.connected = false);
    }

    /// Every proxy, by id.
    pub(crate) fn list(&self) -> Vec<Proxy> {
        let inner = self.lock();
        let mut all: Vec<Proxy> = inner.own.values().map(|own| own.proxy.clone()).collect();
        all.extend(inner.others.values().map(|p| inner.seen(p)));
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    pub(crate) fn get(&self, id: &str) -> Option<Proxy> {
        let inner = self.lock();
        let own = inner.own.get(id).map(|own| own.proxy.clone());
        own.or_else(|| inner.others.get(id).map(|p| inner.seen(p)))
    }

    /// Ids of the connected proxies that serve a revision, and of those that do not.
    pub(crate) fn standing(&self, store_id: &str, revision: i64) -> (Vec<String>, Vec<String>) {
        let inner = self.lock();
        let own = inner.own.values().map(|own| &own.proxy).filter(|p| p.connected);
        let others = inner.others.values().filter(|p| p.connected && !inner.is_gone(p));
        let (serving, lagging): (Vec<&Proxy>, Vec<&Proxy>) =
            own.chain(others).partition(|p| p.serves(store_id, revision));
        let ids = |list: Vec<&Proxy>| list.into_iter().map(|p| p.id.clone()).collect();
        (ids(serving), ids(lagging))
    }

    /// How the connected proxies stand to a version of a resource, which a revision of the store made.
    pub(crate) fn hold(&self, store_id: &str, name: &str, version: i64) -> Hold {
        let inner = self.lock();
        let own = inner.own.values().map(|own| &own.proxy).filter(|p| p.connected);
        let others = inner.others.values().filter(|p| p.connected && !inner.is_gone(p));
        let mut hold = Hold::default();
        for proxy in own.chain(others) {
            if !proxy.features.contains(ROLLOUTS) {
                hold.unable.push(proxy.id.clone());
            }
            if !proxy.serves(store_id, version) {
                hold.lagging.push(proxy.id.clone());
            }
            let refusal = proxy.refusals.iter().find(|r| r.name == name && r.version >= version);
            hold.refused.extend(refusal.map(|r| (proxy.id.clone(), r.clone())));
            hold.connected.insert(proxy.id.clone());
        }
        hold
    }

    /// What proxies refuse of a resource, with their ids, at most `limit`.
    pub(crate) fn refusals_of(&self, name: &str, limit: usize) -> Vec<(String, Refusal)> {
        let inner = self.lock();
        let own = inner.own.values().map(|own| &own.proxy);
        let all = own.chain(inner.others.values());
        let of = all.flat_map(|p| p.refusals.iter().map(move |r| (p, r))).filter(|(_, r)| r.name == name);
        of.take(limit).map(|(p, r)| (p.id.clone(), r.clone())).collect()
    }

    /// Changes with every change of a member.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn touch(&self) {
        // Nearly always nobody waits, and a proxy's every word comes here.
        if self.changed.receiver_count() > 0 {
            self.changed.send_modify(|n| *n = n.wrapping_add(1));
        }
        self.dirty.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A proxy of another process: where that is gone, its streams are too.
    fn seen(&self, proxy: &Proxy) -> Proxy {
        Proxy { connected: proxy.connected && !self.is_gone(proxy), ..proxy.clone() }
    }

    fn is_gone(&self, proxy: &Proxy) -> bool {
        self.alive.as_ref().is_some_and(|alive| !alive.contains(&proxy.replica))
    }
}

/// A change of a member that the store does not have yet.
pub(crate) struct Unwritten {
    pub(crate) proxy: Proxy,
    pub(crate) claim: Option<i64>,
    session: Session,
    version: u64,
}

/// How the store took it.
pub(crate) enum Written {
    /// Under this claim.
    As(i64),
    /// Another process speaks for the proxy now.
    Lost,
}

impl Fleet {
    fn unwritten_count(&self) -> usize {
        self.lock().own.values().filter(|own| own.written < own.version).count()
    }

    fn unwritten(&self, limit: usize) -> Vec<Unwritten> {
        let inner = self.lock();
        let dirty = inner.own.values().filter(|own| own.written < own.version);
        dirty
            .take(limit)
            .map(|own| Unwritten {
                proxy: own.proxy.clone(),
                claim: own.claim,
                session: own.session,
                version: own.version,
            })
            .collect()
    }

    fn wrote(&self, done: Vec<(Unwritten, Written)>) {
        let mut inner = self.lock();
        for (unwritten, written) in done {
            let id = &unwritten.proxy.id;
            let Some(own) = inner.own.get_mut(id).filter(|own| own.session == unwritten.session) else {
                continue;
            };
            match written {
                Written::As(claim) => {
                    own.claim = Some(claim);
                    own.written = unwritten.version;
                }
                // It is still here, or came back: the next write claims it anew.
                Written::Lost if own.proxy.connected => own.claim = None,
                // What the store has of it was passed over while it was ours; it is read again.
                Written::Lost => {
                    inner.own.remove(id);
                    inner.read = Revision::ZERO;
                }
            }
        }
    }

    /// Takes in what the store has of others.
    fn heard(&self, to: Revision, proxies: Vec<Proxy>, alive: Option<BTreeSet<String>>) {
        let mut inner = self.lock();
        let changed = to != inner.read || alive != inner.alive;
        inner.read = to;
        inner.alive = alive;
        for proxy in proxies {
            let foreign = proxy.replica != *self.replica;
            match inner.own.get_mut(&proxy.id).map(|own| (own.proxy.connected, own)) {
                // It left another process after it came here; what that one said last is not so.
                Some((true, own)) if foreign && !proxy.connected => {
                    own.claim = None;
                    own.version += 1;
                    self.dirty.notify_one();
                }
                Some((true, _)) => {}
                Some((false, _)) if !foreign => {}
                // It has moved.
                Some((false, _)) => {
                    inner.own.remove(&proxy.id);
                    inner.others.insert(proxy.id.clone(), proxy);
                }
                None => {
                    inner.others.insert(proxy.id.clone(), proxy);
                }
            }
        }
        drop(inner);
        if changed {
            self.changed.send_modify(|n| *n = n.wrapping_add(1));
        }
    }

    /// Nobody but this process is on the store: what an earlier one wrote last of its streams is over.
    fn is_alone(&self) {
        let mut inner = self.lock();
        if inner.alive.is_some() {
            return;
        }
        inner.alive = Some(BTreeSet::from([self.replica.to_string()]));
        drop(inner);
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn read(&self) -> Revision {
        self.lock().read
    }

    /// The id of this process.
    pub(crate) fn replica(&self) -> &str {
        &self.replica
    }
}
