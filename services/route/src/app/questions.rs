//! Questions to proxies whose streams another replica holds: they go to it through the store, and so do the answers.
//!
//! ```text
//!   this replica ──ask──► gateway_questions ──hint, or every second──► the one with the stream ──► proxy
//!        ▲                        │                                                                  │
//!        └──hint, or every 200 ms─┴◄───────────────────── answer ────────────────────────────────────┘
//! ```
//!
//! A question that nobody waits for any more is dropped with the next one that ends.

use std::time::Duration;

use super::{App, Error};
use crate::domain::{Answer, Question, Unanswered};
use crate::store::questions::{self, SCOPE};

/// How often the store is asked for the answer, should a hint get lost.
const LOOK: Duration = Duration::from_millis(200);

impl App {
    /// Asks a proxy by way of the replica that holds its stream.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn ask_through(
        &self,
        replica: &str,
        proxy: &str,
        request: String,
        within: Duration,
    ) -> Result<Answer, Error> {
        let question = Question { id: self.ids.uuid().to_string(), proxy: proxy.to_owned(), request };
        // Subscribed before it is asked: an answer that comes at once wakes it.
        let mut commits = self.db.watch_commits();
        let mut tx = self.db.write(SCOPE).await?;
        let micros = i64::try_from(within.as_micros()).unwrap_or(i64::MAX);
        let until = tx.now().await?.plus_micros(micros);
        tx.next_revision(SCOPE).await?;
        questions::ask(&mut tx, &question, replica, until).await?;
        tx.commit().await?;
        let answered = async {
            loop {
                if let Some(answer) = questions::answer_of(&mut self.db.read().await?, &question.id).await? {
                    return Ok::<_, Error>(answer);
                }
                tokio::select! {
                    _ = commits.changed() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        };
        let answer = tokio::time::timeout(within, answered).await;
        self.forget(&question.id).await?;
        answer.unwrap_or_else(|_| Ok(Err(Unanswered::silent(proxy))))
    }

    async fn forget(&self, id: &str) -> Result<(), Error> {
        let mut tx = self.db.write_unscoped().await?;
        let now = tx.now().await?;
        questions::forget(&mut tx, id, now).await?;
        Ok(tx.commit().await?)
    }

    /// Questions to this replica that wait for an answer.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn open_questions(&self, replica: &str) -> Result<Vec<Question>, Error> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        Ok(questions::open(&mut tx, replica, now).await?)
    }

    /// Answers a question.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn answer(&self, id: &str, answer: &Answer) -> Result<(), Error> {
        let mut tx = self.db.write(SCOPE).await?;
        tx.next_revision(SCOPE).await?;
        questions::answer(&mut tx, id, answer).await?;
        Ok(tx.commit().await?)
    }
}
