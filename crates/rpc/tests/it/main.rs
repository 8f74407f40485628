//! The permission table against the contract.

use std::collections::BTreeSet;

use hotswap_auth::TABLE;
use prost_reflect::DescriptorPool;

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
