//! What whoever made a domain wrote into its XML for others: OpenStack and virt-manager do.

use super::attribute::metadata::{
    CLOUD_ACCOUNT, HOST_IMAGE, HOST_TYPE, INSTANCE_NAME, OS_ID, PROJECT_NAME, TITLE, USER_ID, USER_NAME, of,
};
use super::{Attribute, Emit, Kind, Metric, Read, Section, Stability, Unit, info};
use crate::model::{Flavor, Metadata, MetadataKey, Vm};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "OpenStack and other metadata",
    brief: "What whoever made a VM wrote into its XML for others. On a host of OpenStack a domain is called \
            instance-0000002a, and here is what it is called there; the UUID of the instance is the domain's. The same \
            texts are on the VM's Resource, as they were when it began to run, and `--metadata-labels` puts some of them \
            on each of its series at the endpoint. Not under KubeVirt, where the Kubernetes API says all that.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "metadata.info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "What the domain is called and which operating system it was made for, always 1.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/title, /domain/metadata/libosinfo:libosinfo",
        kubevirt: "",
        read: Read::DomainEach(&[&TITLE, &OS_ID], |vm, emit| texts(vm, &OF_ANY, emit)),
    },
    Metric {
        name: "openstack.info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "What the instance is to OpenStack, always 1.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/metadata/nova:instance",
        kubevirt: "",
        read: Read::DomainEach(
            &[&INSTANCE_NAME, &HOST_TYPE, &CLOUD_ACCOUNT, &PROJECT_NAME, &USER_ID, &USER_NAME, &HOST_IMAGE],
            |vm, emit| texts(vm, &OF_OPENSTACK, emit),
        ),
    },
    Metric {
        name: "openstack.flavor.vcpus",
        unit: Unit::Count("cpu"),
        kind: Kind::Gauge,
        brief: "How many vCPUs the flavor of the instance has.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/metadata/nova:instance/nova:flavor/nova:vcpus",
        kubevirt: "",
        read: Read::Domain(|vm| flavor(vm)?.vcpus.map(Into::into)),
    },
    Metric {
        name: "openstack.flavor.memory",
        unit: Unit::Bytes,
        kind: Kind::Gauge,
        brief: "How much memory the flavor of the instance has.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/metadata/nova:instance/nova:flavor/nova:memory",
        kubevirt: "",
        read: Read::Domain(|vm| flavor(vm)?.memory.map(Into::into)),
    },
    Metric {
        name: "openstack.flavor.disk",
        unit: Unit::Bytes,
        kind: Kind::Gauge,
        brief: "How large the flavor's disk for the operating system is; 0 if the image or the volume says it.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/metadata/nova:instance/nova:flavor/nova:disk",
        kubevirt: "",
        read: Read::Domain(|vm| flavor(vm)?.disk.map(Into::into)),
    },
    Metric {
        name: "openstack.flavor.ephemeral",
        unit: Unit::Bytes,
        kind: Kind::Gauge,
        brief: "How large the flavor's further disk is, which ends with the instance; 0 if it has none.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/metadata/nova:instance/nova:flavor/nova:ephemeral",
        kubevirt: "",
        read: Read::Domain(|vm| flavor(vm)?.ephemeral.map(Into::into)),
    },
    Metric {
        name: "openstack.flavor.swap",
        unit: Unit::Bytes,
        kind: Kind::Gauge,
        brief: "How large the flavor's disk for swapping is; 0 if it has none.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/metadata/nova:instance/nova:flavor/nova:swap",
        kubevirt: "",
        read: Read::Domain(|vm| flavor(vm)?.swap.map(Into::into)),
    },
];

/// What any application may say.
const OF_ANY: [MetadataKey; 2] = [MetadataKey::Title, MetadataKey::Os];

/// What OpenStack says.
const OF_OPENSTACK: [MetadataKey; 7] = [
    MetadataKey::InstanceName,
    MetadataKey::Flavor,
    MetadataKey::ProjectId,
    MetadataKey::ProjectName,
    MetadataKey::UserId,
    MetadataKey::UserName,
    MetadataKey::Image,
];

fn metadata(vm: &Vm) -> Option<&Metadata> {
    vm.description.as_ref()?.metadata.as_deref()
}

fn flavor(vm: &Vm) -> Option<&Flavor> {
    Some(&metadata(vm)?.flavor)
}

/// The 1 of an info metric with the texts of these keys, if there is any.
fn texts<const N: usize>(vm: &Vm, keys: &[MetadataKey; N], emit: Emit<'_>) {
    let Some(metadata) = metadata(vm) else { return };
    let texts: [(&'static Attribute, Option<&str>); N] =
        keys.map(|key| (of(key), metadata.get(key).map(AsRef::as_ref)));
    if texts.iter().any(|(_, text)| text.is_some()) {
        info(&texts, emit);
    }
}
