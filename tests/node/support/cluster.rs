//! The cluster of `tests/node/cluster.sh`, which `make test-node` has started.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lab_support::kube_client::Client;
use lab_support::process::{self, Output};
use lab_support::{repository, wait_until};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

/// The node with the control plane, the Collector and the cluster's names.
pub const NODE1: &str = "node1";
/// The other one.
pub const NODE2: &str = "node2";

/// How long one command may take: `kubectl` and Helm wait for pods to start and to end.
const COMMAND: Duration = Duration::from_secs(180);

/// One test acts on the cluster at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// Who waits for that goes before who comes later.
static QUEUE: Mutex<()> = Mutex::new(());

/// The cluster, as its administrator sees it.
pub struct Cluster {
    /// A client of its API server.
    pub client: Client,
    alone: RefCell<Option<MutexGuard<'static, ()>>>,
}

impl Cluster {
    /// The cluster for this test alone, with VirtualMachineInstances.
    #[track_caller]
    pub fn alone() -> Cluster {
        let cluster = Cluster { client: CLIENT.clone(), alone: RefCell::new(Some(alone())) };
        cluster.define_vmis();
        cluster
    }

    /// Lets other tests act on it.
    pub fn step_aside(&self) {
        self.alone.replace(None);
    }

    /// Waits until no other test acts on it.
    pub fn take(&self) {
        self.alone.replace(Some(alone()));
    }

    /// Runs `kubectl`, which must succeed. Returns what it printed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments);
        assert_eq!(output.code, Some(0), "kubectl {arguments:?}: {}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Runs `kubectl` to tidy up: it must succeed, unless the test has failed already.
    #[track_caller]
    pub fn tidy(&self, arguments: &[&str]) {
        if std::thread::panicking() {
            self.try_kubectl(arguments);
        } else {
            self.kubectl(arguments);
        }
    }

    /// Runs `kubectl`.
    #[track_caller]
    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        run(lab_support::prepared("kubernetes", "bin/kubectl").as_path(), arguments)
    }

    /// Runs a program of the repository that calls `kubectl`, such as deploy/conformance.sh.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        run(&repository().join(program), arguments)
    }

    /// A line for a shell that runs `kubectl` as this test does.
    pub fn command_line(&self, arguments: &[&str]) -> String {
        let variables = self.variables().map(|(name, value)| format!("{name}={}", value.display()));
        let kubectl = lab_support::prepared("kubernetes", "bin/kubectl");
        format!("{} {} {}", variables.join(" "), kubectl.display(), arguments.join(" "))
    }

    /// What a shell needs to act on it as its administrator.
    pub fn variables(&self) -> [(&'static str, PathBuf); 2] {
        variables()
    }

    /// Runs Helm, which must succeed, unless the test has failed already.
    #[track_caller]
    pub fn helm(&self, arguments: &[&str]) {
        let output = run(lab_support::prepared("helm", "bin/helm").as_path(), arguments);
        if std::thread::panicking() {
            return;
        }
        assert_eq!(output.code, Some(0), "helm {arguments:?}: {}{}", output.stdout, output.stderr);
    }

    /// `kubectl apply` of a manifest of tests/node or deploy, by its path in the repository.
    #[track_caller]
    pub fn apply(&self, manifest: &str) {
        self.kubectl(&["apply", "-f", &repository().join(manifest).display().to_string()]);
    }

    /// What was applied goes, and is waited for.
    #[track_caller]
    pub fn delete(&self, manifest: &str) {
        self.tidy(&["delete", "--wait", "-f", &repository().join(manifest).display().to_string()]);
    }

    /// The objects of a `kubectl get`, such as `pods -n NAMESPACE -l LABEL`.
    #[track_caller]
    pub fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.kubectl(&[&["get", "-o", "json"], arguments].concat());
        let mut list: Value = serde_json::from_str(&text).expect("kubectl's JSON");
        match list["items"].take() {
            Value::Array(items) => items,
            other => panic!("kubectl get {arguments:?}: {other}"),
        }
    }

    /// Creates a namespace if it is missing, and waits for its account: no pod is let in before.
    #[track_caller]
    pub fn ensure_namespace(&self, name: &str) {
        self.client.ensure_namespace(name);
        self.kubectl(&["wait", "-n", name, "--for=create", "serviceaccount/default", "--timeout=60s"]);
    }

    /// A namespace whose pods may have a hostPath, as the README makes it.
    #[track_caller]
    pub fn make_namespace(&self, name: &str) {
        self.ensure_namespace(name);
        self.kubectl(&["label", "--overwrite", "namespace", name, "pod-security.kubernetes.io/enforce=privileged"]);
    }

    /// KubeVirt's kind of object comes, unless it is there.
    #[track_caller]
    pub fn define_vmis(&self) {
        self.apply_kinds("tests/node/manifests/vmi-crd.yaml");
    }

    /// Kinds of objects come, and are waited for.
    #[track_caller]
    pub fn apply_kinds(&self, manifest: &str) {
        self.apply(manifest);
        let path = repository().join(manifest).display().to_string();
        // kubectl wait ends with an error where there is no condition yet.
        soon("kinds that are served", || {
            let waited = self.try_kubectl(&["wait", "--for=condition=Established", "--timeout=5s", "-f", &path]);
            (waited.code == Some(0)).then_some(())
        });
    }

    /// KubeVirt's kind of object goes, with all of them.
    #[track_caller]
    pub fn remove_vmis(&self) {
        self.kubectl(&["delete", "--wait", "--ignore-not-found", "crd", "virtualmachineinstances.kubevirt.io"]);
    }

    /// Ends services of a node, such as `kubelet`, which are started again when the answer is dropped.
    #[track_caller]
    pub fn without(&self, node: &str, services: &[&str]) -> Away {
        script(&[&["stop", node], services].concat());
        Away
    }

    /// Runs a command on a node, which must succeed.
    #[track_caller]
    pub fn on(&self, node: &str, command: &[&str]) -> String {
        let mut machine = Command::new(repository().join("tests/node/machine.sh"));
        machine.args(["run", node]).args(command);
        let output = process::run(machine, COMMAND).expect("a command that ends");
        assert_eq!(output.code, Some(0), "{command:?} on {node}: {}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Every object that a user's installation could leave behind, by kind and name.
    #[track_caller]
    pub fn objects(&self) -> Vec<String> {
        let kinds = "namespaces,serviceaccounts,daemonsets,services,configmaps,secrets,networkpolicies,clusterroles,\
                     clusterrolebindings,controllerrevisions,mutatingadmissionpolicies,mutatingadmissionpolicybindings";
        let listed = self.kubectl(&["get", kinds, "--all-namespaces", "--no-headers", "-o", NAMES]);
        let mut names: Vec<_> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}

/// Services that were ended.
pub struct Away;

impl Drop for Away {
    fn drop(&mut self) {
        script(&["up"]);
    }
}

/// Kind, namespace and name, one object a line.
const NAMES: &str = "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";

/// Where the files of a node are for everybody: its /var/lib.
pub fn lib_of(node: &str) -> PathBuf {
    state().join(node).join("lib")
}

fn alone() -> MutexGuard<'static, ()> {
    let _first = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn state() -> PathBuf {
    repository().join("target/node")
}

fn variables() -> [(&'static str, PathBuf); 2] {
    [("KUBECONFIG", state().join("keys/super-admin.conf")), ("HOME", state())]
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    let kubectl = lab_support::prepared("kubernetes", "bin/kubectl");
    let folders = kubectl.parent().map(Path::to_owned).into_iter().chain(["/usr/bin".into(), "/bin".into()]);
    let mut command = Command::new(program);
    command.args(arguments).envs(variables());
    command.env("PATH", std::env::join_paths(folders).expect("folders without a colon"));
    process::run(command, COMMAND).unwrap_or_else(|| panic!("{} {arguments:?} did not end", program.display()))
}

#[track_caller]
fn script(arguments: &[&str]) {
    let mut command = Command::new(repository().join("tests/node/cluster.sh"));
    command.args(arguments);
    let output = process::run(command, COMMAND).expect("a script that ends");
    assert_eq!(output.code, Some(0), "cluster.sh {arguments:?}: {}{}", output.stdout, output.stderr);
}

/// The administrator's client. The tests run in the network of the first node, where the API server is.
static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let token = fs::read_to_string(state().join("keys/token")).expect("a token: make test-node makes it");
    let authority = CertificateDer::from_pem_file(state().join("keys/ca.crt")).expect("the authority's certificate");
    Client::new(6443, &authority, token.trim())
});

/// Waits until a look at the cluster is as wanted.
#[track_caller]
pub fn soon<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_until(Duration::from_secs(60), what, ask)
}
