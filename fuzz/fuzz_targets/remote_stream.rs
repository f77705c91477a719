//! A scripted daemon, against a whole client of libvirt's remote protocol.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "a toolbox of the client's own tests")]
#[path = "../../crates/libvirt-remote/tests/support/mod.rs"]
mod support;

fuzz_target!(|data: &[u8]| support::fuzzed::stream(data));
