//! The permission table against the contract.

use std::collections::BTreeSet;

use hotswap_auth::{TABLE, row};
use prost_reflect::DescriptorPool;
use prost_types::method_options::IdempotencyLevel;

#[test]
fn every_rpc_of_the_contract_has_a_row_and_every_row_an_rpc() {
    let pool = DescriptorPool::decode(hotswap_api::FILE_DESCRIPTOR_SET).expect("decodes");
    let rpcs: BTreeSet<String> = pool
        .services()
        .flat_map(|s| s.methods().map(|m| format!("/{}/{}", s.full_name(), m.name())).collect::<Vec<_>>())
        .collect();
    assert!(rpcs.len() > 30, "the contract has its RPCs: {rpcs:?}");
    let rows: BTreeSet<String> =
        TABLE.iter().map(|r| r.path.to_owned()).filter(|p| p.starts_with("/hotswap.")).collect();
    assert_eq!(rpcs.difference(&rows).collect::<Vec<_>>(), Vec::<&String>::new(), "RPCs without a row");
    assert_eq!(rows.difference(&rpcs).collect::<Vec<_>>(), Vec::<&String>::new(), "rows without an RPC");
}

/// What changes nothing says so in the contract, but for watches.
#[test]
fn a_row_writes_where_the_contract_says_nothing_else() {
    let pool = DescriptorPool::decode(hotswap_api::FILE_DESCRIPTOR_SET).expect("decodes");
    for method in pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let options = method.method_descriptor_proto().options.clone().unwrap_or_default();
        let watches = method.name().starts_with("Watch");
        let reads = options.idempotency_level() == IdempotencyLevel::NoSideEffects || watches;
        let row = row(&path).expect("a row");
        assert_eq!(row.writes, !reads, "{path}");
    }
}
