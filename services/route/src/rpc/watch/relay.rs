//! Questions from other replicas to the proxies whose streams this one holds.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hotswap_api::route::v1::ExplainRequestRequest;
use hotswap_runtime::{Supervisor, TaskKind};

use super::Questions;
use crate::app::App;
use crate::domain::{Answer, Question, Unanswered};

/// How often the store is asked, should a hint get lost.
const LOOK: Duration = Duration::from_secs(1);

/// A message as it lies in the store.
pub(in crate::rpc) fn packed(message: &impl prost::Message) -> String {
    STANDARD_NO_PAD.encode(message.encode_to_vec())
}

/// The message again; `None`: it is none.
pub(in crate::rpc) fn unpacked<M: prost::Message + Default>(text: &str) -> Option<M> {
    M::decode(STANDARD_NO_PAD.decode(text).ok()?.as_slice()).ok()
}

/// Answers what other replicas ask, until the process ends.
pub(crate) fn relay(app: &App, questions: &Questions, replica: &str, supervisor: &Supervisor) {
    if !app.db.is_shared() {
        return;
    }
    let (app, questions, replica) = (app.clone(), questions.clone(), replica.to_owned());
    let (shutdown, mut commits) = (supervisor.shutdown(), app.db.watch_commits());
    supervisor.spawn("questions", TaskKind::Background, async move {
        let mut busy: HashSet<String> = HashSet::new();
        let mut answers = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = commits.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(id) = answers.next(), if !answers.is_empty() => {
                    busy.remove(&id);
                    continue;
                }
                () = shutdown.cancelled() => return,
            }
            match app.open_questions(&replica).await {
                Ok(open) => {
                    for question in open.into_iter().filter(|q| busy.insert(q.id.clone())) {
                        answers.push(answered(&app, &questions, question));
                    }
                }
                Err(error) => {
                    app.metrics.store_errors.inc();
                    tracing::warn!(%error, "questions of other replicas could not be read; it tries again");
                }
            }
        }
    });
}

/// Asks, writes the answer, and gives the question's id.
async fn answered(app: &App, questions: &Questions, question: Question) -> String {
    let Question { id, proxy, request } = question;
    let answer: Answer = match unpacked::<ExplainRequestRequest>(&request) {
        Some(request) => questions.ask(&proxy, request).await.map(|told| packed(&told)),
        None => Err(Unanswered::refused(&proxy, "the question can't be read")),
    };
    if let Err(error) = app.answer(&id, &answer).await {
        app.metrics.store_errors.inc();
        tracing::warn!(%error, proxy, "an answer could not be written");
    }
    id
}
