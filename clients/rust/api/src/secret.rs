//! What nothing shows, not even with `{:?}`.

use std::fmt;

use crate::route::v1::Certificate;

impl fmt::Debug for Certificate {
    /// All of it but the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("name", &self.name)
            .field("labels", &self.labels)
            .field("chain_pem", &self.chain_pem)
            .field("etag", &self.etag)
            .field("revision", &self.revision)
            .field("uid", &self.uid)
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::gateway::v1::{Resource, resource::Spec};

    use super::*;

    #[test]
    fn a_certificate_that_is_shown_has_no_key() {
        let certificate = Certificate { private_key_pem: "planted".to_owned(), ..Certificate::default() };
        let resource = Resource { spec: Some(Spec::Certificate(certificate)), ..Resource::default() };
        assert!(!format!("{resource:?}").contains("planted"));
    }
}
