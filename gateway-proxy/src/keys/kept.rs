//! Key sets on disk: what was found last of each source that a route names, for the processes that come after this one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotswap_core::{Clock as _, SystemClock};
use hotswap_matcher::KeyPlace;
use serde::{Deserialize, Serialize};

use super::{Found, KeyOptions, KeyRing};
use crate::backend_state::clock;
use crate::state::StateHandle;

/// Key sets that were only confirmed are written again after so many ms, for their age.
const AGE_MS: u64 = 600_000;
/// What is kept has at most so many bytes, as reckoned by [`Entry::bytes`].
const MOST: usize = 16 * 1024 * 1024;

/// A key set as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(super) found: Arc<Found>,
    /// When it was found, or found to be the same, in ms since the start of the process; before 0: by one of before.
    pub(super) fetched: i64,
}

/// What is written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sets {
    sets: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    place: Place,
    /// When it was fetched, in seconds since 1970.
    fetched: i64,
    keys: String,
}

/// A [`KeyPlace`]. A file of this name in another folder is another file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Url(String),
    File { folder: PathBuf, name: String },
}

/// Tells times of this process from those of all.
#[derive(Clone, Copy, Debug)]
struct Now {
    /// In ms since the start of the process.
    process: i64,
    /// In seconds since 1970.
    seconds: i64,
}

/// Keeps on disk what was fetched.
#[derive(Debug)]
pub(crate) struct Keeping {
    disk: StateHandle,
    folder: Option<PathBuf>,
    /// What was written last; `None`: nothing yet by this process.
    written: Option<HashMap<KeyPlace, Kept>>,
    at: u64,
}

impl Kept {
    /// What was kept, by its place.
    pub(crate) fn read(bytes: &[u8], options: &KeyOptions) -> HashMap<KeyPlace, Self> {
        let sets = serde_json::from_slice(bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, "kept keys of tokens not used");
            Sets::default()
        });
        let (folder, now) = (folder(options), Now::get());
        sets.sets.into_iter().filter_map(|entry| entry.open(folder.as_deref(), now)).collect()
    }
}

impl Entry {
    fn open(self, folder: Option<&Path>, now: Now) -> Option<(KeyPlace, Kept)> {
        let place = match self.place {
            Place::Url(url) => KeyPlace::Url(url),
            Place::File { folder: of, name } if folder == Some(&of) => KeyPlace::File(name),
            Place::File { .. } => return None,
        };
        match Found::parse(self.keys, 1) {
            Ok(found) => {
                Some((place, Kept { found: Arc::new(found), fetched: now.of_process(self.fetched) }))
            }
            Err(why) => {
                tracing::warn!(?place, why, "kept keys of tokens not used");
                None
            }
        }
    }

    fn new(place: &KeyPlace, kept: &Kept, folder: Option<&Path>, now: Now) -> Option<Self> {
        let place = match place {
            KeyPlace::Url(url) => Place::Url(url.clone()),
            KeyPlace::File(name) => Place::File { folder: folder?.to_owned(), name: name.clone() },
        };
        Some(Self { place, fetched: now.of_all(kept.fetched), keys: kept.found.text.clone() })
    }

    /// More than it takes in JSON, where a byte of a key set becomes two at most.
    fn bytes(&self) -> usize {
        let place = match &self.place {
            Place::Url(url) => url.len(),
            Place::File { folder, name } => folder.as_os_str().len() + name.len(),
        };
        2 * (place + self.keys.len()) + 128
    }
}

impl Now {
    fn get() -> Self {
        let process = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
        Self { process, seconds: SystemClock.now().seconds() }
    }

    /// A clock that was set back makes nothing younger than it is.
    fn of_process(self, seconds: i64) -> i64 {
        let age = self.seconds.saturating_sub(seconds).max(0);
        self.process.saturating_sub(age.saturating_mul(1_000))
    }

    fn of_all(self, process: i64) -> i64 {
        self.seconds.saturating_sub(self.process.saturating_sub(process) / 1_000)
    }
}

impl Keeping {
    /// Keeps them there.
    pub(crate) fn new(disk: StateHandle, options: &KeyOptions) -> Self {
        Self { disk, folder: folder(options), written: None, at: 0 }
    }

    /// Writes what there is of the sources of a configuration in force, where that is something else than before.
    pub(super) fn look(&mut self, ring: &KeyRing, now: u64) {
        // What no route has named by now goes.
        let written = self.written.get_or_insert_with(|| std::mem::take(&mut *ring.kept()));
        let found = ring.found();
        let is_old = now >= self.at.saturating_add(AGE_MS);
        let is_known = |place: &KeyPlace, kept: &Kept| {
            written.get(place).is_some_and(|known| {
                known.found.text == kept.found.text && !(is_old && known.fetched < kept.fetched)
            })
        };
        if found.len() == written.len() && found.iter().all(|(place, kept)| is_known(place, kept)) {
            return;
        }
        if let Some(sets) = packed(&found, self.folder.as_deref(), Now::get()) {
            self.disk.keep_key_sets(sets);
        }
        (*written, self.at) = (found, now);
    }
}

/// What is written of them; those that are too many are left out, and are always the same.
fn packed(found: &HashMap<KeyPlace, Kept>, folder: Option<&Path>, now: Now) -> Option<Vec<u8>> {
    let mut sets: Vec<_> =
        found.iter().filter_map(|(place, kept)| Entry::new(place, kept, folder, now)).collect();
    sets.sort_by(|a, b| a.place.cmp(&b.place));
    let (all, mut bytes) = (sets.len(), 0);
    sets.retain(|entry| {
        bytes += entry.bytes();
        bytes <= MOST
    });
    if sets.len() < all {
        tracing::warn!(kept = sets.len(), of = all, "more keys of tokens than are kept on disk");
    }
    serde_json::to_vec(&Sets { sets }).ok()
}

fn folder(options: &KeyOptions) -> Option<PathBuf> {
    std::path::absolute(options.jwks_dir.as_ref()?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::os::unix::fs::MetadataExt as _;
    use std::time::Duration;

    use hotswap_matcher::KeySource;

    use super::*;
    use crate::state::State;

    const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn kept(text: &str, fetched: i64) -> Kept {
        Kept { found: Arc::new(Found::parse(text.to_owned(), 1).expect("keys")), fetched }
    }

    fn options(folder: Option<&str>) -> KeyOptions {
        KeyOptions { jwks_dir: folder.map(PathBuf::from), ..KeyOptions::default() }
    }

    #[test]
    fn what_is_written_is_read_again_with_its_age_and_files_only_of_their_folder() {
        let (url, file) = (KeyPlace::Url("https://a/\"b".into()), KeyPlace::File("id.json".into()));
        let now = Now::get();
        let of = now.process - 90_000;
        let all = HashMap::from([(url.clone(), kept(SET, of)), (file.clone(), kept(SET, of))]);
        let bytes = packed(&all, Some(Path::new("/keys")), now).expect("packed");
        let again = Kept::read(&bytes, &options(Some("/keys")));
        assert_eq!(again.len(), 2);
        let age = Now::get().process - again[&url].fetched;
        assert!((90_000..150_000).contains(&age), "{age}");
        assert_eq!(again[&file].found.text, SET);
        for other in [None, Some("/other")] {
            assert_eq!(
                Kept::read(&bytes, &options(other)).into_keys().collect::<Vec<_>>(),
                std::slice::from_ref(&url)
            );
        }
    }

    #[test]
    fn what_is_no_key_set_is_left_out_alone() {
        let text = format!(
            r#"{{"sets":[{{"place":{{"url":"https://a/"}},"fetched":1,"keys":"[]"}},
                {{"place":{{"url":"https://b/"}},"fetched":99999999999,"keys":{SET:?},"of_later":1}}]}}"#
        );
        let read = Kept::read(text.as_bytes(), &KeyOptions::default());
        assert_eq!(read.keys().collect::<Vec<_>>(), [&KeyPlace::Url("https://b/".into())]);
        let fetched = read.values().next().expect("one").fetched;
        assert!(fetched <= Now::get().process, "not in times to come");
        assert_eq!(Kept::read(b"{", &KeyOptions::default()).len(), 0);
    }

    fn open(folder: &Path) -> State {
        loop {
            // A writer that has ended lets go of the folder a moment later.
            match State::open(folder, None, Arc::default()) {
                Ok(state) => return state,
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// Looks at routes that name these, as a process that begins with what is on disk; what it writes then.
    async fn looked(folder: &Path, names: &[&str], now: u64) -> Option<HashSet<KeyPlace>> {
        let state = open(folder);
        let ring = KeyRing::default();
        let kept = state.key_sets().map(|sets| Kept::read(&sets, &KeyOptions::default()));
        ring.begin_with(kept.unwrap_or_default());
        let source = |name| KeySource { place: place(name), refresh: Duration::from_secs(300) };
        let all: Vec<_> = names.iter().map(|name| ring.of(&source(name))).collect();
        all.iter().for_each(|remote| remote.ended(Ok(SET.to_owned()), clock::now_ms() + 1_000));
        // Another file each time that it is written.
        let file = || std::fs::metadata(folder.join("key-sets")).map(|file| file.ino()).ok();
        let before = file();
        let disk = state.start(false).expect("a thread");
        Keeping::new(disk.clone(), &KeyOptions::default()).look(&ring, now);
        disk.close();
        disk.ended().await;
        let sets = open(folder).key_sets().filter(|_| file() != before)?;
        Some(Kept::read(&sets, &KeyOptions::default()).into_keys().collect())
    }

    fn place(name: &str) -> KeyPlace {
        KeyPlace::Url(format!("https://{name}/"))
    }

    #[tokio::test]
    async fn what_no_route_names_any_more_goes_and_what_is_the_same_is_written_only_for_its_age() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = |names: &[&str]| Some(names.iter().map(|name| place(name)).collect::<HashSet<_>>());
        assert_eq!(looked(folder.path(), &["a", "b"], 1).await, all(&["a", "b"]));
        assert_eq!(looked(folder.path(), &["a"], 1).await, all(&["a"]));
        assert_eq!(looked(folder.path(), &["a"], 1).await, None);
        assert_eq!(looked(folder.path(), &["a"], AGE_MS).await, all(&["a"]));
        assert_eq!(looked(folder.path(), &[], 1).await, all(&[]));
    }

    #[test]
    fn what_is_too_much_is_left_out_and_what_is_kept_fits() {
        let large = SET.replace(r#""kid":"a""#, &format!(r#""kid":"{}""#, "k".repeat(60_000)));
        let all: HashMap<_, _> =
            (0..200).map(|n| (KeyPlace::Url(format!("https://a/{n:03}")), kept(&large, 0))).collect();
        let bytes = packed(&all, None, Now::get()).expect("packed");
        assert!(bytes.len() < MOST);
        let read = Kept::read(&bytes, &KeyOptions::default());
        assert!((130..140).contains(&read.len()), "{}", read.len());
        assert!(read.contains_key(&KeyPlace::Url("https://a/000".into())));
    }
}
