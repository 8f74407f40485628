//! Where the keys of tokens come from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::Violations;
use http::Uri;

use super::jwt::KeySet;
use crate::draft::JwtDraft;
use crate::spec::resilience::Numbers;

const LONGEST_URL: usize = 2_048;
const REFRESH_URL_S: u32 = 300;
const REFRESH_FILE_S: u32 = 10;

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They stand in the route.
    Inline(Arc<KeySet>),
    /// Gateways fetch them.
    From(KeySource),
}

/// Where gateways fetch keys, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySource {
    /// Where.
    pub place: KeyPlace,
    /// The time between two fetches.
    pub refresh: Duration,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyPlace {
    /// On a server, by http or https.
    Url(String),
    /// In a file by this name, in a folder of the gateway's.
    File(String),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            KeyPlace::Url(text) | KeyPlace::File(text) => f.write_str(text),
        }
    }
}

impl Keys {
    /// Where they are fetched; `None`: they stand in the route.
    pub fn source(&self) -> Option<&KeySource> {
        match self {
            Self::Inline(_) => None,
            Self::From(source) => Some(source),
        }
    }

    /// Notes what is wrong, and then there are none.
    pub(super) fn parse(v: &mut Violations, draft: &JwtDraft) -> Option<Self> {
        let given = [&draft.jwks, &draft.jwks_url, &draft.jwks_file].map(|text| !text.is_empty());
        match given {
            [true, false, false] => {
                if draft.jwks_refresh_s != 0 {
                    v.add("jwks_refresh_s", "goes with jwks_url and jwks_file");
                }
                v.take("jwks", KeySet::parse(&draft.jwks)).map(|keys| Self::Inline(Arc::new(keys)))
            }
            [false, true, false] => {
                let place = v.take("jwks_url", check_url(&draft.jwks_url).map(KeyPlace::Url));
                Self::from(v, draft, place, REFRESH_URL_S)
            }
            [false, false, true] => {
                let place = v.take("jwks_file", check_file(&draft.jwks_file).map(KeyPlace::File));
                Self::from(v, draft, place, REFRESH_FILE_S)
            }
            [false, false, false] => {
                v.add("jwks", "must be there, or one of jwks_url and jwks_file");
                None
            }
            _ => {
                v.add("", "must have exactly one of jwks, jwks_url and jwks_file");
                None
            }
        }
    }

    fn from(v: &mut Violations, draft: &JwtDraft, place: Option<KeyPlace>, usual: u32) -> Option<Self> {
        let refresh = Numbers(v).take("jwks_refresh_s", draft.jwks_refresh_s, usual, 10..=86_400);
        let refresh = Duration::from_secs(u64::from(refresh));
        place.map(|place| Self::From(KeySource { place, refresh }))
    }
}

fn check_url(text: &str) -> Result<String, &'static str> {
    const SHAPE: &str = "must be as \"https://id.example.com/jwks.json\", http or https, at most 2,048 bytes";
    let uri: Uri = text.parse().map_err(|_| SHAPE)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let Some(authority) = uri.authority().filter(|a| is_http && !a.host().is_empty()) else {
        return Err(SHAPE);
    };
    if text.len() > LONGEST_URL || text.contains('#') {
        return Err(SHAPE);
    }
    if authority.as_str().contains('@') {
        return Err("must hold no user and password: whoever can read the route could read them");
    }
    Ok(text.to_owned())
}

fn check_file(name: &str) -> Result<String, &'static str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.len() > 128 || name.starts_with('.') || !name.bytes().all(fits) {
        return Err(
            "must be the bare name of a file: 1 to 128 letters, digits and ._-, not beginning with a dot",
        );
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(draft: &JwtDraft) -> Result<Option<Keys>, Vec<String>> {
        let mut v = Violations::new();
        let keys = Keys::parse(&mut v, draft);
        if v.is_empty() { Ok(keys) } else { Err(v.iter().map(|f| f.field.clone()).collect()) }
    }

    fn url(text: &str) -> JwtDraft {
        JwtDraft { jwks_url: text.into(), ..JwtDraft::default() }
    }

    fn file(name: &str) -> JwtDraft {
        JwtDraft { jwks_file: name.into(), ..JwtDraft::default() }
    }

    #[test]
    fn a_source_is_read_with_its_defaults() {
        for (draft, refresh) in [(url("https://id.example.com/keys?a=b"), 300), (file("id.json"), 10)] {
            let Ok(Some(Keys::From(source))) = parsed(&draft) else { panic!("{draft:?}") };
            assert_eq!(source.refresh.as_secs(), refresh);
        }
    }

    #[test]
    fn what_is_no_source_is_told_by_its_field() {
        for bad in [
            "ftp://a/b",
            "id.example.com",
            "https://",
            "/keys",
            "https://u:p@a/",
            "https://a/#b",
            "http:///x",
        ] {
            assert_eq!(parsed(&url(bad)), Err(vec!["jwks_url".to_owned()]), "{bad}");
        }
        for bad in ["../a", "/a", "a/b", ".a", "a b"] {
            assert_eq!(parsed(&file(bad)), Err(vec!["jwks_file".to_owned()]), "{bad}");
        }
        let both = JwtDraft { jwks: "{}".into(), ..url("https://a/b") };
        let soon = JwtDraft { jwks_refresh_s: 9, ..file("a") };
        assert_eq!(parsed(&both), Err(vec![String::new()]));
        assert_eq!(parsed(&soon), Err(vec!["jwks_refresh_s".to_owned()]));
        assert_eq!(parsed(&JwtDraft::default()), Err(vec!["jwks".to_owned()]));
    }
}
