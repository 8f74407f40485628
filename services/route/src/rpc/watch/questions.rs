//! Questions to the proxies whose streams this process holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::route::v1::{ExplainRequestRequest, ExplainRequestResponse};
use tokio::sync::{mpsc, oneshot};

use crate::domain::Unanswered;

/// The feature in a Hello of a proxy that can be asked.
const FEATURE: &str = "explain";

/// Questions that may wait for a stream.
const WAITING: usize = 16;

/// What a proxy tells.
pub(crate) type Told = Result<ExplainRequestResponse, Unanswered>;

/// The proxies that can be asked; cheap to clone.
#[derive(Clone)]
pub(crate) struct Questions {
    lines: Arc<Mutex<Lines>>,
    /// How long a proxy has to answer.
    within: Duration,
}

#[derive(Default)]
struct Lines {
    opened: u64,
    by_proxy: HashMap<String, Line>,
}

/// The way to the stream of one proxy.
struct Line {
    number: u64,
    build_version: String,
    /// `None`: its build can't answer.
    questions: Option<mpsc::Sender<Question>>,
}

/// A question for a stream to pass on.
pub(super) struct Question {
    pub(super) request: ExplainRequestRequest,
    pub(super) told: oneshot::Sender<Told>,
}

/// What a stream is asked. Dropped, nobody asks it any more.
pub(super) struct Asked {
    all: Questions,
    proxy: String,
    number: u64,
    questions: mpsc::Receiver<Question>,
}

/// Questions that a proxy has, and has not answered: who waits for each, by nonce.
#[derive(Default)]
pub(super) struct Pending(HashMap<u64, oneshot::Sender<Told>>);

impl Pending {
    /// Those for which nobody waits any more are forgotten.
    pub(super) fn add(&mut self, nonce: u64, told: oneshot::Sender<Told>) {
        self.0.retain(|_, told| !told.is_closed());
        self.0.insert(nonce, told);
    }

    /// Passes an answer on. One that nobody asked for, or that comes too late, goes nowhere.
    pub(super) fn answered(&mut self, proxy: &str, explained: wire::Explained) {
        let nonce = explained.nonce.parse().ok();
        let Some(waits) = nonce.and_then(|nonce: u64| self.0.remove(&nonce)) else { return };
        let told = explained.explanation;
        let _ = waits.send(told.ok_or_else(|| Unanswered::refused(proxy, &explained.problem)));
    }
}

impl Questions {
    /// Nobody can be asked yet. A proxy has this long to answer.
    pub(crate) fn new(within: Duration) -> Self {
        Self { lines: Arc::default(), within }
    }

    /// How long a proxy has to answer.
    pub(crate) fn within(&self) -> Duration {
        self.within
    }

    /// A proxy has said hello; a stream that it had before is asked no more.
    pub(super) fn open(&self, hello: &wire::Hello) -> Asked {
        let (to, questions) = mpsc::channel(WAITING);
        let knows = hello.features.iter().any(|feature| feature == FEATURE);
        let mut lines = self.lock();
        lines.opened += 1;
        let number = lines.opened;
        let build_version = hello.build_version.clone();
        let line = Line { number, build_version, questions: knows.then_some(to) };
        lines.by_proxy.insert(hello.proxy.clone(), line);
        drop(lines);
        Asked { all: self.clone(), proxy: hello.proxy.clone(), number, questions }
    }

    /// Asks a proxy, by its id.
    pub(crate) async fn ask(&self, proxy: &str, request: ExplainRequestRequest) -> Told {
        let questions = match self.lock().by_proxy.get(proxy) {
            None => return Err(Unanswered::not_connected(proxy)),
            Some(Line { questions: None, build_version, .. }) => {
                return Err(Unanswered::too_old(proxy, build_version));
            }
            Some(Line { questions: Some(questions), .. }) => questions.clone(),
        };
        let (told, answer) = oneshot::channel();
        let asked = async {
            // If the stream has ended, so has the way back.
            let _ = questions.send(Question { request, told }).await;
            answer.await
        };
        match tokio::time::timeout(self.within, asked).await {
            Ok(Ok(told)) => told,
            Ok(Err(_)) => Err(Unanswered::not_connected(proxy)),
            Err(_) => Err(Unanswered::silent(proxy)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// The next question; it waits for as long as nobody asks.
    pub(super) async fn next(&mut self) -> Question {
        match self.questions.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut lines = self.all.lock();
        if lines.by_proxy.get(&self.proxy).is_some_and(|line| line.number == self.number) {
            lines.by_proxy.remove(&self.proxy);
        }
    }
}
