//! Texts that callers of the control plane send: names, filters, page tokens.

use hotswap_core::{Filter, PageToken, PoolName, ResourceName, RouteName};

const LIST: &[&str] = &["ListRoutes", "filter"];
const FIELDS: &[&str] = &["pool", "labels.*", "create_time"];

/// One text, taken as each of them.
pub fn control_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    name::<RouteName>(text);
    name::<PoolName>(text);
    filter(text);
    token(text);
}

fn name<N: ResourceName>(text: &str) {
    if let Ok(name) = N::parse(text) {
        assert_eq!((name.as_str(), name.to_string().as_str()), (text, text));
        assert!(name.id().len() <= 63 && !name.id().contains('/'), "{text:?}");
    }
    if let Ok(name) = N::from_id(text) {
        assert_eq!(N::parse(name.as_str()).map(|n| n.id().to_owned()), Ok(text.to_owned()));
    }
}

/// What is taken, is taken again when it is written in the plainest way, and then is the same.
fn filter(text: &str) {
    let Ok(filter) = Filter::parse_ordered(text, FIELDS, &["create_time"]) else { return };
    let mut comparisons = Vec::new();
    filter.all(|c| {
        comparisons.push(c.clone());
        true
    });
    assert_eq!(filter.is_empty(), comparisons.is_empty());
    for c in &comparisons {
        let below = c.field.strip_prefix("labels.").is_some_and(|key| !key.is_empty());
        assert!(below || c.field == "pool" || c.field == "create_time", "{text:?}");
        let _ = c.holds(["", "a", c.value.as_str()]);
    }
}

fn token(text: &str) {
    // As it came, and as what a token holds.
    let _ = PageToken::decode(text, LIST, 1);
    let key: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let token = PageToken::new(LIST, key.clone()).encode();
    assert_eq!(PageToken::decode(&token, LIST, key.len()), Ok(Some(key.clone())));
    assert!(PageToken::decode(&token, LIST, key.len() + 1).is_err());
    assert!(PageToken::decode(&token, &["ListPools", "filter"], key.len()).is_err());
}
