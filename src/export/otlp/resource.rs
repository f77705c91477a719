//! The OpenTelemetry Resource attributes of a VM or a daemon.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::resource_kind::{Instance, Key, ResourceKind};
use super::settings::ResourceSettings;
use crate::catalog::attribute::metadata;
use crate::model::{Identity, Launcher, Place};

/// `service.name` of VMs, unless the configuration sets another.
pub const DOMAIN_SERVICE_NAME: &str = "libvirt-domain";

/// `service.name` of VMs under KubeVirt, unless the configuration sets another.
pub const VMI_SERVICE_NAME: &str = "kubevirt-vmi";

/// `service.name` of libvirt daemons.
pub const DAEMON_SERVICE_NAME: &str = "libvirt-daemon";

/// How many attributes most Resources have, without those of the configuration.
const ATTRIBUTES: usize = 16;

/// The Resource of a VM or a daemon with this key.
pub(super) fn resource(kind: &ResourceKind, key: &Key, settings: &ResourceSettings) -> Resource {
    let mut attributes = Vec::with_capacity(ATTRIBUTES + settings.attributes.len());
    let mut put = |name: &str, value: &str| attributes.push(attribute(name, value));
    let namespace = key.namespace.as_deref();
    if let Some(namespace) = namespace {
        put("service.namespace", namespace);
    }
    match kind {
        ResourceKind::Vm(vm) => {
            let usual = match vm.identity.place {
                Place::Host { .. } => DOMAIN_SERVICE_NAME,
                Place::Launcher(_) => VMI_SERVICE_NAME,
            };
            put("service.name", settings.service_name.as_deref().unwrap_or(usual));
        }
        ResourceKind::Daemon(_) => put("service.name", DAEMON_SERVICE_NAME),
    }
    match &key.instance {
        Instance::Domain(uuid) => put("service.instance.id", uuid.hyphenated().encode_lower(&mut [0; 36])),
        Instance::Launcher(id) | Instance::Daemon(id) => put("service.instance.id", id),
    }
    match kind {
        ResourceKind::Vm(vm) => identity(&vm.identity, &mut put),
        ResourceKind::Daemon(daemon) => {
            if let Some(host) = namespace {
                put("libvirt.host.name", host);
            }
            put("libvirt.uri", &daemon.id.0);
        }
    }
    for (name, value) in &settings.attributes {
        // What identifies the VM wins; of two configured entries, the first.
        if !name.is_empty() && !attributes.iter().any(|known: &KeyValue| known.key == *name) {
            attributes.push(attribute(name, value));
        }
    }
    Resource { attributes, ..Resource::default() }
}

fn identity(identity: &Identity, put: &mut impl FnMut(&str, &str)) {
    put("libvirt.domain.name", &identity.name);
    if let Some(uuid) = identity.uuid {
        put("libvirt.domain.uuid", uuid.hyphenated().encode_lower(&mut [0; 36]));
    }
    if let Some(domain_type) = &identity.domain_type {
        put("libvirt.domain.type", domain_type);
    }
    if let Some(arch) = &identity.arch {
        put("host.arch", host_arch(arch));
    }
    match &identity.place {
        Place::Host { host_name, uri, metadata, .. } => {
            put("libvirt.host.name", host_name);
            put("libvirt.uri", uri);
            for (key, text) in metadata.iter().flat_map(|metadata| metadata.texts()) {
                put(metadata::of(key).key, text);
            }
        }
        Place::Launcher(launcher) => vmi(launcher, put),
    }
}

/// What Kubernetes reports about a VM, and its guest about its operating system.
fn vmi(launcher: &Launcher, put: &mut impl FnMut(&str, &str)) {
    put("k8s.namespace.name", &launcher.namespace);
    put("k8s.node.name", &launcher.node);
    put("k8s.pod.uid", &launcher.pod_uid);
    put("kubevirt.vmi.name", &launcher.name);
    if let Some(uid) = &launcher.uid {
        put("kubevirt.vmi.uid", uid);
    }
    for label in &launcher.labels {
        put(&format!("kubevirt.vmi.label.{}", label.key), &label.value);
    }
    let guest = &launcher.guest;
    for (name, value) in [
        ("os.name", &guest.name),
        ("os.version", &guest.version_id),
        ("os.description", &guest.pretty_name),
        ("os.build_id", &guest.kernel_release),
    ] {
        if let Some(value) = value {
            put(name, value);
        }
    }
}

/// The value of `host.arch` (semantic conventions, host registry) for an architecture in libvirt's spelling. What the
/// conventions do not list keeps libvirt's spelling, as they allow.
fn host_arch(libvirt: &str) -> &str {
    match libvirt {
        "x86_64" => "amd64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "aarch64" => "arm64",
        "armv6l" | "armv7l" | "armv7b" => "arm32",
        "ppc" | "ppcle" | "ppcemb" => "ppc32",
        "ppc64" | "ppc64le" => "ppc64",
        "ia64" => "ia64",
        "s390x" => "s390x",
        other => other,
    }
}

/// A string attribute.
pub(super) fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::fixture;
    use super::*;
    use crate::catalog::attribute::ALL;
    use crate::model::{Daemon, DaemonFacts, DaemonId};
    use crate::testing::{sample, vmis};

    fn attributes(kind: &ResourceKind, settings: &ResourceSettings) -> BTreeMap<String, String> {
        let key = kind.key(settings.host_name.as_ref());
        let resource = resource(kind, &key, settings);
        let count = resource.attributes.len();
        let map: BTreeMap<_, _> = resource
            .attributes
            .into_iter()
            .filter_map(|attribute| match attribute.value?.value? {
                Any::StringValue(value) => Some((attribute.key, value)),
                _ => None,
            })
            .collect();
        assert_eq!(map.len(), count, "keys are unique and all values are texts");
        map
    }

    fn expect(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_vm_is_told_apart_by_its_host_and_its_uuid() {
        let vm = ResourceKind::Vm(Arc::new(fixture::vm(7)));
        assert_eq!(
            attributes(&vm, &ResourceSettings::default()),
            expect(&[
                ("service.namespace", "host-a"),
                ("service.name", "libvirt-domain"),
                ("service.instance.id", "00000000-0000-0000-0000-000000000007"),
                ("libvirt.domain.name", "vm-7"),
                ("libvirt.domain.uuid", "00000000-0000-0000-0000-000000000007"),
                ("libvirt.domain.type", "kvm"),
                ("libvirt.host.name", "host-a"),
                ("libvirt.uri", "qemu:///system"),
                ("host.arch", "amd64"),
            ])
        );
    }

    #[test]
    fn what_the_metadata_said_is_on_the_resource() {
        let mut vm = sample::running();
        let mut identity = (*vm.identity).clone();
        if let Place::Host { metadata, .. } = &mut identity.place {
            *metadata = Some(Arc::new(sample::metadata()));
        }
        vm.identity = Arc::new(identity);
        let attributes = attributes(&ResourceKind::Vm(Arc::new(vm)), &ResourceSettings::default());
        for (key, value) in [
            ("libvirt.domain.title", "The shop's \"first\" web server"),
            ("libosinfo.os.id", "http://debian.org/debian/12"),
            ("openstack.instance.name", "web-1"),
            ("host.type", "m1.small"),
            ("cloud.account.id", "8f0b6d1a5e3b4c7e8f0b6d1a5e3b4c7e"),
            ("openstack.project.name", "shop"),
            ("openstack.user.id", "2c4d3f0e9a514c7e8f0b6d1a5e3b7c90"),
            ("openstack.user.name", "alice"),
            ("host.image.id", "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff"),
        ] {
            assert_eq!(attributes.get(key).map(String::as_str), Some(value), "{key}");
        }
    }

    #[test]
    fn a_vmi_is_told_apart_by_its_namespace_and_its_launcher_pod() {
        let vm = ResourceKind::Vm(Arc::new(vmis::running()));
        assert_eq!(
            attributes(&vm, &ResourceSettings::default()),
            expect(&[
                ("service.namespace", "shop"),
                ("service.name", "kubevirt-vmi"),
                ("service.instance.id", "275ecb36-5aa8-4c2a-9c47-000000000010"),
                ("k8s.namespace.name", "shop"),
                ("k8s.node.name", "node-17"),
                ("k8s.pod.uid", "275ecb36-5aa8-4c2a-9c47-000000000010"),
                ("kubevirt.vmi.name", "web-1"),
                ("kubevirt.vmi.uid", "d0d4d9ba-8d5b-4d9a-9a1e-000000000010"),
                ("kubevirt.vmi.label.app.kubernetes.io/name", "shop"),
                ("kubevirt.vmi.label.team", "the \"A\" team"),
                ("libvirt.domain.name", "shop_web-1"),
                ("libvirt.domain.uuid", "6695eb01-f6a4-4304-89aa-000000000010"),
                ("libvirt.domain.type", "kvm"),
                ("host.arch", "amd64"),
                ("os.name", "Fedora Linux"),
                ("os.version", "42"),
                ("os.description", "Fedora Linux 42 (Cloud Edition)"),
                ("os.build_id", "6.14.0-63.fc42.x86_64"),
            ])
        );
    }

    #[test]
    fn a_vmi_of_which_libvirt_says_nothing_is_known_by_what_the_api_says() {
        let vm = ResourceKind::Vm(Arc::new(vmis::unreachable()));
        let settings = ResourceSettings { service_name: Some("guests".to_owned()), ..ResourceSettings::default() };
        assert_eq!(
            attributes(&vm, &settings),
            expect(&[
                ("service.namespace", "shop"),
                ("service.name", "guests"),
                ("service.instance.id", "275ecb36-5aa8-4c2a-9c47-000000000050"),
                ("k8s.namespace.name", "shop"),
                ("k8s.node.name", "node-17"),
                ("k8s.pod.uid", "275ecb36-5aa8-4c2a-9c47-000000000050"),
                ("kubevirt.vmi.name", "lost-1"),
                ("kubevirt.vmi.uid", "d0d4d9ba-8d5b-4d9a-9a1e-000000000050"),
                ("libvirt.domain.name", "shop_lost-1"),
            ])
        );
    }

    /// The catalogue describes every attribute that is sent.
    #[test]
    fn every_attribute_of_a_resource_is_in_the_dictionary() {
        let subjects = [
            ResourceKind::Vm(Arc::new(vmis::running())),
            ResourceKind::Vm(Arc::new(fixture::vm(7))),
            ResourceKind::Daemon(Arc::new(fixture::daemon(true))),
        ];
        for kind in subjects {
            for key in attributes(&kind, &ResourceSettings::default()).keys() {
                let key = if key.starts_with("kubevirt.vmi.label.") { "kubevirt.vmi.label.<key>" } else { key };
                assert!(ALL.iter().any(|attribute| attribute.key == key), "{key}");
            }
        }
    }

    #[test]
    fn configured_attributes_are_added_but_never_replace_who_the_vm_is() {
        let settings = ResourceSettings {
            service_name: Some("guests".to_owned()),
            attributes: [
                ("deployment.environment.name", "prod"),
                ("service.name", "mine"),
                ("service.instance.id", "me"),
                ("deployment.environment.name", "twice"),
                ("", "nameless"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
            host_name: None,
        };
        let attributes = attributes(&ResourceKind::Vm(Arc::new(fixture::vm(7))), &settings);
        assert_eq!(attributes["service.name"], "guests");
        assert_eq!(attributes["service.instance.id"], "00000000-0000-0000-0000-000000000007");
        assert_eq!(attributes["deployment.environment.name"], "prod");
        assert_eq!(attributes.len(), 10);
    }

    #[test]
    fn a_daemon_bears_the_agents_host_until_it_has_said_its_own() {
        let settings = ResourceSettings { host_name: Some("node-1".into()), ..ResourceSettings::default() };
        let mut daemon =
            Daemon { id: DaemonId("qemu:///system".into()), up: false, reason: None, facts: None, domains: None };
        let before = attributes(&ResourceKind::Daemon(Arc::new(daemon.clone())), &settings);
        assert_eq!(before["service.namespace"], "node-1");
        daemon.facts = Some(Arc::new(DaemonFacts {
            host_name: "host-a".into(),
            driver: "QEMU".into(),
            libvirt: None,
            hypervisor: None,
        }));
        let after = attributes(&ResourceKind::Daemon(Arc::new(daemon)), &settings);
        assert_eq!(
            after,
            expect(&[
                ("service.namespace", "host-a"),
                ("service.name", "libvirt-daemon"),
                ("service.instance.id", "qemu:///system"),
                ("libvirt.host.name", "host-a"),
                ("libvirt.uri", "qemu:///system"),
            ])
        );
    }

    #[test]
    fn architectures_are_spelled_as_the_conventions_do() {
        for (libvirt, conventions) in [
            ("x86_64", "amd64"),
            ("i686", "x86"),
            ("aarch64", "arm64"),
            ("armv7l", "arm32"),
            ("ppc64le", "ppc64"),
            ("s390x", "s390x"),
            ("riscv64", "riscv64"),
        ] {
            assert_eq!(host_arch(libvirt), conventions);
        }
    }
}
