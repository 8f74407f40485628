//! `hotswap rollout create`.

use std::path::Path;

use hotswap_api::rollout::v1::{CreateRolloutRequest, Judgement, Rollout};
use hotswap_core::{Clock as _, Ids as _, SystemClock, SystemIds};

use super::{strategy, subject, watch, whole};
use crate::cli::RolloutCreate;
use crate::client::Api;
use crate::exit::Failure;
use crate::manifest;
use crate::output::{self, Format};

pub(super) async fn run(args: &RolloutCreate) -> Result<(), Failure> {
    let mut rollout = asked(args)?;
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    if rollout.candidate_revision == 0 {
        rollout.candidate_revision = subject::newest_draft(&api, &rollout.subject).await?;
    }
    let made = create(&api, rollout, args.dry_run).await?;
    match view.format {
        Format::Table | Format::Wide => output::told(&told(&made, args.dry_run)).map(drop)?,
        Format::Json | Format::Yaml | Format::Name => {
            output::one(&made, view, SystemClock.now().seconds())?;
        }
    }
    if args.wait { watch::follow(target, &made.name, args.output, false).await } else { Ok(()) }
}

/// The rollout as the file and the command line have it.
fn asked(args: &RolloutCreate) -> Result<Rollout, Failure> {
    let mut rollout = args.file.as_deref().map(read).transpose()?.unwrap_or_default();
    if let Some(given) = &args.subject {
        rollout.subject = subject::full_name(given)?;
    }
    if let Some(candidate) = args.candidate {
        rollout.candidate_revision = candidate;
    }
    if let Some(baseline) = args.baseline {
        rollout.baseline_revision = baseline;
    }
    if let Some(given) = strategy::strategy(args)? {
        rollout.strategy = Some(given);
    }
    if rollout.strategy.is_none() {
        let why = "say how, as --canary 10,50,100 --bake 5m, or --blue-green; a file (-f) can say more";
        return Err(Failure::usage(why));
    }
    if let Some(text) = &args.sticky {
        rollout.sticky_key = Some(strategy::sticky(text)?);
    }
    if args.no_judge {
        rollout.judgement = Some(Judgement { off: true, ..Judgement::default() });
    }
    if !args.reason.is_empty() {
        rollout.reason.clone_from(&args.reason);
    }
    Ok(rollout)
}

fn read(file: &Path) -> Result<Rollout, Failure> {
    let mut found = manifest::messages::<Rollout>(file, "Rollout", "hotswap.rollout.v1.Rollout")?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(Failure::usage(format!("{} holds no document", file.display()))),
        (Some(_), false) => {
            Err(Failure::usage(format!("{} holds several documents; one rollout is created", file.display())))
        }
    }
}

async fn create(api: &Api, rollout: Rollout, validate_only: bool) -> Result<Rollout, Failure> {
    let subject = rollout.subject.clone();
    let request_id = SystemIds.uuid().to_string();
    let request = CreateRolloutRequest { rollout: Some(rollout), validate_only, request_id };
    let answer = api.rollouts.clone().create_rollout(request).await;
    whole(answer.map_err(|status| Failure::from(status).about(&subject))?.into_inner().rollout)
}

/// What was started, and how it will go.
fn told(made: &Rollout, dry_run: bool) -> String {
    let (from, to) = (made.baseline_revision, made.candidate_revision);
    let change = format!("{} from revision {from} to {to}", made.subject);
    let mut text = if dry_run {
        format!("{} of {change} can be started\n", made.strategy_name)
    } else {
        format!("{} started: {} of {change}\n", made.name, made.strategy_name)
    };
    if dry_run {
        for (i, step) in made.steps.iter().enumerate() {
            text += &format!("  {}. {}\n", i + 1, step.message);
        }
    }
    text
}
