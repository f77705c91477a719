//! The chart's SecurityContextConstraints, as far as they can be tried without an OpenShift: its API's schema, and the pod
//! that they are for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::manifests::{daemonset_of, try_at};
use super::support::helm::{self, RELEASE};
use super::support::{ApiServer, wait_until};

const KIND: &str = "SecurityContextConstraints";
const PLURAL: &str = "securitycontextconstraints";
const GROUP: &str = "security.openshift.io";

/// The fields of security.openshift.io/v1 by their types. What is marked must be there.
fn schema() -> Value {
    let mut fields: Map<String, Value> = Map::new();
    let must_be = [
        "allowHostDirVolumePlugin",
        "allowHostIPC",
        "allowHostNetwork",
        "allowHostPID",
        "allowHostPorts",
        "allowPrivilegedContainer",
        "readOnlyRootFilesystem",
    ];
    for name in must_be {
        fields.insert(name.to_owned(), json!({ "type": "boolean" }));
    }
    for name in ["allowPrivilegeEscalation", "defaultAllowPrivilegeEscalation"] {
        fields.insert(name.to_owned(), json!({ "type": "boolean", "nullable": true }));
    }
    for name in [
        "allowedCapabilities",
        "allowedUnsafeSysctls",
        "defaultAddCapabilities",
        "forbiddenSysctls",
        "groups",
        "requiredDropCapabilities",
        "seccompProfiles",
        "users",
        "volumes",
    ] {
        fields.insert(name.to_owned(), json!({ "type": "array", "nullable": true, "items": { "type": "string" } }));
    }
    let number = json!({ "type": "integer", "format": "int64" });
    let ranges = json!({ "type": "array", "items": {
        "type": "object", "properties": { "min": number, "max": number } } });
    let kind = json!({ "type": "string" });
    for (name, more) in [
        ("fsGroup", json!({ "ranges": ranges })),
        ("supplementalGroups", json!({ "ranges": ranges })),
        ("runAsUser", json!({ "uid": number, "uidRangeMin": number, "uidRangeMax": number })),
        (
            "seLinuxContext",
            json!({ "seLinuxOptions": { "type": "object", "properties": {
            "level": kind, "role": kind, "type": kind, "user": kind } } }),
        ),
    ] {
        let mut properties = more;
        properties["type"] = kind.clone();
        fields.insert(name.to_owned(), json!({ "type": "object", "nullable": true, "properties": properties }));
    }
    fields.insert("priority".to_owned(), json!({ "type": "integer", "format": "int32", "nullable": true }));
    for name in ["apiVersion", "kind"] {
        fields.insert(name.to_owned(), kind.clone());
    }
    fields.insert("metadata".to_owned(), json!({ "type": "object" }));
    json!({ "type": "object", "required": must_be, "properties": fields })
}

/// An API server that knows the kind.
fn openshift() -> ApiServer {
    let api = ApiServer::bare();
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{PLURAL}.{GROUP}") },
        "spec": {
            "group": GROUP, "scope": "Cluster",
            "names": { "kind": KIND, "listKind": format!("{KIND}List"), "plural": PLURAL, "singular": PLURAL },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema() } }] } });
    // A group that ends in a name of OpenShift's is nobody's here.
    api.admin().create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition);
    wait_until(std::time::Duration::from_secs(30), "the kind to be served", || {
        (api.admin().status("GET", &format!("/apis/{GROUP}/v1/{PLURAL}")) == 200).then_some(())
    });
    api.admin().ensure_namespace(RELEASE);
    api
}

/// The words of a list.
fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn the_constraints_are_of_openshifts_schema_and_allow_what_the_agents_pod_asks_for_and_no_more() {
    let api = openshift();
    let everything = helm::template(Some(&helm::chart().join("ci/everything-values.yaml")));
    let defaults =
        helm::try_template(None, &["--set", "openshift.securityContextConstraints=true,otlp.tls.secretName=a"]);
    for objects in [everything, helm::objects(&defaults.stdout)] {
        check(&api, &objects);
    }
}

/// Of one rendering.
fn check(api: &ApiServer, objects: &BTreeMap<String, String>) {
    let made = try_at(api, KIND, &format!("/apis/{GROUP}/v1/{PLURAL}"), &objects["securitycontextconstraints.yaml"]);

    let pod = daemonset_of(api, &objects["daemonset.yaml"])["spec"]["template"]["spec"].clone();
    assert!(words(&made["users"]).iter().any(|user| {
        *user == format!("system:serviceaccount:{RELEASE}:{}", pod["serviceAccountName"].as_str().expect("an account"))
    }));
    let mut volumes: BTreeSet<String> = BTreeSet::from(["projected".to_owned()]); // the account's token
    for volume in pod["volumes"].as_array().expect("volumes") {
        volumes.extend(volume.as_object().expect("a volume").keys().filter(|key| *key != "name").cloned());
    }
    assert_eq!(words(&made["volumes"]), volumes.iter().map(String::as_str).collect());
    assert_eq!(made["allowHostDirVolumePlugin"], volumes.contains("hostPath"));

    let context = &pod["containers"][0]["securityContext"];
    assert_eq!(made["allowedCapabilities"], context["capabilities"]["add"]);
    assert_eq!(made["requiredDropCapabilities"], context["capabilities"]["drop"]);
    assert_eq!(made["readOnlyRootFilesystem"], context["readOnlyRootFilesystem"]);
    assert_eq!(made["allowPrivilegedContainer"], context["privileged"]);
    assert_eq!(made["allowPrivilegeEscalation"], context["allowPrivilegeEscalation"]);
    let profile = &context["seccompProfile"];
    let profile = match profile["localhostProfile"].as_str() {
        Some(file) => format!("localhost/{file}"),
        None => "runtime/default".to_owned(),
    };
    assert_eq!(words(&made["seccompProfiles"]), BTreeSet::from([profile.as_str()]));
    // Root and a SELinux type, which the constraints leave to the pod.
    assert_eq!(context["runAsUser"], 0);
    assert!(context["seLinuxOptions"]["type"].is_string(), "{context}");
    for strategy in ["runAsUser", "seLinuxContext"] {
        assert_eq!(made[strategy]["type"], "RunAsAny", "{strategy}");
    }
    for host in ["hostIPC", "hostNetwork", "hostPID"] {
        let allow = format!("allowH{}", &host[1..]);
        assert_eq!(made[&allow].as_bool(), Some(pod[host].as_bool().unwrap_or(false)), "{allow}");
    }
}
