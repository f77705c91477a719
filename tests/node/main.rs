//! The agent on real Kubernetes nodes: kubelet, containerd, and pods built like KubeVirt's.
//!
//! `make test-node` starts the cluster, runs these in its network, and ends it; without the cluster they are ignored. One
//! test acts on the cluster at a time, while another one waits for a token to be rotated.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, wait by sleeping, and read the real clock and environment"
)]

mod support;

mod a_token;
mod beside;
mod guarded;
mod install;
mod lives;
mod outages;
mod pages;
mod policy;
mod probes;
mod push;
mod sidecar;
mod two_nodes;
mod types;
