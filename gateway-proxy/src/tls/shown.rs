//! What is known of a client by the certificate that it showed, as a backend is told it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The certificate that a client showed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ShownCertificate {
    /// As RFC 9440 has it, for the header Client-Cert.
    pub(crate) whole: Box<str>,
    /// Its digest, its subject and its names, for X-Forwarded-Client-Cert.
    pub(crate) parts: Box<str>,
}

impl ShownCertificate {
    /// Of a certificate that was verified.
    pub(crate) fn of(cert: &CertificateDer<'_>) -> Self {
        let whole = format!(":{}:", BASE64_STANDARD.encode(cert)).into();
        let mut parts = format!("Hash={}", hex(&Sha256::digest(cert)));
        if let Ok((_, parsed)) = X509Certificate::from_der(cert) {
            parts += &format!(";Subject=\"{}\"", plain(&parsed.subject().to_string()));
            let names = parsed.subject_alternative_name().ok().flatten();
            for name in names.iter().flat_map(|n| &n.value.general_names) {
                match name {
                    GeneralName::URI(uri) => parts += &format!(";URI=\"{}\"", plain(uri)),
                    GeneralName::DNSName(dns) => parts += &format!(";DNS=\"{}\"", plain(dns)),
                    _ => {}
                }
            }
        }
        Self { whole, parts: parts.into() }
    }
}

/// As it can stand between quotes in a header: two that differ never become the same.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            ' '..='~' if c != '"' && c != '\\' => c.to_string().chars().collect::<Vec<_>>(),
            '"' | '\\' => vec!['\\', c],
            _ => c.escape_unicode().collect(),
        })
        .collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_subject_can_not_pass_for_another_field() {
        let mut params = CertificateParams::new(vec!["client.example".to_owned()]).expect("params");
        params.distinguished_name.push(DnType::CommonName, "a\";Hash=00;\u{e9}\\");
        params.subject_alt_names.push(SanType::URI("spiffe://mesh/a".try_into().expect("a URI")));
        let made = params.self_signed(&KeyPair::generate().expect("a key")).expect("made");
        let shown = ShownCertificate::of(made.der());
        let hash = hex(&Sha256::digest(made.der()));
        assert!(shown.parts.starts_with(&format!("Hash={hash};Subject=\"")), "{}", shown.parts);
        assert!(shown.parts.contains("a\\\";Hash=00;\\u{e9}"), "{}", shown.parts);
        assert!(shown.parts.ends_with(";DNS=\"client.example\";URI=\"spiffe://mesh/a\""), "{}", shown.parts);
        let whole = shown.whole.trim_matches(':');
        assert_eq!(BASE64_STANDARD.decode(whole).expect("base64"), made.der().as_ref());
    }
}
