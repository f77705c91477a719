//! The network interfaces of a VMI, from the Kubernetes API.

use super::attribute::{
    ADDRESS, ADDRESS_TYPE, BINDING_NAME, BINDING_TYPE, INTERFACE_NAME, NETWORK, VNIC_MODEL, VNIC_NAME,
};
use super::{Emit, Kind, Label, Metric, Read, Section, Stability, Unit, info};
use crate::model::{GuestInterface, SpecInterface};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "Interfaces of the VirtualMachineInstance",
    brief: "Which networks and addresses a VM under KubeVirt has, from the Kubernetes API; not in libvirt mode, nor in sidecar mode. A VM has at most 64 series of each of these metrics.",
    metrics: METRICS,
};

/// The most series that one VM has of each row. The guest reports its interfaces and addresses, and each is a series; a
/// guest that runs containers has hundreds that are irrelevant outside it.
const SERIES_MAX: usize = 64;

/// KubeVirt's value for an interface that asks for no model.
const NO_MODEL: &str = "<none>";

const METRICS: &[Metric] = &[
    Metric {
        name: "status_addresses",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "The first address of each network interface, and the interfaces that have none, always 1.",
        stability: Stability::Stable,
        source: "VMI status.interfaces",
        kubevirt: "kubevirt_vmi_status_addresses",
        read: Read::VmiEach(&[&VNIC_NAME, &INTERFACE_NAME, &ADDRESS, &ADDRESS_TYPE], |vmi, emit| {
            each_once(vmi.addresses.iter().filter_map(first_address), emit);
        }),
    },
    Metric {
        name: "further_addresses",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "The addresses of each network interface after the first, always 1.",
        stability: Stability::Development,
        source: "VMI status.interfaces",
        kubevirt: "KubeVirt tells the first address only.",
        read: Read::VmiEach(&[&VNIC_NAME, &INTERFACE_NAME, &ADDRESS], |vmi, emit| {
            each_once(vmi.addresses.iter().flat_map(further_addresses), emit);
        }),
    },
    Metric {
        name: "vnic_info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "How each network interface is bound and to which network, always 1.",
        stability: Stability::Stable,
        source: "VMI spec.domain.devices.interfaces, spec.networks",
        kubevirt: "kubevirt_vmi_vnic_info",
        read: Read::VmiEach(&[&VNIC_NAME, &BINDING_TYPE, &NETWORK, &BINDING_NAME, &VNIC_MODEL], |vmi, emit| {
            each_once(vmi.nics.iter().filter_map(vnic), emit);
        }),
    },
];

/// An interface with its first address; `None` for one with neither address nor name, which KubeVirt omits too.
fn first_address(interface: &GuestInterface) -> Option<[Label<'_>; 4]> {
    let address = interface.addresses.first();
    let [name, guest_name] = names(interface);
    if address.is_none() && name.value.is_empty() && guest_name.value.is_empty() {
        return None;
    }
    let kind = if address.is_some() { "ExternalInterface" } else { "SystemInterface" };
    let address = Label::new(&ADDRESS, address.map_or("", |address| address));
    Some([name, guest_name, address, Label::new(&ADDRESS_TYPE, kind)])
}

fn further_addresses(interface: &GuestInterface) -> impl Iterator<Item = [Label<'_>; 3]> + Clone {
    let [name, guest_name] = names(interface);
    // A repetition of the first address is no further one.
    let first = interface.addresses.first();
    let further = interface.addresses.iter().filter(move |address| Some(*address) != first);
    further.map(move |address| [name, guest_name, Label::new(&ADDRESS, address)])
}

fn names(interface: &GuestInterface) -> [Label<'_>; 2] {
    [
        Label::new(&VNIC_NAME, interface.name.as_deref().unwrap_or_default()),
        Label::new(&INTERFACE_NAME, interface.guest_name.as_deref().unwrap_or_default()),
    ]
}

/// An interface of the specification; `None`, as in KubeVirt, without a network.
fn vnic(interface: &SpecInterface) -> Option<[Label<'_>; 5]> {
    let network = interface.network.as_deref()?;
    Some([
        Label::new(&VNIC_NAME, &interface.name),
        Label::new(&BINDING_TYPE, interface.binding_type.as_deref().unwrap_or_default()),
        Label::new(&NETWORK, network),
        Label::new(&BINDING_NAME, interface.binding.as_deref().unwrap_or_default()),
        Label::new(&VNIC_MODEL, interface.model.as_deref().filter(|model| !model.is_empty()).unwrap_or(NO_MODEL)),
    ])
}

/// Emits each set of labels once: two interfaces of which only the address is known may share it, and a duplicate
/// series makes Prometheus reject the whole page.
fn each_once<'a, const N: usize>(sets: impl Iterator<Item = [Label<'a>; N]> + Clone, emit: Emit<'_>) {
    for (index, set) in sets.clone().take(SERIES_MAX).enumerate() {
        if !sets.clone().take(index).any(|earlier| earlier == set) {
            info(&set.map(|label| (label.attribute, Some(label.value))), emit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Vmi;

    fn interface(name: &str, guest_name: &str, addresses: &[&str]) -> GuestInterface {
        let known = |text: &str| (!text.is_empty()).then(|| text.into());
        GuestInterface {
            name: known(name),
            guest_name: known(guest_name),
            addresses: addresses.iter().map(|address| (*address).into()).collect(),
        }
    }

    fn series(name: &str, vmi: &Vmi) -> Vec<String> {
        let row = METRICS.iter().find(|row| row.name == name).unwrap();
        let Read::VmiEach(_, read) = row.read else { panic!("{name} has one series") };
        let mut series = Vec::new();
        read(vmi, &mut |labels, _| {
            let labels: Vec<String> =
                labels.iter().map(|label| format!("{}={}", label.attribute.label, label.value)).collect();
            series.push(labels.join(" "));
        });
        series
    }

    #[test]
    fn an_interface_has_its_first_address_or_none_as_kubevirt_has_it() {
        let addresses = vec![
            interface("default", "eth0", &["10.0.0.1", "fd00::1"]),
            interface("", "lo", &[]),
            interface("", "", &[]),
            interface("", "", &["10.0.0.2"]),
        ];
        let vmi = Vmi { addresses: addresses.into(), ..Vmi::default() };
        assert_eq!(
            series("status_addresses", &vmi),
            [
                "vnic_name=default interface_name=eth0 address=10.0.0.1 type=ExternalInterface",
                "interface_name=lo type=SystemInterface",
                "address=10.0.0.2 type=ExternalInterface",
            ]
        );
        assert_eq!(series("further_addresses", &vmi), ["vnic_name=default interface_name=eth0 address=fd00::1"]);
    }

    #[test]
    fn two_interfaces_that_cannot_be_told_apart_are_one_series() {
        let addresses = vec![
            interface("", "", &["10.0.0.1", "10.0.0.1", "fd00::1", "fd00::1"]),
            interface("", "", &["10.0.0.1", "fd00::1"]),
            interface("", "eth0", &[]),
            interface("", "eth0", &[]),
        ];
        let vmi = Vmi { addresses: addresses.into(), ..Vmi::default() };
        assert_eq!(
            series("status_addresses", &vmi),
            ["address=10.0.0.1 type=ExternalInterface", "interface_name=eth0 type=SystemInterface"]
        );
        assert_eq!(series("further_addresses", &vmi), ["address=fd00::1"]);
    }

    #[test]
    fn an_interface_without_a_network_is_left_out_and_one_without_a_model_says_so() {
        let nic = SpecInterface {
            name: "default".into(),
            model: None,
            binding_type: Some("core".into()),
            binding: Some("masquerade".into()),
            network: Some("pod networking".into()),
        };
        let lost = SpecInterface { name: "lost".into(), network: None, ..nic.clone() };
        let vmi = Vmi { nics: Box::new([nic.clone(), lost, nic]), ..Vmi::default() };
        let expected =
            "vnic_name=default binding_type=core network=pod networking binding_name=masquerade model=<none>";
        assert_eq!(series("vnic_info", &vmi), [expected]);
    }

    #[test]
    fn a_guest_cannot_make_more_series_than_the_bound() {
        let addresses: Vec<String> = (0..1_000).map(|number| format!("fd00::{number:x}")).collect();
        let many: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let mut interfaces = vec![interface("default", "eth0", &many)];
        interfaces.extend(addresses.iter().map(|name| interface("", name, &[])));
        let vmi = Vmi { addresses: interfaces.into(), ..Vmi::default() };
        assert_eq!(series("status_addresses", &vmi).len(), SERIES_MAX);
        assert_eq!(series("further_addresses", &vmi).len(), SERIES_MAX);
    }
}
