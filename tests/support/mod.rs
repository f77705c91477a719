//! What the tests under `tests/` share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses another part")]

pub mod kubevirt;
pub mod registry;
pub mod sample;
pub mod vmis;
