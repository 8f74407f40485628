//! `hotswap audit verify`: an export against keys and anchors, offline; or the log of a control plane, by itself.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use hotswap_api::audit::v1::{ChainVerification, VerifyLogRequest};
use hotswap_audit::{AnchorSet, ExportReport, PublicKey, Trust, verify_export};

use crate::cli::AuditVerify;
use crate::commands::describe;
use crate::exit::{Failure, one_line};
use crate::output;
use crate::style::{self, Tone, paint};

pub(super) async fn run(args: &AuditVerify) -> Result<(), Failure> {
    match &args.file {
        Some(file) => offline(file, args),
        None => of_server(args).await,
    }
}

fn offline(file: &Path, args: &AuditVerify) -> Result<(), Failure> {
    let keys = keys(args)?;
    let anchors = match &args.anchors {
        None => AnchorSet::default(),
        Some(path) => AnchorSet::read(open(path)?, &keys).map_err(|e| unreadable(path, &e))?,
    };
    // What is wrong with the anchors says nothing about the export, but the comparison is not what was asked for.
    let mut faults: Vec<String> = anchors.faults().iter().map(|f| format!("ANCHOR_INVALID: {f}")).collect();
    let trust = Trust { keys, anchors };
    let report = verify_export(BufReader::new(open(file)?), &trust).map_err(|e| unreadable(file, &e))?;
    let listed = report.faults.list().iter().map(|f| fault(f.sequence, f.kind.as_str(), &f.message));
    faults.extend(listed);
    let count = report.faults.count() + trust.anchors.faults().len() as u64;
    let fields = told(&report, args.anchors.is_some());
    conclude(&describe::fields(&fields), &faults, count, &file.display().to_string())
}

fn keys(args: &AuditVerify) -> Result<Vec<PublicKey>, Failure> {
    let mut keys = args.keys.clone();
    if let Some(path) = &args.key_file {
        let text = fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let key = line.trim().parse();
            keys.push(key.map_err(|e| Failure::usage(format!("{}, line {}: {e}", path.display(), i + 1)))?);
        }
    }
    if keys.is_empty() {
        let hint = "`hotswap audit keys` shows it where the signing key is; get it on a way that you trust";
        return Err(
            Failure::usage("no key is given: --key or --keys says whose signature is good").hint(hint)
        );
    }
    Ok(keys)
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, why: &std::io::Error) -> Failure {
    Failure::usage(format!("can't read {}: {why}", path.display()))
}

/// What an export says of itself, and what was found.
fn told(report: &ExportReport, with_anchors: bool) -> Vec<(&'static str, Vec<String>)> {
    let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { one_line(text) };
    let chain = report.chain.as_ref().map(ToString::to_string).unwrap_or_default();
    let signed = report.signed_by.map_or("nobody who is trusted".to_owned(), |key| key.to_string());
    let anchors = match (with_anchors, report.anchors_left_out) {
        (false, _) => "none given".to_owned(),
        (true, 0) => format!("compared with {}", report.anchors),
        (true, n) => format!("compared with {}; {n} more stand where events are left out", report.anchors),
    };
    let exported = format!("{} by {}", or(&report.exported_at, "?"), or(&report.exported_by, "?"));
    vec![
        ("Chain", vec![or(&chain, "?")]),
        ("Store", vec![report.store.map_or("?".to_owned(), |store| store.to_string())]),
        ("Exported", vec![exported]),
        ("Filter", vec![or(&report.filter, "none: every event")]),
        (
            "Events",
            vec![
                format!("{} to {}", report.after.saturating_add(1), report.through),
                format!("{} in the file, {} left out by the filter", report.events, report.omitted),
            ],
        ),
        ("Signed by", vec![signed]),
        ("Anchors", vec![anchors]),
    ]
}

async fn of_server(args: &AuditVerify) -> Result<(), Failure> {
    let target = args.client.target()?;
    let request = VerifyLogRequest { chain: args.chain.clone() };
    let answer = target.connect().await?.audit.verify_log(request).await?.into_inner();
    let mut fields: Vec<(&'static str, Vec<String>)> = Vec::new();
    let (mut faults, mut count) = (Vec::new(), 0);
    for chain in &answer.chains {
        fields.push(("Chain", of_chain(chain)));
        let listed = chain
            .faults
            .iter()
            .map(|f| format!("{}: {}", chain.chain, fault(f.sequence, &f.kind, &f.message)));
        faults.extend(listed);
        count += u64::try_from(chain.fault_count).unwrap_or(0);
    }
    fields.push(("Trusted keys", answer.public_keys));
    conclude(&describe::fields(&fields), &faults, count, "the audit log")
}

fn of_chain(chain: &ChainVerification) -> Vec<String> {
    let anchors = match chain.anchors {
        None => "nothing is anchored here".to_owned(),
        Some(n) => format!("{n} anchors, the newest at event {}", chain.anchored),
    };
    let mut lines = vec![
        chain.chain.clone(),
        format!("{} events up to {}, {} checkpoints, {anchors}", chain.events, chain.head, chain.checkpoints),
    ];
    if chain.floor > 0 {
        lines.push(format!("retention dropped events up to {}", chain.floor));
    }
    lines
}

fn fault(sequence: i64, kind: &str, message: &str) -> String {
    let at = if sequence > 0 { format!("event {sequence}: ") } else { String::new() };
    format!("{kind}: {at}{}", one_line(message))
}

/// Says what was found; a failure where anything is wrong.
fn conclude(text: &str, faults: &[String], count: u64, what: &str) -> Result<(), Failure> {
    let colours = style::on_stdout();
    let end = match count {
        0 => paint("intact", Tone::Good, colours),
        n => {
            paint(&format!("NOT INTACT: {n} {}", if n == 1 { "fault" } else { "faults" }), Tone::Bad, colours)
        }
    };
    let mut text = format!("{text}{end}\n");
    for fault in faults {
        text.push_str(&format!("  {fault}\n"));
    }
    output::told(&text)?;
    match count {
        0 => Ok(()),
        _ => Err(Failure::other(format!("{what} is not intact"))),
    }
}
