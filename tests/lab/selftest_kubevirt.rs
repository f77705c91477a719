//! The lab's cluster works as promised: the API server, the launchers, and the migrations between them.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::kube_client::{VMIS, vmis_of};
use super::support::proxy::GET_XML;
use super::support::vmi::condition;
use super::support::{ApiServer, Domain, Node, Pace, User, Vmi, kvm_or_skip, process, wait_until};

/// A role like the shipped one, to test its enforcement.
const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: reader
rules:
  - apiGroups: [kubevirt.io]
    resources: [virtualmachineinstances]
    verbs: [get, list, watch]
";

/// Lists with a label selector, as an agent does.
fn of_node(node: &str) -> String {
    format!("{VMIS}?labelSelector=kubevirt.io%2FnodeName%3D{node}")
}

fn count(list: &Value) -> usize {
    list["items"].as_array().expect("a list").len()
}

/// The types of the events that a watch from a version gives within a second.
fn watched(api: &ApiServer, node: &str, version: &str) -> Vec<String> {
    let path = format!("{}&watch=1&timeoutSeconds=1&resourceVersion={version}", of_node(node));
    let answer = api.admin().request("GET", &path, None).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let events = answer.text();
    events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
        .collect()
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[test]
fn roles_are_enforced() {
    let api = ApiServer::start();
    let node = Node::new("node-a");
    Vmi::create_running(&api, "shop", "web", &node.place());
    for user in [User::Agent, User::Stranger] {
        assert_eq!(api.client(user).status("GET", VMIS), 403, "{user:?} before a role is bound");
    }
    api.bind_role(ROLE, User::Agent);
    wait_until(Duration::from_secs(10), "the role to take effect", || {
        (api.client(User::Agent).status("GET", VMIS) == 200).then_some(())
    });
    let agent = api.client(User::Agent);
    assert_eq!(count(&agent.get(&of_node("node-a"))), 1);
    assert_eq!(count(&agent.get(&of_node("node-b"))), 0);
    let one = format!("{}/web", vmis_of("shop"));
    for (method, path) in [("DELETE", one.as_str()), ("POST", &vmis_of("shop")), ("GET", "/api/v1/pods")] {
        assert_eq!(agent.status(method, path), 403, "{method} {path}");
    }
    assert_eq!(api.client(User::Stranger).status("GET", VMIS), 403, "a user without a role");
    assert_eq!(api.admin().with_token("no token of ours").status("GET", VMIS), 401);

    // The files that an agent is given, for a user and for a service account.
    for file in [api.kubeconfig_for(User::Agent), api.kubeconfig_for_account("monitoring", "virt-otel")] {
        let config: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let token = config["users"][0]["user"]["token"].as_str().unwrap();
        assert_ne!(api.admin().with_token(token).status("GET", VMIS), 401, "{config}");
    }
}

#[test]
fn a_vmi_goes_through_its_life_as_kubevirt_writes_it() {
    let api = ApiServer::start();
    let (a, b) = (Node::new("node-a").place(), Node::new("node-b").place());
    let vmi = Vmi::create_labelled(&api, "shop", "web", &[("app", "shop")]);
    let born = vmi.get();
    assert_eq!(born["status"]["phase"], "Pending");
    assert_eq!(born["metadata"]["labels"]["app"], "shop");
    assert_eq!(vmi.uid().len(), 36);

    vmi.schedule(&a);
    let list = api.admin().get(&of_node("node-a"));
    let start = version(&list);
    assert_eq!(list["items"][0]["status"]["activePods"], json!({ &a.pod_uid: "node-a" }));
    vmi.run();
    vmi.pause("PausedByUser");
    let paused = vmi.get();
    assert_eq!(paused["status"]["phase"], "Running", "paused is no phase");
    let kinds = |vmi: &Value| -> Vec<String> {
        let conditions = vmi["status"]["conditions"].as_array().unwrap();
        conditions.iter().map(|condition| condition["type"].as_str().unwrap().to_owned()).collect()
    };
    assert!(kinds(&paused).contains(&"Paused".to_owned()));
    vmi.resume();
    assert!(!kinds(&vmi.get()).contains(&"Paused".to_owned()), "resumed is without the condition");
    vmi.set_condition(&condition("Ready", "False", None));
    assert_eq!(kinds(&vmi.get()).iter().filter(|kind| *kind == "Ready").count(), 1);

    vmi.begin_migration(&a, &b);
    assert_eq!(vmi.get()["status"]["activePods"], json!({ &a.pod_uid: "node-a", &b.pod_uid: "node-b" }));
    vmi.migration_started();
    vmi.target_domain_detected();
    vmi.target_domain_ready();
    assert_eq!(count(&api.admin().get(&of_node("node-b"))), 0, "not the target's before the flip");
    vmi.flip(&b);
    vmi.finish_migration(&a);
    let moved = vmi.get();
    assert_eq!(moved["status"]["nodeName"], "node-b");
    assert_eq!(moved["status"]["activePods"], json!({ &b.pod_uid: "node-b" }));
    assert_eq!(moved["metadata"]["labels"]["kubevirt.io/migrationTargetNodeName"], Value::Null);

    // What the source's and the target's watches show of all this.
    let seen = watched(&api, "node-a", &start);
    assert_eq!(seen.last().map(String::as_str), Some("DELETED"), "{seen:?}");
    assert_eq!(seen.iter().filter(|kind| *kind == "MODIFIED").count(), seen.len() - 1, "{seen:?}");
    assert_eq!(watched(&api, "node-b", &start).first().map(String::as_str), Some("ADDED"));

    vmi.begin_migration(&b, &a);
    vmi.request_abort();
    vmi.migration_aborted();
    vmi.clean_up_migration(&a);
    let stayed = vmi.get();
    assert_eq!(stayed["status"]["nodeName"], "node-b");
    assert_eq!(stayed["status"]["activePods"], json!({ &b.pod_uid: "node-b" }));
    vmi.succeed();
    let first = vmi.uid();
    vmi.delete();
    assert_eq!(api.admin().status("GET", &vmi.path()), 404);
    assert_ne!(Vmi::create_running(&api, "shop", "web", &a).uid(), first, "another one of the same name");
}

#[test]
fn an_api_server_goes_away_and_comes_back() {
    let mut api = ApiServer::start();
    let place = Node::new("node-a").place();
    Vmi::create_running(&api, "shop", "web", &place);
    let (port, start) = (api.port(), version(&api.admin().get(&of_node("node-a"))));
    api.stop();
    assert!(api.admin().request("GET", VMIS, None).is_err(), "a server that was ended answered");
    api.start_again();
    assert_eq!((api.port(), count(&api.admin().get(VMIS))), (port, 1), "the store goes on");
    api.freeze();
    let asked = Instant::now();
    assert!(api.admin().request("GET", VMIS, None).is_err(), "a mute server answered");
    assert!(asked.elapsed() > Duration::from_secs(1), "a mute server refused the connection");
    api.thaw();
    assert_eq!(count(&api.admin().get(VMIS)), 1);

    api.expire_history(|api| {
        Vmi::create_running(api, "shop", "unseen", &place);
    });
    assert_eq!((api.port(), count(&api.admin().get(VMIS))), (port, 2));
    let path = format!("{}&watch=1&timeoutSeconds=1&resourceVersion={start}", of_node("node-a"));
    let answer = api.admin().request("GET", &path, None).unwrap();
    let told: Value = serde_json::from_str(answer.text().lines().next().unwrap()).unwrap();
    let code = if answer.status == 200 { told["object"]["code"].clone() } else { json!(answer.status) };
    assert_eq!(code, 410, "{}", answer.text());

    let pids = [api.pid(), api.etcd_pid()];
    let failed = std::thread::spawn(move || {
        let _ours = api;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(failed.join().is_err());
    assert!(pids.iter().all(|&pid| !process::alive(pid)), "something still runs");
}

#[test]
fn vmis_may_be_large_and_wrong() {
    let api = ApiServer::start();
    let place = Node::new("node-a").place();
    // Values of labels have 63 bytes at most; it is their number that makes 64 KiB.
    let labels: Vec<_> = (0..800).map(|number| (format!("label-{number:03}"), "x".repeat(63))).collect();
    let labels: Vec<_> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let large = Vmi::create_labelled(&api, "shop", "large", &labels);
    large.schedule_and_run(&place);
    assert!(large.get()["metadata"]["labels"].to_string().len() > 60_000);

    let (namespace, name) = ("n".repeat(63), "v".repeat(253));
    let longest = Vmi::create_running(&api, &namespace, &name, &place);
    assert_eq!(longest.domain().len(), 63 + 1 + 253);

    // The schema accepts everything that is not metadata.
    let wrong = Vmi::create_running(&api, "shop", "wrong", &place);
    wrong.update(&json!({ "status": {
        "phase": 7, "conditions": "none", "activePods": [1, 2], "nodeName": { "a": "b" }, "interfaces": null } }));
    assert_eq!(wrong.get()["status"]["phase"], 7);
    let absent = Vmi::create_with(&api, "shop", "absent", &json!({ "spec": null, "status": null }));
    assert_eq!(absent.get()["status"], Value::Null);
    assert_eq!(count(&api.admin().get(&of_node("node-a"))), 3);
}

#[test]
fn a_launcher_answers_through_the_pods_directory() {
    let node = Node::new("node-a");
    let mut launcher = node.launcher();
    let guest = launcher.start_tcg("shop", "web");
    assert_eq!(guest.name(), "shop_web");

    let socket = launcher.pod_socket();
    let metadata = std::fs::symlink_metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket(), "{metadata:?}");
    assert_eq!(metadata.uid(), launcher.place().user);
    assert!(socket.starts_with(node.pods_dir()) && socket.ends_with("libvirt-runtime/virtqemud-sock"));
    assert!(socket.as_os_str().len() > 107, "longer than a socket's name: {}", socket.display());

    // Its full path is too long for libvirt, its last part is not.
    let mut virsh = Command::new("virsh");
    virsh.args(["--connect", "qemu+unix:///session?socket=virtqemud-sock", "list", "--name"]);
    virsh.current_dir(socket.parent().unwrap());
    let output = process::run(virsh, Duration::from_secs(10)).unwrap();
    assert_eq!(output.stdout.trim(), "shop_web", "{}", output.stderr);

    let xml = launcher.virsh(&["dumpxml", "shop_web"]);
    for part in ["<alias name='ua-rootdisk'/>", "<alias name='ua-default'/>", "<target dev='tap0'", "<uid/>"] {
        assert!(xml.contains(part), "no {part} in {xml}");
    }
    let stats = launcher.domstats("shop_web");
    for (key, value) in [("net.0.name", "tap0"), ("block.0.name", "vda"), ("state.state", "1")] {
        assert_eq!(stats.get(key).map(String::as_str), Some(value), "{key} of {stats:?}");
    }
    assert!(stats.contains_key("net.0.rx.bytes"), "no traffic in {stats:?}");

    launcher.virsh(&["suspend", "shop_web"]);
    assert_eq!(launcher.virsh(&["domstate", "shop_web"]).trim(), "paused");
    launcher.virsh(&["resume", "shop_web"]);
    launcher.freeze("shop_web");
    assert!(
        launcher.virsh_within(Duration::from_secs(1), &["domstats", "shop_web"]).is_err(),
        "a frozen guest answered"
    );
    launcher.thaw("shop_web");

    // Killed, it leaves its socket; ended in order, it does not; the guest goes on.
    let qemu = launcher.qemu_pid("shop_web");
    launcher.kill();
    assert!(socket.exists() && launcher.try_virsh(&["list"]).is_err());
    launcher.start_again();
    launcher.terminate();
    assert!(!socket.exists());
    launcher.start_again();
    assert_eq!(launcher.qemu_pid("shop_web"), qemu);
    assert!(launcher.virsh(&["list", "--name"]).contains("shop_web"));

    let pids = [launcher.pid(), qemu];
    let folder = node.pods_dir().join(launcher.pod_uid());
    launcher.remove();
    assert!(pids.iter().all(|&pid| !process::alive(pid)), "something still runs");
    assert!(!folder.exists() && node.pods_dir().exists());
}

#[test]
fn a_completed_pod_leaves_a_dead_socket() {
    let node = Node::new("node-a");
    let launcher = node.launcher();
    let socket = launcher.pod_socket();
    let place = launcher.complete();
    let refused = std::os::unix::net::UnixStream::connect(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&std::fs::File::open(socket.parent().unwrap()).unwrap())
    ));
    assert!(refused.is_err() && std::fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    node.remove_pod(&place.pod_uid);
    assert!(!socket.exists());
}

#[test]
fn a_kvm_guest_runs_in_a_launcher() {
    if !kvm_or_skip() {
        return;
    }
    let launcher = Node::new("node-a").launcher();
    launcher.start_kvm("shop", "fast");
    assert!(launcher.virsh(&["dumpxml", "shop_fast"]).contains("<domain type='kvm'"));
    assert_eq!(launcher.domstats("shop_fast")["state.state"], "1");
}

#[test]
fn a_guest_moves_from_one_launcher_to_another_and_can_be_watched() {
    let [source, target] = ["node-a", "node-b"].map(|name| Node::new(name).launcher());
    let guest = source.start_linux("shop", "web");
    let name = guest.name();
    let state = |launcher: &super::support::Launcher| launcher.virsh(&["domstate", name, "--reason"]).trim().to_owned();

    // One migration is aborted, one fails: the guest stays, and the target has nothing.
    let migration = source.begin_migration(name, &target, Pace::SLOW);
    // Listed from the start, first as starting up, then as migrating.
    assert!(state(&target).starts_with("paused"), "{}", state(&target));
    migration.abort();
    assert!(state(&source).starts_with("running"), "{}", state(&source));
    gone(&target, name);
    let migration = source.begin_migration(name, &target, Pace::SLOW);
    migration.fail(&target);
    assert!(state(&source).starts_with("running"), "{}", state(&source));
    gone(&target, name);

    let migration = source.begin_migration(name, &target, Pace::SLOW);
    let processed = || migration.job().get("Memory processed").cloned();
    let first = wait_until(Duration::from_secs(10), "figures of the job", processed);
    wait_until(Duration::from_secs(10), "the figures to move", || processed().filter(|now| *now != first));
    assert!(state(&source).starts_with("running"), "{}", state(&source));
    migration.hurry();
    migration.finish();
    gone(&source, name);
    assert_eq!(state(&target), "running (migrated)");
    assert_eq!(target.virsh(&["domuuid", name]).trim(), guest.uuid());
    let xml = target.virsh(&["dumpxml", name]);
    assert!(xml.contains("<alias name='ua-rootdisk'/>") && xml.contains("<alias name='ua-default'/>"), "{xml}");
}

fn gone(launcher: &super::support::Launcher, name: &str) {
    wait_until(Duration::from_secs(10), "the guest to be gone", || {
        (!launcher.virsh(&["list", "--all", "--name"]).contains(name)).then_some(())
    });
}

#[test]
fn launchers_of_one_node_are_many() {
    let node = Node::new("node-a");
    let launchers: Vec<_> = (0..3).map(|_| node.launcher()).collect();
    for (number, launcher) in launchers.iter().enumerate() {
        launcher.create_paused(&Domain::tcg(&format!("shop_web-{number}")).like_kubevirt());
    }
    for (number, launcher) in launchers.iter().enumerate() {
        assert_eq!(launcher.virsh(&["list", "--name"]).trim(), format!("shop_web-{number}"));
    }
    assert_eq!(std::fs::read_dir(node.pods_dir()).unwrap().count(), 3);
}

#[test]
fn what_goes_over_a_launchers_socket_is_counted_and_changed() {
    let launcher = Node::new("node-a").launcher();
    launcher.start_tcg("shop", "web");
    let was = std::fs::symlink_metadata(launcher.pod_socket()).unwrap().uid();
    let proxy = launcher.intercept(Some(("type='qemu' id='1'>\n  <name>", "type='hyperv' id='1'>\n<name>")));
    let metadata = std::fs::symlink_metadata(launcher.pod_socket()).unwrap();
    assert!(metadata.file_type().is_socket() && metadata.uid() == was, "{metadata:?}");
    let before = proxy.calls(GET_XML);
    assert!(launcher.virsh(&["dumpxml", "shop_web"]).starts_with("<domain type='hyperv' id='1'"));
    assert_eq!(proxy.calls(GET_XML), before + 1);
    drop(proxy);
}
