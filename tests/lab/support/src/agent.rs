//! The product itself, as its users run it.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::collector::Collector;
use super::container::Container;
use super::exposition::Metrics;
use super::http::{self, Response};
use super::launcher::{Launcher, Node};
use super::namespace::Namespace;
use super::process::{self, Exit, Output, Process};
use super::{answer_within, free_port};

/// A running agent; killed when dropped.
pub struct Agent {
    process: Process,
    command: Command,
    port: u16,
    folder: TempDir,
}

impl Agent {
    /// Starts `virt-otel run` on a free port and waits until its endpoint answers.
    #[track_caller]
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Agent {
        Agent::launch(arguments, environment).ready()
    }

    /// Starts `virt-otel run` as a container runtime would, and waits until its endpoint answers.
    #[track_caller]
    pub fn contained(container: &Container, arguments: &[&str]) -> Agent {
        Agent::contained_with(container, arguments, &[])
    }

    /// [`contained`](Self::contained) with these variables.
    #[track_caller]
    pub fn contained_with(container: &Container, arguments: &[&str], environment: &[(&str, &str)]) -> Agent {
        let mut command = container.command(&program());
        steer_by(&mut command, environment);
        Agent::launch_by(command, arguments).ready()
    }

    /// Starts `virt-otel run` with a hard limit of `files` open files, and waits until its endpoint answers.
    #[track_caller]
    pub fn with_files(files: u64, arguments: &[&str], environment: &[(&str, &str)]) -> Agent {
        let mut command = Command::new("prlimit");
        command.args([&format!("--nofile={files}:{files}"), &program()]);
        steer_by(&mut command, environment);
        Agent::launch_by(command, arguments).ready()
    }

    #[track_caller]
    fn ready(mut self) -> Agent {
        self.wait_answering();
        self
    }

    #[track_caller]
    fn wait_answering(&mut self) {
        let port = self.port;
        self.process.wait_ready(Duration::from_secs(20), || http::get(port, "/livez", &[]).ok());
    }

    /// Starts the agent of a node.
    #[track_caller]
    pub fn on_node(node: &Node, kubeconfig: &Path, more: &[&str], collector: Option<&Collector>) -> Agent {
        let (kubeconfig, pods) = (kubeconfig.display().to_string(), node.pods_dir().display().to_string());
        let mut arguments = vec!["--mode", "kubevirt", "--node-name", node.name()];
        arguments.extend(["--kubeconfig", &kubeconfig, "--pods-dir", &pods]);
        Agent::start_towards(&mut arguments, more, collector)
    }

    /// Starts the agent of one launcher pod, which knows what the downward API tells it.
    #[track_caller]
    pub fn in_pod(launcher: &Launcher, namespace: &str, more: &[&str], collector: Option<&Collector>) -> Agent {
        let socket = launcher.pod_socket().display().to_string();
        let mut arguments = vec!["--mode", "sidecar", "--socket", &socket, "--node-name", launcher.node().name()];
        arguments.extend(["--namespace", namespace, "--pod-uid", launcher.pod_uid()]);
        Agent::start_towards(&mut arguments, more, collector)
    }

    /// With readings and pushes every second; without a Collector nothing is pushed.
    #[track_caller]
    fn start_towards<'a>(arguments: &mut Vec<&'a str>, more: &[&'a str], collector: Option<&Collector>) -> Agent {
        arguments.extend(["--interval", "1s"]);
        arguments.extend_from_slice(more);
        match collector {
            None => {
                arguments.extend(["--exporters", "prometheus"]);
                Agent::start(arguments, &[])
            }
            Some(collector) => Agent::start(
                arguments,
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()), ("OTEL_METRIC_EXPORT_INTERVAL", "1000")],
            ),
        }
    }

    /// Starts `virt-otel run` on a free port and does not wait.
    #[track_caller]
    pub fn launch(arguments: &[&str], environment: &[(&str, &str)]) -> Agent {
        Agent::launch_by(command(environment), arguments)
    }

    #[track_caller]
    fn launch_by(mut command: Command, arguments: &[&str]) -> Agent {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        command.args(["run", "--listen", &format!("127.0.0.1:{port}")]).args(arguments);
        let process = Process::spawn("virt-otel", process::copy(&command), &folder.path().join("agent.log"));
        Agent { process, command, port, folder }
    }

    /// Runs the binary to its end, such as `&["snapshot", …]`, within 60 s.
    #[track_caller]
    pub fn output(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = command(environment);
        command.args(arguments);
        process::run(command, Duration::from_secs(60))
            .unwrap_or_else(|| panic!("virt-otel {arguments:?} did not end within 60 s"))
    }

    /// [`output`](Self::output) of the binary inside namespaces, as a user: root is 0.
    #[track_caller]
    pub fn output_inside(namespace: &Namespace, user: u32, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = namespace.command("setpriv");
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--", &program()]);
        // Any user may enter it.
        command.args(arguments).current_dir("/");
        steer_by(&mut command, environment);
        process::run(command, Duration::from_secs(60))
            .unwrap_or_else(|| panic!("virt-otel {arguments:?} did not end within 60 s"))
    }

    /// The processes that it has started, including zombies.
    pub fn children(&self) -> Vec<u32> {
        process::children(self.pid())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its stderr so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// GET of any path.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Response> {
        http::get(self.port, path, headers)
    }

    /// The page of metrics in the format this Accept header asks for.
    #[track_caller]
    pub fn metrics_raw(&self, accept: &str) -> Response {
        let response = self.get("/metrics", &[("Accept", accept)]);
        response.unwrap_or_else(|error| panic!("GET /metrics: {error}; the agent's log:\n{}", self.log()))
    }

    /// The page of metrics.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let response = self.metrics_raw("text/plain;version=0.0.4");
        assert_eq!(response.status, 200, "GET /metrics: {}", response.text());
        Metrics::parse(&response.text())
    }

    /// Asks for metrics until they are as wanted; after the timeout, panics with the agent's log.
    #[track_caller]
    pub fn wait_for(&self, timeout: Duration, what: &str, wanted: impl Fn(&Metrics) -> bool) -> Metrics {
        let answer = answer_within(timeout, || {
            let metrics = self.metrics();
            wanted(&metrics).then_some(metrics)
        });
        answer.unwrap_or_else(|| panic!("waited {timeout:?} in vain for: {what}; the agent's log:\n{}", self.log()))
    }

    /// Sends SIGTERM, and gives it 20 s.
    pub fn terminate(&mut self) -> Exit {
        self.process.terminate(Duration::from_secs(20))
    }

    /// Ends it in order, starts it again on the same port, and waits until its endpoint answers.
    #[track_caller]
    pub fn restart(&mut self) {
        assert_eq!(self.terminate().code, Some(0), "{}", self.log());
        let log = self.folder.path().join("agent.log");
        self.process = Process::spawn("virt-otel", process::copy(&self.command), &log);
        self.wait_answering();
    }

    /// Waits for it to end by itself, and kills it after the timeout.
    pub fn wait_end(&mut self, timeout: Duration) -> Exit {
        self.process.wait_end(timeout)
    }

    pub fn running(&mut self) -> bool {
        self.process.running()
    }

    /// Resident memory in bytes.
    #[track_caller]
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS")
    }

    /// The most resident memory it ever had, in bytes.
    #[track_caller]
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM")
    }

    /// Resident anonymous memory in bytes: what it has allocated itself.
    #[track_caller]
    pub fn anonymous(&self) -> u64 {
        self.memory("RssAnon")
    }

    #[track_caller]
    pub fn threads(&self) -> usize {
        self.status("Threads").parse().expect("a number of threads")
    }

    /// The soft and hard limits of its open files.
    #[track_caller]
    pub fn open_files(&self) -> (u64, u64) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.pid())).expect("its limits");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("that limit");
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        (numbers[0], numbers[1])
    }

    /// Open file descriptors.
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the descriptors of a running agent").count()
    }

    /// User and system time used so far.
    #[track_caller]
    pub fn cpu_time(&self) -> Duration {
        process::cpu_time(self.pid()).expect("the CPU time of a running agent")
    }

    #[track_caller]
    fn memory(&self, field: &str) -> u64 {
        let text = self.status(field);
        let kibibytes: u64 = text.trim_end_matches(" kB").parse().expect("an amount of memory");
        kibibytes * 1024
    }

    #[track_caller]
    fn status(&self, field: &str) -> String {
        process::status_field(self.pid(), field).unwrap_or_else(|| panic!("a running agent has {field}"))
    }
}

/// The program under test.
pub fn program() -> String {
    super::binary::binary().to_str().expect("a path in UTF-8").to_owned()
}

fn command(environment: &[(&str, &str)]) -> Command {
    let program = program();
    assert!(File::open(&program).is_ok(), "{program} is not built");
    let mut command = Command::new(program);
    steer_by(&mut command, environment);
    command
}

/// The tests' environment must not configure the agent.
fn steer_by(command: &mut Command, environment: &[(&str, &str)]) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("OTEL_") || name.starts_with("VIRT_OTEL_")) {
            command.env_remove(name);
        }
    }
    command.env_remove("LIBVIRT_DEFAULT_URI");
    command.envs(environment.iter().copied());
}
