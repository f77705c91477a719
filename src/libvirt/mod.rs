//! Stub, to be replaced.
pub mod endpoint;
