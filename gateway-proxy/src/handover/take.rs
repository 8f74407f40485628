//! The new gateway's side.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hotswap_api::gateway::v1::ResourceError;
use hotswap_runtime::{CancellationToken, StartError};
use rustix::process::geteuid;
use tokio::net::UnixStream;

use super::sockets::Inherited;
use super::{Error, Message, PROMPT, PROTOCOL, WATCHING, place, wire};
use crate::metrics::ControlMetrics;
use crate::plane::DataPlane;

/// How often it is looked whether it is open.
const LOOK: Duration = Duration::from_millis(20);

/// Takes over from the gateway that runs.
pub(crate) struct Takeover {
    stream: UnixStream,
    /// The generation of this gateway.
    pub(crate) generation: u64,
    /// The revision that the other one serves; `None`: none.
    pub(crate) revision: Option<i64>,
    /// The other one has died: it can refuse nothing any more.
    alone: bool,
}

impl Takeover {
    /// Asks the gateway that uses this folder, and gets its sockets. It goes on serving.
    ///
    /// # Errors
    /// Where there is none, or it refuses.
    pub(crate) async fn begin(dir: &Path) -> Result<(Self, Inherited), StartError> {
        let mut stream = place::connect(dir).map_err(|e| not_there(dir, &e))?;
        match Self::ask(&mut stream).await {
            Ok((inherited, generation, revision)) => {
                Ok((Self { stream, generation, revision, alone: false }, inherited))
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn ask(stream: &mut UnixStream) -> Result<(Inherited, u64, Option<i64>), Error> {
        if stream.peer_cred()?.uid() != geteuid().as_raw() {
            return Err(Error::Refused("it is run by another user".to_owned()));
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        // Where it does not listen to the end, its answer is there all the same.
        let _ = wire::say(stream, &Message::Ask { protocol: PROTOCOL, version }).await;
        let Message::Offer(offer) = wire::hear(stream, PROMPT * 2).await? else {
            return Err(Error::Unexpected);
        };
        let fds = wire::take(stream, offer.sockets.len(), PROMPT).await?;
        tracing::info!(from = offer.version, generation = offer.generation + 1, "taking over");
        Ok((Inherited::new(&offer.sockets, fds)?, offer.generation + 1, offer.revision))
    }

    /// Whether this gateway would serve all that the other one does.
    ///
    /// # Errors
    /// What it would not.
    pub(crate) fn is_matched(
        &self,
        revision: Option<i64>,
        refused: Option<&ResourceError>,
    ) -> Result<(), StartError> {
        let why = match (refused, self.revision) {
            (Some(ResourceError { name, message, .. }), _) => {
                format!("that one serves {name}, which this version refuses: {message}")
            }
            (None, Some(theirs)) if revision != Some(theirs) => {
                format!("that one serves revision {theirs}, which is not to be found on disk")
            }
            _ => return Ok(()),
        };
        Err(failed(Error::Refused(why)))
    }

    /// Serves instead of the other gateway, at all that was handed over but this `rest`.
    ///
    /// # Errors
    /// Where the other one goes on, or `shutdown` comes first.
    pub(crate) async fn take(
        &mut self,
        rest: Inherited,
        plane: &DataPlane,
        shutdown: &CancellationToken,
    ) -> Result<(), StartError> {
        tokio::select! {
            may = self.may_serve(rest) => may?,
            () = shutdown.cancelled() => {
                return Err(failed(Error::Refused("this one was stopped before".to_owned())));
            }
        }
        plane.open();
        self.turn(Message::Started, &Message::Gone).await
    }

    /// Says that this gateway could serve, but not at the rest of what was handed over, and waits for leave to.
    ///
    /// # Errors
    /// Where there is none: the other one goes on.
    async fn may_serve(&mut self, mut rest: Inherited) -> Result<(), StartError> {
        let closed = rest.close();
        self.turn(Message::Ready { closed }, &Message::Yours).await
    }

    async fn turn(&mut self, say: Message, want: &Message) -> Result<(), StartError> {
        if self.alone {
            return Ok(());
        }
        let serves = say == Message::Started;
        // What it has said before its end can still be heard.
        let _ = wire::say(&mut self.stream, &say).await;
        match wire::hear(&mut self.stream, PROMPT).await {
            Ok(heard) if heard == *want => Ok(()),
            Ok(_) => Err(failed(Error::Unexpected)),
            Err(Error::Ended) => {
                self.alone = true;
                tracing::warn!("the other gateway ended before its time; this one goes on");
                Ok(())
            }
            // It may have read that this one serves, and stop as soon as it runs again: then nobody would.
            Err(Error::Silent) if serves => {
                self.alone = true;
                tracing::warn!("the other gateway does not answer; this one serves");
                Ok(())
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Lets the other one end its watch once this one's is open.
    pub(crate) async fn until_watching(self, control: Arc<ControlMetrics>) {
        let open = async {
            while control.connected.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(WATCHING, open).await;
    }
}

fn failed(error: Error) -> StartError {
    StartError::failed("cannot take over from the gateway that runs")(error.into())
}

fn not_there(dir: &Path, error: &std::io::Error) -> StartError {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match error.kind() {
        NotFound | ConnectionRefused => StartError::Option(format!(
            "no gateway runs with the folder {} (--gateway-data-dir) that could be taken over from; start without \
             --take-over",
            dir.display()
        )),
        _ => failed(Error::Refused(format!("{}: {error}", dir.display()))),
    }
}
