//! The libvirt daemon itself.

use super::attribute::{DRIVER, HOST, HYPERVISOR_VERSION, LIBVIRT_VERSION, STATE};
use super::{Emit, Kind, Label, Metric, Read, Section, Stability, Unit, info};
use crate::model::{DaemonFacts, State, Version};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "The libvirt daemon",
    brief: "These belong to the daemon and not to a VM: they tell a daemon that is down from one that has no domains.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "up",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "Whether the libvirt daemon is connected and answers, 1 or 0.",
        stability: Stability::Stable,
        source: "virConnectOpenReadOnly",
        kubevirt: "",
        read: Read::Daemon(|daemon| Some(daemon.up.into())),
    },
    Metric {
        name: "version.info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "What the libvirt daemon said of itself when it was last connected, always 1.",
        stability: Stability::Development,
        source: "virConnectGetHostname, virConnectGetType, virConnectGetLibVersion, virConnectGetVersion",
        kubevirt: "",
        read: Read::DaemonEach(&[&HOST, &DRIVER, &LIBVIRT_VERSION, &HYPERVISOR_VERSION], |daemon, emit| {
            if let Some(facts) = &daemon.facts {
                describe(facts, emit);
            }
        }),
    },
    Metric {
        name: "domains",
        unit: Unit::Count("domain"),
        kind: Kind::UpDownCounter,
        brief: "How many domains the libvirt daemon has in each state.",
        stability: Stability::Development,
        source: "virConnectListAllDomains",
        kubevirt: "",
        read: Read::DaemonEach(&[&STATE], |daemon, emit| {
            for (state, count) in State::ALL.iter().zip(daemon.domains.iter().flatten()) {
                emit(&[Label::new(&STATE, state.as_str())], (*count).into());
            }
        }),
    },
];

// Read once per daemon and scrape, so the two strings may be allocated.
fn describe(facts: &DaemonFacts, emit: Emit<'_>) {
    let text = |version: Option<Version>| version.map(|version| version.to_string());
    let (libvirt, hypervisor) = (text(facts.libvirt), text(facts.hypervisor));
    info(
        &[
            (&HOST, Some(&facts.host_name)),
            (&DRIVER, Some(&facts.driver)),
            (&LIBVIRT_VERSION, libvirt.as_deref()),
            (&HYPERVISOR_VERSION, hypervisor.as_deref()),
        ],
        emit,
    );
}
