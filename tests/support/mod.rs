//! What the tests under `tests/` share.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary uses another part")]

pub mod dashboards;
pub mod kubevirt;
pub mod migrating;
pub mod registry;
pub mod rules;
pub mod scaling;
pub mod values;

pub use virt_otel::testing::{sample, vmis};
