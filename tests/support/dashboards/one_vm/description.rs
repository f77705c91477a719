//! What one VM is: tables of labels.

use virt_otel::catalog::Vocabulary;

use super::super::board::{Row, row};
use super::super::is_libvirt;
use super::super::panel::{Panel, table};
use super::amount;

/// A table of labels.
fn facts(title: &str, about: &str, name: &str, labels: &[(&str, &'static str)]) -> Panel {
    let known: Vec<&str> = labels.iter().map(|(label, _)| *label).collect();
    let panel = table(title, about).facts(&amount(name, &known.join(", ")));
    labels.iter().fold(panel, |panel, (label, title)| panel.label(label, title))
}

pub(super) fn description(vocabulary: Vocabulary) -> Row {
    let mut machine =
        vec![("domain_type", "Type"), ("arch", "Architecture"), ("machine", "Machine"), ("os_type", "Boots")];
    let mut disks = vec![
        ("drive", "Disk"),
        ("target", "Target"),
        ("device", "Device"),
        ("bus", "Bus"),
        ("source_type", "Kind"),
        ("source", "Source"),
        ("protocol", "Protocol"),
        ("format", "Format"),
        ("cache", "Cache"),
        ("serial", "Serial"),
    ];
    if !is_libvirt(vocabulary) {
        machine.push(("domain_uuid", "UUID"));
        disks.extend([("persistentvolumeclaim", "Claim"), ("datavolume", "DataVolume")]);
    }
    let nics = [
        ("interface", "Interface"),
        ("target", "Target"),
        ("mac", "MAC address"),
        ("model", "Model"),
        ("source_type", "Kind"),
        ("source", "Source"),
        ("mtu", "MTU"),
    ];
    let mut panels = vec![
        facts("Machine", "What the guest sees.", "machine_info", &machine).size(24, 4),
        facts("Disks", "What they are and what is behind them.", "storage_info", &disks).size(24, 5),
        facts("Interfaces", "What they are and what they are connected to.", "network_info", &nics).size(24, 5),
    ];
    if !is_libvirt(vocabulary) {
        let info = [
            ("phase", "Phase"),
            ("os", "Made for"),
            ("workload", "Workload"),
            ("flavor", "Flavor"),
            ("instance_type", "Instance type"),
            ("preference", "Preference"),
            ("guest_os_name", "Guest OS"),
            ("guest_os_version_id", "Version"),
            ("guest_os_kernel_release", "Kernel"),
            ("guest_os_machine", "Machine"),
            ("guest_os_arch", "Architecture"),
            ("evictable", "Evictable"),
            ("outdated", "Outdated launcher"),
        ];
        let addresses =
            [("vnic_name", "Interface"), ("interface_name", "In the guest"), ("address", "Address"), ("type", "Type")];
        let bindings = [
            ("vnic_name", "Interface"),
            ("network", "Network"),
            ("binding_type", "Bound by"),
            ("binding_name", "Binding"),
            ("model", "Model"),
        ];
        panels.extend([
            facts("VirtualMachineInstance", "As the Kubernetes API says.", "info", &info).size(24, 4),
            facts("Addresses", "The first one of each interface.", "status_addresses", &addresses).size(8, 5),
            facts("Further addresses", "", "further_addresses", &addresses[..3]).size(8, 5),
            facts("Bindings", "How interfaces are bound and to which network.", "vnic_info", &bindings).size(8, 5),
        ]);
    }
    row("What it is", panels)
}
