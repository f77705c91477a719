//! The Helm chart: what it renders, what it refuses, and that deploy/kubernetes is its default output.

use std::fs;

use super::support::helm::{self, RELEASE};
use super::support::repository;

/// The head of every rendered file.
const HEAD: &str =
    "# Rendered from deploy/helm/virt-otel with its default values by `make manifests`; change it there.\n\n";

/// Files of deploy/kubernetes that are not from the chart: Helm creates the namespace itself and needs no file list.
const BY_HAND: [&str; 2] = ["kustomization.yaml", "namespace.yaml"];

#[test]
fn the_manifests_are_what_the_chart_renders() {
    let folder = repository().join("deploy/kubernetes");
    let objects = helm::template(None);
    let mut stale = Vec::new();
    for (name, object) in &objects {
        let (file, wanted) = (folder.join(name), format!("{HEAD}{object}"));
        if fs::read_to_string(&file).ok().as_ref() != Some(&wanted) {
            fs::write(&file, wanted).unwrap();
            stale.push(name.as_str());
        }
    }
    assert!(stale.is_empty(), "stale in deploy/kubernetes, and rewritten: {stale:?}");

    let there = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<_> = there.collect();
    there.sort();
    let mut wanted: Vec<_> = objects.keys().map(String::as_str).chain(BY_HAND).collect();
    wanted.sort_unstable();
    assert_eq!(there, wanted);
    let kustomization = fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
    let listed: Vec<_> = kustomization.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
    let mut sorted = listed.clone();
    sorted.push("kustomization.yaml");
    sorted.sort_unstable();
    assert_eq!(sorted, wanted, "what kubectl apply -k makes");
    assert_eq!(listed[0], "namespace.yaml", "the others are in it");
}

#[test]
fn helm_has_nothing_to_say_against_the_chart() {
    let chart = helm::chart().display().to_string();
    for values in [None].into_iter().chain(helm::values().iter().map(Some)) {
        let output = helm::helm(&["lint", "--strict", "--quiet", &chart], values.map(|file| file.as_path()));
        assert_eq!(output.code, Some(0), "{values:?}: {}{}", output.stdout, output.stderr);
    }
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    for (set, says) in [
        ("metricInclude={a}", "metricInclude"),
        ("groupIntervals.disks=60s", "'disks'"),
        ("interval=15", "interval"),
        ("exporters={statsd}", "exporters"),
        ("port=0", "port"),
        ("web.auth=kubernetes", "web.tls"),
        ("web.auth=basic", "auth"),
        ("web.tls.certManager.create=true", "web.tls.certManager.issuerRef"),
        ("web.tls.secretName=tls,exporters={otlp}", "nothing is served"),
        ("sourceUrl=git.example.com", "sourceUrl"),
        ("healthPort=9464", "healthPort"),
        ("otlp.endpoint=", "otlp.endpoint"),
        ("otlp.endpoint=collector:4317", "otlp/endpoint"),
        ("serviceAccount.create=false", "serviceAccount.name"),
        ("serviceMonitor.create=true,podMonitor.create=true", "scraped twice"),
        ("serviceMonitor.create=true,exporters={otlp}", "add prometheus to exporters"),
        ("serviceMonitor.create=true,service.create=false", "podMonitor.create"),
    ] {
        let output = helm::try_template(None, &["--set", set]);
        assert_eq!(output.code, Some(1), "{set} was taken: {}", output.stdout);
        assert!(output.stderr.contains(says), "{set}: {}", output.stderr);
    }
}

/// Another chart may have this one as a dependency, with a condition and under another name.
#[test]
fn the_chart_can_be_a_dependency() {
    let umbrella = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| fs::write(umbrella.path().join(name), text).unwrap();
    let dependency = |more: &str| {
        let repository = helm::chart().display().to_string();
        format!(
            "  - {{ name: virt-otel, version: {}, repository: \"file://{repository}\"{more} }}\n",
            env!("CARGO_PKG_VERSION")
        )
    };
    let dependencies =
        dependency(", condition: virt-otel.enabled") + &dependency(", alias: agent, condition: agent.enabled");
    file("Chart.yaml", format!("apiVersion: v2\nname: umbrella\nversion: 0.1.0\ndependencies:\n{dependencies}"));
    file("values.yaml", "global: { site: a }\nvirt-otel: { enabled: true }\nagent: { enabled: false }\n".to_owned());
    let folder = umbrella.path().display().to_string();
    let run = |arguments: &[&str]| {
        let output = helm::helm(arguments, None);
        assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.stderr);
        output.stdout
    };
    run(&["dependency", "build", &folder]);
    let daemon_sets = |set: &[&str]| {
        let rendered = run(&[&["template", RELEASE, &folder], set].concat());
        rendered.lines().filter(|line| *line == "kind: DaemonSet").count()
    };
    assert_eq!(daemon_sets(&[]), 1);
    assert_eq!(daemon_sets(&["--set", "agent.enabled=true"]), 2);
    assert_eq!(daemon_sets(&["--set", "virt-otel.enabled=false"]), 0);
}

#[test]
fn what_ships_is_of_one_version() {
    let deploy = |path: &str| fs::read_to_string(repository().join("deploy").join(path)).unwrap();
    let (agent, rust) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_RUST_VERSION"));
    for (file, says) in [
        ("helm/virt-otel/Chart.yaml", format!("\nversion: {agent}\nappVersion: {agent}\n")),
        ("sidecar/policy.yaml", format!("image: \"virt-otel:{agent}\"")),
        ("container/Dockerfile", format!("virt-otel:{agent} ")),
        ("container/Dockerfile", format!("\nARG VERSION={agent}\n")),
        ("container/Dockerfile", format!("\nARG RUST_IMAGE=docker.io/library/rust:{rust}-")),
    ] {
        assert!(deploy(file).contains(&says), "{file} does not say {says:?}");
    }
}

#[test]
fn an_agent_is_scraped_one_way_and_keeps_its_labels() {
    let [beside, everything] = ["beside-kubevirt", "everything"]
        .map(|name| helm::template(Some(&helm::chart().join(format!("ci/{name}-values.yaml")))));
    for (objects, kind) in [(&beside, "ServiceMonitor"), (&everything, "PodMonitor")] {
        let monitor = &objects["monitor.yaml"];
        assert!(monitor.contains(&format!("kind: {kind}\n")), "{monitor}");
        assert!(monitor.contains("honorLabels: true\n"), "{monitor}");
        assert!(!objects["service.yaml"].contains("prometheus.io/scrape"), "{kind} and annotations");
    }
    assert!(helm::template(None)["service.yaml"].contains("prometheus.io/scrape: \"true\"\n"));
    let pushed = helm::try_template(None, &["--set", "exporters={otlp}"]).stdout;
    assert!(pushed.contains("kind: DaemonSet\n") && !pushed.contains("kind: Service\n"), "nothing to scrape: {pushed}");
}

/// Who may connect, and how.
#[test]
fn a_monitor_speaks_as_the_endpoint_does() {
    let everything = helm::template(Some(&helm::chart().join("ci/everything-values.yaml")));
    let monitor = &everything["monitor.yaml"];
    for line in [
        "scheme: https",
        "serverName: vms.virt-otel.svc",
        "name: vms-web-tls",
        "key: ca.crt",
        "targetLabel: instance",
        "action: drop",
        "name: scraper",
    ] {
        assert!(monitor.contains(&format!("{line}\n")), "{line}: {monitor}");
    }
    assert!(everything["certificate.yaml"].contains("- vms.virt-otel.svc\n"), "{}", everything["certificate.yaml"]);
    let file = &everything["web.yaml"];
    for line in [
        "cert_file: /etc/virt-otel/web-tls/tls.crt",
        "client_auth_type: RequireAndVerifyClientCert",
        "X-Frame-Options: deny",
    ] {
        assert!(file.contains(line), "{line}: {file}");
    }
    let of = |set: &str| helm::try_template(None, &["--set", set]).stdout;
    assert!(!of("serviceMonitor.create=true").contains("scheme: https"));
    let own = of("serviceMonitor.create=true,web.tls.secretName=tls,serviceMonitor.tlsConfig.insecureSkipVerify=true");
    assert!(own.contains("insecureSkipVerify: true\n") && !own.contains("serverName"), "{own}");
    assert!(of("web.tls.secretName=tls").contains("prometheus.io/scheme: https\n"));
}

#[test]
fn pods_of_one_namespace_may_scrape_unless_the_values_say_otherwise() {
    let default = &helm::template(None)["networkpolicy.yaml"];
    assert!(default.contains("kubernetes.io/metadata.name: monitoring\n"), "{default}");
    let nobody = helm::try_template(None, &["--set-json", "networkPolicy.from=[]"]).stdout;
    assert!(nobody.contains("  ingress: []\n"), "{nobody}");
    let everybody = helm::try_template(None, &["--set", "networkPolicy.create=false"]).stdout;
    assert!(!everybody.contains("kind: NetworkPolicy\n"));
}

/// What is said after an installation.
#[test]
fn the_notes_say_who_may_scrape_and_which_value_says_otherwise() {
    let chart = helm::chart().display().to_string();
    let notes = |set: &[&str]| {
        let install = ["install", RELEASE, &chart, "--namespace", RELEASE, "--dry-run=client"];
        let output = helm::helm(&[&install[..], set].concat(), None);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout.split_once("\nNOTES:\n").expect("notes").1.to_owned()
    };
    for (set, says) in [
        (&[][..], &["kubernetes.io/metadata.name: monitoring", "networkPolicy.from", "healthPort now, 9465"][..]),
        (&["--set-json", "networkPolicy.from=[]"], &["Nobody may scrape it", "networkPolicy.from"]),
        (&["--set", "networkPolicy.create=false"], &["Everybody in the cluster may scrape it"]),
        (
            &["--set", "web.tls.secretName=tls,web.auth=kubernetes"],
            &["virt-otel.virt-otel.svc", "nonResourceURL /metrics"],
        ),
    ] {
        let notes = notes(set);
        for text in says {
            assert!(notes.contains(text), "{set:?}: {text}: {notes}");
        }
    }
}

#[test]
fn alerts_link_to_the_runbook_where_the_source_is_known() {
    let rules = |url: &str| {
        helm::try_template(None, &["--set", "prometheusRule.create=true", "--set", &format!("sourceUrl={url}")]).stdout
    };
    let version = env!("CARGO_PKG_VERSION");
    let link = format!("runbook_url: https://git.example.com/a/blob/v{version}/docs/runbook.md#virtotelvmstuck\n");
    assert!(rules("https://git.example.com/a/").contains(&link));
    let unknown = rules("");
    assert!(unknown.contains("runbook: docs/runbook.md#virtotelvmstuck\n") && !unknown.contains("runbook_url"));
}

#[test]
fn two_releases_have_objects_of_their_own() {
    let chart = helm::chart().display().to_string();
    let one = helm::template(None)["daemonset.yaml"].clone();
    let other = helm::helm(&["template", "second", &chart, "--namespace", "vms"], None).stdout;
    assert!(one.contains(&format!("\n  name: {RELEASE}\n")), "{one}");
    assert!(other.contains("\n  name: second-virt-otel\n  namespace: vms\n"), "{other}");
    assert!(other.contains("app.kubernetes.io/instance: second\n"), "{other}");
}
