//! Certificates that change while the process runs.

use std::time::Duration;

use super::ServerTls;
use crate::{Supervisor, TaskKind};

/// How often the files are read. They are small, and their contents are compared: a time stamp tells nothing where a
/// link was led elsewhere.
const ROUND: Duration = Duration::from_secs(5);

impl ServerTls {
    /// Follows the files for as long as the process runs. New ones that can't be used are told once, and those before
    /// stay in force.
    pub fn follow(&self, supervisor: &Supervisor) {
        let (tls, shutdown) = (self.clone(), supervisor.shutdown());
        supervisor.spawn("certificates", TaskKind::Background, async move {
            let mut told = None;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(ROUND) => {}
                    () = shutdown.cancelled() => return,
                }
                told = match tls.reload() {
                    Ok(true) => {
                        tracing::info!(file = %tls.files.cert.display(), "a new certificate is in force");
                        None
                    }
                    Ok(false) => None,
                    Err(error) => {
                        let error = error.to_string();
                        if told.as_ref() != Some(&error) {
                            tracing::error!(error, "the certificate stays as it was");
                        }
                        Some(error)
                    }
                };
            }
        });
    }
}
