//! Any text as a VirtualMachineInstance: it is read, and what is read is within bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virt_otel::watch::{AllowedLabels, ParsedVmi};

fuzz_target!(|text: &str| {
    let allowed = AllowedLabels::new(&["app".to_owned(), "team".to_owned()]);
    let Some(vmi) = ParsedVmi::of(text, &allowed, "node01").vmi else { return };
    assert!((1..=63).contains(&vmi.namespace.len()) && (1..=253).contains(&vmi.name.len()) && !vmi.uid.is_empty());
    assert!(vmi.pods.len() <= 16 && vmi.nics.len() <= 32 && vmi.addresses.len() <= 32 && vmi.labels.len() <= 2);
    assert!(vmi.pods.iter().all(|pod| pod.uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')));
});
