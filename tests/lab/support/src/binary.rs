//! The program under test.

use std::path::PathBuf;

/// The variable that names the program that was built by itself.
const ALONE: &str = "VIRT_OTEL_TEST_BINARY";

/// Where it is: what `make test` has built by itself, as users do, or else what Cargo has built beside the test, with the
/// features that the tests' own packages ask for.
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
