//! Reads resources.

use hotswap_auth::OpContext;
use hotswap_core::{Filter, PageSize, PageToken, ResourceName as _, Violations};

use super::{App, Error};
use crate::domain::{Content, Resource};
use crate::store::{self, Order};

/// Rows read at once where a filter may drop most of them.
const SCAN: usize = 500;

/// Which page of which list.
pub(crate) struct List {
    pub(crate) page_size: i32,
    pub(crate) page_token: String,
    pub(crate) filter: String,
    pub(crate) order_by: String,
}

impl App {
    pub(crate) async fn get<C: Content>(&self, _ctx: &OpContext, name: &str) -> Result<Resource<C>, Error> {
        let parsed = C::Name::parse(name).map_err(|e| Violations::one("name", e.to_string()))?;
        let found = self.look_up(&parsed).await?;
        found.ok_or_else(|| Error::NotFound { name: name.to_owned() })
    }

    /// A page, and the token of the next; empty: this was the last.
    pub(crate) async fn list<C: Content>(
        &self,
        _ctx: &OpContext,
        input: List,
    ) -> Result<(Vec<Resource<C>>, String), Error> {
        let mut v = Violations::new();
        let mut note = |faults: Violations| v.nest("", faults);
        let size = PageSize::parse(input.page_size).map_err(&mut note).ok();
        let filter = Filter::parse(&input.filter, C::FILTER_FIELDS).map_err(&mut note).ok();
        let order = order(&input.order_by).map_err(&mut note).ok();
        let list = [C::Name::COLLECTION, &input.filter, &input.order_by];
        let token = PageToken::decode(&input.page_token, &list, 2).map_err(&mut note).ok();
        let (Some(size), Some(filter), Some(order), Some(token)) = (size, filter, order, token) else {
            return Err(Error::Invalid(v));
        };
        let mut after = token.map(|key| cursor(&key)).transpose()?;

        let mut tx = self.db.read().await?;
        let wanted = size.get() + 1;
        let step = if filter.is_empty() { wanted } else { wanted.max(SCAN) };
        let mut page: Vec<Resource<C>> = Vec::new();
        while page.len() < wanted {
            let rows: Vec<Resource<C>> = store::list(&mut tx, order, after.clone(), step).await?;
            let exhausted = rows.len() < step;
            after = rows.last().map(|r| key_of(r, order)).or(after);
            page.extend(rows.into_iter().filter(|r| filter.all(|c| r.content.satisfies(r.full_name(), c))));
            if exhausted {
                break;
            }
        }
        let more = page.len() > size.get();
        page.truncate(size.get());
        let next = page.last().filter(|_| more).map(|last| {
            let (number, name) = key_of(last, order);
            PageToken::new(&list, vec![number.to_string(), name]).encode()
        });
        Ok((page, next.unwrap_or_default()))
    }
}

fn cursor(key: &[String]) -> Result<(i64, String), Error> {
    let fault = || Violations::one("page_token", "is not a token that this method gave");
    match key {
        [number, name] => Ok((number.parse().map_err(|_| fault())?, name.clone())),
        _ => Err(fault().into()),
    }
}

fn key_of<C: Content>(r: &Resource<C>, order: Order) -> (i64, String) {
    use crate::store::sql::Key;
    let number = match order.key {
        Key::Name => 0,
        Key::Created => r.created_at.0,
        Key::Updated => r.updated_at.0,
        Key::Revision => r.revision.0,
    };
    (number, r.full_name().to_owned())
}

fn order(text: &str) -> Result<Order, Violations> {
    use crate::store::sql::Key;
    let mut words = text.split_whitespace();
    let key = match words.next() {
        None | Some("name") => Key::Name,
        Some("create_time") => Key::Created,
        Some("update_time") => Key::Updated,
        Some("revision") => Key::Revision,
        Some(_) => return Err(order_fault()),
    };
    let descending = match words.next() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(order_fault()),
    };
    if words.next().is_some() { Err(order_fault()) } else { Ok(Order { key, descending }) }
}

fn order_fault() -> Violations {
    let message = "must be name, create_time, update_time or revision, with \" desc\" for falling order";
    Violations::one("order_by", message)
}
