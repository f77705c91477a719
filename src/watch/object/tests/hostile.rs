//! Malformed objects.

use proptest::prelude::*;

use super::*;

/// Every path to a string.
const TEXTS: [&str; 33] = [
    "/metadata/annotations/kubevirt.io~1cluster-instancetype-name",
    "/metadata/annotations/kubevirt.io~1cluster-preference-name",
    "/metadata/annotations/vm.kubevirt.io~1flavor",
    "/metadata/annotations/vm.kubevirt.io~1os",
    "/metadata/annotations/vm.kubevirt.io~1workload",
    "/spec/domain/devices/interfaces/0/model",
    "/spec/domain/devices/interfaces/2/binding/name",
    "/spec/evictionStrategy",
    "/spec/networks/1/multus/networkName",
    "/status/activePods/0f6e8f2e-6a3e-4f43-a4c2-5a5e4c5bd001",
    "/status/conditions/0/status",
    "/status/conditions/0/type",
    "/status/guestOSInfo/id",
    "/status/guestOSInfo/kernelRelease",
    "/status/guestOSInfo/machine",
    "/status/guestOSInfo/name",
    "/status/guestOSInfo/prettyName",
    "/status/guestOSInfo/versionId",
    "/status/interfaces/0/interfaceName",
    "/status/interfaces/0/name",
    "/status/machine/type",
    "/status/memory/guestAtBoot",
    "/status/memory/guestCurrent",
    "/status/memory/guestRequested",
    "/status/memory/memoryOverhead",
    "/status/migrationState/endTimestamp",
    "/status/migrationState/migrationUid",
    "/status/migrationState/mode",
    "/status/migrationState/sourceNode",
    "/status/migrationState/startTimestamp",
    "/status/migrationState/targetNode",
    "/status/nodeName",
    "/spec/networks/1/name",
];

/// Every path to an object or an array.
const STRUCTURES: [&str; 15] = [
    "/metadata/annotations",
    "/metadata/labels",
    "/spec",
    "/spec/domain",
    "/spec/domain/devices",
    "/spec/domain/devices/interfaces",
    "/spec/networks",
    "/status/activePods",
    "/status/conditions",
    "/status/guestOSInfo",
    "/status/interfaces",
    "/status/machine",
    "/status/memory",
    "/status/migrationState",
    "/status/currentCPUTopology",
];

/// Replaces a value with text that need not be JSON.
fn raw(pointer: &str, value: &str) -> String {
    with(pointer, "@".into()).replace("\"@\"", value)
}

#[test]
fn a_text_of_the_wrong_type_or_too_long_reads_as_one_that_is_not_there_and_is_counted() {
    let long = Value::from("x".repeat(70_000));
    for pointer in TEXTS {
        let missing = vmi(&without(pointer));
        for wrong in [json!(true), json!([{}]), json!({ "a": [1] }), json!(-1.5), long.clone()] {
            let reading = read(&with(pointer, wrong.clone()));
            let shown = wrong.to_string().chars().take(20).collect::<String>();
            assert_eq!(reading.vmi, Some(missing.clone()), "{pointer}: {shown}");
            assert_eq!(reading.tally.fields, 1, "{pointer}: {shown}");
        }
    }
}

#[test]
fn null_reads_as_missing_and_is_not_counted() {
    for pointer in TEXTS.iter().chain(&STRUCTURES) {
        let reading = read(&with(pointer, Value::Null));
        assert_eq!(reading.vmi, Some(vmi(&without(pointer))), "{pointer}");
        assert_eq!(reading.tally, Tally::default(), "{pointer}");
    }
}

#[test]
fn a_structure_of_the_wrong_type_spoils_nothing_beside_it() {
    for pointer in STRUCTURES {
        for wrong in [json!(true), json!("text"), json!(3)] {
            let mut missing = vmi(&without(pointer));
            let reading = read(&with(pointer, wrong.clone()));
            let found = reading.vmi.unwrap();
            if pointer == "/status/migrationState" {
                // The object did say that there is one.
                missing.migration = Some(crate::model::Migration::default());
            }
            assert_eq!(found, missing, "{pointer}: {wrong}");
            assert!(reading.tally.fields >= 1, "{pointer}: {wrong}");
        }
    }
}

#[test]
fn values_that_are_hardly_json_spoil_only_themselves() {
    for wrong in ["1e999", r#""\ud800""#, "-0", "[[[[]]]]", &"[".repeat(5000).add_closing()] {
        let reading = read(&raw("/status/guestOSInfo/name", wrong));
        assert_eq!(reading.vmi, Some(vmi(&without("/status/guestOSInfo/name"))), "{wrong}");
        assert_eq!(reading.tally.fields, 1, "{wrong}");
        // In an unused field it is not even noticed.
        assert_eq!(read(&raw("/status/qosClass", wrong)).tally, Tally::default(), "{wrong}");
    }
}

trait AddClosing {
    fn add_closing(self) -> String;
}

impl AddClosing for String {
    fn add_closing(self) -> String {
        let closing = "]".repeat(self.len());
        self + &closing
    }
}

#[test]
fn without_an_identity_there_is_no_vmi() {
    for field in ["namespace", "name", "uid"] {
        let pointer = format!("/metadata/{field}");
        assert!(read(&without(&pointer)).vmi.is_none(), "{field}");
        for wrong in [Value::Null, json!(""), json!(7), json!({}), json!("x".repeat(300))] {
            assert!(read(&with(&pointer, wrong)).vmi.is_none(), "{field}");
        }
    }
    for text in ["", "null", "[]", "7", "{", "\"text\"", "{}", r#"{"metadata":null}"#, r#"{"metadata":[]}"#] {
        assert!(read(text).vmi.is_none(), "{text}");
    }
}

#[test]
fn names_at_their_longest_are_kept_whole() {
    let mut object = fixture();
    object["metadata"]["namespace"] = "n".repeat(63).into();
    object["metadata"]["name"] = "v".repeat(253).into();
    object["status"]["nodeName"] = "h".repeat(253).into();
    object["metadata"]["labels"]["team"] = "t".repeat(63).into();
    let reading = read(&object.to_string());
    assert_eq!(reading.tally, Tally::default());
    let vmi = reading.vmi.unwrap();
    assert_eq!(vmi.domain_name().len(), 63 + 1 + 253);
    assert_eq!(vmi.node.unwrap().len(), 253);
    assert_eq!(vmi.labels.last().unwrap().value.len(), 63);
}

#[test]
fn labels_of_64_kib_are_dropped_and_counted_only_if_they_are_wanted() {
    let reading = read(&with("/metadata/labels/team", "x".repeat(65_536).into()));
    assert_eq!(reading.tally, Tally { labels: 1, fields: 0 });
    assert_eq!(reading.vmi.unwrap().labels.len(), 2);
    let reading = read(&with("/metadata/labels/kubevirt.io~1size", "x".repeat(65_536).into()));
    assert_eq!(reading.tally, Tally::default());
}

#[test]
fn what_is_too_many_is_dropped_and_counted() {
    let pods: serde_json::Map<String, Value> =
        (0..40).map(|number| (format!("pod-{number:02}"), if number == 39 { NODE } else { "other" }.into())).collect();
    let reading = read(&with("/status/activePods", pods.into()));
    assert_eq!(reading.tally.fields, 40 - limits::PODS_KEPT as u64);
    let kept = reading.vmi.unwrap().pods;
    assert_eq!(kept.len(), limits::PODS_KEPT);
    assert_eq!(&*kept[0].uid, "pod-39", "the pod of this node is never too many");

    let many: Vec<Value> = (0..100).map(|number| json!({ "name": format!("nic{number:03}"), "bridge": {} })).collect();
    let reading = read(&with("/spec/domain/devices/interfaces", many.into()));
    assert_eq!(reading.vmi.unwrap().nics.len(), limits::INTERFACES);
    assert_eq!(reading.tally.fields, 100 - limits::INTERFACES as u64);

    let many: Vec<Value> = (0..50).map(|number| format!("fd00::{number:x}").into()).collect();
    let reading = read(&with("/status/interfaces/1/ipAddresses", many.into()));
    assert_eq!(reading.vmi.unwrap().addresses[2].addresses.len(), limits::ADDRESSES);
    assert_eq!(reading.tally.fields, 50 - limits::ADDRESSES as u64);

    let many: serde_json::Map<String, Value> = (0..2000).map(|number| (format!("l{number}"), "v".into())).collect();
    let reading = read(&with("/metadata/labels", many.into()));
    assert_eq!(reading.tally.labels, 2000 - limits::LABELS as u64);
}

#[test]
fn a_pod_uid_that_could_lead_elsewhere_is_refused() {
    for uid in ["..", "../../etc", "a/b", "", "a b", "a\0b", &"a".repeat(65)] {
        let mut pods = serde_json::Map::new();
        pods.insert(uid.to_owned(), NODE.into());
        let reading = read(&with("/status/activePods", pods.into()));
        assert_eq!(reading.vmi.unwrap().pods, [], "{uid}");
        assert_eq!(reading.tally.fields, 1, "{uid}");
    }
}

#[test]
fn a_phase_that_cannot_be_understood_is_unknown() {
    for (said, phase) in [
        (json!("Running"), Phase::Running),
        (json!(""), Phase::Unset),
        (Value::Null, Phase::Unset),
        (json!("Dreaming"), Phase::Unknown),
        (json!(7), Phase::Unknown),
    ] {
        assert_eq!(vmi(&with("/status/phase", said)).phase, phase);
    }
}

#[test]
fn of_numbers_and_flags_only_sensible_ones_are_used() {
    for wrong in [json!(-1), json!(1.5), json!(4_294_967_296_u64), json!("107")] {
        assert_eq!(vmi(&with("/status/runtimeUser", wrong)).runtime_user, None);
    }
    for wrong in [json!("true"), json!(1), json!([true])] {
        let reading = read(&with("/status/migrationState/completed", wrong));
        assert!(!reading.vmi.unwrap().migration.unwrap().completed);
        assert_eq!(reading.tally.fields, 1);
    }
    for wrong in ["yesterday", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-08-31T10:00:01"] {
        let reading = read(&with("/status/migrationState/startTimestamp", wrong.into()));
        assert_eq!(reading.vmi.unwrap().migration.unwrap().start, None, "{wrong}");
        assert_eq!(reading.tally.fields, 1, "{wrong}");
    }
    for (amount, bytes) in [(json!(1024), Some(1024)), (json!("1e3"), Some(1000)), (json!("99Ei"), None)] {
        let read = vmi(&with("/status/memory/guestCurrent", amount)).memory.guest_current;
        assert_eq!(read.map(|amount| amount.0), bytes);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z0-9.:/-]{0,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| { map.into_iter().collect::<serde_json::Map<String, Value>>().into() }),
        ]
    })
}

/// Every path in a value.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Array(elements) => {
            for (number, element) in elements.iter().enumerate() {
                places(element, &format!("{here}/{number}"), found);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                places(member, &format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_value_in_any_place_leaves_a_reading_within_bounds(place in any::<prop::sample::Index>(), value in any_json()) {
        let mut all = Vec::new();
        places(&fixture(), "", &mut all);
        let place = place.get(&all);
        let reading = read(&with(place, value));
        let identity = ["", "/metadata", "/metadata/namespace", "/metadata/name", "/metadata/uid"];
        if let Some(vmi) = &reading.vmi {
            prop_assert!(vmi.namespace.len() <= limits::NAMESPACE && !vmi.namespace.is_empty());
            prop_assert!(vmi.name.len() <= limits::NAME && vmi.uid.len() <= limits::UID);
            prop_assert!(vmi.nics.len() <= limits::INTERFACES && vmi.addresses.len() <= limits::INTERFACES);
            prop_assert!(vmi.volumes.len() <= limits::VOLUMES);
            prop_assert!(vmi.pods.len() <= limits::PODS_KEPT && vmi.conditions.len() <= ConditionKind::ALL.len());
        } else {
            prop_assert!(identity.contains(&place.as_str()), "{place}");
        }
    }

    #[test]
    fn any_text_leaves_a_reading(text in "\\PC{0,200}") {
        prop_assert!(read(&text).vmi.is_none());
    }
}
