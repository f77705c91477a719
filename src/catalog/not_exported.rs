//! Metrics of VirtualMachineInstances that KubeVirt publishes and an agent on one node cannot.

/// A metric of KubeVirt that has no row here and cannot have one.
#[derive(Debug)]
pub struct NotExported {
    /// Its name at KubeVirt's endpoint.
    pub name: &'static str,
    /// The component of KubeVirt that publishes it.
    pub publisher: &'static str,
    /// Why it is not here: a sentence.
    pub why: &'static str,
}

const fn elsewhere(name: &'static str, publisher: &'static str, why: &'static str) -> NotExported {
    NotExported { name, publisher, why }
}

const CONTROLLER: &str = "virt-controller";

const CLUSTER: &str = "Only a component that sees the whole cluster can know it.";

const PHASES: &str = "Most phases pass before a node has the VMI, so that a node agent would see a part of them only.";

/// Every one, in the order of the documentation. `tests/contract.rs` checks that each needs the whole cluster, or
/// KubeVirt's own components.
pub const NOT_EXPORTED: [NotExported; 11] = [
    elsewhere("kubevirt_vmi_migrations_in_pending_phase", CONTROLLER, CLUSTER),
    elsewhere("kubevirt_vmi_migrations_in_scheduling_phase", CONTROLLER, CLUSTER),
    elsewhere("kubevirt_vmi_migrations_in_unset_phase", CONTROLLER, CLUSTER),
    elsewhere("kubevirt_vmi_migrations_in_running_phase", CONTROLLER, CLUSTER),
    elsewhere(
        "kubevirt_vmi_number_of_outdated",
        CONTROLLER,
        "Only a component that sees the whole cluster can know it; `count(kubevirt_vmi_info{outdated=\"true\"})` over \
         all agents is the same number.",
    ),
    elsewhere("kubevirt_vmi_phase_transition_time_seconds", CONTROLLER, PHASES),
    elsewhere("kubevirt_vmi_phase_transition_time_from_creation_seconds", CONTROLLER, PHASES),
    elsewhere("kubevirt_vmi_phase_transition_time_from_deletion_seconds", CONTROLLER, PHASES),
    elsewhere(
        "kubevirt_vmi_migration_phase_transition_time_from_creation_seconds",
        CONTROLLER,
        "Migrations are objects of their own, which virt-otel may not read.",
    ),
    elsewhere(
        "kubevirt_vmi_last_api_connection_timestamp_seconds",
        "virt-api",
        "Only virt-api sees who connects to a console.",
    ),
    elsewhere("kubevirt_vmi_sync_total", "virt-handler", "It counts the work of virt-handler and virt-controller."),
];
