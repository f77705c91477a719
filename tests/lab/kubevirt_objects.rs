//! VMIs as the Kubernetes API may give them: very many, very large, and full of nonsense. The API server accepts them
//! all, because only the metadata has a schema here.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::kubevirt_api::{SHOP, SOON, guest, kind, own, read_on};
use super::support::cluster::{HYPERVISOR, hypervisor};
use super::support::prometheus::promtool;
use super::support::{Agent, Cluster, Metrics, Node, User, Vmi, kvm, uuid, wait_until};

/// How many VMIs a large node has.
const MANY: usize = 500;
/// How much peak resident memory they may cost, compared with an agent without any.
const MANY_COST: u64 = 80 << 20;
/// The creating threads.
const MAKERS: usize = 4;

const CPU: &str = "kubevirt_vmi_cpu_usage_seconds_total";

/// An amount in MiB, with one decimal.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[test]
fn five_hundred_vmis_listed_at_once_cost_little_memory_and_hold_up_no_vm() {
    let cluster = Cluster::start();
    let (node, empty) = (Node::new("node-a"), Node::new("node-b"));
    // In the middle of the others.
    let launcher = guest(&node, "vm-250");
    // KubeVirt's objects contain some KiB of last-applied configuration, and more conditions, volumes and devices than
    // ours.
    let applied = json!({ "metadata": { "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{}} ".repeat(300) } } });
    std::thread::scope(|scope| {
        for maker in 0..MAKERS {
            let (cluster, node, launcher, applied) = (&cluster, &node, &launcher, &applied);
            scope.spawn(move || {
                for number in (maker..MANY).step_by(MAKERS) {
                    let place = if number == 250 { launcher.place().clone() } else { node.place() };
                    Vmi::create_running_with(&cluster.api, SHOP, &format!("vm-{number:03}"), &place, applied);
                }
            });
        }
    });
    let list = cluster.api.admin().get("/apis/kubevirt.io/v1/namespaces/shop/virtualmachineinstances?limit=10");
    let size = list["items"].to_string().len() / 10;
    assert!(size > 8_000, "an object has only {size} bytes");

    let idle = cluster.agent(&empty, None);
    wait_until(SOON, "the agent without VMs to be ready", || {
        idle.get("/readyz", &[]).ok().filter(|answer| answer.status == 200)
    });
    idle.metrics();
    let began = Instant::now();
    let agent = cluster.agent(&node, None);
    let real = |page: &Metrics| hypervisor(page, SHOP, "vm-250").as_deref() == Some(kind());
    agent.wait_for(2 * SOON, "the VM that runs", |page| real(page) && page.has(CPU, &[("name", "vm-250")]));
    let read = began.elapsed();
    let page = agent.wait_for(2 * SOON, "the others", |page| page.all(HYPERVISOR, &[]).len() == MANY);
    let all = began.elapsed();
    let unknown = page.all(HYPERVISOR, &[("hypervisor_type", "unknown")]).len();
    assert_eq!(unknown, MANY - 1, "nobody answers for the others");
    // While the agent retries all those missing sockets.
    read_on(&agent, "vm-250", || {
        let cpu = || agent.metrics().get(CPU, &[("name", "vm-250")]);
        for _ in 0..3 {
            let before = wait_until(SOON, "its CPU time", cpu);
            wait_until(SOON, "its CPU time to move", || cpu().filter(|now| *now > before));
        }
    });
    let (peak, without) = (agent.peak(), idle.peak());
    let cost = peak.saturating_sub(without);
    eprintln!(
        "{MANY} VMIs of {size} bytes: the real one read after {read:?}, all shown after {all:?}, a peak of {} MiB, \
         {} above an agent without any, {} bytes of metrics",
        mebibytes(peak),
        mebibytes(cost),
        agent.metrics_raw("text/plain").body.len()
    );
    assert!(cost < MANY_COST, "{MANY} VMIs cost {} MiB", mebibytes(cost));
    assert_eq!(own(&page, "virt_otel_kubernetes_objects_dropped_total", &[]), 0.0);
    assert_eq!(own(&page, "virt_otel_kubernetes_fields_dropped_total", &[]), 0.0);

    // Four files for each of a thousand VMs, as far as the system allows.
    let (soft, hard) = agent.open_files();
    assert!(soft >= hard.min(4_000), "{soft} files of {hard}");

    // Streamed or not: an API server whose etcd is as old as Debian's does not stream, and reports that in its own way.
    let streamed = Agent::on_node(&node, &cluster.api.kubeconfig_for(User::Agent), &["--streaming-lists"], None);
    streamed.wait_for(2 * SOON, "all of them", |page| page.all(HYPERVISOR, &[]).len() == MANY && real(page));
    let log = streamed.log();
    let said = log.lines().filter(|line| line.contains("WARN virt_otel::watch")).count();
    assert!(said < 2, "{log}");
}

/// Turns a good object into nonsense.
type Nonsense = fn(&mut Value);

/// The longest label: one of libvirt's paths. The API's longest has 317 bytes: a namespace, a slash and a name.
const LONGEST_LABEL: usize = 320;

/// Longer than any text that becomes a label may be.
const LONG: usize = 64 << 10;

/// An unusable value for everything that is read, by name.
const NONSENSE: &[(&str, Nonsense)] = &[
    ("missing", |vmi| {
        vmi.as_object_mut().unwrap().remove("spec");
        vmi.as_object_mut().unwrap().remove("status");
    }),
    ("null", |vmi| {
        let nothing = vmi["status"].as_object().unwrap().keys().map(|key| (key.clone(), Value::Null));
        vmi["status"] = Value::Object(nothing.collect());
        vmi["spec"] = Value::Null;
    }),
    ("wrong", |vmi| {
        vmi["spec"] = json!({ "domain": [1], "networks": { "a": 5 }, "evictionStrategy": 1 });
        vmi["status"] = json!({
            "phase": 7, "nodeName": { "a": "b" }, "activePods": [1, 2], "runtimeUser": "root", "conditions": "none",
            "migrationState": "none", "interfaces": { "a": 1 }, "guestOSInfo": [], "machine": 1, "memory": true,
            "currentCPUTopology": "2" });
    }),
    ("elements", |vmi| {
        vmi["status"]["conditions"] = json!([1, null, "Ready", { "type": 5 }, { "type": "Ready", "status": 1 }, []]);
        vmi["status"]["interfaces"] =
            json!([null, 7, { "name": 9, "ipAddresses": "10.0.0.1" }, { "ipAddresses": [[]] }]);
        vmi["spec"]["domain"]["devices"]["interfaces"] = json!([null, 7, {}, { "name": [] }]);
        vmi["status"]["activePods"] = json!({ "../../../etc": "node-a", "": "node-a", "a/b": 7 });
        vmi["status"]["migrationState"] = json!({ "startTimestamp": "soon", "mode": "Fast", "completed": "yes" });
    }),
    ("numbers", |vmi| {
        vmi["status"]["runtimeUser"] = json!(-1);
        vmi["status"]["currentCPUTopology"] = json!({ "cores": 4_294_967_296_u64, "sockets": -4, "threads": 1.5e300 });
        let amounts =
            json!({ "guestAtBoot": "9e999Ei", "guestCurrent": "-1Gi", "guestRequested": 1.5, "memoryOverhead": "x" });
        vmi["status"]["memory"] = amounts;
    }),
    ("long", |vmi| {
        let long = "x".repeat(LONG);
        let texts = |keys: &[&str]| -> Value {
            keys.iter().map(|key| ((*key).to_owned(), json!(long))).collect::<Map<_, _>>().into()
        };
        vmi["status"]["guestOSInfo"] = texts(&["name", "id", "prettyName", "versionId", "kernelRelease", "machine"]);
        vmi["status"]["machine"] = texts(&["type"]);
        vmi["status"]["interfaces"] = json!([texts(&["name", "interfaceName", "ipAddress"])]);
        vmi["spec"]["networks"] = json!([texts(&["name"])]);
        vmi["metadata"]["annotations"]["vm.kubevirt.io/os"] = json!(long);
        vmi["metadata"]["annotations"]["other"] = json!("x".repeat(2 * LONG));
    }),
    ("many", |vmi| {
        let condition = |number| json!({ "type": format!("Kind{number}"), "status": "True" });
        let conditions: Vec<Value> = (0..2_000).map(condition).collect();
        vmi["status"]["conditions"] = json!(conditions);
        let addresses = |nic: usize| -> Vec<String> { (0..64).map(|host| format!("10.{nic}.0.{host}")).collect() };
        let interface = |nic| json!({ "name": format!("nic{nic}"), "ipAddresses": addresses(nic) });
        let interfaces: Vec<Value> = (0..200).map(interface).collect();
        vmi["status"]["interfaces"] = json!(interfaces);
        let pods = (0..2_000).map(|_| (uuid(), json!("node-a")));
        vmi["status"]["activePods"] = Value::Object(pods.collect());
    }),
    ("deep", |vmi| {
        let deep = (0..500).fold(json!("deep"), |inner, _| json!([{ "a": inner }]));
        vmi["status"]["guestOSInfo"] = json!({ "name": deep, "id": "debian" });
        vmi["status"]["other"] = deep;
    }),
    ("large", |vmi| vmi["status"]["other"] = json!("x".repeat(1 << 20))),
    ("odd", |vmi| {
        vmi["status"]["guestOSInfo"]["name"] = json!(ODD);
        vmi["status"]["interfaces"][0]["name"] = json!(ODD);
        vmi["metadata"]["annotations"]["vm.kubevirt.io/workload"] = json!(ODD);
    }),
    ("labels", |vmi| {
        // More than 64 KiB.
        for number in 0..1_000 {
            vmi["metadata"]["labels"][format!("label-{number:03}")] = json!("x".repeat(63));
        }
        vmi["metadata"]["labels"]["app"] = json!("y".repeat(63));
        // After all of them.
        vmi["metadata"]["labels"]["zone"] = json!("z");
    }),
];

/// A text that must not break a line of the page.
const ODD: &str = "a\"b\\c\nd\te} 7 # \u{0} \u{202e} é {x=\"y\"}";

/// Prometheus accepts the page, and no label is too long.
#[track_caller]
fn holds(agent: &Agent) {
    let page = agent.metrics_raw("text/plain;version=0.0.4");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &page.body).unwrap();
    let (code, said) = promtool(&["check", "metrics"], Some(file.path()));
    assert_eq!((code, said.trim()), (Some(0), ""), "promtool check metrics");
    for sample in Metrics::parse(&page.text()).samples {
        let longest = sample.labels.values().map(String::len).max().unwrap_or(0);
        assert!(longest <= LONGEST_LABEL, "{sample:?}");
    }
}

#[test]
fn nonsense_in_one_vmi_spoils_no_other_and_is_counted() {
    let cluster = Cluster::start();
    let (api, node) = (&cluster.api, Node::new("node-a"));
    let steady = guest(&node, "steady");
    Vmi::create_running(api, SHOP, "steady", steady.place());
    // The longest name whose log libvirt can still make, and the longest that Kubernetes allows.
    let (namespace, name, longest) = ("n".repeat(63), "v".repeat(180), "w".repeat(253));
    let long = node.launcher();
    if kvm() {
        long.start_kvm(&namespace, &name)
    } else {
        long.start_tcg(&namespace, &name)
    };
    Vmi::create_running(api, &namespace, &name, long.place());
    Vmi::create_running(api, &namespace, &longest, &node.place());

    let arguments = ["--vmi-labels", "app,zone"];
    let kubeconfig = api.kubeconfig_for(User::Agent);
    let start = || Agent::on_node(&node, &kubeconfig, &arguments, None);
    let kind_of = |page: &Metrics, namespace: &str, name: &str| -> Option<String> {
        let series = page.all(HYPERVISOR, &[("namespace", namespace), ("name", name)]);
        assert!(series.len() < 2, "{series:?}");
        series.first().and_then(|sample| sample.label("hypervisor_type")).map(str::to_owned)
    };
    let unaffected = |page: &Metrics| {
        kind_of(page, SHOP, "steady").as_deref() == Some(kind())
            && kind_of(page, &namespace, &name).as_deref() == Some(kind())
            && kind_of(page, &namespace, &longest).as_deref() == Some("unknown")
    };
    let agent = start();
    let page = agent.wait_for(SOON, "the VMs", unaffected);
    let dropped = |page: &Metrics, what: &str| own(page, &format!("virt_otel_kubernetes_{what}_dropped_total"), &[]);
    assert_eq!(["objects", "fields", "labels"].map(|what| dropped(&page, what)), [0.0; 3]);
    let before = agent.peak();

    let mut vmis = Vec::new();
    read_on(&agent, "steady", || {
        for (name, nonsense) in NONSENSE {
            let vmi = Vmi::create_running(api, SHOP, name, &node.place());
            vmi.rewrite(nonsense);
            vmis.push((name, vmi));
        }
        // Updated again and again.
        for turn in 0..4 {
            for (name, vmi) in vmis.iter().filter(|(name, _)| ["many", "large", "long"].contains(name)) {
                let note = json!({ "metadata": { "labels": { "turn": format!("{name}-{turn}") } } });
                vmi.update(&note);
            }
        }
        let last = Vmi::create_running(api, SHOP, "last", &node.place());
        wait_until(SOON, "what came after the nonsense", || kind_of(&agent.metrics(), SHOP, last.name()));
    });
    // Listing gives the same.
    let other = start();
    for agent in [&agent, &other] {
        let page = agent.wait_for(SOON, "the VMs and the last of the rest", |page| {
            unaffected(page) && kind_of(page, SHOP, "last").is_some() && kind_of(page, SHOP, "labels").is_some()
        });
        holds(agent);
        assert_eq!(dropped(&page, "objects"), 0.0, "the API server has an identity for everything");
        assert!(dropped(&page, "fields") > 4_000.0, "{} fields", dropped(&page, "fields"));
        assert!(dropped(&page, "labels") > 200.0, "{} labels", dropped(&page, "labels"));
        // Their good fields are there. Prometheus cannot represent a zero byte.
        let written = ODD.replace('\0', "\u{fffd}");
        let odd = page.all("kubevirt_vmi_info", &[("name", "odd")]);
        assert!(odd.len() == 1 && odd[0].label("guest_os_name") == Some(&written), "{odd:?}");
        assert_eq!(odd[0].label("workload"), Some(written.as_str()));
        let labels = page.all("kubevirt_vmi_info", &[("name", "labels")]);
        let app = "y".repeat(63);
        // The agent that watched may have seen the VM before it had labels, and then keeps it so.
        if std::ptr::eq(agent, &other) {
            assert_eq!(labels[0].label("kubernetes_vmi_label_app"), Some(app.as_str()));
        }
        assert_eq!(labels[0].label("kubernetes_vmi_label_zone"), None);
        let deep = page.all("kubevirt_vmi_info", &[("name", "deep")]);
        assert!(deep.len() == 1 && deep[0].label("guest_os_name").is_none(), "{deep:?}");
        let series = |name: &str| page.samples.iter().filter(|sample| sample.has(&[("name", name)])).count();
        assert!(series("many") < 300, "{} series", series("many"));
        assert_eq!(page.get("kubevirt_vmi_phase", &[("name", "numbers"), ("phase", "running")]), Some(1.0));
        assert!(!page.has("kubevirt_vmi_launcher_memory_overhead_bytes", &[("name", "numbers")]));
    }
    let cost = [&agent, &other].map(|agent| agent.peak().saturating_sub(before));
    eprintln!(
        "nonsense cost {} MiB at most where it was watched, {} where it was listed; {} and {} fields dropped",
        mebibytes(cost[0]),
        mebibytes(cost[1]),
        dropped(&agent.metrics(), "fields"),
        dropped(&other.metrics(), "fields")
    );
    for (agent, cost) in [&agent, &other].into_iter().zip(cost) {
        assert!(cost < MANY_COST, "{} MiB", mebibytes(cost));
        let log = agent.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(log.lines().count() < 100 && log.len() < 100_000, "a log of {} bytes:\n{log:.20000}", log.len());
    }
    for (_, vmi) in &vmis {
        assert_eq!(api.admin().status("DELETE", &vmi.path()), 200);
    }
    agent.wait_for(SOON, "all of it to go", |page| {
        NONSENSE.iter().all(|(name, _)| !page.samples.iter().any(|sample| sample.has(&[("name", *name)])))
    });
    assert!(unaffected(&agent.metrics()));
}
