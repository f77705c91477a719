//! Any text as a domain's XML: it is read or refused, and what is read is within bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virt_otel::libvirt::{decode, domain_xml};

fuzz_target!(|xml: &str| {
    if let Ok(description) = domain_xml::parse(xml) {
        assert!(!description.domain_type.is_empty());
        assert!(description.disks.len() <= decode::MAX_DEVICES);
        assert!(description.nics.len() <= decode::MAX_DEVICES);
        assert!(description.disks.iter().all(|disk| !disk.target.is_empty()));
    }
});
