//! The agent, installed.

use std::time::Duration;

use lab_support::{Metrics, answer_within, helm, repository};

use super::cluster::{Cluster, NODE1, NODE2, soon};
use super::pod::Pod;

/// An installation in a namespace of its own; it goes with its namespace when dropped.
pub struct Release<'a> {
    cluster: &'a Cluster,
    pub name: String,
    by: By,
}

/// What has installed it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Helm,
    Kubectl,
}

/// Whom the NetworkPolicy lets in: its default, and the nodes, from which the tests look at the pages of both.
const SCRAPERS: [&str; 2] = [
    "networkPolicy.from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring",
    "networkPolicy.from[1].ipBlock.cidr=10.77.0.0/24",
];

impl<'a> Release<'a> {
    /// Installs it with these values, and waits until every agent is ready.
    #[track_caller]
    pub fn install(cluster: &'a Cluster, name: &str, values: &[&str]) -> Release<'a> {
        let release = Release::install_unready(cluster, name, values);
        release.wait_ready();
        release
    }

    /// Installs it with these values.
    #[track_caller]
    pub fn install_unready(cluster: &'a Cluster, name: &str, values: &[&str]) -> Release<'a> {
        cluster.make_namespace(name);
        let release = Release { cluster, name: name.to_owned(), by: By::Helm };
        release.helm("install", values);
        release
    }

    /// The one that `kubectl apply -k deploy/kubernetes` has made; the nodes are let in as by the chart.
    #[track_caller]
    pub fn of_manifests(cluster: &'a Cluster) -> Release<'a> {
        let nodes =
            r#"[{"op": "add", "path": "/spec/ingress/0/from/-", "value": {"ipBlock": {"cidr": "10.77.0.0/24"}}}]"#;
        let policy = ["patch", "networkpolicy", helm::RELEASE, "-n", helm::RELEASE, "--type=json", "-p", nodes];
        cluster.kubectl(&policy);
        Release { cluster, name: helm::RELEASE.to_owned(), by: By::Kubectl }
    }

    /// `helm upgrade` with these values alone.
    #[track_caller]
    pub fn upgrade(&self, values: &[&str]) {
        self.helm("upgrade", values);
    }

    /// `helm upgrade` without any value: the chart as a user gets it, which keeps these tests away from the pages as well.
    #[track_caller]
    pub fn upgrade_to_default(&self) {
        // Without a value Helm keeps those of before.
        self.helm_with("upgrade", &[], &["--reset-values"]);
    }

    #[track_caller]
    fn helm(&self, what: &str, values: &[&str]) {
        self.helm_with(what, &[&SCRAPERS[..], values].concat(), &[]);
    }

    #[track_caller]
    fn helm_with(&self, what: &str, values: &[&str], more: &[&str]) {
        let chart = helm::chart().display().to_string();
        let mut arguments = vec![what, &self.name, &chart, "--namespace", &self.name];
        arguments.extend_from_slice(more);
        values.iter().for_each(|value| arguments.extend(["--set", value]));
        self.cluster.helm(&arguments);
    }

    /// The name of its DaemonSet.
    pub fn daemon_set(&self) -> String {
        let fullname =
            if self.name.contains("virt-otel") { self.name.clone() } else { format!("{}-virt-otel", self.name) };
        format!("daemonset/{fullname}")
    }

    /// Waits until the agent of every node is ready, and of the newest version.
    #[track_caller]
    pub fn wait_ready(&self) {
        self.cluster.kubectl(&["rollout", "status", "-n", &self.name, &self.daemon_set(), "--timeout=90s"]);
    }

    /// Its pods, except those that are ending.
    #[track_caller]
    pub fn pods(&self) -> Vec<Pod<'a>> {
        let instance = format!("app.kubernetes.io/instance={}", self.name);
        let mut pods = self.cluster.list(&["pods", "-n", &self.name, "-l", &instance]);
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null() && pod["spec"]["nodeName"].is_string());
        pods.iter().map(|pod| Pod::of(self.cluster, pod)).collect()
    }

    /// The agent of a node.
    #[track_caller]
    pub fn on(&self, node: &str) -> Pod<'a> {
        soon(&format!("an agent of {} on {node}", self.name), || self.pods().into_iter().find(|pod| pod.node == node))
    }

    /// Waits until the page of a node's agent is as wanted.
    #[track_caller]
    pub fn wait_for(&self, node: &str, what: &str, wanted: impl Fn(&Metrics) -> bool) -> Metrics {
        let found = answer_within(Duration::from_secs(60), || {
            let page = self.on(node).page();
            wanted(&page).then_some(page)
        });
        found.unwrap_or_else(|| panic!("in vain: {what}; the agent's log:\n{}", self.on(node).log()))
    }

    /// No agent was killed for its memory or came to its limit.
    #[track_caller]
    pub fn check_memory(&self) {
        let pods = self.pods();
        assert!(pods.iter().any(|pod| pod.node == NODE1 || pod.node == NODE2), "no agent runs any more");
        pods.iter().for_each(Pod::check_memory);
    }

    /// Removes it as the README says.
    #[track_caller]
    fn uninstall(&self) {
        if self.by == By::Kubectl {
            let manifests = repository().join("deploy/kubernetes").display().to_string();
            self.cluster.tidy(&["delete", "--wait", "--ignore-not-found", "-k", &manifests]);
            return;
        }
        self.cluster.uninstall(&self.name);
    }
}

impl Cluster {
    /// Removes a release of Helm, if it is there, and its namespace, which has the same name.
    #[track_caller]
    pub fn uninstall(&self, release: &str) {
        self.helm(&["uninstall", release, "--namespace", release, "--wait", "--ignore-not-found"]);
        self.tidy(&["delete", "namespace", release, "--ignore-not-found", "--wait"]);
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (label, all) = (format!("app.kubernetes.io/instance={}", self.name), "--all-containers");
            let log = self.cluster.try_kubectl(&["logs", "-n", &self.name, "-l", &label, all, "--prefix", "--tail=60"]);
            println!("the end of the logs:\n{}{}", log.stdout, log.stderr);
        } else {
            self.check_memory();
        }
        self.uninstall();
    }
}
