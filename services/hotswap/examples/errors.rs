//! Prints the reasons of errors as a page of the documentation: `cargo xtask docs` puts it at
//! `docs/reference/errors.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use hotswap_audit::TOO_MANY_ATTEMPTS;
use hotswap_core::{ERROR_DOMAIN, Reason, RefusalReason, StatusCode};
use hotswap_gateway::reason::{HEADER, Reason as GatewayReason};

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(page().as_bytes())
}

fn page() -> String {
    let mut page = format!(
        "\
# Errors

<!-- Made by `cargo xtask docs` from crates/core/src/reason.rs and gateway-proxy/src/reason.rs. -->

Every error of the control plane is a gRPC status with a `google.rpc.ErrorInfo`: domain `{ERROR_DOMAIN}`, one of the
reasons below, and what a program needs to go on in its metadata. A reason keeps its name, its status code and its sense;
the sentence of an answer may change. Bad input names all of its faults at once in a `google.rpc.BadRequest`, and what can
be tried again says when in a `google.rpc.RetryInfo`. `x-request-id` leads to the server's log. `hotswap` prints all of it.

What the gateway answers by itself is [below](#what-the-gateway-answers).

"
    );
    let mut by_code: BTreeMap<StatusCode, Vec<Reason>> = BTreeMap::new();
    for reason in Reason::ALL {
        by_code.entry(reason.code()).or_default().push(*reason);
    }
    for (code, reasons) in by_code {
        let _ = write!(page, "## {} ({})\n\n{HEAD}", code.name(), code.number());
        for reason in reasons {
            row(&mut page, reason.name(), reason.meaning(), reason.remedy());
        }
        page.push('\n');
    }
    let _ = write!(
        page,
        "## In the audit log alone\n\n\
         `{TOO_MANY_ATTEMPTS}` stands where so many denied and failed calls came that they were counted by caller, and not \
         told one by one ([the audit log](../guides/audit.md)).\n\n\
         ## What a proxy refuses\n\n\
         A proxy checks what the watch sends. What it refuses stands at the resource and in `hotswap fleet list`:\n\n{HEAD}"
    );
    for reason in RefusalReason::ALL {
        row(&mut page, reason.name(), reason.meaning(), reason.remedy());
    }
    of_gateway(&mut page);
    page
}

fn of_gateway(page: &mut String) {
    let _ = write!(
        page,
        "\n## What the gateway answers\n\n\
         An answer that the gateway gives by itself has the reason in `{HEADER}`, and a line for people as its body. The \
         access log and `gateway_requests_failed_total` have it, too, also where an exchange that had begun was cut.\n\n\
         | reason | status | what it means | what to do |\n|---|---|---|---|\n"
    );
    for reason in GatewayReason::ALL {
        let (code, status) = (reason.code(), reason.status().as_u16());
        let _ = writeln!(page, "| `{code}` | {status} | {} | {} |", reason.meaning(), reason.remedy());
    }
}

const HEAD: &str = "| reason | what it means | what to do |\n|---|---|---|\n";

fn row(page: &mut String, name: &str, meaning: &str, remedy: &str) {
    let _ = writeln!(page, "| `{name}` | {meaning} | {remedy} |");
}
