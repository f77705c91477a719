//! The three modes and what belongs to each.

use super::*;
use crate::catalog::{Selection, Vocabulary};

const UID: &str = "2c4d3f0e-9a51-4c7e-8f0b-6d1a5e3b7c90";
/// What a pod's manifest must say in mode sidecar.
const POD: [(&str, &str); 3] =
    [("VIRT_OTEL_NODE_NAME", "worker-1"), ("VIRT_OTEL_NAMESPACE", "vms"), ("VIRT_OTEL_POD_UID", UID)];

fn on_node(arguments: &[&str]) -> Vec<String> {
    ["--mode", "kubevirt", "--node-name", "worker-1"].iter().chain(arguments).map(ToString::to_string).collect()
}

fn in_pod(arguments: &[&str]) -> Vec<String> {
    let pod = ["--mode", "sidecar", "--node-name", "worker-1", "--namespace", "vms", "--pod-uid", UID];
    pod.iter().chain(arguments).map(ToString::to_string).collect()
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn kubevirt(arguments: &[&str]) -> Kubevirt {
    match run(&borrowed(&on_node(arguments)), []).source.vms {
        Vms::Kubevirt(kubevirt) => kubevirt,
        other => panic!("{other:?}"),
    }
}

fn sidecar(arguments: &[&str]) -> Sidecar {
    match run(&borrowed(&in_pod(arguments)), []).source.vms {
        Vms::Sidecar(sidecar) => sidecar,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_agent_needs_the_name_of_its_node_and_nothing_else() {
    let expected = Kubevirt {
        node: "worker-1".into(),
        kubeconfig: None,
        pods_dir: "/pods".into(),
        vmi_labels: Vec::new(),
        vmi_selector: None,
        streaming_lists: false,
        push_beside_sidecar: false,
    };
    assert_eq!(kubevirt(&[]), expected);
    let run = run(&[], [("VIRT_OTEL_MODE", "kubevirt"), ("VIRT_OTEL_NODE_NAME", "worker-1")]);
    assert_eq!(run.source.vms, Vms::Kubevirt(expected));
    assert_eq!(run.source.service_name, "kubevirt-vmi");
    assert_eq!(run.listen.to_string(), "localhost:9464", "who listens for others says so");
    assert_eq!(run.warnings, Vec::<String>::new());
}

#[test]
fn a_sidecar_needs_its_pods_uid_namespace_and_node() {
    let expected = Sidecar {
        socket: "/var/run/libvirt/virtqemud-sock".into(),
        node: "worker-1".into(),
        namespace: "vms".into(),
        pod_uid: UID.into(),
        vmi_name: None,
    };
    assert_eq!(sidecar(&[]), expected);
    let run = run(&["--mode", "sidecar"], POD);
    assert_eq!(run.source.vms, Vms::Sidecar(expected));
    assert_eq!(run.source.service_name, "kubevirt-vmi");
    assert_eq!(run.warnings, Vec::<String>::new());
}

#[test]
fn what_a_pod_must_be_told_is_asked_for_with_its_variable_and_its_field() {
    for (mode, name, field) in [
        ("kubevirt", "node-name", "spec.nodeName"),
        ("sidecar", "node-name", "spec.nodeName"),
        ("sidecar", "namespace", "metadata.namespace"),
        ("sidecar", "pod-uid", "metadata.uid"),
    ] {
        let variable = flags::variable(name);
        let others = POD.map(|(other, value)| if other == variable { (other, "") } else { (other, value) });
        let sentence = wrong(&["--mode", mode], others);
        assert_sentence(&sentence, &format!("--{name}: is missing in mode {mode}"));
        assert!(sentence.contains(&variable) && sentence.contains(&format!("fieldPath: {field}")), "{sentence}");
    }
}

#[test]
fn each_setting_arrives() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("kubeconfig");
    std::fs::write(&file, "").expect("it is writable");
    let path = file.to_str().expect("UTF-8");
    let switches = ["--streaming-lists", "--push-beside-sidecar"];
    let node =
        kubevirt(&[&["--kubeconfig", path, "--pods-dir", "/p", "--vmi-labels", "app, team"], &switches[..]].concat());
    assert_eq!(node.kubeconfig.as_deref(), Some(file.as_path()));
    assert_eq!(node.pods_dir, std::path::Path::new("/p"));
    assert_eq!(node.vmi_labels, ["app", "team"]);
    assert!(node.streaming_lists && node.push_beside_sidecar);
    let pod = sidecar(&["--socket", "/run/sock", "--vmi-name", "web"]);
    assert_eq!(pod.socket, std::path::Path::new("/run/sock"));
    assert_eq!(pod.vmi_name.as_deref(), Some("web"));
}

#[test]
fn a_snapshot_has_the_same_modes() {
    for arguments in [on_node(&[]), in_pod(&[])] {
        let snapshot: Vec<&str> = std::iter::once("snapshot").chain(borrowed(&arguments)).collect();
        let Ok(Invocation::Snapshot(snapshot)) = parsed(&snapshot, []) else { panic!("no snapshot: {arguments:?}") };
        assert_eq!(snapshot.source, run(&borrowed(&arguments), []).source);
    }
    assert_sentence(&wrong(&["snapshot", "--mode", "kubevirt"], []), "--node-name: ");
}

#[test]
fn a_switch_is_on_or_off_and_its_flag_beats_its_variable() {
    type IsOn = fn(&Kubevirt) -> bool;
    let switches: [(&str, IsOn); 2] = [
        ("streaming-lists", |kubevirt| kubevirt.streaming_lists),
        ("push-beside-sidecar", |kubevirt| kubevirt.push_beside_sidecar),
    ];
    for (name, read) in switches {
        let variable = flags::variable(name);
        let is_on = |arguments: &[&str], value| {
            let variables = [(variable.as_str(), value)];
            match run(&borrowed(&on_node(arguments)), variables).source.vms {
                Vms::Kubevirt(kubevirt) => read(&kubevirt),
                other => panic!("{other:?}"),
            }
        };
        assert!(is_on(&[], "true") && !is_on(&[], "false") && !is_on(&[], ""), "{name}");
        assert!(is_on(&[&format!("--{name}")], "false"));
        assert!(!is_on(&[&format!("--{name}=false")], "true"));
    }
}

#[test]
fn every_wrong_value_is_answered_by_a_sentence_that_names_its_flag_or_variable() {
    let many: String = (0..17).map(|number| format!("l{number},")).collect();
    let long = "n".repeat(64);
    for (mode, flag, value) in [
        ("kubevirt", "node-name", ""),
        ("kubevirt", "node-name", "Worker"),
        ("kubevirt", "node-name", "a/b"),
        ("kubevirt", "node-name", long.as_str()),
        ("kubevirt", "kubeconfig", "/no/such/file"),
        ("kubevirt", "kubeconfig", "/"),
        ("kubevirt", "pods-dir", "pods"),
        ("libvirt", "metadata-labels", "title,no_such_key"),
        ("libvirt", "metadata-labels", "title, title"),
        ("kubevirt", "vmi-labels", "a b"),
        ("kubevirt", "vmi-labels", "app=web"),
        ("kubevirt", "vmi-labels", "app,app"),
        ("kubevirt", "vmi-labels", "example.org/team,example.org-team"),
        ("kubevirt", "vmi-labels", many.as_str()),
        ("kubevirt", "streaming-lists", "yes"),
        ("kubevirt", "push-beside-sidecar", "no"),
        ("kubevirt", "vm-service-name", " "),
        ("sidecar", "node-name", "-a"),
        ("sidecar", "namespace", "a.b"),
        ("sidecar", "namespace", long.as_str()),
        ("sidecar", "pod-uid", "1"),
        ("sidecar", "pod-uid", "../../../../../../../etc/passwd0"),
        ("sidecar", "vmi-name", "a_b"),
        ("sidecar", "socket", "virtqemud-sock"),
        ("sidecar", "deadline", "1h"),
    ] {
        // The other settings come from the environment, so that the flag is given once.
        let variable = flags::variable(flag);
        let others = POD.map(|(other, value)| if other == variable { (other, "") } else { (other, value) });
        let sentence = wrong(&["--mode", mode, &format!("--{flag}={value}")], others);
        assert_sentence(&sentence, &format!("--{flag}: "));
        if value.trim().is_empty() {
            continue;
        }
        let mut variables = POD.to_vec();
        variables.retain(|(other, _)| *other != variable);
        variables.push((&variable, value));
        let environment = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        match parse(["virt-otel", "--mode", mode], &environment) {
            Err(Refusal::Wrong(sentence)) => assert_sentence(&sentence, &format!("{variable}: ")),
            other => panic!("{variable}={value} is accepted: {other:?}"),
        }
    }
}

/// Every option that has a mode, with a value that would be accepted there.
const OF_ONE_MODE: [(&str, &str, &[&str]); 16] = [
    ("libvirt-uri", "qemu:///system", &["libvirt"]),
    ("metadata-labels", "title", &["libvirt"]),
    ("node-name", "worker-1", &["kubevirt", "sidecar"]),
    ("cluster-name", "production", &["kubevirt", "sidecar"]),
    ("metrics-profile", "full", &["kubevirt", "sidecar"]),
    ("otlp-metrics-profile", "full", &["kubevirt", "sidecar"]),
    ("kubeconfig", "/dev/null", &["kubevirt"]),
    ("pods-dir", "/pods", &["kubevirt"]),
    ("vmi-labels", "app", &["kubevirt"]),
    ("vmi-selector", "app=shop", &["kubevirt"]),
    ("streaming-lists", "true", &["kubevirt"]),
    ("push-beside-sidecar", "true", &["kubevirt"]),
    ("socket", "/run/sock", &["sidecar"]),
    ("pod-uid", UID, &["sidecar"]),
    ("namespace", "vms", &["sidecar"]),
    ("vmi-name", "web", &["sidecar"]),
];

#[test]
fn an_option_of_another_mode_is_refused_and_its_variable_warned_of() {
    for mode in ["libvirt", "kubevirt", "sidecar"] {
        let needed: &[(&str, &str)] = match mode {
            "sidecar" => &POD,
            "kubevirt" => &POD[..1],
            _ => &[],
        };
        for (name, value, modes) in OF_ONE_MODE {
            if modes.contains(&mode) {
                continue;
            }
            let sentence = wrong(&["--mode", mode, &format!("--{name}={value}")], []);
            assert_sentence(&sentence, &format!("--{name}: means nothing in mode {mode}"));
            assert!(sentence.contains(&format!("--mode {}", modes[0])), "{sentence}");

            let variable = flags::variable(name);
            let variables = needed.iter().copied().chain([(variable.as_str(), value)]);
            let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let Ok(Invocation::Run(run)) = parse(["virt-otel", "--mode", mode], &environment) else {
                panic!("{variable} is refused in mode {mode}");
            };
            assert_eq!(run.warnings.len(), 1, "{:?}", run.warnings);
            assert_sentence(&run.warnings[0], &format!("{variable}: means nothing in mode {mode}"));
        }
    }
}

#[test]
fn a_page_says_of_each_option_which_mode_it_belongs_to() {
    for arg in command().get_arguments() {
        let Some((_, _, modes)) = OF_ONE_MODE.iter().find(|(name, ..)| arg.get_long() == Some(name)) else { continue };
        let heading = arg.get_help_heading().unwrap_or_default();
        assert!(heading.starts_with("Mode") && modes.iter().all(|mode| heading.contains(mode)), "{arg}: {heading}");
    }
}

#[test]
fn globs_are_over_the_names_of_the_mode() {
    let selected = |arguments: &[&str]| run(&borrowed(&on_node(arguments)), []);
    let everything = selected(&[]);
    assert_eq!(everything.source.vms.vocabulary(), Vocabulary::Kubevirt);
    assert!(everything.served.vm.iter().all(|row| row.name.starts_with("kubevirt.vmi.")));
    let hypervisor = selected(&["--metrics-include", "kubevirt.vmi.hypervisor.*"]);
    assert_eq!(hypervisor.served.vm.len(), 1);
    assert_eq!(hypervisor.warnings, Vec::<String>::new());
    let mistaken = selected(&["--metrics-exclude", "libvirt.domain.*"]);
    assert_eq!(mistaken.served.vm.len(), everything.served.vm.len());
    assert_eq!(mistaken.warnings.len(), 1, "it matches nothing here: {:?}", mistaken.warnings);
}

#[test]
fn which_vms_are_read_is_said_by_globs_over_their_names() {
    let of = |arguments: &[&str]| run(&borrowed(&on_node(arguments)), []).source;
    assert!(of(&[]).choice.wants("shop/web"));
    let some = of(&["--vm-include", "shop/*", "--vm-include", "bank/*", "--vm-exclude", "*-test"]);
    for (name, wanted) in [("shop/web", true), ("bank/ledger", true), ("shop/web-test", false), ("lab/one", false)] {
        assert_eq!(some.choice.wants(name), wanted, "{name}");
    }
    let bare = run(&borrowed(&on_node(&["--vm-include", "web-*"])), []);
    assert_eq!(bare.warnings.len(), 1, "{:?}", bare.warnings);
    assert_sentence(&bare.warnings[0], "--vm-include: ");
    let variable = run(&[], [("VIRT_OTEL_VM_EXCLUDE", "tmp-{a,b},*-test")]).source;
    assert!(!variable.choice.wants("tmp-a") && !variable.choice.wants("x-test") && variable.choice.wants("web"));
    assert_sentence(&wrong(&["--vm-include", "a{b"], []), "--vm-include: ");
    let sentence = wrong(&borrowed(&in_pod(&["--vm-include", "web"])), []);
    assert_sentence(&sentence, "--vm-include: means nothing in mode sidecar");
}

#[test]
fn a_label_selector_is_refused_if_it_cannot_be_one() {
    let of = |selector: &str| on_node(&["--vmi-selector", selector]);
    for selector in ["app=shop", "app in (shop,bank),tier!=test", "!legacy"] {
        let Vms::Kubevirt(kubevirt) = run(&borrowed(&of(selector)), []).source.vms else { panic!() };
        assert_eq!(kubevirt.vmi_selector.as_deref(), Some(selector));
    }
    for selector in ["", "app=shop;", "a\u{1}b"] {
        assert_sentence(&wrong(&borrowed(&of(selector)), []), "--vmi-selector: ");
    }
}

#[test]
fn the_clusters_name_is_an_attribute_of_everything_and_beats_the_standard_variable() {
    let named = |arguments: &[&str]| {
        let standard = [("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=other,team=a")];
        run(&borrowed(&on_node(arguments)), standard).identity.common_attributes
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(named(&[]), [pair("k8s.cluster.name", "other"), pair("team", "a")]);
    assert_eq!(named(&["--cluster-name", "production"]), [pair("k8s.cluster.name", "production"), pair("team", "a")]);
    let sentence = wrong(&borrowed(&on_node(&["--cluster-name", " "])), []);
    assert_sentence(&sentence, "--cluster-name: ");
}

#[test]
fn each_way_to_publish_has_a_profile_of_its_own() {
    let selected = |arguments: &[&str]| run(&borrowed(&on_node(arguments)), []);
    let everything = selected(&[]);
    let served = selected(&["--metrics-profile", "beside-kubevirt"]);
    let pushed = selected(&["--otlp-metrics-profile", "beside-kubevirt"]);
    let names = |selection: &Selection| selection.vm.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&served.pushed), names(&everything.pushed));
    assert_eq!(names(&pushed.served), names(&everything.served));
    assert_eq!(names(&served.served), names(&pushed.pushed));
    let left = names(&served.served);
    assert!(left.contains(&"kubevirt.vmi.hypervisor.info".to_owned()), "{left:?}");
    assert!(!left.contains(&"kubevirt.vmi.info".to_owned()), "{left:?}");
    assert!(served.warnings.is_empty() && pushed.warnings.is_empty());
}

#[test]
fn globs_choose_among_what_a_profile_leaves_and_one_without_effect_is_warned_of() {
    let beside = |arguments: &[&str]| {
        run(&borrowed(&on_node(&[&["--metrics-profile", "beside-kubevirt"], arguments].concat())), [])
    };
    let both = beside(&["--metrics-include", "kubevirt.vmi.vcpu*"]);
    assert!(both.served.vm.iter().any(|row| row.name == "kubevirt.vmi.vcpu_current"));
    assert!(both.served.vm.iter().all(|row| row.metric.kubevirts().is_none()));
    assert_eq!(both.warnings, Vec::<String>::new(), "something of it is left");
    let emptied = beside(&["--metrics-include", "kubevirt.vmi.network.receive*"]);
    assert!(emptied.served.vm.is_empty() && !emptied.pushed.vm.is_empty());
    assert_eq!(emptied.warnings.len(), 1, "{:?}", emptied.warnings);
    assert_sentence(&emptied.warnings[0], "--metrics-include: ");
    assert!(emptied.warnings[0].contains("beside-kubevirt"), "{:?}", emptied.warnings);
    // Nothing is served, and so nothing is missed there.
    let unserved = beside(&["--metrics-include", "kubevirt.vmi.network.receive*", "--exporters", "otlp"]);
    assert_eq!(unserved.warnings, Vec::<String>::new());
}

#[test]
fn the_log_says_what_is_read() {
    for (arguments, says) in [
        (Vec::new(), "qemu:///system"),
        (on_node(&[]), "the VMIs of node worker-1"),
        (in_pod(&["--socket", "/run/sock"]), "the VMI behind /run/sock"),
    ] {
        assert_eq!(run(&borrowed(&arguments), []).source.vms.to_string(), says);
    }
}

/// Variables that the manifests set must exist; their effect is tested on a cluster.
#[test]
fn the_manifests_set_variables_that_there_are() {
    let known: Vec<String> = command().get_arguments().filter_map(|arg| arg.get_long()).map(flags::variable).collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    for (manifest, mode, needed) in [
        ("kubernetes/daemonset.yaml", "kubevirt", &["NODE_NAME"][..]),
        ("sidecar/policy.yaml", "sidecar", &["NODE_NAME", "NAMESPACE", "POD_UID"]),
    ] {
        let text = std::fs::read_to_string(root.join(manifest)).expect("it is there");
        let is_part = |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_';
        let words = text.split(|char| !is_part(char)).filter(|word| word.starts_with(flags::VARIABLE_PREFIX));
        let words: Vec<&str> = words.collect();
        for word in &words {
            assert!(known.iter().any(|known| known == word), "{manifest}: there is no {word}");
        }
        for name in needed.iter().chain(&["MODE", "LOG_FORMAT"]) {
            let variable = format!("{}{name}", flags::VARIABLE_PREFIX);
            assert!(words.contains(&variable.as_str()), "{manifest} does not set {variable}");
        }
        assert!(text.contains(mode), "{manifest}");
    }
}
