//! Everything shipped for Kubernetes, on a real API server: each object is decoded strictly, and the sidecar's policy
//! is applied to pods as KubeVirt makes them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use virt_otel::config::{self, Environment, Invocation};

use super::support::helm::{self, RELEASE};
use super::support::pki::{Authority, Subject};
use super::support::{ApiServer, repository, wait_until};

/// Kinds that Kubernetes itself does not define. tests/lab/chart.rs checks their text, and tests/lab/openshift.rs the
/// last.
const FOREIGN: [&str; 6] =
    ["Certificate", "Kustomization", "PrometheusRule", "ServiceMonitor", "PodMonitor", "SecurityContextConstraints"];

/// The value of a key at the beginning of a line.
fn field<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    object.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

/// The collection of such an object.
#[track_caller]
fn collection(object: &str) -> Option<String> {
    let kind = field(object, "kind").unwrap_or_else(|| panic!("no kind: {object}"));
    if FOREIGN.contains(&kind) {
        return None;
    }
    let version = field(object, "apiVersion").expect("an apiVersion");
    let (root, plural) = (if version == "v1" { "/api" } else { "/apis" }, format!("{}s", kind.to_lowercase()));
    let plural = plural.replace("policys", "policies");
    let namespace = field(object, "  namespace").map(|name| format!("namespaces/{name}/")).unwrap_or_default();
    Some(format!("{root}/{version}/{namespace}{plural}"))
}

/// The object as the API server would store it. The server must accept it without even a warning.
#[track_caller]
fn try_on(api: &ApiServer, name: &str, object: &str) -> Option<Value> {
    Some(try_at(api, name, &collection(object)?, object))
}

/// [`try_on`] in a collection.
#[track_caller]
pub fn try_at(api: &ApiServer, name: &str, collection: &str, object: &str) -> Value {
    let path = format!("{collection}?dryRun=All&fieldValidation=Strict");
    let answer = api.admin().request("POST", &path, Some(("application/yaml", object.as_bytes()))).unwrap();
    assert_eq!(answer.status, 201, "{name}: {}", answer.text());
    assert_eq!(answer.header("warning"), None, "{name}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// A DaemonSet as the API server would store it.
#[track_caller]
pub fn daemonset_of(api: &ApiServer, object: &str) -> Value {
    try_on(api, "the DaemonSet", object).expect("a kind of Kubernetes")
}

#[track_caller]
fn read(path: &str) -> String {
    fs::read_to_string(repository().join("deploy").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The objects of one file.
fn objects(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n---\n")
}

#[test]
fn a_real_server_takes_every_object_that_ships() {
    let api = ApiServer::start();
    api.admin().create_text("/api/v1/namespaces", &read("kubernetes/namespace.yaml"));
    let mut kinds = Vec::new();
    for folder in ["kubernetes", "sidecar"] {
        for entry in fs::read_dir(repository().join("deploy").join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().display());
            if name == "kubernetes/namespace.yaml" {
                continue; // made above: the others are in it
            }
            for object in objects(&read(&name)) {
                kinds.extend(try_on(&api, &name, object).map(|made| made["kind"].as_str().unwrap().to_owned()));
            }
        }
    }
    kinds.sort();
    let wanted = [
        "ClusterRole",
        "ClusterRoleBinding",
        "DaemonSet",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "NetworkPolicy",
        "Service",
        "ServiceAccount",
    ];
    assert_eq!(kinds, wanted);
    for values in helm::values() {
        for (template, object) in helm::template(Some(&values)) {
            try_on(&api, &format!("{template} with {}", values.display()), &object);
        }
    }
}

#[test]
fn the_role_is_to_see_vmis_and_nothing_else() {
    let api = ApiServer::start();
    let role = try_on(&api, "the role", &read("kubernetes/clusterrole.yaml")).unwrap();
    let rule = json!({
        "apiGroups": ["kubevirt.io"], "resources": ["virtualmachineinstances"], "verbs": ["get", "list", "watch"] });
    assert_eq!(role["rules"], json!([rule]));
    assert_eq!(role["aggregationRule"], Value::Null);
    let binding = try_on(&api, "its binding", &read("kubernetes/clusterrolebinding.yaml")).unwrap();
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let account = json!([{ "kind": "ServiceAccount", "name": RELEASE, "namespace": RELEASE }]);
    assert_eq!(binding["subjects"], account);
}

/// A pod as a DaemonSet's controller would make it.
fn pod_of(daemonset: &Value) -> Value {
    let template = &daemonset["spec"]["template"];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "generateName": "agent-", "labels": template["metadata"]["labels"] }, "spec": template["spec"] })
}

#[test]
fn the_agents_pod_needs_its_namespace_and_is_let_into_it() {
    let api = ApiServer::start();
    api.admin().create_text("/api/v1/namespaces", &read("kubernetes/namespace.yaml"));
    let pod = pod_of(&try_on(&api, "the DaemonSet", &read("kubernetes/daemonset.yaml")).unwrap());
    let made = api.admin().create(&format!("/api/v1/namespaces/{RELEASE}/pods?dryRun=All"), &pod);
    assert_eq!(made["spec"]["containers"][0]["securityContext"]["capabilities"]["add"], json!(["DAC_OVERRIDE"]));
    assert_eq!(made["spec"]["serviceAccountName"], RELEASE);

    // The next stricter level refuses it, so the namespace's label is needed.
    let baseline = json!({ "metadata": {
        "name": "baseline", "labels": { "pod-security.kubernetes.io/enforce": "baseline" } } });
    api.admin().create("/api/v1/namespaces", &baseline);
    let (path, body) = ("/api/v1/namespaces/baseline/pods?dryRun=All", pod.to_string());
    let answer = api.admin().request("POST", path, Some(("application/json", body.as_bytes()))).unwrap();
    assert_eq!(answer.status, 403, "{}", answer.text());
    for reason in ["hostPath volumes", "spc_t"] {
        assert!(answer.text().contains(reason), "{reason}: {}", answer.text());
    }
}

/// Where the chart mounts files.
const FILES: &str = "/etc/virt-otel";

/// The variables of an agent's container. What Kubernetes would fill in has a plausible value, and the files that it would
/// mount are in this folder.
fn environment(container: &Value, files: &Path) -> Environment {
    let variables = container["env"].as_array().expect("variables");
    variables
        .iter()
        .map(|variable| {
            let name = variable["name"].as_str().unwrap().to_owned();
            let value =
                variable["value"].as_str().map(str::to_owned).unwrap_or_else(
                    || match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                        Some("spec.nodeName") => "worker-1".to_owned(),
                        Some("metadata.namespace") => "shop".to_owned(),
                        Some("metadata.uid") => "6695eb01-7f0e-4c3a-9a54-1f4d1c0f3b5e".to_owned(),
                        field => panic!("{name} is of {field:?}"),
                    },
                );
            (name, value.replace(FILES, &files.display().to_string()))
        })
        .collect()
}

#[track_caller]
fn configured(container: &Value, web: Option<&String>) -> Box<config::Run> {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path();
    let file = |name: &str, text: &str| fs::write(files.join(name), text).unwrap();
    for part in ["tls", "headers", "web", "web-tls"] {
        fs::create_dir(files.join(part)).unwrap();
    }
    file("headers/token", "authorization: secret\n");
    let authority = Authority::new("the cluster's");
    for (certificate, key, own) in
        [("tls/tls.crt", "tls/tls.key", "tls/authority.pem"), ("web-tls/tls.crt", "web-tls/tls.key", "web-tls/ca.crt")]
    {
        authority.issue(Subject::Names(&["collector.example.com"]), &files.join(certificate), &files.join(key));
        authority.write(&files.join(own));
    }
    if let Some(secret) = web {
        let (_, text) = secret.split_once("web-config.yaml: |\n").expect("the file");
        let lines = text.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
        file("web/web-config.yaml", &lines.collect::<Vec<_>>().join("\n").replace(FILES, &files.display().to_string()));
    }
    let mut arguments = vec!["virt-otel"];
    arguments.extend(container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()));
    match config::parse(arguments, &environment(container, files)) {
        Ok(Invocation::Run(run)) => run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_agent_understands_what_the_chart_tells_it() {
    let api = ApiServer::start();
    for namespace in [RELEASE, "shop"] {
        api.admin().ensure_namespace(namespace);
    }
    let values = helm::values();
    for file in [None].into_iter().chain(values.iter().map(|file| Some(file.as_path()))) {
        let objects = helm::template(file);
        let made = try_on(&api, "the DaemonSet", &objects["daemonset.yaml"]).unwrap();
        let container = &made["spec"]["template"]["spec"]["containers"][0];
        let run = configured(container, objects.get("web.yaml"));
        assert_eq!(run.warnings, Vec::<String>::new(), "{file:?}");
        assert_eq!(run.source.vms.to_string(), "the VMIs of node worker-1");
        assert_eq!(u64::from(run.listen.port), container["ports"][0]["containerPort"].as_u64().unwrap(), "{file:?}");
        let health = run.health_listen.as_ref().expect("an address for the probes");
        assert_eq!(u64::from(health.port), container["ports"][1]["containerPort"].as_u64().unwrap(), "{file:?}");
        for probe in ["livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], container["ports"][1]["name"], "{file:?}: {probe}");
        }
        let name = file.and_then(Path::file_stem).map(|name| name.to_string_lossy().into_owned());
        match name.as_deref() {
            None => {
                assert!(run.prometheus && run.otlp_metrics.is_some());
                assert_eq!(run.reading.interval, Duration::from_secs(15));
                assert!(run.served.vm.iter().all(|row| row.metric.kubevirts().is_none()), "{:?}", run.served);
                assert!(run.pushed.vm.iter().any(|row| row.metric.kubevirts().is_some()), "{:?}", run.pushed);
            }
            Some("beside-kubevirt-values") => {
                assert!(run.prometheus && run.otlp_metrics.is_none());
                let published: Vec<_> = run.served.vm.iter().map(|row| row.name.as_str()).collect();
                assert!(published.contains(&"kubevirt.vmi.hypervisor.info"), "{published:?}");
                assert!(!published.iter().any(|name| name.starts_with("kubevirt.vmi.cpu")), "{published:?}");
            }
            Some(_) => {
                let otlp = run.otlp_metrics.as_ref().expect("a Collector");
                assert!(otlp.headers_file.is_some(), "{otlp:?}");
                let mounts = container["volumeMounts"].as_array().unwrap().iter();
                let mounted: Vec<_> = mounts.filter_map(|mount| mount["mountPath"].as_str()).collect();
                let wanted = ["headers", "tls", "web", "web-tls"].map(|part| format!("{FILES}/{part}"));
                assert_eq!(mounted[1..], wanted);
                assert!(otlp.ca_file.is_some() && otlp.client_files.is_some(), "{otlp:?}");
                let config::Vms::Kubevirt(kubevirt) = &run.source.vms else { panic!("{:?}", run.source.vms) };
                assert_eq!(kubevirt.vmi_labels, ["app", "app.kubernetes.io/part-of"]);
                assert_eq!(kubevirt.vmi_selector.as_deref(), Some("app in (shop,bank),!legacy"));
                assert!(run.source.choice.wants("shop/web") && !run.source.choice.wants("shop/web-test"));
                assert!(kubevirt.streaming_lists && kubevirt.push_beside_sidecar);
                assert_eq!(run.reading.interval, Duration::from_secs(10));
                let cluster = ("k8s.cluster.name".to_owned(), "production".to_owned());
                assert!(run.identity.common_attributes.contains(&cluster), "{:?}", run.identity);
                assert!(run.served.vm.iter().any(|row| row.metric.kubevirts().is_some()), "{:?}", run.served);
                assert!(run.pushed.vm.iter().all(|row| row.metric.kubevirts().is_none()), "{:?}", run.pushed);
                let intervals: std::collections::BTreeSet<_> = run.reading.groups.values().collect();
                assert_eq!(intervals.len(), 3, "{intervals:?}");
            }
        }
    }
}

/// A VM's pod as KubeVirt makes it, reduced to what matters here: allowed under the strictest Pod Security, with QoS
/// class Guaranteed.
fn launcher_pod(change: &Value) -> Value {
    let security = json!({
        "runAsNonRoot": true, "runAsUser": 107, "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" } });
    let amount = json!({ "cpu": "1", "memory": "256Mi" });
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "generateName": "virt-launcher-web-", "labels": { "kubevirt.io": "virt-launcher" } },
        "spec": {
            "containers": [{
                "name": "compute", "image": "virt-launcher", "securityContext": security,
                "resources": { "requests": amount, "limits": amount },
                "volumeMounts": [{ "name": "libvirt-runtime", "mountPath": "/var/run/libvirt" }] }],
            "volumes": [{ "name": "libvirt-runtime", "emptyDir": {} }] } });
    merge(&mut pod, change);
    pod
}

/// A merge patch: null removes.
fn merge(object: &mut Value, change: &Value) {
    match (object, change) {
        (Value::Object(object), Value::Object(change)) => {
            for (key, change) in change {
                if change.is_null() {
                    object.remove(key);
                } else {
                    merge(object.entry(key).or_insert(Value::Null), change);
                }
            }
        }
        (object, change) => *object = change.clone(),
    }
}

/// The names of a pod's init containers.
fn init_containers(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["initContainers"].as_array().map(Vec::as_slice).unwrap_or_default();
    containers.iter().map(|container| container["name"].as_str().unwrap()).collect()
}

#[test]
fn the_policy_gives_each_new_launcher_of_an_opted_in_namespace_one_agent() {
    let api = ApiServer::start();
    for (name, labels) in [
        ("shop", json!({ "virt-otel/sidecar": "enabled", "pod-security.kubernetes.io/enforce": "restricted" })),
        ("bank", json!({})),
    ] {
        api.admin().create("/api/v1/namespaces", &json!({ "metadata": { "name": name, "labels": labels } }));
    }
    let create = |namespace: &str, pod: &Value| {
        api.admin().create(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), pod)
    };
    let plain = launcher_pod(&json!({}));
    assert_eq!(init_containers(&create("shop", &plain)), [""; 0], "before there is a policy");
    for object in objects(&read("sidecar/policy.yaml")) {
        api.admin().create_text(&collection(object).unwrap(), object);
    }
    let made = wait_until(Duration::from_secs(20), "the policy to take effect", || {
        let made = create("shop", &plain);
        (!init_containers(&made).is_empty()).then_some(made)
    });

    let agent = &made["spec"]["initContainers"][0];
    assert_eq!((agent["name"].as_str(), agent["restartPolicy"].as_str()), (Some("virt-otel"), Some("Always")));
    assert_eq!(agent["volumeMounts"][0]["name"], "libvirt-runtime");
    assert_eq!(agent["volumeMounts"][0]["readOnly"], true);
    assert_eq!(agent["securityContext"]["runAsUser"], 107);
    assert_eq!(made["status"]["qosClass"], "Guaranteed", "as it was without the agent");
    let run = configured(agent, None);
    assert_eq!(run.warnings, Vec::<String>::new());
    assert!(run.otlp_metrics.is_some() && !run.prometheus);
    let config::Vms::Sidecar(sidecar) = &run.source.vms else { panic!("{:?}", run.source.vms) };
    assert_eq!((sidecar.namespace.as_str(), sidecar.node.as_str()), ("shop", "worker-1"));
    let mounted = agent["volumeMounts"][0]["mountPath"].as_str().unwrap();
    assert!(sidecar.socket.starts_with(mounted), "{} is not below {mounted}", sidecar.socket.display());

    let own = json!({ "name": "container-disk", "image": "disk", "securityContext": plain["spec"]["containers"][0]["securityContext"] });
    let theirs = json!({ "spec": { "initContainers": [own] } });
    assert_eq!(init_containers(&create("shop", &launcher_pod(&theirs))), ["container-disk", "virt-otel"]);

    let with_agent = json!({ "spec": { "initContainers": [agent] } });
    for (namespace, change, expected, why) in [
        ("bank", json!({}), &[][..], "its namespace has not opted in"),
        ("shop", json!({ "metadata": { "labels": { "kubevirt.io": "virt-handler" } } }), &[], "it is no launcher"),
        ("shop", json!({ "metadata": { "labels": null } }), &[], "it is a pod like any other"),
        (
            "shop",
            json!({ "spec": {
                "volumes": [{ "name": "other", "emptyDir": {} }],
                "containers": [{
                    "name": "compute", "image": "x",
                    "securityContext": plain["spec"]["containers"][0]["securityContext"] }] } }),
            &[],
            "it has no libvirt",
        ),
        ("shop", with_agent, &["virt-otel"], "it has an agent"),
    ] {
        assert_eq!(init_containers(&create(namespace, &launcher_pod(&change))), expected, "{why}");
    }
}
