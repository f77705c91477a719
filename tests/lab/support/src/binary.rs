//! The program under test.

use std::path::PathBuf;

/// The variable that names the separately built program.
const ALONE: &str = "VIRT_OTEL_TEST_BINARY";

/// Its path: the program that `make test` built separately, as users do, or else the one that Cargo built beside the
/// test, with the features of the tests' packages.
pub fn binary() -> PathBuf {
    if let Some(alone) = std::env::var_os(ALONE) {
        return alone.into();
    }
    // A test is in target/PROFILE/deps.
    let test = std::env::current_exe().expect("the path of this test");
    let beside = test.ancestors().nth(2).expect("the folder of the profile").join("virt-otel");
    assert!(beside.exists(), "{} is missing: make it with: cargo build --bin virt-otel", beside.display());
    beside
}
