//! Questions of the control plane that are being answered. The stream goes on meanwhile.

use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hotswap_api::gateway::v1::{Explain, Explained};

use crate::config::Live;
use crate::explain;

/// Questions that are answered at a time. Each may look at every route.
const MOST: usize = 8;

/// The answers that are on their way.
#[derive(Default)]
pub(super) struct Answers {
    coming: FuturesUnordered<Pin<Box<dyn Future<Output = Explained> + Send + Sync>>>,
}

impl Answers {
    /// Begins to answer; the message of this nonce asked.
    pub(super) fn begin(&mut self, config: &Live, nonce: String, asked: Explain) {
        if self.coming.len() >= MOST {
            let problem = format!("{MOST} other questions are being answered");
            self.coming.push(Box::pin(async move { Explained { nonce, explanation: None, problem } }));
            return;
        }
        let config = config.clone();
        self.coming.push(Box::pin(async move {
            let told = explain::live(&config, asked.request.unwrap_or_default()).await;
            let (explanation, problem) = match told {
                Ok(explanation) => (Some(explanation), String::new()),
                Err(error) => (None, error.to_string()),
            };
            Explained { nonce, explanation, problem }
        }));
    }

    /// The next answer; it waits for as long as nothing is asked.
    pub(super) async fn next(&mut self) -> Explained {
        match self.coming.next().await {
            Some(explained) => explained,
            None => std::future::pending().await,
        }
    }
}
