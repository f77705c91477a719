//! A VM in a pod built like KubeVirt's virt-launcher, with its VirtualMachineInstance.

use lab_support::cluster::hypervisor;
use lab_support::launcher::{Place, domain_name};
use lab_support::{Metrics, Vmi, uuid};
use serde_json::{Value, json};

use super::cluster::{Cluster, soon};
use super::pod::Pod;

/// The namespace of the VMs.
pub const VMS: &str = "vms";
/// The user of KubeVirt's launchers.
const LAUNCHER: u32 = 107;
/// What runs in the pod.
const SCRIPT: &str = include_str!("../manifests/launcher.sh");

/// What a launcher is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// A domain on KVM, paused.
    Kvm,
    /// An emulated one.
    Emulated,
    /// None: one comes by a migration.
    Incoming,
}

/// A launcher's pod.
pub struct Launcher<'a> {
    cluster: &'a Cluster,
    /// The pod, with the agent beside it if there is one.
    pub pod: Pod<'a>,
    pub place: Place,
}

/// A VM: its VirtualMachineInstance and the launcher that it began in. All of it goes when dropped.
pub struct Vm<'a> {
    cluster: &'a Cluster,
    pub namespace: String,
    pub name: String,
    pub vmi: Vmi,
    pub launcher: Launcher<'a>,
}

impl<'a> Vm<'a> {
    /// One of the usual namespace that runs on a node.
    #[track_caller]
    pub fn start(cluster: &'a Cluster, name: &str, guest: Guest, node: &str) -> Vm<'a> {
        Vm::start_in(cluster, VMS, name, guest, node)
    }

    /// One that runs on a node.
    #[track_caller]
    pub fn start_in(cluster: &'a Cluster, namespace: &str, name: &str, guest: Guest, node: &str) -> Vm<'a> {
        cluster.ensure_namespace(namespace);
        // What a test left that failed in here.
        remove(cluster, namespace, name);
        let vmi = Vmi::create_by(&cluster.client, namespace, name, &json!({}));
        let launcher = Launcher::start(cluster, namespace, name, &vmi.uid(), guest, node);
        vmi.schedule_and_run(&launcher.place);
        Vm { cluster, namespace: namespace.to_owned(), name: name.to_owned(), vmi, launcher }
    }

    /// The launcher to which it may migrate.
    #[track_caller]
    pub fn target(&self, node: &str) -> Launcher<'a> {
        Launcher::start(self.cluster, &self.namespace, &self.name, &self.vmi.uid(), Guest::Incoming, node)
    }

    /// Its live migration to another launcher, with what KubeVirt writes into the object meanwhile.
    #[track_caller]
    pub fn migrate(&self, target: &Launcher) {
        let source = &self.launcher.place;
        self.vmi.begin_migration(source, &target.place);
        self.vmi.migration_started();
        let address = target.pod.page_address().ip();
        let (domain, daemon) = (domain_name(&self.namespace, &self.name), format!("qemu+tcp://{address}/session"));
        self.vmi.target_domain_detected();
        // The image stays where it is: nobody writes to it.
        let to = format!("tcp://{address}");
        self.launcher.virsh(&["migrate", "--live", "--unsafe", &domain, &daemon, &to]);
        self.vmi.target_domain_ready();
        self.vmi.flip(&target.place);
        self.vmi.finish_migration(source);
    }

    /// Whether a page shows it as an emulated one.
    pub fn is_emulated_on(&self, page: &Metrics) -> bool {
        hypervisor(page, &self.namespace, &self.name).as_deref() == Some("qemu-tcg")
    }

    /// The guest powers off.
    #[track_caller]
    pub fn power_off(&self) {
        self.launcher.virsh(&["destroy", &domain_name(&self.namespace, &self.name)]);
    }
}

/// The object of a VM goes, and its pods with it; both are waited for.
#[track_caller]
fn remove(cluster: &Cluster, namespace: &str, name: &str) {
    cluster.tidy(&["delete", "vmi", "-n", namespace, name, "--ignore-not-found", "--wait"]);
    let label = format!("vm.kubevirt.io/name={name}");
    cluster.tidy(&["delete", "pods", "-n", namespace, "-l", &label, "--wait", "--timeout=90s"]);
}

impl Drop for Vm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.launcher.log();
            println!("the end of the launcher of {}:\n{log}", self.name);
        }
        remove(self.cluster, &self.namespace, &self.name);
    }
}

impl<'a> Launcher<'a> {
    #[track_caller]
    fn start(cluster: &'a Cluster, namespace: &str, name: &str, uid: &str, guest: Guest, node: &str) -> Launcher<'a> {
        let script = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "launcher" }, "data": { "run": SCRIPT } });
        cluster.client.ensure(&format!("/api/v1/namespaces/{namespace}/configmaps"), &script);
        let pod = format!("virt-launcher-{name}-{}", &uuid()[..5]);
        let object = pod_of(namespace, name, &pod, uid, guest, node);
        let made = cluster.client.create(&format!("/api/v1/namespaces/{namespace}/pods"), &object);
        // It is scheduled a moment later, to where its selector says.
        let mut pod = Pod::of(cluster, &made);
        node.clone_into(&mut pod.node);
        let place = Place { node: node.to_owned(), pod_uid: pod.uid.clone(), user: LAUNCHER };
        let launcher = Launcher { cluster, pod, place };
        launcher.wait_running(guest, &domain_name(namespace, name));
        launcher
    }

    /// Whether admission adds an agent to a launcher of this namespace.
    #[track_caller]
    pub fn would_have_a_sidecar(cluster: &Cluster, namespace: &str) -> bool {
        let object = pod_of(namespace, "dry", "virt-launcher-dry", &uuid(), Guest::Incoming, "nowhere").to_string();
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let answer = cluster.client.request("POST", &path, Some(("application/json", object.as_bytes())));
        let answer = answer.expect("an answer");
        let made: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        made["spec"]["initContainers"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "virt-otel"))
    }

    #[track_caller]
    fn wait_running(&self, guest: Guest, domain: &str) {
        self.wait("Ready");
        if guest == Guest::Incoming {
            // Before its daemon listens nothing can come in.
            soon("a launcher that takes in a migration", || self.try_virsh(&["list"]).ok());
        } else {
            soon("the domain of a launcher", || self.try_virsh(&["domstate", domain]).ok());
        }
    }

    /// Waits for a condition of the pod.
    #[track_caller]
    fn wait(&self, condition: &str) {
        let (condition, pod) = (format!("--for=condition={condition}"), format!("pod/{}", self.pod.name));
        let namespace = self.pod.namespace.as_str();
        let waited = self.cluster.try_kubectl(&["wait", "-n", namespace, &condition, &pod, "--timeout=90s"]);
        if waited.code != Some(0) {
            let described = self.cluster.try_kubectl(&["describe", "-n", namespace, &pod]);
            panic!("{}: {}\n{}\n{}", self.pod.name, waited.stderr, described.stdout, self.log());
        }
    }

    /// The end of what its container has logged.
    pub fn log(&self) -> String {
        let Pod { namespace, name, .. } = &self.pod;
        let log = self.cluster.try_kubectl(&["logs", "-n", namespace, name, "-c", "compute", "--tail=40"]);
        log.stdout + &log.stderr
    }

    /// `virsh` in the pod: what it printed, or why it failed.
    fn try_virsh(&self, arguments: &[&str]) -> Result<String, String> {
        let uri = "qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock";
        let Pod { namespace, name, .. } = &self.pod;
        let inside = ["exec", "-n", namespace, name, "-c", "compute", "--", "virsh", "-q", "-c", uri];
        let output = self.cluster.try_kubectl(&[&inside[..], arguments].concat());
        if output.code == Some(0) { Ok(output.stdout) } else { Err(output.stderr) }
    }

    /// `virsh` in the pod, which must succeed.
    #[track_caller]
    pub fn virsh(&self, arguments: &[&str]) -> String {
        self.try_virsh(arguments).unwrap_or_else(|error| panic!("virsh {arguments:?} in {}: {error}", self.pod.name))
    }

    /// Its phase; none once it is gone.
    pub fn phase(&self) -> Option<String> {
        self.pod.object()?["status"]["phase"].as_str().map(str::to_owned)
    }
}

/// A pod as virt-controller makes it: labels, user, volumes.
fn pod_of(namespace: &str, name: &str, pod: &str, uid: &str, guest: Guest, node: &str) -> Value {
    let domain = domain_name(namespace, name);
    let (kind, limits) = match guest {
        Guest::Kvm => ("kvm", json!({ "devices.kubevirt.io/kvm": "1" })),
        Guest::Emulated => ("qemu", json!({})),
        Guest::Incoming => ("incoming", json!({})),
    };
    let volumes = [
        ("private", "/var/run/kubevirt-private"),
        ("public", "/var/run/kubevirt"),
        ("ephemeral-disks", "/var/run/kubevirt-ephemeral-disks"),
        ("libvirt-runtime", "/var/run/libvirt"),
        ("sockets", "/var/run/kubevirt/sockets"),
    ];
    let mut mounts: Vec<_> = volumes.map(|(name, path)| json!({ "name": name, "mountPath": path })).into();
    mounts.push(json!({ "name": "launcher", "mountPath": "/etc/launcher" }));
    let mut made: Vec<_> = volumes.map(|(name, _)| json!({ "name": name, "emptyDir": {} })).into();
    made.push(json!({ "name": "launcher", "configMap": { "name": "launcher" } }));
    let private = "/var/run/kubevirt-private";
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": pod, "namespace": namespace,
            "labels": {
                "kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid, "vm.kubevirt.io/name": name,
                "vmi.kubevirt.io/id": name },
            "annotations": { "kubevirt.io/domain": name },
            "ownerReferences": [{
                "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true }] },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": node },
            "automountServiceAccountToken": false, "enableServiceLinks": false, "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "securityContext": { "runAsUser": LAUNCHER, "runAsGroup": LAUNCHER, "runAsNonRoot": true, "fsGroup": LAUNCHER },
            "containers": [{
                "name": "compute", "image": "localhost/launcher:1", "command": ["/bin/bash", "/etc/launcher/run"],
                "env": [
                    { "name": "HOME", "value": private }, { "name": "XDG_CACHE_HOME", "value": private },
                    { "name": "XDG_CONFIG_HOME", "value": private }, { "name": "XDG_RUNTIME_DIR", "value": "/var/run" },
                    { "name": "DOMAIN", "value": domain }, { "name": "TYPE", "value": kind },
                    { "name": "VMI_UID", "value": uid }],
                "resources": { "requests": { "cpu": "50m", "memory": "128Mi" }, "limits": limits },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] } },
                "volumeMounts": mounts }],
            "volumes": made },
    })
}
