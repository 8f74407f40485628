//! The tokens that a suite keeps in its data folder.

use std::sync::Arc;
use std::time::Duration;

use hotswap_auth::{LocalKey, Role, TokenRequest, Verifier};
use hotswap_core::{Clock, Ids, Timestamp};
use hotswap_runtime::{DataDir, StartError, Supervisor, TaskKind};

use crate::connection::ADMIN_TOKEN;

/// The file that holds the gateway's token.
pub(crate) const GATEWAY_TOKEN: &str = "gateway.token";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often the files are looked at. A token's rest is a multiple of it.
const ROUND: Duration = Duration::from_secs(60 * 60);

/// A token file: whose, how long it lives, and how much life makes it due.
struct Kept {
    file: &'static str,
    subject: &'static str,
    role: Role,
    life: Duration,
    renew_below: Duration,
}

const KEPT: [Kept; 2] = [
    Kept {
        file: ADMIN_TOKEN,
        subject: "admin",
        role: Role::Admin,
        life: Duration::from_secs(30 * DAY.as_secs()),
        renew_below: Duration::from_secs(7 * DAY.as_secs()),
    },
    Kept {
        file: GATEWAY_TOKEN,
        subject: "gateway",
        role: Role::Gateway,
        life: DAY,
        renew_below: Duration::from_secs(DAY.as_secs() / 2),
    },
];

/// Makes and renews the token files of a data folder; cheap to clone.
#[derive(Clone)]
pub(crate) struct TokenKeeper {
    dir: Arc<DataDir>,
    key: Arc<LocalKey>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl TokenKeeper {
    pub(crate) fn new(
        dir: Arc<DataDir>,
        key: Arc<LocalKey>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Self {
        Self { dir, key, clock, ids }
    }

    /// Makes every file that is missing, is of another key or has little life left.
    pub(crate) fn renew(&self) -> Result<(), StartError> {
        let now = self.clock.now();
        KEPT.iter().filter(|kept| self.is_due(kept, now)).try_for_each(|kept| self.write(kept, now))
    }

    /// Renews them for as long as the process runs.
    pub(crate) fn keep(self, supervisor: &Supervisor) {
        let shutdown = supervisor.shutdown();
        supervisor.spawn("token files", TaskKind::Background, async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(ROUND) => {}
                }
                if let Err(error) = self.renew() {
                    tracing::error!(%error, "token file not renewed");
                }
            }
        });
    }

    fn is_due(&self, kept: &Kept, now: Timestamp) -> bool {
        let Ok(text) = std::fs::read_to_string(self.dir.path().join(kept.file)) else { return true };
        let verifier = Verifier::new(Arc::clone(&self.key));
        let least = i64::try_from(kept.renew_below.as_micros()).unwrap_or(i64::MAX);
        !verifier.verify(text.trim(), now).is_ok_and(|p| p.expires >= now.plus_micros(least))
    }

    fn write(&self, kept: &Kept, now: Timestamp) -> Result<(), StartError> {
        let request = TokenRequest {
            subject: kept.subject.to_owned(),
            roles: vec![kept.role],
            tenant: None,
            ttl: kept.life,
        };
        let token = self
            .key
            .mint(&request, now, self.ids.as_ref())
            .map_err(|e| StartError::Failed { what: "making a token", source: e.into() })?;
        self.dir.write_private(kept.file, format!("{token}\n").as_bytes()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use hotswap_core::{ManualClock, SequentialIds};

    use super::*;

    const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

    #[test]
    fn files_are_private_and_made_again_only_when_little_life_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = Arc::new(DataDir::open(folder.path()).expect("free"));
        let key = Arc::new(LocalKey::load_or_create(dir.path()).expect("a key"));
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000_000)));
        let keeper = TokenKeeper::new(
            Arc::clone(&dir),
            key,
            Arc::clone(&clock) as _,
            Arc::new(SequentialIds::default()),
        );
        let read = |file| std::fs::read_to_string(dir.path().join(file)).expect("there");
        keeper.renew().expect("writes");
        let (admin, gateway) = (read(ADMIN_TOKEN), read(GATEWAY_TOKEN));
        let mode = std::fs::metadata(dir.path().join(ADMIN_TOKEN)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        clock.advance_micros(DAY_MICROS / 2 + 1_000_000);
        keeper.renew().expect("writes");
        assert_eq!(read(ADMIN_TOKEN), admin);
        assert_ne!(read(GATEWAY_TOKEN), gateway);

        clock.advance_micros(22 * DAY_MICROS + DAY_MICROS / 2);
        keeper.renew().expect("writes");
        assert_ne!(read(ADMIN_TOKEN), admin);
    }

    #[test]
    fn a_token_of_another_key_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = Arc::new(DataDir::open(folder.path()).expect("free"));
        let key = Arc::new(LocalKey::load_or_create(dir.path()).expect("a key"));
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000_000)));
        dir.write_private(ADMIN_TOKEN, b"foreign").expect("writes");
        let keeper = TokenKeeper::new(Arc::clone(&dir), key, clock, Arc::new(SequentialIds::default()));
        keeper.renew().expect("writes");
        assert_ne!(std::fs::read(dir.path().join(ADMIN_TOKEN)).expect("there"), b"foreign");
    }
}
