//! The page guarded: TLS from a Secret that the kubelet replaces, tokens that the cluster reviews, and what
//! `virt-otel check` says of it.

use std::net::TcpStream;
use std::time::Duration;

use lab_support::https::Https;
use lab_support::kube_client::Client;
use lab_support::{Metrics, answer_within};
use serde_json::Value;
use tempfile::TempDir;

use super::support::{Cluster, Guest, NODE1, NODE2, Pod, Release, Vm, secret, soon};

/// The release's name and namespace.
const RELEASE: &str = "virt-otel";
/// The name in the certificate: the Service's.
const NAME: &str = "virt-otel.virt-otel.svc";
/// The Secret with the certificate.
const SECRET: &str = "page";
/// Within this time a kubelet brings a changed Secret: it looks once a minute and a half at the latest, and the agent
/// believes a file that has stood for a second.
const BROUGHT: Duration = Duration::from_secs(180);

/// A certificate of an authority of its own, in the Secret.
struct Certificate {
    secret: Value,
    authority: TempDir,
}

impl Certificate {
    fn new() -> Self {
        let (secret, authority) = secret::tls(SECRET, NAME);
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("ca.crt"), authority).expect("a file");
        Self { secret, authority: folder }
    }

    /// A client that trusts its authority.
    fn client(&self) -> Https {
        Https::trusting(&self.authority.path().join("ca.crt"))
    }
}

/// The page of an agent, asked for with a token: its status and text; none without a connection that is trusted.
fn page(client: &Https, agent: &Pod, token: &str) -> Option<(u16, String)> {
    let stream = TcpStream::connect_timeout(&agent.page_address(), Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let answer = client.get_over(stream, NAME, "/metrics", if token.is_empty() { &[] } else { &headers }).ok()?;
    Some((answer.status, answer.text()))
}

/// Two accounts, one of which may read /metrics; they go when dropped.
struct Accounts<'a>(&'a Cluster);

/// Where they are, and what the role of the one is called.
const SCRAPERS: &str = "scrapers";

impl<'a> Accounts<'a> {
    #[track_caller]
    fn make(cluster: &'a Cluster) -> Self {
        cluster.ensure_namespace(SCRAPERS);
        for name in ["prometheus", "stranger"] {
            cluster.kubectl(&["create", "serviceaccount", "-n", SCRAPERS, name]);
        }
        cluster.kubectl(&["create", "clusterrole", SCRAPERS, "--verb=get", "--non-resource-url=/metrics"]);
        let (role, account) = (format!("--clusterrole={SCRAPERS}"), format!("--serviceaccount={SCRAPERS}:prometheus"));
        cluster.kubectl(&["create", "clusterrolebinding", SCRAPERS, &role, &account]);
        Self(cluster)
    }

    #[track_caller]
    fn token(&self, name: &str) -> String {
        self.0.kubectl(&["create", "token", "-n", SCRAPERS, name]).trim().to_owned()
    }
}

impl Drop for Accounts<'_> {
    fn drop(&mut self) {
        self.0.tidy(&["delete", "clusterrole,clusterrolebinding", SCRAPERS, "--ignore-not-found"]);
        self.0.tidy(&["delete", "namespace", SCRAPERS, "--ignore-not-found", "--wait"]);
    }
}

/// What `virt-otel check` finds in an agent's pod: outcome and detail, by the check.
#[track_caller]
fn findings(cluster: &Cluster, agent: &Pod) -> Vec<(String, String, String)> {
    let check = ["exec", "-n", &agent.namespace, &agent.name, "--", "virt-otel", "check", "--format", "json"];
    let output = cluster.try_kubectl(&check);
    let report: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}{}", output.stdout, output.stderr));
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("a text").to_owned();
    let all = report["findings"].as_array().expect("a list").iter();
    all.map(|one| (text(one, "check"), text(one, "outcome"), text(one, "detail"))).collect()
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn over_tls_whoever_may_read_the_page_does_and_check_finds_all_well() {
    let cluster = Cluster::alone();
    let (accounts, first) = (Accounts::make(&cluster), Certificate::new());
    let values = ["web.tls.secretName=page", "web.auth=kubernetes"];
    let release = Release::install_unready(&cluster, RELEASE, &values);
    let secrets = format!("/api/v1/namespaces/{RELEASE}/secrets");
    cluster.client.create(&secrets, &first.secret);
    release.wait_ready();
    let vm = Vm::start(&cluster, "guarded", Guest::Emulated, NODE1);
    let (prometheus, stranger) = (accounts.token("prometheus"), accounts.token("stranger"));

    let client = first.client();
    for node in [NODE1, NODE2] {
        let agent = release.on(node);
        let status = |token: &str| soon("an answer", || page(&client, &agent, token)).0;
        assert_eq!((status(""), status("nonsense"), status(&stranger)), (401, 401, 403), "{node}");
        assert_eq!(status(&prometheus), 200, "{node}");
        let plain = agent.ask(9464, "/metrics").map(|(status, _)| status);
        assert_ne!(plain, Some(200), "{node}: nothing is served without TLS");
    }
    soon("the VM", || {
        let (_, text) = page(&client, &release.on(NODE1), &prometheus)?;
        vm.is_emulated_on(&Metrics::parse(&text)).then_some(())
    });

    for node in [NODE1, NODE2] {
        let found = findings(&cluster, &release.on(node));
        let bad: Vec<_> = found.iter().filter(|(_, outcome, _)| outcome == "failure").collect();
        assert!(bad.is_empty(), "{node}: {bad:?}");
        let rights = found.iter().filter(|(check, outcome, _)| check == "kubernetes-rights" && outcome == "well");
        assert_eq!(rights.count(), 4, "{node}: {found:?}");
        let guard = found.iter().find(|(check, ..)| check == "guard").expect("a line on who may read");
        assert!(guard.2.ends_with("TLS, and clients need a token of the cluster"), "{guard:?}");
    }
    let report = cluster.run("deploy/conformance.sh", &["-n", RELEASE]);
    assert!(matches!(report.code, Some(0 | 1)), "{}{}", report.stdout, report.stderr);
    assert!(report.stdout.contains("kubernetes-rights"), "{}", report.stdout);
    assert!(!report.stdout.contains(NODE1), "nodes are numbered: {}", report.stdout);

    // The kubelet swaps the files of the Secret. The agent goes on with the new certificate, in the same process.
    let second = Certificate::new();
    let secret = Client::patch(&cluster.client, &format!("{secrets}/{SECRET}"), &second.secret);
    assert_eq!(secret["metadata"]["name"], SECRET);
    let client = second.client();
    for node in [NODE1, NODE2] {
        let agent = release.on(node);
        let brought = answer_within(BROUGHT, || page(&client, &agent, &prometheus));
        assert_eq!(brought.map(|(status, _)| status), Some(200), "{node}: {}", agent.log());
        assert!(page(&first.client(), &agent, &prometheus).is_none(), "{node}: the old one is no longer presented");
        assert!(agent.is_ready() && agent.restarts() == 0, "{node}: the probes need neither certificate nor token");
        assert!(!agent.log().contains(&prometheus), "{node}: a token is in the log");
    }
}
