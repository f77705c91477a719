//! The memory that a kept VMI takes.

use std::collections::HashSet;

use super::*;
use crate::watch::share::Shared;

/// The most bytes that a VMI may take.
const MOST: usize = 2048;

/// What the allocator takes for this many bytes: 8 of its own, in steps of 16, at least 32 (glibc).
fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// The heap memory of VMIs that are each kept in an `Arc`. Shared strings count once.
#[derive(Default)]
struct Heap {
    bytes: usize,
    seen: HashSet<*const u8>,
}

impl Heap {
    fn text(&mut self, text: &Arc<str>) {
        if self.seen.insert(text.as_ptr()) {
            // An `Arc` has two counts before the text.
            self.bytes += allocated(text.len() + 16);
        }
    }

    fn maybe<'a>(&mut self, texts: impl IntoIterator<Item = &'a Option<Arc<str>>>) {
        texts.into_iter().flatten().for_each(|text| self.text(text));
    }

    fn list<T>(&mut self, list: &[T]) {
        self.bytes += allocated(size_of_val(list));
    }

    fn vmi(&mut self, vmi: &Vmi) {
        self.bytes += allocated(size_of::<Vmi>() + 16);
        [&vmi.namespace, &vmi.name, &vmi.uid].into_iter().for_each(|text| self.text(text));
        self.maybe([&vmi.node, &vmi.machine, &vmi.eviction_strategy]);
        self.list(&vmi.pods);
        vmi.pods.iter().flat_map(|pod| [&pod.uid, &pod.node]).for_each(|text| self.text(text));
        self.list(&vmi.conditions);
        if let Some(migration) = &vmi.migration {
            self.maybe([&migration.uid, &migration.source_node, &migration.target_node]);
        }
        self.list(&vmi.addresses);
        for interface in &vmi.addresses {
            self.maybe([&interface.name, &interface.guest_name]);
            self.list(&interface.addresses);
            interface.addresses.iter().for_each(|address| self.text(address));
        }
        self.list(&vmi.nics);
        for nic in &vmi.nics {
            self.text(&nic.name);
            self.maybe([&nic.model, &nic.binding_type, &nic.binding, &nic.network]);
        }
        self.list(&vmi.volumes);
        vmi.volumes.iter().flat_map(|volume| [&volume.name, &volume.claim]).for_each(|text| self.text(text));
        let (guest, origin) = (&vmi.guest, &vmi.origin);
        self.maybe([&guest.name, &guest.id, &guest.pretty_name, &guest.version_id]);
        self.maybe([&guest.kernel_release, &guest.machine]);
        self.maybe([&origin.os, &origin.workload, &origin.flavor, &origin.instance_type, &origin.preference]);
        self.list(&vmi.labels);
        vmi.labels.iter().flat_map(|label| [&label.key, &label.label, &label.value]).for_each(|text| self.text(text));
    }
}

/// The fixture has everything: three networks, a bridge of the guest's own, a migration, three labels.
#[test]
fn a_vmi_that_is_kept_takes_two_kibibytes_at_most() {
    const VMIS: usize = 500;
    let allowed = allowed();
    let mut shared = Shared::default();
    let mut heap = Heap::default();
    let mut kept = Vec::new();
    for number in 0..VMIS {
        let mut object = fixture();
        object["metadata"]["name"] = format!("shop-db-{number}").into();
        object["metadata"]["uid"] = format!("f5f1e6f7-0f57-4a2b-8f3b-{number:012}").into();
        object["status"]["activePods"] = json!({ format!("0f6e8f2e-6a3e-4f43-a4c2-{number:012}"): NODE });
        object["status"]["migrationState"]["migrationUid"] = format!("51c1a5f0-6ce2-4b44-bf0d-{number:012}").into();
        for (place, name) in [(0, "192.168.10"), (1, "10.244.1")] {
            object["status"]["interfaces"][place]["ipAddresses"] =
                json!([format!("{name}.{number}"), format!("fe80::{place}:{number:x}")]);
        }
        let mut vmi = ParsedVmi::of(&object.to_string(), &allowed, NODE).vmi.unwrap();
        shared.share(&mut vmi);
        kept.push(Arc::new(vmi));
    }
    kept.iter().for_each(|vmi| heap.vmi(vmi));
    let each = heap.bytes / VMIS;
    println!("{each} bytes a VMI, {} of them itself", size_of::<Vmi>());
    assert!(each <= MOST, "{each} bytes a VMI, {MOST} were promised");
}
