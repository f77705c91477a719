//! Private daemons, as the lab's tests start them, and our client.

pub(crate) mod client;

pub(crate) use client::Client;
pub(crate) use lab_support::{Domain, Kind, Libvirtd, LibvirtdOptions, Pace, kvm};
