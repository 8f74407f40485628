// Written by `cargo xtask codegen`. Not for editing.
pub mod hotswap {
    pub mod audit {
        pub mod v1 {
            include!("hotswap.audit.v1.rs");
        }
    }
    pub mod gateway {
        pub mod v1 {
            include!("hotswap.gateway.v1.rs");
        }
    }
    pub mod rollout {
        pub mod v1 {
            include!("hotswap.rollout.v1.rs");
        }
    }
    pub mod route {
        pub mod v1 {
            include!("hotswap.route.v1.rs");
        }
    }
}
