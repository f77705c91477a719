//! What is read from an object, and the memory it takes.

mod hostile;
mod memory;

use serde_json::{Value, json};

use super::*;
use crate::model::{Bytes, ConditionKind, LauncherPod, MigrationMode, Phase, Timestamp, Topology};

/// A VMI of KubeVirt 1.9 after a migration, with a guest agent, three networks and managed fields.
pub(in crate::watch) const VMI: &str = include_str!("vmi.json");

const NODE: &str = "node01";

fn allowed() -> AllowedLabels {
    AllowedLabels::new(&["app".to_owned(), "team".to_owned(), "app.kubernetes.io/part-of".to_owned()])
}

fn read(text: &str) -> ParsedVmi {
    ParsedVmi::of(text, &allowed(), NODE)
}

fn vmi(text: &str) -> Vmi {
    read(text).vmi.expect("a VMI with an identity")
}

fn fixture() -> Value {
    serde_json::from_str(VMI).unwrap()
}

/// The fixture with another value in one place.
fn with(pointer: &str, value: Value) -> String {
    let mut object = fixture();
    *object.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in the fixture")) = value;
    object.to_string()
}

/// The fixture without one value.
fn without(pointer: &str) -> String {
    let mut object = fixture();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    object.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(&key).expect("a place of the fixture");
    object.to_string()
}

fn strings<'a>(texts: impl IntoIterator<Item = &'a Arc<str>>) -> Vec<&'a str> {
    texts.into_iter().map(|text| &**text).collect()
}

#[test]
fn identity_state_and_place_are_read() {
    let reading = read(VMI);
    assert_eq!(reading.tally, Tally::default());
    let vmi = reading.vmi.unwrap();
    assert_eq!(vmi.domain_name(), "shop_shop-db");
    assert_eq!(&*vmi.uid, "f5f1e6f7-0f57-4a2b-8f3b-4c2f0c9d1c11");
    assert_eq!(vmi.phase, Phase::Running);
    assert_eq!(vmi.node.as_deref(), Some(NODE));
    assert_eq!(vmi.runtime_user, Some(107));
    assert_eq!(vmi.machine.as_deref(), Some("pc-q35-rhel9.6.0"));
    assert_eq!(vmi.eviction_strategy.as_deref(), Some("LiveMigrate"));
    assert_eq!(vmi.topology, Topology { cores: Some(1), sockets: Some(2), threads: Some(1) });
    assert!(vmi.outdated);
    let pod = |uid: &str, node: &str| LauncherPod { uid: uid.into(), node: node.into() };
    let pods =
        [pod("0f6e8f2e-6a3e-4f43-a4c2-5a5e4c5bd001", NODE), pod("a1b7d7de-0c2c-4a29-9d3b-3f1f1c1bd002", "node02")];
    assert_eq!(vmi.pods, pods);
}

#[test]
fn conditions_of_known_kinds_are_read_in_a_fixed_order() {
    let conditions: Vec<_> =
        vmi(VMI).conditions.iter().map(|condition| (condition.kind.as_str(), condition.is_true)).collect();
    let expected = [
        ("Ready", Some(true)),
        ("AgentConnected", Some(true)),
        ("LiveMigratable", Some(true)),
        ("DataVolumesReady", Some(true)),
        ("StorageLiveMigratable", None),
    ];
    assert_eq!(conditions, expected);
    assert!(expected.iter().all(|(name, _)| ConditionKind::from_api(name).is_some()));
}

#[test]
fn the_migration_is_read() {
    let migration = vmi(VMI).migration.unwrap();
    assert_eq!(migration.uid.as_deref(), Some("51c1a5f0-6ce2-4b44-bf0d-7ef28a3ad003"));
    assert_eq!(migration.start, Some(Timestamp::from_unix_nanos(1_788_170_401_500_000_000)));
    assert_eq!(migration.end, Some(Timestamp::from_unix_nanos(1_788_170_412_000_000_000)));
    assert_eq!(migration.source_node.as_deref(), Some("node02"));
    assert_eq!(migration.target_node.as_deref(), Some(NODE));
    assert!(migration.completed && !migration.failed);
    assert_eq!(migration.mode, Some(MigrationMode::PreCopy));
    assert_eq!(vmi(&without("/status/migrationState")).migration, None);
}

#[test]
fn a_disks_claim_is_that_of_the_volume_of_its_name() {
    let whole = vmi(VMI);
    let root = whole.volume("rootdisk").expect("a claim is behind it");
    assert_eq!((&*root.claim, root.of_data_volume), ("shop-db-root", true));
    assert_eq!(whole.volume("cloudinitdisk"), None, "no claim is");
    let volumes = json!([
        { "name": "logs", "persistentVolumeClaim": { "claimName": "web-1-logs" } },
        { "name": "data", "dataVolume": { "name": "web-1-data" } },
        { "name": "image", "ephemeral": { "persistentVolumeClaim": { "claimName": "golden" } } },
        { "name": "scratch", "emptyDisk": { "capacity": "1Gi" } },
        { "name": "broken", "persistentVolumeClaim": { "claimName": 7 } },
    ]);
    let some = vmi(&with("/spec/volumes", volumes));
    let said: Vec<_> =
        some.volumes.iter().map(|volume| (&*volume.name, &*volume.claim, volume.of_data_volume)).collect();
    assert_eq!(said, [("data", "web-1-data", true), ("image", "golden", false), ("logs", "web-1-logs", false)]);
}

#[test]
fn interfaces_are_joined_with_their_networks_and_bindings() {
    let nics = vmi(VMI).nics;
    let said: Vec<_> = nics
        .iter()
        .map(|nic| [Some(&nic.name), nic.binding_type.as_ref(), nic.binding.as_ref(), nic.network.as_ref()])
        .map(|texts| texts.map(|text| text.map(|text| &**text)))
        .collect();
    let expected = [
        ["blue", "core", "bridge", "shop/blue-net"],
        ["default", "core", "masquerade", "pod networking"],
        ["green", "plugin", "l2bridge", "green-net"],
    ];
    assert_eq!(said, expected.map(|texts| texts.map(Some)));
    let models: Vec<_> = nics.iter().map(|nic| nic.model.as_deref()).collect();
    assert_eq!(models, [Some("e1000e"), Some("virtio"), None]);
}

#[test]
fn each_core_binding_has_kubevirts_name() {
    let keys = ["bridge", "masquerade", "sriov", "slirp", "macvtap", "passt", "passtBinding"];
    for key in keys {
        let interfaces = json!([{ "name": "default", key: {} }]);
        let nics = vmi(&with("/spec/domain/devices/interfaces", interfaces)).nics;
        let name = key.strip_suffix("Binding").unwrap_or(key);
        assert_eq!(nics[0].binding.as_deref(), Some(name));
        assert_eq!(nics[0].binding_type.as_deref(), Some("core"));
    }
    // An interface without a binding.
    let nics = vmi(&with("/spec/domain/devices/interfaces", json!([{ "name": "default", "bridge": null }]))).nics;
    assert_eq!((&nics[0].binding, &nics[0].binding_type), (&None, &None));
}

#[test]
fn addresses_are_read_the_only_one_too() {
    let found = vmi(VMI).addresses;
    let names: Vec<_> =
        found.iter().map(|interface| (interface.name.as_deref(), interface.guest_name.as_deref())).collect();
    assert_eq!(names, [(None, Some("docker0")), (Some("blue"), Some("eth1")), (Some("default"), Some("eth0"))]);
    assert_eq!(strings(&found[2].addresses), ["10.244.1.27", "fd00:10:244:1::1b"]);

    let found = vmi(&without("/status/interfaces/1/ipAddresses")).addresses;
    assert_eq!(strings(&found[2].addresses), ["10.244.1.27"]);
}

#[test]
fn guest_memory_and_origin_are_read() {
    let vmi = vmi(VMI);
    assert_eq!(vmi.guest.name.as_deref(), Some("Fedora Linux"));
    assert_eq!(vmi.guest.id.as_deref(), Some("fedora"));
    assert_eq!(vmi.guest.pretty_name.as_deref(), Some("Fedora Linux 41 (Cloud Edition)"));
    assert_eq!(vmi.guest.version_id.as_deref(), Some("41"));
    assert_eq!(vmi.guest.kernel_release.as_deref(), Some("6.11.4-301.fc41.x86_64"));
    assert_eq!(vmi.guest.machine.as_deref(), Some("x86_64"));
    assert_eq!(vmi.memory.guest_at_boot, Some(Bytes(4 << 30)));
    assert_eq!(vmi.memory.overhead, Some(Bytes(284_164_096)));
    assert_eq!(vmi.origin.os.as_deref(), Some("fedora"));
    assert_eq!(vmi.origin.workload.as_deref(), Some("server"));
    assert_eq!(vmi.origin.flavor.as_deref(), Some("medium"));
    assert_eq!(vmi.origin.instance_type.as_deref(), Some("u1.medium"));
    assert_eq!(vmi.origin.preference.as_deref(), Some("fedora"));
}

#[test]
fn only_allowed_labels_are_kept() {
    let labels: Vec<_> =
        vmi(VMI).labels.into_iter().map(|label| (label.label.to_string(), label.value.to_string())).collect();
    let expected = [("app", "shop"), ("app_kubernetes_io_part_of", "storefront"), ("team", "payments")];
    assert_eq!(labels, expected.map(|(key, value)| (format!("kubernetes_vmi_label_{key}"), value.to_owned())));
}

#[test]
fn what_the_status_does_not_say_the_specification_may() {
    let vmi = vmi(&without("/status/currentCPUTopology"));
    assert_eq!(vmi.topology, Topology { cores: Some(1), sockets: Some(2), threads: Some(1) });
}

#[test]
fn an_object_that_says_nothing_but_who_it_is_has_nothing_else() {
    let reading = read(r#"{"metadata":{"namespace":"n","name":"v","uid":"u"}}"#);
    let nothing =
        Vmi { namespace: "n".into(), name: "v".into(), uid: "u".into(), phase: Phase::Unset, ..Vmi::default() };
    assert_eq!(reading.vmi, Some(nothing));
    assert_eq!(reading.tally, Tally::default());
}

#[test]
fn the_order_of_what_has_none_changes_nothing() {
    let mut object = fixture();
    for pointer in ["/status/conditions", "/status/interfaces", "/spec/domain/devices/interfaces", "/spec/networks"] {
        object.pointer_mut(pointer).unwrap().as_array_mut().unwrap().reverse();
    }
    assert_eq!(vmi(&object.to_string()), vmi(VMI));
}
