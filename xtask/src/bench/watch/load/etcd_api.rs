//! The client of etcd, as `xtask bench watch-codegen` wrote it.

/// Keys and their values.
pub(crate) mod mvccpb {
    include!("../gen/mvccpb.rs");
}

/// The calls.
#[expect(unused_qualifications, clippy::disallowed_methods, reason = "generated")]
pub(crate) mod etcdserverpb {
    include!("../gen/etcdserverpb.rs");
}
