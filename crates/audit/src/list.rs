//! Lists events.

use hotswap_core::{Comparison, Filter, Operator, PageSize, PageToken, Timestamp, Violations};
use hotswap_store::Row;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{AuditError, AuditLog, Chain, Event, Sealed, row, sql};

/// Fields that a filter may name, and those of them that have an order.
const FIELDS: &[&str] = &[
    "id",
    "actor",
    "role",
    "tenant",
    "method",
    "resource",
    "revision",
    "outcome",
    "reason",
    "request_id",
    "source",
    "time",
];
const ORDERED: &[&str] = &["time"];

/// Rows that are read at once where a filter may drop most of them.
const SCAN: usize = 1_000;
/// Rows that a call reads at most. Where that is not enough for a page, it gives what it has, and goes on with the
/// next call.
const MOST: usize = 50_000;

/// Which page of which list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// The chain.
    pub chain: Chain,
    /// At most so many; 0: the default.
    pub page_size: i32,
    /// Where to go on; empty: the first page.
    pub page_token: String,
    /// Conditions (AIP-160).
    pub filter: String,
}

/// Which events.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    filter: Filter,
    from: Timestamp,
    until: Timestamp,
    actor: Option<String>,
    resource: Option<String>,
}

impl Selection {
    pub(crate) fn parse(text: &str) -> Result<Self, Violations> {
        let filter = Filter::parse_ordered(text, FIELDS, ORDERED)?;
        let mut this = Self {
            from: Timestamp(i64::MIN),
            until: Timestamp(i64::MAX),
            actor: None,
            resource: None,
            filter: filter.clone(),
        };
        let mut fault = None;
        filter.all(|condition| {
            match (condition.field.as_str(), condition.operator) {
                ("time", operator) => match parse_time(&condition.value) {
                    Some(at) => this.bound(operator, at),
                    None => fault = Some("must be an RFC 3339 time, as 2026-11-21T00:00:00Z"),
                },
                ("actor", Operator::Equal) => this.actor = Some(condition.value.clone()),
                ("resource", Operator::Equal) => this.resource = Some(condition.value.clone()),
                _ => {}
            }
            true
        });
        match fault {
            Some(why) => Err(Violations::one("filter", format!("time {why}"))),
            None => Ok(this),
        }
    }

    fn bound(&mut self, operator: Operator, at: Timestamp) {
        match operator {
            Operator::Less => self.until = self.until.min(at.plus_micros(-1)),
            Operator::LessOrEqual => self.until = self.until.min(at),
            Operator::Greater => self.from = self.from.max(at.plus_micros(1)),
            Operator::GreaterOrEqual => self.from = self.from.max(at),
            Operator::Equal => (self.from, self.until) = (self.from.max(at), self.until.min(at)),
            Operator::NotEqual | Operator::Has => {}
        }
    }

    /// Whether everything is wanted.
    pub(crate) fn is_all(&self) -> bool {
        self.filter.is_empty()
    }

    pub(crate) fn wants(&self, event: &Event) -> bool {
        self.filter.all(|condition| holds(event, condition))
    }
}

fn holds(event: &Event, condition: &Comparison) -> bool {
    let caller = &event.caller;
    match condition.field.as_str() {
        "id" => condition.holds([event.id.to_string().as_str()]),
        "actor" => condition.holds([caller.actor.as_str()]),
        "role" => condition.holds(caller.roles.iter().map(String::as_str)),
        "tenant" => condition.holds([caller.tenant.as_str()]),
        "method" => condition.holds([caller.method.as_str()]),
        "resource" => condition.holds([event.resource.as_str()]),
        "revision" => condition.holds([event.revision.to_string().as_str()]),
        "outcome" => condition.holds([event.outcome.as_str()]),
        "reason" => condition.holds([event.reason.as_str()]),
        "request_id" => condition.holds([caller.request_id.to_string().as_str()]),
        "source" => condition.holds([caller.source.as_str()]),
        "time" => parse_time(&condition.value).is_some_and(|at| match condition.operator {
            Operator::Less => event.at < at,
            Operator::LessOrEqual => event.at <= at,
            Operator::Greater => event.at > at,
            Operator::GreaterOrEqual => event.at >= at,
            Operator::Equal | Operator::Has => event.at == at,
            Operator::NotEqual => event.at != at,
        }),
        _ => false,
    }
}

pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(nanos.div_euclid(1_000)).ok().map(Timestamp)
}

/// A time as RFC 3339 in UTC; one that has no such form as its number of µs.
pub(crate) fn show_time(at: Timestamp) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000).ok();
    time.and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_else(|| at.0.to_string())
}

impl AuditLog {
    /// A page of a chain's events, newest first, and the token of the next; empty: this was the last. A page may
    /// have fewer events than were asked for though it is not the last, where the filter drops most.
    ///
    /// # Errors
    /// [`AuditError::Invalid`], [`AuditError::Damaged`], or as the store says.
    pub async fn list(&self, query: &ListQuery) -> Result<(Vec<Sealed>, String), AuditError> {
        let mut v = Violations::new();
        let chain = query.chain.to_string();
        let list = ["audit", chain.as_str(), query.filter.as_str()];
        let size = PageSize::parse(query.page_size).map_err(|e| v.nest("", e)).ok();
        let selection = Selection::parse(&query.filter).map_err(|e| v.nest("", e)).ok();
        let token = PageToken::decode(&query.page_token, &list, 1).map_err(|e| v.nest("", e)).ok();
        let (Some(size), Some(selection), Some(token)) = (size, selection, token) else {
            return Err(AuditError::Invalid(v));
        };
        let mut before = token.and_then(|key| key.first()?.parse().ok()).unwrap_or(i64::MAX);
        let mut page = Vec::new();
        let (mut scanned, mut exhausted) = (0, false);
        // One more than is asked for tells whether there is a next page.
        let step = if selection.is_all() { size.get() + 1 } else { SCAN };
        while page.len() < size.get() && scanned < MOST && !exhausted {
            let rows = self.rows_before(&chain, before, &selection, step).await?;
            exhausted = rows.len() < step;
            scanned += rows.len();
            for row in &rows {
                let sealed = event(row, &query.chain)?;
                before = sealed.event.sequence;
                if selection.wants(&sealed.event) {
                    page.push(sealed);
                }
                if page.len() == size.get() {
                    exhausted &=
                        rows.last().is_some_and(|last| last.int("sequence").is_ok_and(|s| s == before));
                    break;
                }
            }
        }
        let next = (!exhausted).then(|| PageToken::new(&list, vec![before.to_string()]).encode());
        Ok((page, next.unwrap_or_default()))
    }

    async fn rows_before(
        &self,
        chain: &str,
        before: i64,
        selection: &Selection,
        limit: usize,
    ) -> Result<Vec<Row>, AuditError> {
        let (sql, key) = match (&selection.resource, &selection.actor) {
            (Some(resource), _) => (sql::BEFORE_OF_RESOURCE, resource.as_str()),
            (None, Some(actor)) => (sql::BEFORE_OF_ACTOR, actor.as_str()),
            (None, None) => (sql::BEFORE, ""),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [
            chain.into(),
            before.into(),
            selection.from.into(),
            selection.until.into(),
            key.into(),
            limit.into(),
        ];
        Ok(self.inner.db.read().await?.fetch_all(sql, &values).await?)
    }
}

/// An event, which must be readable.
pub(crate) fn event(row: &Row, chain: &Chain) -> Result<Sealed, AuditError> {
    row::sealed(row).map_err(|what| AuditError::Damaged {
        chain: chain.clone(),
        sequence: row.int("sequence").unwrap_or(0),
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_from_their_text() {
        for micros in [0, 1, -1, 1_795_507_200_000_001, 1_795_507_200_000_000] {
            assert_eq!(parse_time(&show_time(Timestamp(micros))), Some(Timestamp(micros)));
        }
        assert_eq!(show_time(Timestamp(i64::MAX)), i64::MAX.to_string());
        assert_eq!(parse_time("yesterday"), None);
    }

    #[test]
    fn bounds_of_time_are_taken_from_the_filter_and_others_have_no_order() {
        let text = "time >= 1970-01-01T00:00:01Z AND time < 1970-01-01T00:00:02Z AND actor = me";
        let selection = Selection::parse(text).expect("valid");
        assert_eq!((selection.from, selection.until), (Timestamp(1_000_000), Timestamp(1_999_999)));
        assert_eq!(selection.actor.as_deref(), Some("me"));
        for bad in ["time > soon", "actor > a", "colour = red"] {
            assert!(Selection::parse(bad).is_err(), "{bad}");
        }
    }
}
