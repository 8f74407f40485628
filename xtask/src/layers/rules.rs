//! Who may import whom: a table of our crates, and of the outside crates that only some of ours may use.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::{Home, Package};

/// What of ours a crate may import.
enum May {
    /// These and no other.
    Only(&'static [&'static str]),
    /// Any crate of the kernel (`crates/`) and the generated API.
    Kernel,
    /// Anything.
    All,
}

/// One crate, what it may import of ours, and why that is all. A service under `services/` needs no row: it has
/// the one of services.
const ROWS: &[(&str, May, &str)] = &[
    ("hotswap-core", May::Only(&[]), "everything stands on it"),
    ("hotswap-api", May::Only(&[]), "generated; users take it alone"),
    ("hotswap-h1", May::Only(&[]), "pure: it reads bytes of strangers, and is fuzzed alone"),
    ("hotswap-matcher", May::Only(&["hotswap-core"]), "pure, and shared with the data plane"),
    (
        "hotswap-certificate",
        May::Only(&["hotswap-core", "hotswap-matcher"]),
        "pure but for a file of keys, and shared with the data plane",
    ),
    ("hotswap-metric-query", May::Only(&["hotswap-core"]), "asks a server, and does not know what for"),
    ("hotswap-rollout", May::Only(&["hotswap-core"]), "pure but for its ports"),
    ("hotswap-store", May::Only(&["hotswap-core"]), "knows databases, and nothing that is kept in them"),
    ("hotswap-cache", May::Only(&["hotswap-core"]), "keeps bytes, and does not know what they mean"),
    ("hotswap-auth", May::Only(&["hotswap-core"]), "decides without asking a store or a wire"),
    ("hotswap-telemetry", May::Only(&["hotswap-core"]), "everything may log"),
    ("hotswap-plugin-host", May::Only(&["hotswap-core"]), "the data plane and a service share it"),
    ("hotswap-runtime", May::Only(&["hotswap-core", "hotswap-telemetry"]), "runs any process of ours"),
    ("hotswap-audit", May::Only(&["hotswap-core", "hotswap-store"]), "written in the business transaction"),
    (
        "hotswap-notify",
        May::Only(&["hotswap-core", "hotswap-store"]),
        "an outbox in the business transaction",
    ),
    (
        "hotswap-rpc",
        May::Only(&["hotswap-core", "hotswap-auth", "hotswap-audit", "hotswap-telemetry", "hotswap-api"]),
        "the edge of every server, and of no domain",
    ),
    (
        "hotswap-route-wire",
        May::Only(&["hotswap-core", "hotswap-matcher", "hotswap-certificate", "hotswap-api"]),
        "the one conversion between contract and matcher; control plane and data plane share it",
    ),
    ("hotswap-rollout-host", May::Kernel, "puts the engine and its adapters together"),
    ("hotswap-testkit", May::Kernel, "tests use what services use"),
    (
        "hotswap-gateway",
        May::Only(&[
            "hotswap-core",
            "hotswap-telemetry",
            "hotswap-runtime",
            "hotswap-h1",
            "hotswap-matcher",
            "hotswap-certificate",
            "hotswap-route-wire",
            "hotswap-plugin-host",
            "hotswap-api",
            "hotswap-cache",
        ]),
        "the data plane works while the control plane is away",
    ),
    (
        "hotswap-fuzz",
        May::Only(&["hotswap-core", "hotswap-h1", "hotswap-matcher", "hotswap-api", "hotswap-gateway"]),
        "what is fuzzed, and nothing that is not",
    ),
    ("hotswap", May::All, "puts everything into one process"),
    ("hotswap-test-servers", May::Only(&[]), "the project's own tools use it too"),
    ("xtask", May::Only(&["hotswap-test-servers"]), "must build when nothing else does"),
];

const OF_SERVICES: (May, &str) = (May::Kernel, "services call each other's clients");

/// What the data plane must not reach, not even through another crate. Every service is added to these.
const AWAY_FROM_GATEWAY: &[&str] = &[
    "hotswap-store",
    "hotswap-rollout",
    "hotswap-rollout-host",
    "hotswap-auth",
    "hotswap-rpc",
    "hotswap-audit",
];

const GATEWAY: &str = "hotswap-gateway";
const FUZZ: &str = "hotswap-fuzz";
const TESTKIT: &str = "hotswap-testkit";

/// Outside crates that only some of ours may use, and why.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("moka", &["hotswap-cache"], "a cache that is wrong shows late: there is one"),
    ("redis", &["hotswap-cache"], "what Redis can't promise is dealt with in one place"),
    ("sqlx", &["hotswap-store"], "SQL meets one crate, so that two databases stay one text"),
    (
        "hyper",
        &[GATEWAY, "hotswap", TESTKIT, FUZZ, "hotswap-runtime", "xtask"],
        "the rest speaks through tonic, axum or the engine's seam",
    ),
    ("wasmtime", &["hotswap-plugin-host"], "slow to build, and one sandbox is enough to trust"),
    ("kube", &[], "slow to build: it gets a crate of its own"),
    (
        "jsonwebtoken",
        &["hotswap-auth", "hotswap-matcher", GATEWAY],
        "tokens for us are read in one place, tokens for a gateway's routes in another",
    ),
    ("tonic-prost-build", &["xtask"], "nobody else generates code"),
    ("protox", &["xtask"], "nobody else compiles protos"),
];

/// The breaches of the tables among these crates.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let ours: BTreeMap<&str, &Package> = packages.iter().map(|p| (p.name.as_str(), p)).collect();
    let mut breaches = Vec::new();
    for package in packages {
        breaches.extend(imports(package, &ours));
        breaches.extend(confined(package));
    }
    breaches.extend(reached_by_gateway(&ours));
    breaches
}

fn imports(package: &Package, ours: &BTreeMap<&str, &Package>) -> Vec<String> {
    let name = &package.name;
    let row = ROWS.iter().find(|row| row.0 == name).map(|row| (&row.1, row.2));
    let of_services = (package.home == Home::Service).then_some((&OF_SERVICES.0, OF_SERVICES.1));
    let Some((may, reason)) = row.or(of_services) else {
        return vec![format!("{name} has no row in the table of imports (xtask/src/layers/rules.rs)")];
    };
    let mut breaches = Vec::new();
    for import in package.imports.iter().filter_map(|i| ours.get(i.as_str())) {
        if import.name == TESTKIT {
            breaches.push(format!("{name} must not import {TESTKIT} outside its tests"));
        } else if !allows(may, import) {
            breaches.push(format!("{name} must not import {}: {reason}", import.name));
        }
    }
    breaches
}

fn allows(may: &May, import: &Package) -> bool {
    match may {
        May::Only(names) => names.contains(&import.name.as_str()),
        May::Kernel => import.home == Home::Kernel || import.name == "hotswap-api",
        May::All => true,
    }
}

fn confined(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let used = CONFINED.iter().filter(|(outside, users, _)| {
        // Tests too: what is kept apart stays apart.
        (package.imports.contains(*outside) || package.test_imports.contains(*outside))
            && !users.contains(&name)
    });
    used.map(|(outside, _, reason)| format!("{name} must not use {outside}: {reason}")).collect()
}

fn reached_by_gateway(ours: &BTreeMap<&str, &Package>) -> Vec<String> {
    let forbidden = |p: &Package| p.home == Home::Service || AWAY_FROM_GATEWAY.contains(&p.name.as_str());
    let mut breaches = Vec::new();
    // Direct imports are the other table's.
    let direct = ours.get(GATEWAY).map(|p| p.imports.clone()).unwrap_or_default();
    for (name, path) in reach(GATEWAY, ours) {
        if ours.get(name).is_some_and(|p| forbidden(p)) && !direct.contains(name) {
            breaches.push(format!("{GATEWAY} must not reach {name}, and does: {}", path.join(" → ")));
        }
    }
    breaches
}

/// What a crate reaches, each with the way there.
fn reach<'a>(from: &'a str, ours: &BTreeMap<&'a str, &'a Package>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut reached = BTreeMap::new();
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![vec![from]];
    while let Some(path) = open.pop() {
        let Some(package) = path.last().and_then(|last| ours.get(last)) else { continue };
        for (name, _) in package.imports.iter().filter_map(|i| ours.get_key_value(i.as_str())) {
            if seen.insert(name) {
                let way: Vec<&str> = path.iter().copied().chain([*name]).collect();
                reached.insert(*name, way.clone());
                open.push(way);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(home: Home, name: &str, imports: &[&str]) -> Package {
        let imports = imports.iter().map(|i| (*i).to_owned()).collect();
        Package { name: name.to_owned(), home, imports, ..Package::default() }
    }

    fn kernel(name: &str, imports: &[&str]) -> Package {
        at(Home::Kernel, name, imports)
    }

    fn service(name: &str, imports: &[&str]) -> Package {
        at(Home::Service, name, imports)
    }

    #[test]
    fn a_forbidden_import_is_named_with_the_reason() {
        let packages =
            [kernel("hotswap-core", &["hotswap-store"]), kernel("hotswap-store", &["hotswap-core"])];
        assert_eq!(check(&packages), ["hotswap-core must not import hotswap-store: everything stands on it"]);
    }

    #[test]
    fn a_service_takes_the_kernel_and_no_other_service() {
        let packages = [
            service("hotswap-route", &["hotswap-core", "hotswap-api", "hotswap-policy"]),
            service("hotswap-policy", &["hotswap-core"]),
            kernel("hotswap-core", &[]),
            at(Home::Other, "hotswap-api", &[]),
        ];
        let expected = "hotswap-route must not import hotswap-policy: services call each other's clients";
        assert_eq!(check(&packages), [expected]);
    }

    #[test]
    fn a_service_does_not_take_the_gateway_and_the_suite_takes_both() {
        let packages = [
            service("hotswap-route", &["hotswap-gateway"]),
            service("hotswap", &["hotswap-gateway", "hotswap-route"]),
            at(Home::Other, "hotswap-gateway", &[]),
        ];
        let expected = "hotswap-route must not import hotswap-gateway: services call each other's clients";
        assert_eq!(check(&packages), [expected]);
    }

    #[test]
    fn the_gateway_imports_no_control_plane() {
        let forbidden = ["hotswap-store", "hotswap-auth", "hotswap-rpc", "hotswap-audit", "hotswap-rollout"];
        for name in forbidden {
            let packages = [at(Home::Other, "hotswap-gateway", &[name]), kernel(name, &[])];
            let breaches = check(&packages);
            assert_eq!(breaches.len(), 1, "{breaches:?}");
            assert!(
                breaches[0].starts_with(&format!("hotswap-gateway must not import {name}")),
                "{breaches:?}"
            );
        }
    }

    #[test]
    fn what_the_gateway_must_not_reach_is_found_through_other_crates() {
        let packages = [
            at(Home::Other, "hotswap-gateway", &["hotswap-runtime"]),
            kernel("hotswap-runtime", &["hotswap-telemetry"]),
            kernel("hotswap-telemetry", &["hotswap-route"]),
            service("hotswap-route", &["hotswap-store"]),
            kernel("hotswap-store", &[]),
        ];
        let breaches = check(&packages).join("\n");
        let way = "hotswap-gateway → hotswap-runtime → hotswap-telemetry → hotswap-route";
        for expected in [
            format!("hotswap-gateway must not reach hotswap-route, and does: {way}\n"),
            format!("hotswap-gateway must not reach hotswap-store, and does: {way} → hotswap-store"),
        ] {
            assert!(format!("{breaches}\n").contains(&expected), "{breaches}");
        }
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let packages = [service("hotswap-route", &["hotswap-testkit"]), kernel("hotswap-testkit", &[])];
        assert_eq!(check(&packages), ["hotswap-route must not import hotswap-testkit outside its tests"]);

        let mut in_tests = service("hotswap-route", &[]);
        in_tests.test_imports.insert("hotswap-testkit".into());
        assert!(check(&[in_tests, kernel("hotswap-testkit", &[])]).is_empty());
    }

    #[test]
    fn a_crate_without_a_row_is_named() {
        let breaches = check(&[kernel("hotswap-new", &[])]).join("\n");
        assert!(breaches.contains("hotswap-new has no row"), "{breaches}");
    }

    #[test]
    fn each_confined_crate_is_refused_elsewhere_and_allowed_at_home() {
        for (outside, users, reason) in CONFINED {
            let expected = format!("hotswap-core must not use {outside}: {reason}");
            assert_eq!(check(&[kernel("hotswap-core", &[outside])]), [expected.as_str()]);
            let mut in_tests = kernel("hotswap-core", &[]);
            in_tests.test_imports.insert((*outside).to_owned());
            assert_eq!(check(&[in_tests]), [expected.as_str()]);
            for user in *users {
                let breaches = check(&[kernel(user, &[outside])]);
                assert!(breaches.is_empty(), "{breaches:?}");
            }
        }
    }
}
