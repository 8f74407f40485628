//! What the proxies of this process have. Kept in memory: a proxy that reconnects says it anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotswap_api::gateway::v1::{Hello, Proxy, ResourceError, ResumeToken, proxy};
use hotswap_core::{Clock, Timestamp};
use tokio::sync::watch;

use super::convert::time;

/// The proxies that are, or were, connected; cheap to clone.
#[derive(Clone)]
pub(crate) struct Fleet {
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<BTreeMap<String, Member>>>,
    /// Changes with every change of a member.
    changed: watch::Sender<u64>,
}

struct Member {
    /// The stream that speaks for the proxy; an older one's words no longer count.
    session: u64,
    hello: Hello,
    connected: bool,
    active: Option<ResumeToken>,
    sent: Option<ResumeToken>,
    refusals: Vec<ResourceError>,
    connect_time: Timestamp,
    last_seen: Timestamp,
}

impl Fleet {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inner: Arc::default(), changed: watch::Sender::new(0) }
    }

    /// A proxy has said hello. Gives the number of its session.
    pub(super) fn connect(&self, hello: Hello) -> u64 {
        let now = self.clock.now();
        let mut inner = self.lock();
        let session = inner.values().map(|m| m.session).max().unwrap_or(0) + 1;
        let member = Member {
            session,
            connected: true,
            active: hello.have.clone(),
            sent: None,
            refusals: Vec::new(),
            connect_time: now,
            last_seen: now,
            hello,
        };
        inner.insert(member.hello.proxy.clone(), member);
        drop(inner);
        self.touch();
        session
    }

    /// Changes a member, unless another session has taken its place.
    fn update(&self, proxy: &str, session: u64, change: impl FnOnce(&mut Member)) {
        let now = self.clock.now();
        let mut inner = self.lock();
        if let Some(member) = inner.get_mut(proxy).filter(|m| m.session == session) {
            member.last_seen = now;
            change(member);
        }
        drop(inner);
        self.touch();
    }

    pub(super) fn sent(&self, proxy: &str, session: u64, at: ResumeToken) {
        self.update(proxy, session, |m| m.sent = Some(at));
    }

    /// It serves this place. What it refused of older versions is settled where the version is gone.
    pub(super) fn active(&self, proxy: &str, session: u64, at: ResumeToken) {
        self.update(proxy, session, |m| m.active = Some(at));
    }

    /// It refuses these. A resource's newer refusal takes the place of its older one.
    pub(super) fn refused(&self, proxy: &str, session: u64, errors: Vec<ResourceError>) {
        self.update(proxy, session, |m| {
            m.refusals.retain(|old| errors.iter().all(|new| new.name != old.name));
            m.refusals.extend(errors);
        });
    }

    /// Resources were sent again: what was refused of them is open anew.
    pub(super) fn retried(&self, proxy: &str, session: u64, names: &[&str]) {
        self.update(proxy, session, |m| m.refusals.retain(|r| !names.contains(&r.name.as_str())));
    }

    pub(super) fn disconnect(&self, proxy: &str, session: u64) {
        self.update(proxy, session, |m| m.connected = false);
    }

    pub(super) fn list(&self, head: i64) -> Vec<Proxy> {
        self.lock().values().map(|m| m.to_proxy(head)).collect()
    }

    pub(super) fn get(&self, id: &str, head: i64) -> Option<Proxy> {
        self.lock().get(id).map(|m| m.to_proxy(head))
    }

    /// Names of the connected proxies that serve `revision`, and of those that do not.
    pub(super) fn standing(&self, revision: i64) -> (Vec<String>, Vec<String>) {
        let inner = self.lock();
        let connected = inner.values().filter(|m| m.connected);
        let (serving, lagging): (Vec<_>, Vec<_>) =
            connected.partition(|m| m.active.as_ref().is_some_and(|a| a.revision >= revision));
        let names = |list: Vec<&Member>| list.iter().map(|m| format!("proxies/{}", m.hello.proxy)).collect();
        (names(serving), names(lagging))
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn touch(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Member>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn to_proxy(&self, head: i64) -> Proxy {
        let at_head = self.active.as_ref().is_some_and(|a| a.revision >= head);
        let sync = match (self.connected, self.refusals.is_empty(), at_head) {
            (false, ..) => proxy::Sync::Disconnected,
            (true, false, _) => proxy::Sync::Refusing,
            (true, true, true) => proxy::Sync::Synced,
            (true, true, false) => proxy::Sync::Pending,
        };
        Proxy {
            name: format!("proxies/{}", self.hello.proxy),
            instance_id: self.hello.instance_id.clone(),
            labels: self.hello.labels.clone(),
            build_version: self.hello.build_version.clone(),
            sync: sync.into(),
            active: self.active.clone(),
            sent: self.sent.clone(),
            refusals: self.refusals.clone(),
            connect_time: Some(time(self.connect_time)),
            last_seen_time: Some(time(self.last_seen)),
        }
    }
}
