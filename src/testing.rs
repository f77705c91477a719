//! Shared by the tests in `src` and under `tests/`. Only behind the feature `testing`, which they enable.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

pub mod logged;
pub mod receiver;
pub mod sample;
pub mod vmis;
