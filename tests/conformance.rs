//! deploy/conformance.sh, with a kubectl that tells of a cluster: what it asks for, and what it makes of the answers.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// Of three nodes: `node-1` is well, `node-10` warns, and the agent of the third cannot be asked.
const KUBECTL: &str = r##"#!/usr/bin/env bash
printf '%s\n' "$*" >>"$ASKED"
case $* in
    *"get pods"*--sort-by*)
        printf 'virt-otel\tagent-abc\tnode-1\tRunning\n'
        printf 'virt-otel\tagent-def\tnode-10\tRunning\n'
        printf 'virt-otel\tagent-ghi\tworker.example.org\tPending\n'
        ;;
    *"get pods"*) printf 'registry.example.org/team/virt-otel:0.1.0' ;;
    *"get pod "*) printf 'run\n--interval\n30s\n' ;;
    *"get nodes"*) printf 'node-1\tDebian 12\t6.1.0\tcontainerd://2.0\tamd64\n' ;;
    *"get kubevirt"*) printf 'v1.9.0' ;;
    *version*) printf 'Client Version: v1.34.0\nServer Version: v1.33.1\n' ;;
    *exec*agent-abc*)
        printf 'virt-otel 0.1.0, mode kubevirt: the VMIs of node node-1\n\nwell  kvm  /dev/kvm is there\n'
        ;;
    *exec*agent-def*)
        printf 'virt-otel 0.1.0, mode kubevirt: the VMIs of node node-10\n\nwarning  clock  it is late\n'
        exit 1
        ;;
    *exec*)
        printf 'error: unable to upgrade connection\n' >&2
        exit 1
        ;;
esac
"##;

struct Run {
    output: Output,
    /// The command lines of kubectl.
    asked: String,
}

impl Run {
    fn report(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn errors(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

fn run(kubectl: &str, options: &[&str]) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("kubectl");
    fs::write(&program, kubectl).expect("it is writable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let asked = folder.path().join("asked");
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/conformance.sh"))
        .args(options)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .env("ASKED", &asked)
        .output()
        .expect("bash is there");
    Run { output, asked: fs::read_to_string(asked).unwrap_or_default() }
}

#[test]
fn every_node_is_asked_and_the_worst_decides() {
    let run = run(KUBECTL, &["--context", "staging"]);
    let report = run.report();
    assert_eq!(run.output.status.code(), Some(3), "{report}{}", run.errors());
    for says in [
        "- image: virt-otel:0.1.0\n",
        "- Kubernetes: v1.33.1\n",
        "- KubeVirt: v1.9.0\n",
        "- agents: 3\n",
        "| node-01 | well | Debian 12 | 6.1.0 | containerd://2.0 | amd64 |",
        "| node-02 | warning | ? | ? | ? | ? |",
        "| node-03 | not asked | ",
        "well  kvm  /dev/kvm is there\n",
        "could not be asked:\nerror: unable to upgrade connection\n",
    ] {
        assert!(report.contains(says), "no {says:?} in:\n{report}");
    }
    assert_eq!(report.matches("```").count(), 6, "{report}");
    let execs: Vec<&str> = run.asked.lines().filter(|line| line.contains(" exec ")).collect();
    assert_eq!(execs.len(), 3, "{}", run.asked);
    for exec in execs {
        assert!(exec.starts_with("--context staging exec --namespace virt-otel agent-"), "{exec}");
        assert!(exec.ends_with(" -- virt-otel check --format text --interval 30s"), "the agent's own options: {exec}");
    }
}

#[test]
fn names_of_nodes_and_pods_are_left_out_unless_asked_for() {
    let report = run(KUBECTL, &[]).report();
    for name in ["node-1 ", "node-10", "worker.example.org", "agent-ghi", "registry.example.org"] {
        assert!(!report.contains(name), "{name} is in:\n{report}");
    }
    assert!(report.contains("the VMIs of node node-02\n"), "{report}");
    let report = run(KUBECTL, &["--names"]).report();
    for name in ["| node-10 | warning |", "worker.example.org", "agent-ghi"] {
        assert!(report.contains(name), "{name} is not in:\n{report}");
    }
}

#[test]
fn a_cluster_without_agents_and_a_wrong_option_are_told() {
    let none = run("#!/bin/sh\n", &["-n", "elsewhere"]);
    assert_eq!(none.output.status.code(), Some(3));
    assert!(none.errors().contains("in the namespace elsewhere"), "{}", none.errors());
    for wrong in [&["--all"][..], &["-n"]] {
        let refused = run(KUBECTL, wrong);
        assert_eq!(refused.output.status.code(), Some(64), "{}", refused.errors());
        assert_eq!(refused.errors().lines().count(), 1);
    }
}
