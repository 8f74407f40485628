//! Questions to proxies in the store.

use hotswap_core::{Reason, Timestamp};
use hotswap_store::{Row, StoreError, Tx};

use super::sql;
use crate::domain::{Answer, Question, Unanswered};

/// The scope that counts questions and answers, so that whoever waits for one hears of it.
pub(crate) const SCOPE: &str = "questions";

const TABLE: &str = "gateway_questions";

/// Asks the replica that holds the proxy's stream.
pub(crate) async fn ask(
    tx: &mut Tx,
    question: &Question,
    replica: &str,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let Question { id, proxy, request } = question;
    let values = [
        id.as_str().into(),
        proxy.as_str().into(),
        replica.into(),
        expires_at.into(),
        request.as_str().into(),
    ];
    tx.execute(sql::ASK_PROXY, &values).await.map(drop)
}

/// Questions to a replica that are not answered and for which somebody still waits.
pub(crate) async fn open(tx: &mut Tx, replica: &str, now: Timestamp) -> Result<Vec<Question>, StoreError> {
    let rows = tx.fetch_all(sql::OPEN_QUESTIONS, &[replica.into(), now.into()]).await?;
    let question = |row: &Row| {
        Ok(Question { id: row.text("id")?, proxy: row.text("proxy")?, request: row.text("request")? })
    };
    rows.iter().map(question).collect()
}

/// Writes an answer. Nobody may wait for it any more.
pub(crate) async fn answer(tx: &mut Tx, id: &str, answer: &Answer) -> Result<(), StoreError> {
    let (text, reason, message) = match answer {
        Ok(text) => (text.as_str(), "", ""),
        Err(Unanswered { reason, message }) => ("", reason.name(), message.as_str()),
    };
    let values = [id.into(), text.into(), reason.into(), message.into()];
    tx.execute(sql::ANSWER_QUESTION, &values).await.map(drop)
}

/// The answer to a question, once there is one.
pub(crate) async fn answer_of(tx: &mut Tx, id: &str) -> Result<Option<Answer>, StoreError> {
    let Some(row) = tx.fetch_opt(sql::ANSWER_OF, &[id.into()]).await? else { return Ok(None) };
    let reason = row.text("reason")?;
    if reason.is_empty() {
        return Ok(Some(Ok(row.text("answer")?)));
    }
    let reason = Reason::parse(&reason).ok_or_else(|| StoreError::inconsistent(TABLE, "reason", id))?;
    Ok(Some(Err(Unanswered { reason, message: row.text("message")? })))
}

/// Forgets a question, and those for which nobody waits any more.
pub(crate) async fn forget(tx: &mut Tx, id: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(sql::FORGET_QUESTION, &[id.into(), now.into()]).await.map(drop)
}
