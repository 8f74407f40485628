//! Prints the permission table as a page of the documentation: `cargo xtask docs` puts it at
//! `docs/reference/permissions.md`.

use std::fmt::Write as _;
use std::io::Write as _;

use hotswap_auth::{Access, Role, Row, TABLE};

const HEAD: &str = "\
# Permissions

<!-- Made by `cargo xtask docs` from crates/auth/src/table.rs. -->

Who may call which method. A call carries its token as `authorization: Bearer TOKEN`; the roles stand in the token's
`roles`. Without a good token the answer is UNAUTHENTICATED, without one of the roles PERMISSION_DENIED with the reason
`ROLE_MISSING`, which names the roles that would do. Both go for the opening of a stream too, and a stream ends with
its token. `cargo xtask status` tells which methods are built; one that is not asks for its role all the same.

A method in *italics* changes something, or leaves a trace as an export does: a call of it that fails stands in the
[audit log](../guides/audit.md), too. Of the others only those that are denied do.

";

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(page().as_bytes())
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page += "| role | what it is trusted with |\n|---|---|\n";
    for role in Role::ALL {
        let _ = writeln!(page, "| `{role}` | {} |", role.purpose());
    }
    let mut service = "";
    for row in TABLE {
        let (of, method) = row.path.trim_start_matches('/').split_once('/').unwrap_or_default();
        if of != service {
            service = of;
            let _ = write!(page, "\n## {service}\n\n| method |");
            for role in Role::ALL {
                let _ = write!(page, " {role} |");
            }
            let _ = writeln!(page, "\n|---|{}", ":-:|".repeat(Role::ALL.len()));
        }
        let mark = if row.writes { "*" } else { "" };
        let _ = writeln!(page, "| {mark}{method}{mark} |{}", cells(row));
    }
    page
}

/// A cell for each role.
fn cells(row: &Row) -> String {
    let cell = |role: Role| match row.access {
        Access::Open => " no token needed |",
        Access::Authenticated => " yes |",
        Access::Roles(roles) if roles.contains(&role) => " yes |",
        Access::Roles(_) => " |",
    };
    Role::ALL.into_iter().map(cell).collect()
}
