//! VirtualMachineInstances as KubeVirt writes them, and the updates it makes in the order it makes them.
//!
//! Each function is one update of the object, as in KubeVirt: an agent sees it as one event.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::kube_client::{Client, vmis_of};
use super::launcher::{Place, domain_name};
use super::{kubernetes::ApiServer, uuid};

/// The label with a VirtualMachineInstance's node.
const NODE: &str = "kubevirt.io/nodeName";
/// The label with its migration's target node.
const TARGET_NODE: &str = "kubevirt.io/migrationTargetNodeName";

/// A VirtualMachineInstance in an API server.
#[derive(Clone)]
pub struct Vmi {
    client: Client,
    namespace: String,
    name: String,
}

impl Vmi {
    /// Creates one that is not scheduled yet, and its namespace if missing.
    #[track_caller]
    pub fn create(api: &ApiServer, namespace: &str, name: &str) -> Vmi {
        Vmi::create_with(api, namespace, name, &json!({}))
    }

    /// [`create`](Self::create) with more labels.
    #[track_caller]
    pub fn create_labelled(api: &ApiServer, namespace: &str, name: &str, labels: &[(&str, &str)]) -> Vmi {
        let labels: Map<_, _> = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        Vmi::create_with(api, namespace, name, &json!({ "metadata": { "labels": labels } }))
    }

    /// [`create`](Self::create) with these fields over the usual ones (null removes one).
    #[track_caller]
    pub fn create_with(api: &ApiServer, namespace: &str, name: &str, change: &Value) -> Vmi {
        Vmi::create_by(api.admin(), namespace, name, change)
    }

    /// [`create_with`](Self::create_with) by a client of any API server.
    #[track_caller]
    pub fn create_by(client: &Client, namespace: &str, name: &str, change: &Value) -> Vmi {
        client.ensure_namespace(namespace);
        let mut new = object(namespace, name);
        merge(&mut new, change);
        client.create(&vmis_of(namespace), &new);
        Vmi { client: client.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Creates a running one in a single write: for many of them, or where the steps do not matter.
    #[track_caller]
    pub fn create_running(api: &ApiServer, namespace: &str, name: &str, place: &Place) -> Vmi {
        Vmi::create_running_with(api, namespace, name, place, &json!({}))
    }

    /// [`create_running`](Self::create_running) with these fields over the usual ones.
    #[track_caller]
    pub fn create_running_with(api: &ApiServer, namespace: &str, name: &str, place: &Place, change: &Value) -> Vmi {
        let mut all = scheduled(place);
        merge(&mut all, &running());
        merge(&mut all, change);
        Vmi::create_with(api, namespace, name, &all)
    }

    /// An existing one.
    pub fn known(api: &ApiServer, namespace: &str, name: &str) -> Vmi {
        Vmi { client: api.admin().clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// After a [`delete`](Self::delete): another running one of the same name, in a single write.
    #[track_caller]
    pub fn make_anew_running(&self, place: &Place) {
        let mut new = object(&self.namespace, &self.name);
        merge(&mut new, &scheduled(place));
        merge(&mut new, &running());
        self.client.create(&vmis_of(&self.namespace), &new);
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its domain's name.
    pub fn domain(&self) -> String {
        domain_name(&self.namespace, &self.name)
    }

    /// The path of the object.
    pub fn path(&self) -> String {
        format!("{}/{}", vmis_of(&self.namespace), self.name)
    }

    /// The object as the server has it.
    #[track_caller]
    pub fn get(&self) -> Value {
        self.client.get(&self.path())
    }

    #[track_caller]
    pub fn uid(&self) -> String {
        self.get()["metadata"]["uid"].as_str().expect("a UID").to_owned()
    }

    /// Any update, merged into the object (null removes a field).
    #[track_caller]
    pub fn update(&self, change: &Value) -> Value {
        self.client.patch(&self.path(), change)
    }

    /// Replaces the object with its changed form, literally: a null stays one. It may be nested deeper than
    /// [`get`](Self::get) can read.
    #[track_caller]
    pub fn rewrite(&self, change: impl FnOnce(&mut Value)) {
        let mut object = self.get();
        change(&mut object);
        let body = object.to_string();
        let answer = self.client.request("PUT", &self.path(), Some(("application/json", body.as_bytes())));
        let answer = answer.unwrap_or_else(|error| panic!("PUT {}: {error}", self.path()));
        assert_eq!(answer.status, 200, "PUT {}: {:.2000}", self.path(), answer.text());
    }

    /// virt-controller, when the pod is ready: phase, label and node name at once.
    #[track_caller]
    pub fn schedule(&self, place: &Place) {
        self.update(&scheduled(place));
    }

    /// virt-handler, when libvirt says that the domain runs.
    #[track_caller]
    pub fn run(&self) {
        self.update(&running());
    }

    /// [`schedule`](Self::schedule) and [`run`](Self::run).
    #[track_caller]
    pub fn schedule_and_run(&self, place: &Place) {
        self.schedule(place);
        self.run();
    }

    /// virt-handler, when the domain is paused: a condition appears, the phase stays Running. The reason is
    /// PausedByUser, PausedIOError or PausedByMigrationMonitor.
    #[track_caller]
    pub fn pause(&self, reason: &str) {
        self.set_condition(&condition("Paused", "True", Some(reason)));
    }

    /// virt-handler, when it goes on: the condition is removed, not set to False.
    #[track_caller]
    pub fn resume(&self) {
        self.change_conditions(|conditions| conditions.retain(|known| known["type"] != "Paused"));
    }

    /// Replaces the condition of its type.
    #[track_caller]
    pub fn set_condition(&self, new: &Value) {
        self.change_conditions(|conditions| {
            conditions.retain(|known| known["type"] != new["type"]);
            conditions.push(new.clone());
        });
    }

    #[track_caller]
    fn change_conditions(&self, change: impl FnOnce(&mut Vec<Value>)) {
        let mut conditions = self.get()["status"]["conditions"].as_array().cloned().unwrap_or_default();
        change(&mut conditions);
        self.update(&json!({ "status": { "conditions": conditions } }));
    }

    /// virt-controller, when a migration's target pod is there: label and pod are added, node and phase stay.
    #[track_caller]
    pub fn begin_migration(&self, source: &Place, target: &Place) {
        self.update(&json!({
            "metadata": { "labels": { TARGET_NODE: target.node } },
            "status": {
                "activePods": { &target.pod_uid: target.node },
                "migrationState": {
                    "migrationUid": uuid(),
                    "mode": "PreCopy",
                    "sourceNode": source.node, "sourcePod": pod_name(&self.name, source),
                    "targetNode": target.node, "targetPod": pod_name(&self.name, target),
                    "migrationConfiguration": { "allowPostCopy": false, "bandwidthPerMigration": "0" },
                    // Clears what an earlier one left, as KubeVirt begins with a new state.
                    "endTimestamp": null, "completed": null, "failed": null, "failureReason": null,
                    "abortRequested": null, "abortStatus": null,
                    "targetNodeDomainDetected": null, "targetNodeDomainReadyTimestamp": null,
                },
            },
        }));
    }

    /// virt-handler of the source, when the migration runs.
    #[track_caller]
    pub fn migration_started(&self) {
        self.update(&json!({ "status": { "migrationState": { "startTimestamp": now() } } }));
    }

    /// virt-handler of the target, when the incoming domain exists, still paused.
    #[track_caller]
    pub fn target_domain_detected(&self) {
        self.update(&json!({ "status": { "migrationState": { "targetNodeDomainDetected": true } } }));
    }

    /// virt-handler of the source, when the rest of the memory follows while the guest runs on the target.
    #[track_caller]
    pub fn post_copy(&self) {
        self.update(&json!({ "status": { "migrationState": { "mode": "PostCopy" } } }));
    }

    /// virt-handler of the target, when the domain is active there.
    #[track_caller]
    pub fn target_domain_ready(&self) {
        self.update(&json!({ "status": { "migrationState": { "targetNodeDomainReadyTimestamp": now() } } }));
    }

    /// virt-handler of the target: end, label and node name in one update. From here on it is the target's.
    #[track_caller]
    pub fn flip(&self, target: &Place) {
        self.update(&json!({
            "metadata": { "labels": { NODE: target.node } },
            "status": { "nodeName": target.node, "migrationState": { "endTimestamp": now() } },
        }));
    }

    /// virt-handler of the target, in a later update.
    #[track_caller]
    pub fn migration_completed(&self) {
        self.update(&json!({ "status": { "migrationState": { "completed": true } } }));
    }

    /// virt-controller, after that.
    #[track_caller]
    pub fn drop_target_label(&self) {
        self.update(&json!({ "metadata": { "labels": { TARGET_NODE: null } } }));
    }

    /// virt-controller, when a completed pod is deleted.
    #[track_caller]
    pub fn drop_pod(&self, place: &Place) {
        self.update(&json!({ "status": { "activePods": { &place.pod_uid: null } } }));
    }

    /// What follows the [`flip`](Self::flip), in order.
    #[track_caller]
    pub fn finish_migration(&self, source: &Place) {
        self.migration_completed();
        self.drop_target_label();
        self.drop_pod(source);
    }

    /// virt-handler of the source, when the migration failed: the node stays.
    #[track_caller]
    pub fn migration_failed(&self, reason: &str) {
        self.update(&json!({ "status": { "migrationState": {
            "endTimestamp": now(), "completed": true, "failed": true, "failureReason": reason } } }));
    }

    /// virt-controller, when somebody has deleted the migration.
    #[track_caller]
    pub fn request_abort(&self) {
        self.update(&json!({ "status": { "migrationState": { "abortRequested": true } } }));
    }

    /// virt-handler of the source, when libvirt has aborted it.
    #[track_caller]
    pub fn migration_aborted(&self) {
        self.update(&json!({ "status": { "migrationState": {
            "endTimestamp": now(), "completed": true, "failed": true, "abortStatus": "Succeeded",
            "failureReason": "Live migration aborted" } } }));
    }

    /// What follows a failure or an abort, in order.
    #[track_caller]
    pub fn clean_up_migration(&self, target: &Place) {
        self.drop_target_label();
        self.drop_pod(target);
    }

    /// virt-handler, when the guest has powered off.
    #[track_caller]
    pub fn succeed(&self) {
        self.update(&json!({ "status": { "phase": "Succeeded" } }));
    }

    /// virt-handler, when the guest has crashed, or its launcher has.
    #[track_caller]
    pub fn fail(&self) {
        self.update(&json!({ "status": { "phase": "Failed" } }));
    }

    #[track_caller]
    pub fn delete(&self) {
        self.client.delete(&self.path());
    }
}

/// A condition as it stands in `status.conditions`.
pub fn condition(kind: &str, status: &str, reason: Option<&str>) -> Value {
    let mut condition = json!({
        "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": now() });
    if let Some(reason) = reason {
        condition["reason"] = json!(reason);
        condition["message"] = json!(format!("the VMI is {}", kind.to_lowercase()));
    }
    condition
}

/// A user's object with KubeVirt's defaults, before anything else has happened.
fn object(namespace: &str, name: &str) -> Value {
    // A label's value has 63 bytes at most, a name may have more.
    let label = &name[..name.len().min(63)];
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": {
            "namespace": namespace, "name": name,
            "labels": { "kubevirt.io/domain": label, "vm.kubevirt.io/name": label },
            "annotations": {
                "kubevirt.io/latest-observed-api-version": "v1",
                "kubevirt.io/storage-observed-api-version": "v1",
                "vm.kubevirt.io/os": "linux", "vm.kubevirt.io/workload": "server", "vm.kubevirt.io/flavor": "small" },
            "finalizers": [],
        },
        "spec": {
            "architecture": "amd64",
            "domain": {
                "cpu": { "cores": 1, "sockets": 1, "threads": 1, "maxSockets": 4, "model": "host-model" },
                "memory": { "guest": "192Mi", "maxGuest": "768Mi" },
                "devices": {
                    "disks": [
                        { "name": "rootdisk", "disk": { "bus": "virtio" } },
                        { "name": "cloudinit", "disk": { "bus": "virtio" } }],
                    "interfaces": [{ "name": "default", "masquerade": {}, "model": "virtio" }] },
                "firmware": { "uuid": uuid(), "serial": uuid() },
                "machine": { "type": "q35" },
                "resources": { "requests": { "memory": "192Mi" } },
            },
            "evictionStrategy": "LiveMigrate",
            "networks": [{ "name": "default", "pod": {} }],
            "terminationGracePeriodSeconds": 30,
            "volumes": [
                { "name": "rootdisk", "persistentVolumeClaim": { "claimName": name } },
                { "name": "cloudinit", "cloudInitNoCloud": { "userData": "#cloud-config\n" } }],
        },
        "status": {
            "phase": "Pending",
            "conditions": [condition("Ready", "False", Some("GuestNotRunning"))],
            "phaseTransitionTimestamps": [{ "phase": "Pending", "phaseTransitionTimestamp": now() }],
            "qosClass": "Burstable",
        },
    })
}

fn scheduled(place: &Place) -> Value {
    json!({
        "metadata": { "labels": { NODE: place.node } },
        "status": {
            "phase": "Scheduled",
            "nodeName": place.node,
            "activePods": { &place.pod_uid: place.node },
            "runtimeUser": place.user,
            "launcherContainerImageVersion": "registry.example.org/kubevirt/virt-launcher:v1.9.0",
        },
    })
}

fn running() -> Value {
    let mac = "52:54:00:aa:bb:01";
    json!({
        "status": {
            "phase": "Running",
            "conditions": [
                condition("Ready", "True", None),
                condition("LiveMigratable", "True", None),
                condition("StorageLiveMigratable", "True", None),
                condition("AgentConnected", "True", None)],
            "interfaces": [{
                "name": "default", "interfaceName": "eth0", "podInterfaceName": "eth0", "mac": mac,
                "ipAddress": "10.244.1.17", "ipAddresses": ["10.244.1.17", "fd00::17"],
                "infoSource": "domain, guest-agent", "queueCount": 1, "linkState": "up" }],
            "guestOSInfo": {
                "name": "Debian GNU/Linux", "prettyName": "Debian GNU/Linux 12 (bookworm)", "version": "12 (bookworm)",
                "versionId": "12", "id": "debian", "kernelRelease": "6.1.0-31-cloud-amd64",
                "kernelVersion": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.128-1", "machine": "x86_64" },
            "machine": { "type": "pc-q35-rhel9.6.0" },
            "currentCPUTopology": { "cores": 1, "sockets": 1, "threads": 1 },
            "memory": {
                "guestAtBoot": "192Mi", "guestCurrent": "192Mi", "guestRequested": "192Mi",
                "memoryOverhead": "229Mi" },
            "migrationMethod": "BlockMigration",
            "migrationTransport": "Unix",
            "selinuxContext": "none",
            "volumeStatus": [
                { "name": "rootdisk", "target": "vda", "persistentVolumeClaimInfo": { "claimName": "rootdisk" } },
                { "name": "cloudinit", "target": "vdb", "size": 1_048_576 }],
        },
    })
}

/// The name of a launcher's pod.
fn pod_name(vmi: &str, place: &Place) -> String {
    format!("virt-launcher-{vmi}-{}", &place.pod_uid[..5])
}

/// The time, as Kubernetes writes it.
fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// RFC 7386: what a merge patch does.
fn merge(target: &mut Value, change: &Value) {
    let Some(fields) = change.as_object() else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let map = target.as_object_mut().expect("an object, made one above");
    for (key, value) in fields {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
