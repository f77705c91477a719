//! Stub, to be replaced.
#![allow(missing_docs)]
#[must_use]
pub fn markdown() -> String {
    "# Metrics\n".into()
}
#[must_use]
pub fn json() -> String {
    "[]\n".into()
}
