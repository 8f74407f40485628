//! Certificates. The key is the secret of the content: the store keeps it sealed, in a table of its own.

use hotswap_certificate::{CertificateDraft, CertificateSpec, Chain, PrivateKey};
use hotswap_core::{CertificateName, Comparison, Timestamp, Violations};

use super::content::{Content, label};

impl Content for CertificateDraft {
    type Name = CertificateName;
    const FIELD: &'static str = "certificate";
    const FILTER_FIELDS: &'static [&'static str] = &["name", "display_name", "labels.*", "dns_names"];
    const ONEOFS: &'static [(&'static str, &'static [&'static str])] = &[];
    const SECRET: Option<&'static str> = Some("private_key_pem");

    fn validate(&self, before: Option<&Self>, now: Timestamp) -> Result<(), Violations> {
        let spec = CertificateSpec::parse(self)?;
        let mut v = Violations::new();
        if spec.facts().not_after <= now.seconds() {
            v.add("chain_pem", "the time of the first certificate is over");
        }
        if self.private_key.is_none() {
            match before.map(|before| Chain::parse(before.chain_pem.as_bytes())) {
                None => v.add("private_key_pem", "is required"),
                Some(Ok(kept)) if spec.chain().has_key_of(&kept) => {}
                Some(_) => {
                    v.add("private_key_pem", "is required: the key that is kept is not that of this chain");
                }
            }
        }
        v.into_result()
    }

    fn pool(&self) -> Option<&str> {
        None
    }

    fn secret(&self) -> Option<&PrivateKey> {
        self.private_key.as_ref()
    }

    fn set_secret(&mut self, secret: Option<PrivateKey>) {
        self.private_key = secret;
    }

    fn shape() -> Self {
        Self::default()
    }

    fn satisfies(&self, name: &str, condition: &Comparison) -> bool {
        match condition.field.as_str() {
            "name" => condition.holds([name]),
            "display_name" => condition.holds([self.display_name.as_str()]),
            "dns_names" => {
                let chain = Chain::parse(self.chain_pem.as_bytes()).ok();
                condition.holds(chain.iter().flat_map(|c| &c.facts().dns_names).map(String::as_str))
            }
            field => condition.holds(label(&self.labels, field)),
        }
    }
}
