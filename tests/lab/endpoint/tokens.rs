//! Tokens that a real Kubernetes API server reviews.

use std::fs;
use std::time::Duration;

use super::super::check::Report;
use super::super::support::{Agent, ApiServer, Node, User, http, repository, wait_until};
use super::{Place, TLS};

/// How long something may take to show, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// The two rights that reviewing takes: those of the role `system:auth-delegator`.
const REVIEWS: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: reviews}\nrules:\n\
    - {apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}\n\
    - {apiGroups: [authorization.k8s.io], resources: [subjectaccessreviews], verbs: [create]}\n";

/// The right that a scraper takes.
const SCRAPES: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: scrapes}\nrules:\n\
    - {nonResourceURLs: [/metrics], verbs: [get]}\n";

/// A service account with the role of scrapers, or without; its token.
fn account(api: &ApiServer, name: &str, may_scrape: bool) -> String {
    drop(api.kubeconfig_for_account("monitoring", name));
    if may_scrape {
        let binding = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {name}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: scrapes}}\n\
             subjects:\n- {{kind: ServiceAccount, namespace: monitoring, name: {name}}}\n"
        );
        api.admin().create_text("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding);
    }
    api.token_of("monitoring", name)
}

#[test]
fn whoever_the_cluster_lets_read_metrics_is_served_and_nobody_else() {
    let (mut api, node) = (ApiServer::start(), Node::new("node-a"));
    let role = fs::read_to_string(repository().join("deploy/kubernetes/clusterrole.yaml")).unwrap();
    api.bind_role(&role, User::Agent);
    api.bind_role(REVIEWS, User::Agent);
    api.admin().create_text("/apis/rbac.authorization.k8s.io/v1/clusterroles", SCRAPES);
    let (prometheus, stranger) = (account(&api, "prometheus", true), account(&api, "stranger", false));

    let place = Place::new(TLS);
    let (file, health) = (place.text("web.yml"), super::super::support::free_port());
    let (kubeconfig, listen) = (api.kubeconfig_for(User::Agent), format!("127.0.0.1:{health}"));
    let (kubeconfig, pods) = (kubeconfig.display().to_string(), node.pods_dir().display().to_string());
    let arguments = [
        &["--mode", "kubevirt", "--node-name", node.name(), "--kubeconfig", &kubeconfig, "--pods-dir", &pods][..],
        &["--exporters", "prometheus", "--web-config-file", &file, "--web-auth", "kubernetes"],
        &["--health-listen", &listen],
    ]
    .concat();
    let agent = Agent::launch(&arguments, &[]);
    wait_until(SOON, "the agent to be ready without a token", || {
        http::get(health, "/readyz", &[]).ok().filter(|answer| answer.status == 200)
    });
    let status = |token: &str, path: &str| place.client(agent.port(), token).status("GET", path);
    for path in ["/metrics", "/", "/nothing"] {
        assert_eq!(status("nonsense", path), 401, "{path}");
        assert_eq!(status(&stranger, path), 403, "{path}");
    }
    assert_eq!(status(&prometheus, "/metrics"), 200);
    assert_eq!(status(&prometheus, "/"), 200);
    let page = place.client(agent.port(), &prometheus).request("GET", "/metrics", None).unwrap().text();
    assert!(page.contains("virt_otel_requests_refused_total{reason=\"forbidden\"} 3"), "{page}");

    // The check has no token: it finds the agent behind TLS all the same, and its rights.
    let place_of_agent = format!("127.0.0.1:{}", agent.port());
    let report = Report::of(&[&["--listen", &place_of_agent], &arguments[..]].concat(), &[]);
    let rights: Vec<&str> = report.said("kubernetes-rights").iter().map(|(outcome, _)| *outcome).collect();
    assert_eq!(rights, ["well"; 4]);
    for check in ["listen", "listen-health"] {
        let (outcome, detail) = report.one(check);
        assert!(outcome == "well" && detail.ends_with("a virt-otel serves there"), "{check}: {detail}");
    }
    assert!(report.one("guard").1.ends_with("TLS, and clients need a token of the cluster"));

    // While the API is away, whoever is known goes on for a minute, and others are told to come back.
    let late = account(&api, "late", true);
    api.stop();
    assert_eq!(status(&prometheus, "/metrics"), 200);
    assert_eq!(status(&late, "/metrics"), 503);
    assert_eq!(http::get(health, "/livez", &[]).unwrap().status, 200);
    api.start_again();
    wait_until(SOON, "the new token to be reviewed", || (status(&late, "/metrics") == 200).then_some(()));
    let told = |what: &str| agent.log().matches(what).count();
    assert_eq!((told("bearer tokens cannot be reviewed"), told("bearer tokens are reviewed again")), (1, 1));
    for secret in [&prometheus, &stranger, &late] {
        assert!(!agent.log().contains(secret.as_str()), "a token is in the log");
    }
}
