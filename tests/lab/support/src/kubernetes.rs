//! A real Kubernetes API server with its store, and with roles that are enforced.
//!
//! It serves VirtualMachineInstances as in a KubeVirt cluster. No more is needed, because only the tests act on them
//! (there is no kubelet, scheduler or KubeVirt).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http;
use super::kube_client::{Client, VMIS};
use super::process::{self, Exit, Process};
use super::{free_port, prepared, uuid, wait_until};

/// The users there are. Only the administrator may do anything before a role is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// May do everything.
    Admin,
    /// The agent's user.
    Agent,
    /// Has no role.
    Stranger,
}

impl User {
    const ALL: [User; 3] = [User::Admin, User::Agent, User::Stranger];

    /// Its name, in roles and in what the server says.
    pub fn name(self) -> &'static str {
        match self {
            User::Admin => "lab:admin",
            User::Agent => "lab:agent",
            User::Stranger => "lab:stranger",
        }
    }
}

/// A running API server with its etcd; both are killed when dropped.
pub struct ApiServer {
    server: Option<Process>,
    etcd: Option<Process>,
    port: u16,
    etcd_ports: [u16; 2],
    tokens: Vec<(User, String)>,
    admin: Client,
    folder: TempDir,
}

impl ApiServer {
    /// Starts both on free ports, waits until roles are enforced, and defines VirtualMachineInstances.
    #[track_caller]
    pub fn start() -> ApiServer {
        let api = ApiServer::bare();
        api.create_crd_vmi();
        api
    }

    /// [`start`](Self::start) of a cluster without KubeVirt.
    #[track_caller]
    pub fn bare() -> ApiServer {
        let folder = tempfile::Builder::new().prefix("lab-api-").tempdir().expect("a temporary folder");
        let authority = write_keys(folder.path());
        let tokens: Vec<_> = User::ALL.iter().map(|&user| (user, uuid())).collect();
        let lines: Vec<_> = tokens
            .iter()
            .map(|(user, token)| {
                let groups = if *user == User::Admin { ",\"system:masters\"" } else { "" };
                format!("{token},{name},{name}{groups}", name = user.name())
            })
            .collect();
        fs::write(folder.path().join("tokens.csv"), lines.join("\n") + "\n").expect("the file of tokens");
        let port = free_port();
        let admin = Client::new(port, &authority, &tokens[0].1);
        let etcd_ports = [free_port(), free_port()];
        let mut api = ApiServer { server: None, etcd: None, port, etcd_ports, tokens, admin, folder };
        api.start_etcd();
        api.start_again();
        api
    }

    fn start_etcd(&mut self) {
        let [client, peer] = self.etcd_ports.map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new(prepared("apiserver", "bin/etcd"));
        command.args(["--name", "lab", "--data-dir"]).arg(self.folder.path().join("etcd"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("lab={peer}"), "--log-level", "warn"]);
        let mut etcd = Process::spawn("etcd", command, &self.folder.path().join("etcd.log"));
        let port = self.etcd_ports[0];
        etcd.wait_ready(Duration::from_secs(30), || {
            http::get(port, "/health", &[]).is_ok_and(|response| response.text().contains("true")).then_some(())
        });
        self.etcd = Some(etcd);
    }

    /// Starts the API server on the same port as before, with everything that it knew.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "this API server runs already");
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new(prepared("apiserver", "bin/kube-apiserver"));
        command.arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_ports[0]));
        command.args(["--bind-address=127.0.0.1".to_owned(), format!("--secure-port={}", self.port)]);
        // Otherwise it needs an address that pods could reach, and the machine may have none.
        command.args(["--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
        command.args([format!("--tls-cert-file={}", file("server.pem"))]);
        command.args([format!("--tls-private-key-file={}", file("server.key"))]);
        command.arg(format!("--cert-dir={}", file("certificates")));
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        command.arg(format!("--service-account-key-file={}", file("accounts.pem")));
        command.arg(format!("--service-account-signing-key-file={}", file("accounts.key")));
        command.arg(format!("--token-auth-file={}", file("tokens.csv")));
        command.args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"]);
        // It gives pods their accounts, and there are none here.
        command.arg("--disable-admission-plugins=ServiceAccount");
        let mut server = Process::spawn("kube-apiserver", command, &self.log_file());
        server.wait_ready(Duration::from_secs(90), || {
            let answer = self.admin.request("GET", "/readyz", None).ok()?;
            (answer.status == 200).then_some(())
        });
        self.server = Some(server);
    }

    /// Ends the API server at once, and with it all connections to it; the store goes on.
    #[track_caller]
    pub fn stop(&mut self) -> Exit {
        let mut server = self.server.take().expect("an API server that runs");
        process::signal(server.pid(), Signal::KILL);
        server.wait_end(Duration::from_secs(20))
    }

    /// Freezes the API server with SIGSTOP: connections open, nobody answers.
    #[track_caller]
    pub fn freeze(&self) {
        process::signal(self.pid(), Signal::STOP);
    }

    /// Lets a frozen API server go on.
    #[track_caller]
    pub fn thaw(&self) {
        process::signal(self.pid(), Signal::CONT);
    }

    /// An outage during which things change unseen: the API server is gone from its port, and meanwhile another one, on
    /// an unknown port, accepts the changes.
    #[track_caller]
    pub fn outage(&mut self, meanwhile: impl FnOnce(&ApiServer)) {
        let known = self.go_away(meanwhile);
        self.come_back(known);
    }

    /// An [`outage`](Self::outage) after which all history is forgotten: a client that resumes a watch from what it
    /// last saw is answered 410 Gone.
    ///
    /// Both keep a history, so both lose it: the store is compacted, and the API server starts with an empty cache.
    #[track_caller]
    pub fn expire_history(&mut self, meanwhile: impl FnOnce(&ApiServer)) {
        let known = self.go_away(meanwhile);
        self.compact();
        self.come_back(known);
    }

    #[track_caller]
    fn go_away(&mut self, meanwhile: impl FnOnce(&ApiServer)) -> u16 {
        self.stop();
        let known = self.port;
        self.move_to(free_port());
        self.start_again();
        meanwhile(self);
        self.stop();
        known
    }

    #[track_caller]
    fn come_back(&mut self, port: u16) {
        self.move_to(port);
        self.start_again();
    }

    fn move_to(&mut self, port: u16) {
        self.port = port;
        self.admin = self.admin.on_port(port);
    }

    /// Compacts the store up to now.
    #[track_caller]
    fn compact(&self) {
        let ask = |path: &str, body: &Value| -> Value {
            let json = [("Content-Type", "application/json")];
            let answer = http::post(self.etcd_ports[0], path, &json, body.to_string().as_bytes());
            let answer = answer.expect("an answer of etcd");
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            serde_json::from_slice(&answer.body).expect("JSON of etcd")
        };
        // The key "k" in base64; only the revision matters, not the value.
        let revision = ask("/v3/kv/range", &json!({ "key": "aw==" }))["header"]["revision"].clone();
        ask("/v3/kv/compaction", &json!({ "revision": revision, "physical": true }));
    }

    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("an API server that runs").pid()
    }

    /// The process id of its store.
    #[track_caller]
    pub fn etcd_pid(&self) -> u32 {
        self.etcd.as_ref().expect("a running etcd").pid()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything the API server has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("kube-apiserver.log")
    }

    /// The administrator's client.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// A client of this user.
    pub fn client(&self, user: User) -> Client {
        self.admin.with_token(self.token(user))
    }

    fn token(&self, user: User) -> &str {
        let (_, token) = self.tokens.iter().find(|(known, _)| *known == user).expect("a token for every user");
        token
    }

    /// The certificate of the authority that signed the server's.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A kubeconfig for this user.
    #[track_caller]
    pub fn kubeconfig_for(&self, user: User) -> PathBuf {
        self.kubeconfig(user.name(), self.token(user), self.port)
    }

    /// A kubeconfig for this user through another port, such as a proxy's.
    #[track_caller]
    pub fn kubeconfig_through(&self, user: User, port: u16) -> PathBuf {
        self.kubeconfig(user.name(), self.token(user), port)
    }

    /// A kubeconfig for a service account, created with its namespace if missing, with a token valid for an hour.
    #[track_caller]
    pub fn kubeconfig_for_account(&self, namespace: &str, name: &str) -> PathBuf {
        self.admin.ensure_namespace(namespace);
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.admin.create(&accounts, &json!({ "metadata": { "name": name } }));
        self.kubeconfig(&format!("{namespace}-{name}"), &self.token_of(namespace, name), self.port)
    }

    /// A token of an existing service account, valid for an hour.
    #[track_caller]
    pub fn token_of(&self, namespace: &str, name: &str) -> String {
        let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let answer = self.admin.create(&path, &request);
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    fn kubeconfig(&self, name: &str, token: &str, port: u16) -> PathBuf {
        let authority = self.authority_file();
        // JSON is YAML, too.
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "certificate-authority": authority } }],
            "users": [{ "name": name, "user": { "token": token } }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": name } }],
        });
        let file = self.folder.path().join(format!("kubeconfig-{}-{port}", name.replace(':', "-")));
        fs::write(&file, text.to_string()).expect("a kubeconfig");
        file
    }

    /// Defines VirtualMachineInstances as KubeVirt does: no status subresource, no selectable fields. Their content is
    /// not checked, so that a test can write what KubeVirt never would.
    #[track_caller]
    pub fn create_crd_vmi(&self) {
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "virtualmachineinstances.kubevirt.io" },
            "spec": {
                "group": "kubevirt.io", "scope": "Namespaced",
                "names": {
                    "kind": "VirtualMachineInstance", "listKind": "VirtualMachineInstanceList",
                    "plural": "virtualmachineinstances", "singular": "virtualmachineinstance",
                    "shortNames": ["vmi", "vmis"] },
                "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] },
        });
        self.admin.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd);
        wait_until(Duration::from_secs(30), "VirtualMachineInstances to be served", || {
            let answer = self.admin.request("GET", VMIS, None).ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// Makes the cluster role of a manifest, which may hold other objects too, and binds it to a user.
    #[track_caller]
    pub fn bind_cluster_role(&self, file: &Path, user: User) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let role = text
            .split("\n---")
            .find(|document| document.lines().any(|line| line.trim_end() == "kind: ClusterRole"))
            .unwrap_or_else(|| panic!("{} has no ClusterRole", file.display()));
        self.bind_role(role, user);
    }

    /// [`bind_cluster_role`](Self::bind_cluster_role) of a role written in YAML or JSON.
    #[track_caller]
    pub fn bind_role(&self, role: &str, user: User) {
        const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
        let made = self.admin.create_text(&format!("{RBAC}/clusterroles"), role);
        let name = made["metadata"]["name"].as_str().expect("the role's name");
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": format!("{name}-{}", user.name()) },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name() }],
        });
        self.admin.create(&format!("{RBAC}/clusterrolebindings"), &binding);
    }
}

/// Writes the keys and certificates of a server, and returns the certificate of their authority.
fn write_keys(folder: &Path) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of the lab");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("parameters");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let accounts = KeyPair::generate().expect("a key");
    for (name, text) in [
        ("authority.pem", authority.pem()),
        ("server.pem", certificate.pem()),
        ("server.key", key.serialize_pem()),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pem", accounts.public_key_pem()),
    ] {
        fs::write(folder.join(name), text).expect("a file of keys");
    }
    authority.der().to_vec()
}
