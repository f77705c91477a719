//! The program under test.
#![allow(unreachable_pub, clippy::disallowed_methods, reason = "shared by tests, which read the real environment")]

use std::path::PathBuf;

/// The variable that names the program that was built by itself.
const ALONE: &str = "VIRT_OTEL_TEST_BINARY";

/// Where it is: what `make test` has built by itself, as users do, or else what Cargo has built beside the test, with the
/// features that the tests' own packages ask for.
pub fn binary() -> PathBuf {
    std::env::var_os(ALONE).map_or_else(|| env!("CARGO_BIN_EXE_virt-otel").into(), PathBuf::from)
}
