//! Tests against real daemons: libvirtd, QEMU, the OpenTelemetry Collector, Prometheus, a Kubernetes API server.
//!
//! `tests/lab/prepare.sh` makes what they need; they run as root, two at a time on a small machine:
//! `cargo test --test lab -- --test-threads=2`.

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

use lab_support as support;

mod addresses;
mod agreement;
mod alone;
mod backends;
mod chart;
mod check;
mod dashboards;
mod dashboards_promql;
mod descriptors;
mod endpoint;
mod ends;
mod faults;
mod hostile;
mod hung;
mod incluster;
mod kubevirt;
mod kubevirt_api;
mod kubevirt_objects;
mod kubevirt_promql;
mod kubevirt_sockets;
mod lifecycle;
mod manifests;
mod metadata;
mod migration;
mod numbers;
mod openshift;
mod pages;
mod pictures;
mod podman;
mod profiles;
mod receiving;
mod rules;
mod selftest;
mod selftest_kubevirt;
mod sidecar;
mod status;
mod systemd;
mod throttled;
mod top;
mod weaver;
