//! The commands about rollouts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;

use super::strategy::{Bake, BlueGreenArgs, StrategyArgs, parse_bake};
use crate::completer;
use crate::connection::ClientArgs;
use crate::output::OutputArgs;

/// `rollout`.
#[derive(Args, Debug)]
pub(crate) struct Rollout {
    #[command(subcommand)]
    pub(crate) action: RolloutAction,
}

/// What to do with rollouts.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutAction {
    /// Start one: carry a draft of a route or pool to traffic, step by step
    #[command(
        after_help = "A strategy is one of the options above, or stands in a file. --wait ends as `rollout watch` does.\n\n\
                            Examples:\n  hotswap rollout create routes/shop --canary 10,50,100 --bake 5m\n  \
                            hotswap rollout create routes/shop --blue-green --smoke 'GET /healthz' --keep 10m\n  \
                            hotswap rollout create pools/shop --ab header:x-beta=1 --reason 'new checkout'\n  \
                            hotswap rollout create -f rollout.yaml --wait"
    )]
    Create(Box<RolloutCreate>),
    /// Show rollouts, newest first
    List(RolloutList),
    /// Tell everything about one
    Describe(RolloutDescribe),
    /// Follow one to its end: a picture on a terminal, a line for each event elsewhere
    #[command(
        after_help = "Ends with 0 where the candidate was promoted (of a shadow: compared), and with 7 where it was rolled\n\
                            back, rejected or never began. Ctrl-C leaves the rollout alone."
    )]
    Watch(RolloutWatch),
    /// Wait no longer: past this bake, verdict or gate
    Promote(RolloutPromote),
    /// Hold it where it is; judging goes on
    Pause(RolloutAct),
    /// Let a held one go on
    Resume(RolloutAct),
    /// Take the candidate away
    Rollback(RolloutBack),
    /// Say yes to what a rollout carries. Nobody approves their own change
    Approve(RolloutApprove),
    /// Say no to it
    Reject(RolloutAct),
    /// Show what happened, the oldest first
    Events(RolloutHistory),
    /// Show what was measured and what the judge said, newest first
    Measurements(RolloutHistory),
    /// The global switch: while it is on, nothing begins or grows; the way back stays open
    Freeze {
        #[command(subcommand)]
        action: FreezeAction,
    },
    /// Which steps and approvals changes need
    Policy {
        #[command(subcommand)]
        action: PolicyAction,
    },
}

/// `rollout create`.
#[derive(Args, Debug)]
pub(crate) struct RolloutCreate {
    /// `routes/NAME` or `pools/NAME`
    #[arg(value_name = "TYPE/NAME", required_unless_present = "file", add = ArgValueCompleter::new(completer::resources))]
    pub(crate) subject: Option<String>,
    /// The revision to roll out. Default: the newest, which must be a draft
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) candidate: Option<i64>,
    /// The live revision that it starts from, also where the draft was made from an earlier one
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) baseline: Option<i64>,
    #[command(flatten)]
    pub(crate) strategy: StrategyArgs,
    #[command(flatten)]
    pub(crate) blue_green: BlueGreenArgs,
    /// At least so long at each share, or one time for each of them: 5m, or 1m,5m,30m
    #[arg(long, value_name = "TIME,…", value_parser = parse_bake)]
    pub(crate) bake: Option<Bake>,
    /// A person must promote it: before each share but the first, before the switch, or after the comparison
    #[arg(long)]
    pub(crate) gate: bool,
    /// What decides a request's arm, so that the same user stays on it: cookie:NAME, header:NAME or client-address
    #[arg(long, value_name = "KEY")]
    pub(crate) sticky: Option<String>,
    /// Nothing judges the candidate
    #[arg(long)]
    pub(crate) no_judge: bool,
    /// Why, for people and for the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) reason: String,
    /// A file with the rollout, in the form of the API; - is standard input. What stands on the command line counts more
    #[arg(short, long = "filename", value_name = "FILE|-")]
    pub(crate) file: Option<PathBuf>,
    /// Check everything, start nothing
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    /// Follow it to its end
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Which rollout.
#[derive(Args, Debug)]
pub(crate) struct RolloutName {
    /// `rollouts/ID`, its id alone, or what it carries, as routes/shop: then the newest of it
    #[arg(value_name = "ROLLOUT", add = ArgValueCompleter::new(completer::rollouts))]
    pub(crate) name: String,
}

/// `rollout list`.
#[derive(Args, Debug)]
pub(crate) struct RolloutList {
    /// Show only what meets these conditions (AIP-160): subject, state, actor, strategy
    #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
    pub(crate) filter: String,
    /// Order by create_time or update_time, with ` desc` behind it for falling order
    #[arg(long, default_value = "", hide_default_value = true, value_name = "FIELD")]
    pub(crate) order_by: String,
    /// Show at most so many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `rollout describe`.
#[derive(Args, Debug)]
pub(crate) struct RolloutDescribe {
    #[command(flatten)]
    pub(crate) rollout: RolloutName,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `rollout watch`.
#[derive(Args, Debug)]
pub(crate) struct RolloutWatch {
    #[command(flatten)]
    pub(crate) rollout: RolloutName,
    /// Lines on a terminal, too
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What every command to a rollout takes.
#[derive(Args, Debug)]
pub(crate) struct RolloutAct {
    #[command(flatten)]
    pub(crate) rollout: RolloutName,
    /// Why, for people and for the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Do it only if the rollout still has this etag
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ETAG")]
    pub(crate) etag: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `rollout promote`.
#[derive(Args, Debug)]
pub(crate) struct RolloutPromote {
    #[command(flatten)]
    pub(crate) act: RolloutAct,
    /// To everybody at once; smoke tests are still run
    #[arg(long)]
    pub(crate) full: bool,
    /// Only while it is at this step, counted from 1; without it, the one that it is at when this begins
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) step: Option<i32>,
}

/// `rollout rollback`.
#[derive(Args, Debug)]
pub(crate) struct RolloutBack {
    #[command(flatten)]
    pub(crate) act: RolloutAct,
    /// At once, even where the rollout goes back in steps
    #[arg(long)]
    pub(crate) instant: bool,
}

/// `rollout approve`.
#[derive(Args, Debug)]
pub(crate) struct RolloutApprove {
    #[command(flatten)]
    pub(crate) act: RolloutAct,
    /// The hash of the content that was looked at. Default: of what is there now
    #[arg(long, value_name = "HASH")]
    pub(crate) content_hash: Option<String>,
}

/// `rollout events` and `rollout measurements`.
#[derive(Args, Debug)]
pub(crate) struct RolloutHistory {
    #[command(flatten)]
    pub(crate) rollout: RolloutName,
    /// Show at most so many
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What to do with the global switch.
#[derive(Debug, Subcommand)]
pub(crate) enum FreezeAction {
    /// Nothing begins or grows from now on
    On(FreezeTurn),
    /// Everything goes on
    Off(FreezeTurn),
    /// Show it
    Status {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// `rollout freeze on` and `off`.
#[derive(Args, Debug)]
pub(crate) struct FreezeTurn {
    /// Why, for people and for the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What to do with rollout policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyAction {
    /// Show them
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show one
    Get {
        /// `rolloutPolicies/NAME`, or its name alone
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completer::policies))]
        name: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Make policies what a file says
    #[command(
        after_help = "Documents are the API's JSON or YAML, with `kind: RolloutPolicy`, as `get -o yaml` shows."
    )]
    Put(PolicyPut),
    /// Delete one
    Delete {
        /// `rolloutPolicies/NAME`, or its name alone
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(completer::policies))]
        name: String,
        /// Delete it only if it still has this etag
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ETAG")]
        etag: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// `rollout policy put`.
#[derive(Args, Debug)]
pub(crate) struct PolicyPut {
    /// The file; - is standard input
    #[arg(short, long = "filename", value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// Check everything, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `approvals`.
#[derive(Args, Debug)]
pub(crate) struct Approvals {
    /// Only those that you may give
    #[arg(long)]
    pub(crate) mine: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
