//! An OpenTelemetry-native telemetry agent for virtual machines under libvirt, on its own (`--mode libvirt`) or under
//! KubeVirt: one agent per node (`kubevirt`), or one in a virt-launcher pod (`sidecar`).
//!
//! The modules follow the data, from the model outwards:
//!
//! ```text
//!  model     the data and its units: a VM, its CPU, its disks …              no dependencies
//!  clock     the one place where the wall clock is read
//!  follow    files that are read again when they change
//!  heartbeat whether every part of the agent makes progress
//!  catalog   what is measured: one table per entity, one row per metric      pure
//!  snapshot  everything known at one moment, immutable
//!  join      which VMI is read through which launcher pod                    pure
//!  source    how a hypervisor is read (a trait)
//!  web       who may use the admin server: TLS, passwords, tokens
//!
//!  watch     the Kubernetes edge: the VMIs of a node, as events
//!  libvirt   the libvirt edge: one daemon behind the trait `source`
//!  observe   when to read what; the one writer of snapshots
//!  export    snapshots as OTLP and as Prometheus text
//!  admin     /metrics /livez /readyz /
//!  telemetry the agent's own metrics and logs
//!
//!  config    every flag and variable, validated into types
//!  agent     the composition root
//!  check     whether everything is there that the agent needs
//!  commands  what each subcommand does
//! ```

pub mod admin;
pub mod agent;
pub mod backoff;
pub mod catalog;
pub mod check;
pub mod clock;
pub mod collector;
pub mod commands;
pub mod config;
pub mod export;
pub mod follow;
pub mod heartbeat;
pub mod join;
pub mod libvirt;
pub mod model;
pub mod observe;
pub mod rates;
pub mod snapshot;
pub mod source;
pub mod telemetry;
pub mod watch;
pub mod web;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
