//! Resource names, as in AIP-122: a collection, a slash, an id.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest id, in characters.
const MAX_ID: usize = 63;

/// A name that is not of its collection, or whose id breaks the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The name does not begin with the collection and a slash.
    #[error("must have the form \"{collection}/{{id}}\"")]
    Collection {
        /// The collection asked for, as "routes".
        collection: &'static str,
    },
    /// The id is not 1 to 63 of the allowed characters.
    #[error(
        "the id must be 1 to 63 characters: a lower-case letter, then lower-case letters, digits and \
         hyphens, not ending in a hyphen"
    )]
    Id,
}

/// Checks an id: `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`.
pub fn check_id(id: &str) -> Result<(), InvalidName> {
    let bytes = id.as_bytes();
    let ok = (1..=MAX_ID).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && !bytes.ends_with(b"-");
    if ok { Ok(()) } else { Err(InvalidName::Id) }
}

/// What all resource names can do.
pub trait ResourceName: Sized + Clone + fmt::Display {
    /// The collection, as "routes".
    const COLLECTION: &'static str;

    /// From a full name, as "routes/checkout".
    fn parse(name: &str) -> Result<Self, InvalidName>;

    /// From the id alone, as "checkout".
    fn from_id(id: &str) -> Result<Self, InvalidName>;

    /// The full name.
    fn as_str(&self) -> &str;

    /// The id alone.
    fn id(&self) -> &str {
        self.as_str().get(Self::COLLECTION.len() + 1..).unwrap_or_default()
    }
}

macro_rules! resource_name {
    ($(#[$doc:meta])* $name:ident, $collection:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl ResourceName for $name {
            const COLLECTION: &'static str = $collection;

            fn parse(name: &str) -> Result<Self, InvalidName> {
                let id = name
                    .strip_prefix(concat!($collection, "/"))
                    .ok_or(InvalidName::Collection { collection: $collection })?;
                Self::from_id(id)
            }

            fn from_id(id: &str) -> Result<Self, InvalidName> {
                check_id(id)?;
                Ok(Self(format!(concat!($collection, "/{}"), id)))
            }

            fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::parse(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

resource_name! {
    /// "routes/{route}".
    RouteName, "routes"
}
resource_name! {
    /// "pools/{pool}".
    PoolName, "pools"
}
resource_name! {
    /// "certificates/{certificate}".
    CertificateName, "certificates"
}
resource_name! {
    /// "proxies/{proxy}".
    ProxyName, "proxies"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_splits_into_collection_and_id() {
        let name = RouteName::parse("routes/checkout-2").expect("valid");
        assert_eq!((name.as_str(), name.id()), ("routes/checkout-2", "checkout-2"));
    }

    #[test]
    fn another_collection_is_refused() {
        assert_eq!(PoolName::parse("routes/checkout"), Err(InvalidName::Collection { collection: "pools" }));
    }

    #[test]
    fn ids_that_break_the_rules_are_refused() {
        for id in ["", "A", "1a", "a_b", "a-", "-a", "a/b", "ü", &"a".repeat(64)] {
            assert_eq!(check_id(id), Err(InvalidName::Id), "{id:?}");
        }
        for id in ["a", "a1", "a-b", &"a".repeat(63)] {
            assert_eq!(check_id(id), Ok(()), "{id:?}");
        }
    }
}
