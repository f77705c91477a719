//! Network interfaces.

use super::attribute::{INTERFACE, NIC_MAC, NIC_MODEL, NIC_MTU, NIC_SOURCE, NIC_SOURCE_TYPE, NIC_TARGET};
use super::{Decimal, Emit, Kind, Metric, Read, Section, Stability, Unit, Value, info};
use crate::model::NicDescription;

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "Network",
    brief: "One series for each interface, by the alias that the user chose for it, else by its target name. Directions are the guest's. KubeVirt's network_traffic_bytes_total, which it has deprecated, is not among them.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "network.info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "What the network interface is and what it is connected to, always 1.",
        stability: Stability::Stable,
        source: "virDomainGetXMLDesc /domain/devices/interface",
        kubevirt: "kubevirt_vmi_vnic_info describes the VMI's specification; this describes the running domain.",
        read: Read::VmEach(
            &[&INTERFACE, &NIC_TARGET, &NIC_MAC, &NIC_MODEL, &NIC_SOURCE_TYPE, &NIC_SOURCE, &NIC_MTU],
            |vm, emit| {
                if let Some(description) = &vm.description {
                    for nic in &description.nics {
                        // An interface with neither an alias nor a target (a passed-through device) has no name and no
                        // statistics.
                        let Some(name) = nic.user_alias.as_deref().or(nic.target.as_deref()) else { continue };
                        describe(name, nic, emit);
                    }
                }
            },
        ),
    },
    Metric {
        name: "network.receive",
        unit: Unit::Bytes,
        kind: Kind::Counter,
        brief: "Data received by the guest.",
        stability: Stability::Stable,
        source: "virDomainListGetStats net.<n>.rx.bytes",
        kubevirt: "kubevirt_vmi_network_receive_bytes_total",
        read: Read::Nic(|nic| nic.receive_bytes.map(Value::from)),
    },
    Metric {
        name: "network.receive_packets",
        unit: Unit::Count("packet"),
        kind: Kind::Counter,
        brief: "Packets received by the guest.",
        stability: Stability::Stable,
        source: "virDomainListGetStats net.<n>.rx.pkts",
        kubevirt: "kubevirt_vmi_network_receive_packets_total",
        read: Read::Nic(|nic| nic.receive_packets.map(Value::from)),
    },
    Metric {
        name: "network.receive_errors",
        unit: Unit::Count("error"),
        kind: Kind::Counter,
        brief: "Errors while receiving, as the guest sees it.",
        stability: Stability::Stable,
        source: "virDomainListGetStats net.<n>.rx.errs",
        kubevirt: "kubevirt_vmi_network_receive_errors_total",
        read: Read::Nic(|nic| nic.receive_errors.map(Value::from)),
    },
    Metric {
        name: "network.receive_packets_dropped",
        unit: Unit::Count("packet"),
        kind: Kind::Counter,
        brief: "Packets to the guest that were dropped.",
        stability: Stability::Stable,
        source: "virDomainListGetStats net.<n>.rx.drop",
        kubevirt: "kubevirt_vmi_network_receive_packets_dropped_total",
        read: Read::Nic(|nic| nic.receive_drops.map(Value::from)),
    },
    Metric {
        name: "network.transmit",
        unit: Unit::Bytes,
        kind: Kind::Counter,
        brief: "Data sent by the guest.",
        stability: Stability::Stable,
        source: "virDomainListGetStats net.<n>.tx.bytes",
        kubevirt: "kubevirt_vmi_network_transmit_bytes_total",
        read: Read::Nic(|nic| nic.transmit_bytes.map(Value::from)),
    },
    Metric {
        name: "network.transmit_packets",
        unit: Unit::Count("packet"),
        kind: Kind::Counter,
        brief: "Packets sent by the guest.",
        stability: Stability::Stable,
        source: "virDomainListGetStats net.<n>.tx.pkts",
        kubevirt: "kubevirt_vmi_network_transmit_packets_total",
        read: Read::Nic(|nic| nic.transmit_packets.map(Value::from)),
    },
    Metric {
        name: "network.transmit_errors",
        unit: Unit::Count("error"),
        kind: Kind::Counter,
        brief: "Errors while sending, as the guest sees it.",
        stability: Stability::Stable,
        source: "virDomainListGetStats net.<n>.tx.errs",
        kubevirt: "kubevirt_vmi_network_transmit_errors_total",
        read: Read::Nic(|nic| nic.transmit_errors.map(Value::from)),
    },
    Metric {
        name: "network.transmit_packets_dropped",
        unit: Unit::Count("packet"),
        kind: Kind::Counter,
        brief: "Packets from the guest that were dropped.",
        stability: Stability::Stable,
        source: "virDomainListGetStats net.<n>.tx.drop",
        kubevirt: "kubevirt_vmi_network_transmit_packets_dropped_total",
        read: Read::Nic(|nic| nic.transmit_drops.map(Value::from)),
    },
];

fn describe(interface: &str, nic: &NicDescription, emit: Emit<'_>) {
    let mtu = nic.mtu.map(Decimal::new);
    info(
        &[
            (&INTERFACE, Some(interface)),
            (&NIC_TARGET, nic.target.as_deref()),
            (&NIC_MAC, nic.mac.as_deref()),
            (&NIC_MODEL, nic.model.as_deref()),
            (&NIC_SOURCE_TYPE, nic.source_kind.as_deref()),
            (&NIC_SOURCE, nic.source.as_deref()),
            (&NIC_MTU, mtu.as_ref().map(Decimal::as_str)),
        ],
        emit,
    );
}
