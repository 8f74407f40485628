//! The commands that call a control plane, and those about contexts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

use crate::commands::{parse_pause, parse_ttl};
use crate::completer;
use crate::connection::ClientArgs;
use crate::output::{Format, OutputArgs};

/// `get`.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// `routes`, `pools` or `certificates`, with names behind it; or `routes/NAME`
    #[arg(required = true, value_name = "TYPE [NAME] | TYPE/NAME", add = ArgValueCompleter::new(completer::resources))]
    pub(crate) resources: Vec<String>,
    /// Show only what meets these conditions (AIP-160), as `name : "shop" AND labels.team = "web"`
    #[arg(long, default_value = "", value_name = "FILTER")]
    pub(crate) filter: String,
    /// Order by name, create_time, update_time or revision, with ` desc` behind it for falling order
    #[arg(long, default_value = "", value_name = "FIELD")]
    pub(crate) order_by: String,
    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `describe`.
#[derive(Args, Debug)]
pub(crate) struct Describe {
    /// `routes/NAME`, `pools/NAME` or `certificates/NAME`
    #[arg(required = true, value_name = "TYPE NAME | TYPE/NAME", add = ArgValueCompleter::new(completer::resources))]
    pub(crate) resources: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Where documents are.
#[derive(Args, Debug)]
pub(crate) struct Documents {
    /// A file, a folder of .yaml, .yml and .json files, or - for standard input
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<PathBuf>,
    /// Read the folders below a folder, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Calls at once
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) parallel: u16,
}

/// `apply`.
#[derive(Args, Debug)]
#[command(mut_arg("files", |arg| arg.required(true)))]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) documents: Documents,
    /// Check everything, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Keep the new revisions as drafts, which carry no traffic; `rollout create` exposes one
    #[arg(long, conflicts_with = "prune")]
    pub(crate) draft: bool,
    /// Delete what bears the labels of --selector and is in no document, after asking
    #[arg(long, requires = "selector")]
    pub(crate) prune: bool,
    /// The labels of what --prune may delete; every document must bear them
    #[arg(short = 'l', long, value_name = "KEY=VALUE,…", requires = "prune")]
    pub(crate) selector: Option<String>,
    /// Do not ask before deleting
    #[arg(long, requires = "prune")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `diff`.
#[derive(Args, Debug)]
#[command(
    mut_arg("files", |arg| arg.conflicts_with("resources").required_unless_present("resources")),
    mut_arg("recursive", |arg| arg.requires("files")),
)]
pub(crate) struct Diff {
    /// `routes/NAME`, `pools/NAME` or `certificates/NAME`, of which two revisions are compared
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = ArgValueCompleter::new(completer::resources))]
    pub(crate) resources: Vec<String>,
    #[command(flatten)]
    pub(crate) documents: Documents,
    /// The earlier revision. Default: the one before the later
    #[arg(long, value_name = "REVISION", value_parser = revision(), conflicts_with = "files")]
    pub(crate) from: Option<i64>,
    /// The later revision. Default: the newest
    #[arg(long, value_name = "REVISION", value_parser = revision(), conflicts_with = "files")]
    pub(crate) to: Option<i64>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

fn revision() -> clap::builder::RangedI64ValueParser<i64> {
    clap::value_parser!(i64).range(1..)
}

/// `delete`.
#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// `routes/NAME`, `pools/NAME` or `certificates/NAME`
    #[arg(required = true, value_name = "TYPE NAME | TYPE/NAME", add = ArgValueCompleter::new(completer::resources))]
    pub(crate) resources: Vec<String>,
    /// Delete it only if it still has this etag
    #[arg(long, default_value = "", value_name = "ETAG")]
    pub(crate) etag: String,
    /// Check everything, delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// No failure if it does not exist
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `history`.
#[derive(Args, Debug)]
pub(crate) struct History {
    /// `routes/NAME`, `pools/NAME` or `certificates/NAME`
    #[arg(required = true, value_name = "TYPE NAME | TYPE/NAME", add = ArgValueCompleter::new(completer::resources))]
    pub(crate) resources: Vec<String>,
    /// Show at most so many
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `rollback`.
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// `routes/NAME`, `pools/NAME` or `certificates/NAME`
    #[arg(required = true, value_name = "TYPE NAME | TYPE/NAME", add = ArgValueCompleter::new(completer::resources))]
    pub(crate) resources: Vec<String>,
    /// What it was at this revision is written again
    #[arg(long, value_name = "REVISION", value_parser = revision())]
    pub(crate) to: i64,
    /// Check everything, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `watch`.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// `routes`, `pools` or `certificates`, with names behind it; or `routes/NAME`
    #[arg(required = true, value_name = "TYPE [NAME] | TYPE/NAME", add = ArgValueCompleter::new(completer::resources))]
    pub(crate) resources: Vec<String>,
    /// Begin with what came after this revision. Default: with what comes from now on
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) since: Option<i64>,
    /// Time between two looks: 200ms, 5s, 1m
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = parse_pause)]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `explain`.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Where the request goes: http://shop.example/cart?item=7, shop.example/cart, or a path alone
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Its method
    #[arg(short = 'X', long, default_value = "GET", value_name = "METHOD")]
    pub(crate) method: String,
    /// One of its headers. May be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Ask this proxy what it would do now, with its live configuration and backends. Default: what the control plane has
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(completer::proxies))]
    pub(crate) proxy: Option<String>,
    /// With --proxy: the client's address, for strategies that go by it
    #[arg(long, value_name = "ADDRESS", requires = "proxy")]
    pub(crate) client_address: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `fleet`.
#[derive(Args, Debug)]
pub(crate) struct Fleet {
    #[command(subcommand)]
    pub(crate) action: FleetAction,
}

/// What to know of the proxies.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetAction {
    /// Show the proxies: what they serve, and what they refuse
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Tell everything about one proxy
    Describe {
        /// `proxies/NAME`, or its name alone
        #[arg(add = ArgValueCompleter::new(completer::proxies))]
        name: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Wait until the connected proxies serve a revision
    Wait(FleetWait),
}

/// `fleet wait`.
#[derive(Args, Debug)]
pub(crate) struct FleetWait {
    /// The revision, or a later one. Default: the newest that wrote a route, a pool or a certificate
    #[arg(long, value_name = "REVISION", value_parser = revision())]
    pub(crate) revision: Option<i64>,
    /// So many proxies are enough. Default: all that are connected, and at least one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) quorum: Option<u32>,
    /// How long to wait: 90s, 15m
    #[arg(long = "for", default_value = "30s", value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) wait: Duration,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `context`.
#[derive(Args, Debug)]
pub(crate) struct Context {
    #[command(subcommand)]
    pub(crate) action: ContextAction,
}

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextAction {
    /// Show the contexts
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show the name of the current one
    Current,
    /// Make one current
    Use {
        /// Its name
        #[arg(add = ArgValueCompleter::new(completer::contexts))]
        name: String,
    },
    /// Make one, or change what is given here of one
    Set(Box<ContextSet>),
    /// Delete one. What it points at stays
    Delete {
        /// Its name
        #[arg(add = ArgValueCompleter::new(completer::contexts))]
        name: String,
    },
}

/// `context set`.
#[derive(Args, Debug)]
pub(crate) struct ContextSet {
    /// Its name
    #[arg(add = ArgValueCompleter::new(completer::contexts))]
    pub(crate) name: String,
    /// Where the control plane is: http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE", group = "token_source")]
    pub(crate) token_file: Option<PathBuf>,
    /// A command, run by sh at every call, that prints the token
    #[arg(long, value_name = "COMMAND", group = "token_source")]
    pub(crate) token_command: Option<String>,
    /// Keep the token that comes on standard input in the file of the contexts itself
    #[arg(long, group = "token_source")]
    pub(crate) store_token: bool,
    /// Certificates (PEM) of those who may vouch for the server
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The certificate (PEM) to show
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// The name that the server's certificate must bear, where it is not the URL's
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,
    /// How things are shown, where -o does not say it
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Take something out
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) unset: Vec<Unset>,
    /// Make it the current one
    #[arg(long)]
    pub(crate) r#use: bool,
}

/// What can be taken out of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unset {
    /// Wherever it comes from
    Token,
    /// Back to those whom this machine trusts
    CaFile,
    /// With its key
    ClientCert,
    /// Back to the URL's
    TlsName,
    /// Back to tables
    Output,
}

/// `completion`.
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// A shell that can ask for completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// For ~/.bashrc: source <(hotswap completion bash)
    Bash,
    /// For ~/.zshrc, behind compinit: source <(hotswap completion zsh)
    Zsh,
    /// For ~/.config/fish/config.fish: hotswap completion fish | source
    Fish,
}
