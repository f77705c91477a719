//! The program from outside: what it prints, how it ends, and what it does when everything that it needs is missing.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// Far more than anything here takes, even on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nothing listens there.
const ABSENT: &str = "qemu+unix:///system?socket=/nonexistent/libvirt-sock-ro";

fn program() -> Command {
    let mut command = Command::new(lab_support::binary());
    // This process's environment must not matter.
    command.env_clear().kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn output(command: &mut Command) -> Output {
    timeout(PATIENCE, command.output()).await.expect("it ends").expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A running agent that listens on a free port.
struct Agent {
    child: Child,
    port: u16,
    /// Where the probes are, if they have an address of their own.
    health_port: Option<u16>,
    log: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Agent {
    async fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program();
        command.args(["run", "--listen", "127.0.0.1:0", "--log-format", "json"]).args(arguments);
        let mut child = command.envs(variables.iter().copied()).spawn().expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let ports = timeout(PATIENCE, async {
            loop {
                let line = log.next_line().await.expect("UTF-8").expect("it logs where it listens before it ends");
                let record: serde_json::Value =
                    serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
                let port = |address: &str| {
                    let address = record[address].as_str()?;
                    Some(address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address"))
                };
                if let Some(listen) = port("listen") {
                    break (listen, port("health_listen"));
                }
            }
        });
        let (port, health_port) = ports.await.expect("it starts in time");
        Self { child, port, health_port, log }
    }

    /// The head and body served at a path.
    async fn get(&self, path: &str, headers: &str) -> (String, String) {
        Self::get_from(self.port, path, headers).await
    }

    async fn get_from(port: u16, path: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut response = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut response)).await.expect("it answers").expect("UTF-8");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }

    /// Waits until a page satisfies `is_so`.
    async fn until(&self, path: &str, what: &str, is_so: impl Fn(&str, &str) -> bool) -> String {
        let looked = timeout(PATIENCE, async {
            loop {
                let (head, body) = self.get(path, "").await;
                if is_so(&head, &body) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("{path} never says {what}"))
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([format!("-{name}"), id]).status().await.expect("kill is there");
        assert!(sent.success());
    }

    /// The exit code, and how long it took to end.
    async fn ended(&mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it was started");
        (status.code(), began.elapsed())
    }

    /// Its remaining log, after its end.
    async fn rest_of_log(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(Some(line)) = self.log.next_line().await {
            lines.push(line);
        }
        lines
    }
}

/// A Collector that accepts connections and never answers.
async fn mute_collector() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, endpoint)
}

#[tokio::test]
async fn a_wrong_configuration_is_one_sentence_and_exit_code_64() {
    let flags: &[(&[&str], &str)] = &[
        (&["--interval", "fast"], "--interval: "),
        (&["run", "--interval", "1h"], "--interval: "),
        (&["--group-interval", "disk=1s"], "--group-interval: "),
        (&["--deadline", "1ms"], "--deadline: "),
        (&["--libvirt-uri", "nonsense"], "--libvirt-uri: "),
        (&["--listen", "nowhere"], "--listen: "),
        (&["--exporters", "console"], "--exporters: "),
        (&["--metrics-include", "a{b"], "--metrics-include: "),
        (&["--log-level", "a=b=c"], "--log-level: "),
        (&["--mode", "vmware"], "--mode: "),
        (&["--colour"], "--colour: "),
        (&["snapshot", "--format", "pdf"], "--format: "),
        (&["check", "--format", "table"], "--format: "),
        (&["check", "--interval", "fast"], "--interval: "),
        (&["watch"], "watch: "),
    ];
    for (arguments, names) in flags {
        assert_refused(&output(program().args(*arguments)).await, names);
    }
    for (name, value) in [
        ("VIRT_OTEL_INTERVAL", "0s"),
        ("VIRT_OTEL_LISTEN", "x:y:z"),
        ("OTEL_METRICS_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15s"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ("OTEL_SDK_DISABLED", "1"),
    ] {
        assert_refused(&output(program().env(name, value)).await, &format!("{name}: "));
    }
}

/// Wrong settings of the modes kubevirt and sidecar, on the command line and in the environment.
#[tokio::test]
async fn a_wrong_setting_of_a_pod_is_one_sentence_and_exit_code_64() {
    const UID: &str = "2c4d3f0e-9a51-4c7e-8f0b-6d1a5e3b7c90";
    let pod = [("NODE_NAME", "worker-1"), ("NAMESPACE", "vms"), ("POD_UID", UID)];
    for (mode, setting, value) in [
        ("kubevirt", "node-name", "Worker_1"),
        ("kubevirt", "kubeconfig", "/nonexistent/kubeconfig"),
        ("kubevirt", "pods-dir", "var/lib/kubelet/pods"),
        ("kubevirt", "vmi-labels", "app,a label"),
        ("kubevirt", "streaming-lists", "perhaps"),
        ("kubevirt", "push-beside-sidecar", "sometimes"),
        ("sidecar", "node-name", "worker 1"),
        ("sidecar", "socket", "virtqemud-sock"),
        ("sidecar", "pod-uid", "virt-launcher-web-x7k2p"),
        ("sidecar", "namespace", "vms.example.org"),
        ("sidecar", "vmi-name", "vms_web"),
    ] {
        let suffix = setting.to_uppercase().replace('-', "_");
        let variable = format!("VIRT_OTEL_{suffix}");
        let mut wrong = program();
        wrong.env("VIRT_OTEL_MODE", mode);
        for (name, value) in pod.iter().filter(|(name, _)| *name != suffix) {
            wrong.env(format!("VIRT_OTEL_{name}"), value);
        }
        assert_refused(&output(wrong.env(&variable, value)).await, &format!("{variable}: "));
        wrong.env_remove(&variable).arg(format!("--{setting}={value}"));
        assert_refused(&output(&mut wrong).await, &format!("--{setting}: "));
    }
    for (arguments, names) in [
        (["--mode=kubevirt", "--listen=:0"], "--node-name: "),
        (["--mode=sidecar", "--node-name=worker-1"], "--namespace: "),
        (["--mode=kubevirt", "--libvirt-uri=qemu:///system"], "--libvirt-uri: "),
        (["--mode=libvirt", "--vmi-name=web"], "--vmi-name: "),
        (["--mode=sidecar", "--pods-dir=/pods"], "--pods-dir: "),
    ] {
        assert_refused(&output(program().args(arguments)).await, names);
    }
}

fn assert_refused(output: &Output, names: &str) {
    let sentence = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{sentence}");
    assert!(sentence.starts_with(&format!("virt-otel: {names}")), "{sentence}");
    assert_eq!(sentence.trim_end().lines().count(), 1, "{sentence}");
    assert!(output.stdout.is_empty());
}

/// Files that can be opened but are not certificates: only the exporter can tell.
#[tokio::test]
async fn a_file_that_is_no_certificate_is_a_wrong_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, "this is no certificate").expect("it is writable");
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--libvirt-uri", ABSENT]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1").env("OTEL_EXPORTER_OTLP_CERTIFICATE", &file);
    let output = output(&mut command).await;
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_file_that_holds_no_headers_is_a_wrong_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("headers");
    std::fs::write(&file, "authorization=secret").expect("it is writable");
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--libvirt-uri", ABSENT, "--otlp-headers-file"]).arg(&file);
    let output = output(&mut command).await;
    let sentence = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{sentence}");
    assert!(sentence.contains("--otlp-headers-file") && sentence.contains("line 1 has no colon"), "{sentence}");
    assert!(!sentence.contains("secret"), "{sentence}");
}

#[tokio::test]
async fn help_and_version_are_for_people() {
    for (arguments, says) in [
        (&["--help"] as &[&str], "Examples:"),
        (&["-h"], "Usage: virt-otel"),
        (&["snapshot", "--help"], "otlp-json"),
        (&["check", "--help"], "[env: VIRT_OTEL_LISTEN]"),
        (&["run", "--help"], "[env: VIRT_OTEL_INTERVAL]"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = output(program().args(arguments)).await;
        assert_eq!(output.status.code(), Some(0));
        let page = text(&output.stdout);
        assert!(page.contains(says), "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 120), "{page}");
    }
}

#[tokio::test]
async fn completions_and_the_manual_page_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = output(program().args(["completions", shell])).await;
        assert_eq!(output.status.code(), Some(0));
        let script = text(&output.stdout);
        assert!(script.contains("group-interval") && script.contains("snapshot"), "{shell}");
    }
    let page = output(program().arg("man")).await;
    let page = text(&page.stdout);
    for section in [".TH virt", "SH ENVIRONMENT", "SH FILES", "SH \"EXIT STATUS\"", "SH EXTRA"] {
        assert!(page.contains(section), "no {section}: {page}");
    }
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_no_failure() {
    let mut child = program().arg("man").spawn().expect("it starts");
    drop(child.stdout.take());
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").expect("it was started");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn without_libvirt_and_without_a_collector_it_stays_and_says_so() {
    let mut agent =
        Agent::start(&["--libvirt-uri", ABSENT], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]).await;
    let page = agent.until("/metrics", "that the daemon is down", |_, page| page.contains("libvirt_up")).await;
    let up = page.lines().find(|line| line.starts_with("libvirt_up{")).expect("a series");
    assert!(up.ends_with(" 0"), "{up}");
    agent.until("/readyz", "that the round is done", |head, _| head.starts_with("HTTP/1.1 200")).await;
    assert!(agent.get("/livez", "").await.0.starts_with("HTTP/1.1 200"));
    assert!(agent.get("/", "").await.1.contains(": not connected"));
    agent.signal("TERM").await;
    let (code, took) = agent.ended().await;
    assert_eq!(code, Some(0), "{:?}", agent.rest_of_log().await);
    assert!(took < Duration::from_secs(7), "{took:?}");
}

/// libvirt's library prints its errors there by default, between the log's lines.
#[tokio::test]
async fn nothing_but_the_log_is_written_to_standard_error() {
    let mut agent = Agent::start(&["--libvirt-uri", "nosuch:///driver", "--exporters", "prometheus"], &[]).await;
    agent.until("/readyz", "that the round is done", |head, _| head.starts_with("HTTP/1.1 200")).await;
    agent.signal("TERM").await;
    assert_eq!(agent.ended().await.0, Some(0));
    let log = agent.rest_of_log().await;
    assert!(log.iter().any(|line| line.contains("could not reach libvirt")), "{log:?}");
    assert!(log.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log:?}");
}

#[tokio::test]
async fn its_own_metrics_are_on_the_page() {
    let agent =
        Agent::start(&["--libvirt-uri", ABSENT, "--exporters", "prometheus"], &[("OTEL_SERVICE_NAME", "mine")]).await;
    let (head, page) = agent.get("/metrics", "").await;
    assert!(head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(page.contains(&format!("virt_otel_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))), "{page}");
    assert!(page.contains("service_name=\"mine\""), "{page}");
    assert!(!page.contains("virt_otel_otlp_"), "nothing is pushed: {page}");
    let (head, _) = agent.get("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n").await;
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
}

/// `promtool` parses as Prometheus does; machines without it skip this.
#[tokio::test]
async fn promtool_has_nothing_to_say_about_the_page() {
    if Command::new("promtool").arg("--version").output().await.is_err() {
        return;
    }
    let agent = Agent::start(&["--libvirt-uri", ABSENT], &[]).await;
    let page = agent.until("/metrics", "the daemon", |_, page| page.contains("libvirt_up")).await;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("it was there a moment ago");
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin.write_all(page.as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = timeout(PATIENCE, promtool.wait_with_output()).await.expect("it ends").expect("it was started");
    assert!(output.status.success() && output.stderr.is_empty(), "{}\n{page}", text(&output.stderr));
}

#[tokio::test]
async fn a_mute_collector_holds_up_neither_a_scrape_nor_the_end() {
    let (collector, endpoint) = mute_collector().await;
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_METRIC_EXPORT_INTERVAL", "1000")];
    let mut agent = Agent::start(&["--libvirt-uri", ABSENT, "--logs-exporter", "otlp"], &variables).await;
    agent.until("/readyz", "that the round is done", |head, _| head.starts_with("HTTP/1.1 200")).await;
    let _requests = timeout(PATIENCE, collector.accept()).await.expect("it pushes").expect("a connection");
    let began = Instant::now();
    assert!(agent.get("/metrics", "").await.1.contains("libvirt_up"));
    assert!(began.elapsed() < Duration::from_secs(2), "a scrape took {:?}", began.elapsed());
    agent.signal("TERM").await;
    let (code, took) = agent.ended().await;
    let log = agent.rest_of_log().await;
    assert_eq!(code, Some(0), "{log:?}");
    // Three seconds for metrics, one for logs, and a margin for a busy machine.
    assert!(took < Duration::from_secs(7), "{took:?}");
    assert!(log.iter().any(|line| line.contains("could not be delivered before the agent ended")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("did not end in time")), "{log:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (_collector, endpoint) = mute_collector().await;
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let mut agent = Agent::start(&["--libvirt-uri", ABSENT], &variables).await;
    agent.until("/readyz", "that the round is done", |head, _| head.starts_with("HTTP/1.1 200")).await;
    agent.signal("TERM").await;
    let told = timeout(PATIENCE, async {
        while let Ok(Some(line)) = agent.log.next_line().await {
            if line.contains("told to stop") {
                return;
            }
        }
        panic!("it never said that it was told to stop");
    });
    told.await.expect("in time");
    agent.signal("TERM").await;
    let (code, took) = agent.ended().await;
    assert_eq!(code, Some(128 + 15));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn an_interrupt_is_a_reason_to_stop_too() {
    let mut agent = Agent::start(&["--libvirt-uri", ABSENT, "--exporters", "none"], &[]).await;
    assert!(agent.get("/metrics", "").await.0.starts_with("HTTP/1.1 404"));
    agent.signal("INT").await;
    assert_eq!(agent.ended().await.0, Some(0));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let held = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = held.local_addr().expect("it is bound").to_string();
    let output = output(program().args(["--libvirt-uri", ABSENT, "--listen", &address])).await;
    let sentence = text(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{sentence}");
    assert!(sentence.contains(&address) && sentence.contains("--listen"), "{sentence}");
    assert_eq!(sentence.trim_end().lines().count(), 1, "{sentence}");
}

#[tokio::test]
async fn the_probes_may_have_an_address_of_their_own() {
    let arguments = ["--libvirt-uri", ABSENT, "--exporters", "prometheus", "--health-listen", "127.0.0.1:0"];
    let agent = Agent::start(&arguments, &[]).await;
    let port = agent.health_port.expect("the log says which");
    // Connections that fill the other address block neither a probe nor a scrape.
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(TcpStream::connect(("127.0.0.1", agent.port)).await.expect("it listens"));
    }
    for path in ["/livez", "/readyz"] {
        let (head, body) = Agent::get_from(port, path, "").await;
        assert!(head.starts_with("HTTP/1.1 200") || path == "/readyz", "{path}: {head} {body}");
        assert!(!head.starts_with("HTTP/1.1 404"), "{path}: {head}");
        let (head, body) = agent.get(path, "").await;
        assert!(head.starts_with("HTTP/1.1 404") && body.contains("--health-listen"), "{path}: {head} {body}");
    }
    assert!(agent.get("/metrics", "").await.0.starts_with("HTTP/1.1 200"));
    assert!(Agent::get_from(port, "/metrics", "").await.0.starts_with("HTTP/1.1 404"));
}

/// A document with one user, alice, whose password is "secret".
fn document_of_alice(folder: &std::path::Path) -> String {
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    let path = folder.join("web.yml");
    std::fs::write(&path, format!("basic_auth_users:\n  alice: {hash}\n")).expect("a file");
    path.display().to_string()
}

#[tokio::test]
async fn a_guarded_address_asks_for_the_password_and_the_probes_beside_it_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = document_of_alice(folder.path());
    let arguments = ["--libvirt-uri", ABSENT, "--exporters", "prometheus", "--health-listen", "127.0.0.1:0"];
    let agent = Agent::start(&[&arguments[..], &["--web-config-file", &file]].concat(), &[]).await;
    // alice:secret
    let right = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";
    for path in ["/", "/metrics", "/livez", "/nothing"] {
        let (head, body) = agent.get(path, "").await;
        assert!(head.starts_with("HTTP/1.1 401") && !body.contains("virt_otel"), "{path}: {head} {body}");
    }
    let (head, page) = agent.get("/metrics", right).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(page.contains("virt_otel_requests_refused_total{reason=\"no_credentials\"} 4"), "{page}");
    assert!(page.contains("virt_otel_web_config_current 1"), "{page}");
    let port = agent.health_port.expect("the log says which");
    assert!(Agent::get_from(port, "/livez", "").await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn probes_behind_the_guard_are_warned_of_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = document_of_alice(folder.path());
    let arguments = ["--libvirt-uri", ABSENT, "--exporters", "prometheus", "--log-format", "text"];
    let mut command = program();
    command.args(["run", "--listen", "127.0.0.1:0", "--web-config-file", &file]).args(arguments);
    let mut child = command.spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let line = timeout(PATIENCE, log.next_line()).await.expect("it logs").expect("UTF-8").expect("a line");
    assert!(line.contains("WARN") && line.contains("/livez") && line.contains("--health-listen"), "{line}");
}

#[tokio::test]
async fn a_document_that_cannot_be_used_is_one_sentence_and_exit_code_64() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.yml");
    std::fs::write(&path, "tls_server_config:\n  cert_filse: server.crt\n").expect("a file");
    let file = path.display().to_string();
    for command in [
        &["--web-config-file", &file][..],
        &["run", "--web-config-file", "/nonexistent/web.yml"],
        &["check", "--web-config-file", &file],
    ] {
        let output = output(program().args(command)).await;
        let sentence = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{sentence}");
        assert!(sentence.contains("--web-config-file: ") && sentence.contains("web.yml"), "{sentence}");
        assert_eq!(sentence.trim_end().lines().count(), 1, "{sentence}");
    }
}

#[tokio::test]
async fn an_address_for_the_probes_that_cannot_be_had_is_named() {
    let held = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = held.local_addr().expect("it is bound").to_string();
    for (listen, code) in [("127.0.0.1:0", 69), (address.as_str(), 64)] {
        let arguments = ["--libvirt-uri", ABSENT, "--listen", listen, "--health-listen", &address];
        let output = output(program().args(arguments)).await;
        let sentence = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{sentence}");
        assert!(sentence.contains(&address) && sentence.contains("--health-listen"), "{sentence}");
        assert_eq!(sentence.trim_end().lines().count(), 1, "{sentence}");
    }
}

/// As systemd starts a unit of `Type=notify` with a watchdog. The daemon that is not there is no reason not to be ready.
#[tokio::test]
async fn a_service_manager_hears_that_the_agent_is_ready_alive_and_ending() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notify").display().to_string();
    let socket = tokio::net::UnixDatagram::bind(&path).expect("a socket");
    let heard = async || {
        let mut word = [0; 64];
        let length = timeout(PATIENCE, socket.recv(&mut word)).await.expect("it is told something").expect("a word");
        String::from_utf8_lossy(&word[..length]).into_owned()
    };
    let until = async |wanted: &str| {
        loop {
            let word = heard().await;
            if word == wanted {
                break;
            }
            assert_eq!(word, "WATCHDOG=1", "before {wanted}");
        }
    };
    let manager = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "600000")];
    let mut agent = Agent::start(&["--libvirt-uri", ABSENT, "--exporters", "none"], &manager).await;
    until("READY=1").await;
    assert_eq!(heard().await, "WATCHDOG=1");
    agent.signal("TERM").await;
    until("STOPPING=1").await;
    agent.ended().await;

    // What cannot be configured says so by its exit code, for which the unit starts nothing anew, and tells nothing.
    let refused = output(program().args(["--interval", "never"]).envs(manager)).await;
    assert_eq!(refused.status.code(), Some(64));
    assert!(socket.try_recv(&mut [0; 64]).is_err());
    let unit = include_str!("../deploy/systemd/virt-otel.service");
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nRestartPreventExitStatus=64\n"));
}

#[tokio::test]
async fn a_mistake_that_stops_nothing_is_warned_of() {
    let mut agent = Agent::start(&["--libvirt-uri", ABSENT, "--exporters", "prometheus"], &[]).await;
    agent.signal("TERM").await;
    agent.ended().await;
    assert_eq!(
        agent.rest_of_log().await.iter().filter(|line| line.contains("WARN") && line.contains("VIRT_OTEL")).count(),
        0
    );
    let mut command = program();
    command.args(["--libvirt-uri", ABSENT, "--listen", "127.0.0.1:0", "--metrics-exclude", "libvirt.nothing.*"]);
    let mut child = command.env("VIRT_OTEL_INTERVALL", "1s").spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut seen = [false; 2];
    let warned = timeout(PATIENCE, async {
        while !seen.iter().all(|seen| *seen) {
            let line = log.next_line().await.expect("UTF-8").expect("it warns before it ends");
            seen[0] |= line.contains("WARN") && line.contains("VIRT_OTEL_INTERVALL");
            seen[1] |= line.contains("WARN") && line.contains("libvirt.nothing.*");
        }
    });
    warned.await.expect("both warnings come");
}

#[tokio::test]
async fn a_snapshot_of_a_daemon_that_is_not_there_fails_and_names_it() {
    let output = output(program().args(["snapshot", "--libvirt-uri", ABSENT])).await;
    let sentence = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{sentence}");
    assert!(
        sentence.lines().any(|line| line.starts_with("virt-otel: no answer from") && line.contains("/nonexistent/")),
        "{sentence}"
    );
}

/// A check of a machine on which nothing is there that the agent needs.
fn check(more: &[&str]) -> Command {
    let mut command = program();
    command.args(["check", "--libvirt-uri", ABSENT]).args(more);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    command
}

#[tokio::test]
async fn a_check_names_what_fails_and_what_to_do_and_tries_the_rest_all_the_same() {
    let output = output(&mut check(&["--listen", "127.0.0.1:0"])).await;
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{report}{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "the report has all: {}", text(&output.stderr));
    let mut lines = report.lines().skip_while(|line| !line.contains("  libvirt-socket  "));
    let failure = lines.next().expect("a line");
    assert!(failure.starts_with("failure ") && failure.contains("/nonexistent/libvirt-sock-ro"), "{failure}");
    assert!(lines.next().expect("a line").trim_start().starts_with("next: "), "{report}");
    for check in ["clock", "open-files", "kvm", "collector", "listen", "series"] {
        assert!(report.contains(&format!("  {check} ")), "no {check} in:\n{report}");
    }
    assert!(report.trim_end().lines().last().expect("counts").ends_with(" failures"), "{report}");
}

#[tokio::test]
async fn a_check_beside_its_agent_counts_the_agents_address_as_well() {
    let agent = Agent::start(&["--libvirt-uri", ABSENT, "--exporters", "prometheus"], &[]).await;
    let listen = format!("127.0.0.1:{}", agent.port);
    let other = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let held = other.local_addr().expect("it is bound").to_string();
    let output = output(&mut check(&["--format", "json", "--listen", &listen, "--health-listen", &held])).await;
    assert_eq!(output.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((&report["mode"], &report["outcome"]), (&"libvirt".into(), &"failure".into()));
    let outcome = |check: &str| {
        let findings = report["findings"].as_array().expect("a list");
        findings.iter().find(|finding| finding["check"] == check).expect("a finding")["outcome"].clone()
    };
    assert_eq!((outcome("listen"), outcome("listen-health")), ("well".into(), "failure".into()), "{report:#}");
}

#[tokio::test]
async fn a_check_warns_of_what_looks_like_a_mistake() {
    let mut command = program();
    command.args(["check", "--format", "json", "--libvirt-uri", ABSENT, "--exporters", "none"]);
    command.args(["--listen", "127.0.0.1:0"]).env("VIRT_OTEL_INTERVALL", "1s");
    let output = output(&mut command).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    let warned = |finding: &&serde_json::Value| finding["check"] == "configuration" && finding["outcome"] == "warning";
    let findings = report["findings"].as_array().expect("a list");
    let warning = findings.iter().find(warned).expect("the variable that does not exist");
    assert!(warning["detail"].as_str().is_some_and(|detail| detail.contains("VIRT_OTEL_INTERVALL")), "{warning}");
    assert!(warning["next_step"].is_string(), "{warning}");
}

#[tokio::test]
async fn top_without_a_terminal_says_what_to_do() {
    let output = output(program().args(["top", "--libvirt-uri", ABSENT])).await;
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    assert!(said.contains("-it") && said.contains("virt-otel snapshot"), "{said}");
    assert!(output.stdout.is_empty());
}
