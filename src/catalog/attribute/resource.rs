//! Attributes that are only on Resources. The first three become the labels `job` and `instance` at
//! Prometheus-compatible receivers.

use super::Attribute;

/// The first part of a VM's unique identity.
pub const SERVICE_NAMESPACE: Attribute = Attribute::resource(
    "service.namespace",
    "The host's name, under KubeVirt the VirtualMachineInstance's namespace; with the next it becomes the label job in Prometheus.",
    &["kvm-17.example.org", "default"],
);

/// The second part.
pub const SERVICE_NAME: Attribute = Attribute::resource(
    "service.name",
    "What the Resource is; with the one before it becomes the label job in Prometheus.",
    &["libvirt-domain", "kubevirt-vmi", "libvirt-daemon"],
);

/// The third part.
pub const SERVICE_INSTANCE: Attribute = Attribute::resource(
    "service.instance.id",
    "The domain's UUID, under KubeVirt the virt-launcher pod's UID, or the daemon's URI; it becomes the label instance in Prometheus.",
    &["6695eb01-f6a4-8304-79aa-97f2502e193f"],
);

/// The domain's name in the Resource.
pub const DOMAIN_NAME: Attribute = Attribute::resource("libvirt.domain.name", "The libvirt domain's name.", &["web-1"]);

/// The domain's UUID in the Resource, and at the endpoint where it is not a part of the identity.
pub const DOMAIN_UUID: Attribute = Attribute::open(
    "libvirt.domain.uuid",
    "domain_uuid",
    "The libvirt domain's UUID.",
    &["6695eb01-f6a4-8304-79aa-97f2502e193f"],
);

/// The guest's architecture in the Resource.
pub const HOST_ARCH: Attribute = Attribute::resource(
    "host.arch",
    "The guest's architecture in OpenTelemetry's spelling, because the host of a VM's Resource is the VM.",
    &["amd64", "arm64"],
);

/// The namespace in the Resource.
pub const K8S_NAMESPACE: Attribute =
    Attribute::resource("k8s.namespace.name", "The namespace of the VirtualMachineInstance.", &["default"]);

/// The node in the Resource.
pub const K8S_NODE: Attribute =
    Attribute::resource("k8s.node.name", "The node that runs the VirtualMachineInstance.", &["node-17"]);

/// The launcher pod.
pub const K8S_POD_UID: Attribute = Attribute::resource(
    "k8s.pod.uid",
    "The UID of the virt-launcher pod that runs the VirtualMachineInstance.",
    &["275ecb36-5aa8-4c2a-9c47-d8bb681b9aff"],
);

/// The VMI's name.
pub const VMI_NAME: Attribute =
    Attribute::resource("kubevirt.vmi.name", "The name of the VirtualMachineInstance.", &["web-1"]);

/// The VMI's UID.
pub const VMI_UID: Attribute = Attribute::resource(
    "kubevirt.vmi.uid",
    "The UID of the VirtualMachineInstance, which the API alone knows.",
    &["d0d4d9ba-8d5b-4d9a-9a1e-3d2b7b0f1c11"],
);

/// A label of the VMI.
pub const VMI_LABEL: Attribute = Attribute::resource(
    "kubevirt.vmi.label.<key>",
    "The value of a label of the VirtualMachineInstance that --vmi-labels allows, as it was when the VM was first seen \
     running.",
    &["web"],
);

/// The guest's operating system.
pub const OS_NAME: Attribute = Attribute::resource(
    "os.name",
    "The guest's operating system, as known when the VM was first seen running; what its agent says later is in \
     kubevirt_vmi_info.",
    &["Fedora Linux"],
);

/// Its version.
pub const OS_VERSION: Attribute = Attribute::resource(
    "os.version",
    "The version of the guest's operating system, as known when the VM was first seen running; what its agent says \
     later is in kubevirt_vmi_info.",
    &["42"],
);

/// Both, human-readable.
pub const OS_DESCRIPTION: Attribute = Attribute::resource(
    "os.description",
    "The guest's operating system with its version, as known when the VM was first seen running.",
    &["Fedora Linux 42 (Cloud Edition)"],
);

/// Its kernel.
pub const OS_BUILD_ID: Attribute = Attribute::resource(
    "os.build_id",
    "The release of the guest's kernel, as known when the VM was first seen running; what its agent says later is in \
     kubevirt_vmi_info.",
    &["6.14.0-63.fc42.x86_64"],
);
