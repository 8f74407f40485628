//! Where the control plane is and who calls it. Each answer comes from the first that has one:
//!
//! ```text
//!   a flag  >  a HOTSWAP_* variable  >  a key of hotswap.toml  >  the current context  >  the data folder here
//! ```
//!
//! A context that a flag or a variable names stands there, behind the other flags or variables. What a context knows
//! of tokens and certificates goes to its own server alone: a server or a data folder that something stronger names
//! puts the whole context aside. The token of a data folder that nobody named goes to this machine alone.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use clap_complete::ArgValueCompleter;

use crate::client::{self, Api, Tls};
use crate::commands::parse_pause;
use crate::completer;
use crate::contexts::{self, Context, Contexts};
use crate::exit::Failure;
use crate::output::Format;
use crate::secret::{Secret, Token};

/// Where a suite on this machine listens, if it was not told otherwise.
pub(crate) const LOCAL: &str = "http://127.0.0.1:7400";
/// The data folder of a suite that was not told otherwise.
const DATA_DIR: &str = "hotswap-data";
/// The file in the data folder that holds the administrator's token.
pub(crate) const ADMIN_TOKEN: &str = "admin.token";

/// How to reach the control plane, as the command line has it.
#[derive(Args, Clone)]
#[command(next_help_heading = "Connection")]
struct Flags {
    /// The context to use instead of the current one; `hotswap context list` shows them
    #[arg(long, env = "HOTSWAP_CONTEXT", value_name = "NAME", add = ArgValueCompleter::new(completer::contexts))]
    context: Option<String>,
    /// Where the control plane is: http://HOST:PORT or https://HOST:PORT. Default: the context's, else
    /// http://127.0.0.1:7400
    #[arg(long, env = "HOTSWAP_SERVER", value_name = "URL")]
    server: Option<String>,
    /// The token to call with. Others on this machine can see a command line: better give a file
    #[arg(long, env = "HOTSWAP_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// A file that holds the token. Default: the context's, else admin.token in the data folder, if it is there
    #[arg(long, env = "HOTSWAP_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The data folder of a suite on this machine. Default: ./hotswap-data
    #[arg(long, env = "HOTSWAP_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Certificates (PEM) of those who may vouch for an https server. Default: those that this machine trusts
    #[arg(long, env = "HOTSWAP_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The certificate (PEM) to show to an https server that asks for one
    #[arg(long, env = "HOTSWAP_CLIENT_CERT", value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate
    #[arg(long, env = "HOTSWAP_CLIENT_KEY", value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// The name that the server's certificate must bear, where it is not the URL's
    #[arg(long, env = "HOTSWAP_TLS_NAME", value_name = "NAME")]
    tls_name: Option<String>,
    /// Limit for one call: 30 or 30s, 500ms, 2m
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_limit)]
    timeout: Duration,
}

/// A limit as other times are given; a number alone counts seconds.
fn parse_limit(text: &str) -> Result<Duration, String> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        parse_pause(&format!("{text}s"))
    } else {
        parse_pause(text)
    }
}

/// How strongly something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// By the file of contexts.
    Current,
    /// By a key of hotswap.toml.
    Options,
    Variable,
    Flag,
}

/// A value, and how strongly it was said.
#[derive(Clone, Debug)]
struct Given<T> {
    value: T,
    level: Level,
}

/// What the command line, the variables and hotswap.toml say.
#[derive(Clone, Debug, Default)]
struct Asked {
    context: Option<Given<String>>,
    server: Option<Given<String>>,
    token: Option<Given<Secret>>,
    token_file: Option<Given<PathBuf>>,
    data_dir: Option<Given<PathBuf>>,
    ca_file: Option<Given<PathBuf>>,
    client_cert: Option<Given<(PathBuf, PathBuf)>>,
    tls_name: Option<Given<String>>,
}

/// How to reach the control plane.
#[derive(Clone, Debug)]
pub(crate) struct ClientArgs {
    asked: Asked,
    limit: Duration,
}

impl ClientArgs {
    /// Whom to call.
    ///
    /// # Errors
    /// Where the contexts can't be read, or the one asked for is not there.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let contexts = Contexts::load(&contexts::path()?)?;
        self.asked.resolve(&contexts, self.limit)
    }

    /// Connects, for commands that show nothing but words.
    pub(crate) async fn connect(&self) -> Result<Api, Failure> {
        self.target()?.connect().await
    }
}

/// Whom to call, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) server: String,
    pub(crate) token: Option<Token>,
    pub(crate) tls: Tls,
    /// Limit for one call.
    pub(crate) limit: Duration,
    /// How the context wants things shown.
    pub(crate) output: Option<Format>,
}

impl Target {
    pub(crate) async fn connect(&self) -> Result<Api, Failure> {
        let token = match &self.token {
            None => None,
            Some(token) => Some(token.read().await?),
        };
        Api::connect(&self.server, token.as_ref(), &self.tls, self.limit).await
    }
}

impl Asked {
    fn resolve(&self, contexts: &Contexts, limit: Duration) -> Result<Target, Failure> {
        let context = self.context(contexts)?;
        let known = context.as_ref().map(|c| c.value);
        let level = context.as_ref().map_or(Level::Current, |c| c.level);
        let server = self.server.as_ref().filter(|s| known.is_none() || s.level >= level);
        let server = server.map(|s| s.value.clone()).or_else(|| known.map(|c| c.server.clone()));
        let server = server.unwrap_or_else(|| LOCAL.to_owned());
        let secure = server.starts_with("https://");
        let named = [("--ca-file", level_of(&self.ca_file)), ("--client-cert", level_of(&self.client_cert))];
        if let Some((flag, _)) = named.iter().find(|(_, level)| !secure && *level == Some(Level::Flag)) {
            return Err(Failure::usage(format!("{flag} is for https:// servers, and this is {server}")));
        }
        let of_context = |field: fn(&Context) -> Option<PathBuf>| known.and_then(field);
        let cert = |c: &Context| c.client_cert.clone().zip(c.client_key.clone());
        let tls = Tls {
            ca_file: stronger(self.ca_file.as_ref(), of_context(|c| c.ca_file.clone()), level),
            client: stronger(self.client_cert.as_ref(), known.and_then(cert), level),
            name: stronger(self.tls_name.as_ref(), known.and_then(|c| c.tls_name.clone()), level),
        };
        let token = self.token(known, level, &server);
        Ok(Target { token, tls, limit, output: known.and_then(|c| c.output), server })
    }

    /// The context, unless something stronger says where the control plane is.
    fn context<'c>(&self, contexts: &'c Contexts) -> Result<Option<Given<&'c Context>>, Failure> {
        let (name, level) = match (&self.context, contexts.current()) {
            (Some(given), _) => (given.value.as_str(), given.level),
            (None, Some(current)) => (current, Level::Current),
            (None, None) => return Ok(None),
        };
        if level_of(&self.data_dir).is_some_and(|l| l > level) {
            return Ok(None);
        }
        if self.server.as_ref().is_some_and(|s| s.level > level) {
            let same =
                contexts.get(name).ok().zip(self.server.as_ref()).is_some_and(|(c, s)| c.server == s.value);
            if !same {
                return Ok(None);
            }
        }
        contexts.get(name).map(|value| Some(Given { value, level }))
    }

    /// The strongest of the tokens; of equal ones the first in this order.
    fn token(&self, context: Option<&Context>, level: Level, server: &str) -> Option<Token> {
        let mut found = Vec::new();
        if let Some(given) = &self.token {
            found.push((given.level, Token::Text(given.value.clone())));
        }
        if let Some(given) = &self.token_file {
            found.push((given.level, Token::File(given.value.clone())));
        }
        if let Some(token) = context.and_then(Context::token) {
            found.push((level, token));
        }
        let folder = match &self.data_dir {
            Some(given) => Some((given.level, given.value.clone())),
            None => Some((Level::Current, DATA_DIR.into())),
        };
        let folder = folder.filter(|(level, _)| *level >= Level::Variable || is_here(server));
        if let Some((level, file)) =
            folder.map(|(level, dir)| (level, dir.join(ADMIN_TOKEN))).filter(|f| f.1.exists())
        {
            found.push((level, Token::File(file)));
        }
        // The last of equal ones would win.
        found.into_iter().rev().max_by_key(|(level, _)| *level).map(|(_, token)| token)
    }
}

fn level_of<T>(given: &Option<Given<T>>) -> Option<Level> {
    given.as_ref().map(|g| g.level)
}

/// What was asked for, unless a context says otherwise more strongly.
fn stronger<T: Clone>(asked: Option<&Given<T>>, context: Option<T>, level: Level) -> Option<T> {
    match (asked, context) {
        (Some(asked), Some(context)) => {
            Some(if asked.level >= level { asked.value.clone() } else { context })
        }
        (Some(asked), None) => Some(asked.value.clone()),
        (None, context) => context,
    }
}

/// Whether a URL leads to this machine.
fn is_here(server: &str) -> bool {
    let Some(host) = client::host(server) else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl FromArgMatches for ClientArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        // The values leave the matches, so their sources are asked for before.
        let sources = matches.clone();
        let flags = Flags::from_arg_matches_mut(matches)?;
        let level = |id: &str| match sources.value_source(id) {
            Some(ValueSource::CommandLine) => Level::Flag,
            Some(ValueSource::EnvVariable) => Level::Variable,
            // There are no defaults but those that hotswap.toml makes.
            _ => Level::Options,
        };
        let client_cert = flags.client_cert.zip(flags.client_key);
        let asked = Asked {
            context: given(flags.context, level("context")),
            server: given(flags.server, level("server")),
            token: given(flags.token.map(Secret::new), level("token")),
            token_file: given(flags.token_file, level("token_file")),
            data_dir: given(flags.data_dir, level("data_dir")),
            ca_file: given(flags.ca_file, level("ca_file")),
            client_cert: given(client_cert, level("client_cert")),
            tls_name: given(flags.tls_name, level("tls_name")),
        };
        Ok(Self { asked, limit: flags.timeout })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn given<T>(value: Option<T>, level: Level) -> Option<Given<T>> {
    value.map(|value| Given { value, level })
}

impl Args for ClientArgs {
    fn augment_args(command: Command) -> Command {
        Flags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args_for_update(command)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server)
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
