//! Which chain an event belongs to.

use std::fmt;

use hotswap_core::check_id;

/// A chain: one for the platform, and one for each tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// What belongs to no tenant, as routes.
    Platform,
    /// What belongs to this tenant.
    Tenant(String),
}

impl Chain {
    /// From "platform" or "tenants/{tenant}"; `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("tenants/") {
            Some(tenant) if check_id(tenant).is_ok() => Some(Self::Tenant(tenant.to_owned())),
            None if text == "platform" => Some(Self::Platform),
            _ => None,
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Tenant(tenant) => write!(f, "tenants/{tenant}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_comes_back_from_its_name() {
        for name in ["platform", "tenants/acme"] {
            assert_eq!(Chain::parse(name).map(|c| c.to_string()).as_deref(), Some(name));
        }
        for name in ["", "Platform", "tenants/", "tenants/A", "tenants/a/b", "platform "] {
            assert_eq!(Chain::parse(name), None, "{name:?}");
        }
    }
}
