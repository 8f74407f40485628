//! Completion of command lines that knows names: of contexts, and of what the control plane has. A shell waits for
//! it at every tab, so it is given little time; and whatever goes wrong, nothing is shown for it.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Command, CommandFactory as _, Parser};
use clap_complete::{CompleteEnv, CompletionCandidate};
use hotswap_api::gateway::v1::ListProxiesRequest;
use hotswap_api::rollout::v1::{ListRolloutPoliciesRequest, ListRolloutsRequest};
use hotswap_api::route::v1::{Certificate, Pool, Route};

use crate::cli::Cli;
use crate::client::Api;
use crate::connection::ClientArgs;
use crate::contexts::{self, Contexts};
use crate::exit::Failure;
use crate::resource::{Query, Resource};
use crate::secret::Token;

/// Names the shell that asks.
pub(crate) const VAR: &str = "HOTSWAP_COMPLETE";
/// How long names may take, connection included.
const LIMIT: Duration = Duration::from_millis(300);
/// Most names that are offered.
const MOST: i32 = 200;

/// Answers a shell that asks, which ends the process.
pub(crate) fn answer() -> Option<ExitCode> {
    std::env::var_os(VAR).filter(|v| !v.is_empty())?;
    let folder = std::env::current_dir().ok();
    let typed = typed();
    let completing_flag = typed.last().is_some_and(|word| word.starts_with('-'));
    let command = || if completing_flag { Cli::command() } else { without_flags(Cli::command()) };
    // There is no place to tell of a failure: it would stand amid what the user types.
    let answered =
        CompleteEnv::with_factory(command).var(VAR).try_complete(std::env::args_os(), folder.as_deref());
    Some(if answered.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command with its flags hidden: they are offered where nothing else is, or where a hyphen asks for them.
fn without_flags(command: Command) -> Command {
    command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .mut_args(|arg| if arg.is_positional() { arg } else { arg.hide(true) })
        .mut_subcommands(without_flags)
}

/// The words up to the one that is being typed, that one last. The program's name is not among them.
fn typed() -> Vec<String> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(2);
    let index = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|i| i.parse::<usize>().ok());
    let words: Vec<_> = words.take(index.unwrap_or(usize::MAX)).collect();
    words.into_iter().map(|word: OsString| word.to_string_lossy().into_owned()).collect()
}

/// Names of contexts.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let loaded = contexts::path().and_then(|path| Contexts::load(&path)).unwrap_or_default();
    candidates(loaded.names().map(str::to_owned), current)
}

/// Types, and names of resources: `routes`, `routes/NAME`, or a name behind a type.
pub(crate) fn resources(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    if let Some((collection, id)) = current.split_once('/') {
        return candidates(names(collection, id), OsStr::new(current));
    }
    let typed = typed();
    let kinds = ["route", "routes", "pool", "pools", "certificate", "certificates"];
    let kind = typed.iter().rev().skip(1).find(|word| kinds.contains(&word.as_str()));
    match kind {
        // Behind a type stand names alone.
        Some(kind) => {
            let names = names(kind, current);
            let ids = names.into_iter().filter_map(|name| name.split_once('/').map(|(_, id)| id.to_owned()));
            candidates(ids, OsStr::new(current))
        }
        None => candidates(["routes", "pools", "certificates"].map(str::to_owned), OsStr::new(current)),
    }
}

/// Names of pools.
pub(crate) fn pools(current: &OsStr) -> Vec<CompletionCandidate> {
    let part = current.to_string_lossy();
    candidates(names("pools", part.trim_start_matches("pools/")), current)
}

/// Names of proxies.
pub(crate) fn proxies(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |api| {
        let request = ListProxiesRequest { page_size: MOST, ..ListProxiesRequest::default() };
        let page = api.fleet.clone().list_proxies(request).await?.into_inner();
        Ok(page.proxies.into_iter().map(|proxy| proxy.name).collect())
    });
    candidates(names, current)
}

/// Names of rollouts, those of which the newest is meant by their subject first.
pub(crate) fn rollouts(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |api| {
        let request = ListRolloutsRequest { page_size: MOST, ..ListRolloutsRequest::default() };
        let page = api.rollouts.clone().list_rollouts(request).await?.into_inner();
        let mut subjects: Vec<_> = page.rollouts.iter().map(|r| r.subject.clone()).collect();
        subjects.sort();
        subjects.dedup();
        Ok(subjects.into_iter().chain(page.rollouts.into_iter().map(|r| r.name)).collect())
    });
    candidates(names, current)
}

/// Names of rollout policies.
pub(crate) fn policies(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |api| {
        let request = ListRolloutPoliciesRequest { page_size: MOST, ..ListRolloutPoliciesRequest::default() };
        let page = api.rollouts.clone().list_rollout_policies(request).await?.into_inner();
        Ok(page.policies.into_iter().map(|policy| policy.name).collect())
    });
    candidates(names, current)
}

fn candidates(names: impl IntoIterator<Item = String>, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let fitting =
        names.into_iter().filter(|name| name.starts_with(&*current) && !name.contains(char::is_control));
    fitting.map(CompletionCandidate::new).collect()
}

/// Full names of a type that hold what was typed of one.
fn names(collection: &str, part: &str) -> Vec<String> {
    match collection {
        "route" | "routes" => ask(async |api| listed::<Route>(api, part).await),
        "pool" | "pools" => ask(async |api| listed::<Pool>(api, part).await),
        "certificate" | "certificates" => ask(async |api| listed::<Certificate>(api, part).await),
        _ => Vec::new(),
    }
}

async fn listed<R: Resource>(api: &Api, part: &str) -> Result<Vec<String>, Failure> {
    let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let filter = if plain && !part.is_empty() { format!("name : \"{part}\"") } else { String::new() };
    let (page, _) = R::list(api, Query { filter, page_size: MOST, ..Query::default() }).await?;
    Ok(page.iter().map(|item| item.name().to_owned()).collect())
}

/// The connection, of what stands on the command line so far.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Connection {
    #[command(flatten)]
    client: ClientArgs,
}

impl Connection {
    /// From words among which there is much else.
    fn of(words: &[String]) -> Option<Self> {
        let command = Self::command();
        let known: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        let mut picked = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else { continue };
            match flag.split_once('=') {
                Some((name, _)) if known.contains(&name) => picked.push(word.clone()),
                None if known.contains(&flag) => picked.extend([word.clone(), words.next()?.clone()]),
                _ => {}
            }
        }
        Self::try_parse_from(picked).ok()
    }
}

/// Asks the control plane for names; none, where it does not answer in time.
fn ask(call: impl AsyncFnOnce(&Api) -> Result<Vec<String>, Failure>) -> Vec<String> {
    let typed = typed();
    let before = typed.split_last().map(|(_, before)| before).unwrap_or_default();
    let Some(target) = Connection::of(before).and_then(|c| c.client.target().ok()) else { return Vec::new() };
    if matches!(target.token, Some(Token::Command(_))) {
        // It may open a browser, or ask for a password, at every tab.
        return Vec::new();
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let asked = async { call(&target.connect().await?).await };
    let names = runtime.block_on(async { tokio::time::timeout(LIMIT, asked).await });
    // A look-up of a name that nobody answers would hold it up.
    runtime.shutdown_background();
    names.ok().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_is_picked_from_a_line_that_is_not_finished() {
        let of = |line: &str| Connection::of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let at = "--server=http://127.0.0.1:9";
        let found = of(&format!("get routes --filter x {at} --token t --limit 3 --frob")).expect("parses");
        assert_eq!(found.client.target().expect("resolves").server, "http://127.0.0.1:9");
        assert!(of("get --server").is_none());
        assert!(of("get --timeout soon").is_none());
    }

    #[test]
    fn only_names_that_begin_as_typed_and_can_be_shown_are_offered() {
        let names = ["routes/a", "routes/b", "routes/a\u{1b}"].map(str::to_owned);
        let offered = candidates(names, OsStr::new("routes/a"));
        assert_eq!(offered.len(), 1);
        assert_eq!(offered[0].get_value(), "routes/a");
    }
}
