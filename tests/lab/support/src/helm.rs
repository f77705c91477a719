//! The chart, as a user's Helm renders it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{self, Output};
use super::{prepared, repository};

/// Both the release and its namespace: with this name the chart's objects have no prefix.
pub const RELEASE: &str = "virt-otel";

/// Where the chart is.
pub fn chart() -> PathBuf {
    repository().join("deploy/helm/virt-otel")
}

/// The values files that the chart is tested with, besides its defaults.
#[track_caller]
pub fn values() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(chart().join("ci")).expect("deploy/helm/virt-otel/ci");
    let mut files: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Runs Helm to its end.
#[track_caller]
pub fn helm(arguments: &[&str], values: Option<&Path>) -> Output {
    // None of the user's settings: no plugins, repositories or cluster.
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("env");
    command.arg("-i").arg(format!("HOME={}", home.path().display()));
    command.arg(prepared("helm", "bin/helm")).args(arguments);
    if let Some(file) = values {
        command.arg("--values").arg(file);
    }
    process::run(command, Duration::from_secs(60)).unwrap_or_else(|| panic!("helm {arguments:?} did not end in 60 s"))
}

/// [`helm`] template, successful or not.
#[track_caller]
pub fn try_template(values: Option<&Path>, more: &[&str]) -> Output {
    let chart = chart().display().to_string();
    let mut arguments = vec!["template", RELEASE, &chart, "--namespace", RELEASE];
    arguments.extend_from_slice(more);
    helm(&arguments, values)
}

/// The objects that the chart makes, by the names of their templates.
#[track_caller]
pub fn template(values: Option<&Path>) -> BTreeMap<String, String> {
    let output = try_template(values, &[]);
    assert_eq!(output.code, Some(0), "helm template with {values:?}: {}", output.stderr);
    objects(&output.stdout)
}

/// The objects in what `helm template` prints, by the names of their templates.
#[track_caller]
pub fn objects(rendered: &str) -> BTreeMap<String, String> {
    let documents = rendered.split("---\n").filter(|document| !document.trim().is_empty());
    let objects: BTreeMap<_, _> = documents
        .clone()
        .map(|document| {
            let (source, object) = document.split_once('\n').expect("a comment and an object");
            let name = source.rsplit('/').next().expect("a path");
            assert!(source.starts_with("# Source: "), "{source}");
            (name.to_owned(), format!("{}\n", object.trim()))
        })
        .collect();
    assert_eq!(objects.len(), documents.count(), "one object a template");
    objects
}
