//! OpenTelemetry's weaver: it checks the registry, and what arrives against the registry.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{free_port, http, repository};

/// Where to get weaver.
const WHERE: &str = "https://github.com/open-telemetry/weaver/releases";

/// A copy of the registry that weaver can resolve without the network.
pub struct Registry {
    folder: TempDir,
}

impl Registry {
    /// The registry as it is committed. `WEAVER_CONVENTIONS` names a folder with the `model` of the semantic
    /// conventions that the manifest depends on; without it weaver fetches them.
    #[track_caller]
    pub fn committed() -> Registry {
        // weaver silently ignores hidden folders.
        let folder = tempfile::Builder::new().prefix("weaver-").tempdir().expect("a temporary folder");
        let registry = Registry { folder };
        fs::create_dir(registry.path()).expect("a folder");
        copy(&repository().join("otel/registry"), &registry.path());
        if let Ok(model) = std::env::var("WEAVER_CONVENTIONS") {
            let path = registry.path().join("manifest.yaml");
            let manifest = fs::read_to_string(&path).expect("the manifest");
            let named: String = manifest
                .lines()
                .map(|line| match line.split_once("registry_path:") {
                    Some((indent, _)) => format!("{indent}registry_path: {model}\n"),
                    None => format!("{line}\n"),
                })
                .collect();
            assert_ne!(named, manifest, "the manifest names no registry_path");
            fs::write(&path, named).expect("the manifest");
        }
        registry
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    /// What `weaver registry check` says. Panics if it refuses the registry.
    #[track_caller]
    pub fn check(&self) -> String {
        let output = weaver().args(["registry", "check", "-r"]).arg(self.path()).output().expect(WHERE);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "weaver refuses the registry:\n{said}");
        said
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in from.read_dir().expect("a folder of the registry") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file of the registry");
        }
    }
}

/// weaver as `WEAVER` names it, or as it is found on PATH.
#[track_caller]
fn weaver() -> Command {
    let program = std::env::var_os("WEAVER").unwrap_or_else(|| "weaver".into());
    let found = Command::new(&program).arg("--version").output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "{} cannot be run: get weaver from {WHERE}, and put it on PATH or name it in WEAVER",
        PathBuf::from(&program).display()
    );
    Command::new(program)
}

/// weaver as a receiver of OTLP; killed when dropped.
pub struct LiveCheck {
    process: Process,
    grpc: u16,
    admin: u16,
    output: PathBuf,
    _registry: Registry,
}

impl LiveCheck {
    /// Starts it on free ports.
    #[track_caller]
    pub fn start() -> LiveCheck {
        let registry = Registry::committed();
        let output = registry.folder.path().join("live-check");
        let [grpc, admin] = std::array::from_fn(|_| free_port());
        let mut command = weaver();
        command.args(["registry", "live-check", "--format", "json", "--no-stream", "-r"]).arg(registry.path());
        command.args(["--otlp-grpc-port", &grpc.to_string(), "--admin-port", &admin.to_string()]);
        command.arg("--output").arg(&output);
        let mut process = Process::spawn("weaver", command, &registry.folder.path().join("weaver.log"));
        process.wait_ready(Duration::from_secs(20), || http::connect(grpc).ok());
        LiveCheck { process, grpc, admin, output, _registry: registry }
    }

    /// The variables that make an agent push here. weaver accepts nothing compressed.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", self.grpc)),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none".to_owned()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned()),
        ]
    }

    /// Ends it; returns its findings.
    #[track_caller]
    pub fn finish(mut self) -> Findings {
        http::post(self.admin, "/stop", &[], &[]).expect("weaver can be stopped");
        let exit = self.process.wait_end(Duration::from_secs(60));
        let file = self.output.join("live_check.json");
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("no report ({error}); {exit:?}; its log:\n{}", self.process.log()));
        let report: Value = serde_json::from_str(&text).expect("a report in JSON");
        let entities = report["statistics"]["total_entities"].as_u64().expect("statistics");
        let mut advice = BTreeMap::new();
        collect(&report["samples"], &mut advice);
        Findings { entities, advice }
    }
}

/// What weaver has found in what arrived.
pub struct Findings {
    /// Resources, metrics, points and attributes that it has looked at.
    pub entities: u64,
    /// Counts by level, identifier, message.
    advice: BTreeMap<(String, String, String), usize>,
}

impl Findings {
    /// The findings of a level, with counts.
    pub fn on(&self, level: &str) -> Vec<String> {
        let of_level = self.advice.iter().filter(|((of, ..), _)| of == level);
        of_level.map(|((_, id, message), times)| format!("{times} × {id}: {message}")).collect()
    }
}

fn collect(value: &Value, advice: &mut BTreeMap<(String, String, String), usize>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, advice)),
        Value::Object(fields) => {
            if let [Some(level), Some(id), Some(message)] =
                ["level", "id", "message"].map(|field| fields.get(field).and_then(Value::as_str))
            {
                *advice.entry((level.to_owned(), id.to_owned(), message.to_owned())).or_default() += 1;
            }
            fields.values().for_each(|field| collect(field, advice));
        }
        _ => {}
    }
}
