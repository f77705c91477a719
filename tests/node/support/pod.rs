//! A pod of the agent: what it serves, logs and uses.

use std::cell::OnceCell;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lab_support::{Metrics, http, process};
use serde_json::Value;

use super::cluster::Cluster;

/// The hierarchy in which the machines' kubelets limit memory.
const MEMORY: &str = "/sys/fs/cgroup/memory";
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The container's name, in the DaemonSet and beside a launcher.
const CONTAINER: &str = "virt-otel";

/// The port of the page.
const PAGE: u16 = 9464;
/// The port of the probes.
const PROBES: u16 = 9465;

/// The page at an address; empty while nothing answers.
pub fn page_at(address: SocketAddr) -> Metrics {
    match get(address, "/metrics") {
        Some((200, text)) => Metrics::parse(&text),
        _ => Metrics::parse(""),
    }
}

fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let answer = http::exchange(&mut stream, "GET", address.port(), path, &[], &[]).ok()?;
    Some((answer.status, answer.text()))
}

/// A pod with a container of the agent.
pub struct Pod<'a> {
    cluster: &'a Cluster,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub node: String,
    address: OnceCell<IpAddr>,
}

impl<'a> Pod<'a> {
    /// From an object of the API.
    #[track_caller]
    pub fn of(cluster: &'a Cluster, object: &Value) -> Pod<'a> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).map(str::to_owned);
        Pod {
            cluster,
            namespace: text("/metadata/namespace").expect("a namespace"),
            name: text("/metadata/name").expect("a name"),
            uid: text("/metadata/uid").expect("a UID"),
            node: text("/spec/nodeName").unwrap_or_default(),
            address: OnceCell::new(),
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }

    /// The object; none once it is gone.
    pub fn object(&self) -> Option<Value> {
        let answer = self.cluster.client.request("GET", &self.path(), None).ok()?;
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).expect("a pod"))
    }

    /// The status of the agent's container.
    pub fn status(&self) -> Option<Value> {
        let object = self.object()?;
        let lists = ["containerStatuses", "initContainerStatuses"].map(|list| object["status"][list].clone());
        let mut all = lists.iter().filter_map(Value::as_array).flatten();
        all.find(|status| status["name"] == CONTAINER).cloned()
    }

    pub fn is_ready(&self) -> bool {
        self.status().is_some_and(|status| status["ready"] == true)
    }

    pub fn restarts(&self) -> u64 {
        self.status().and_then(|status| status["restartCount"].as_u64()).unwrap_or(0)
    }

    /// What a path of one of its ports answers; none while it does not.
    pub fn ask(&self, port: u16, path: &str) -> Option<(u16, String)> {
        get(SocketAddr::new(self.address()?, port), path)
    }

    /// What a path of the probes' port answers in the pod's own network, where no policy keeps anybody away; none while it does
    /// not.
    pub fn probe(&self, path: &str) -> Option<(u16, String)> {
        let network = format!("--net=/proc/{}/ns/net", self.try_process()?);
        let mut curl = Command::new("nsenter");
        curl.args([&network, "curl", "--silent", "--max-time", "5", "--write-out", "\n%{http_code}"]);
        curl.arg(format!("http://127.0.0.1:{PROBES}{path}"));
        let output = process::run(curl, PATIENCE * 2)?;
        let (text, status) = output.stdout.rsplit_once('\n')?;
        // 000 is no answer.
        let status = status.parse().ok().filter(|status| *status > 0)?;
        Some((status, text.to_owned()))
    }

    /// Its address, which it has once it was started and keeps.
    fn address(&self) -> Option<IpAddr> {
        if let Some(known) = self.address.get() {
            return Some(*known);
        }
        let address = self.object()?["status"]["podIP"].as_str()?.parse().ok()?;
        Some(*self.address.get_or_init(|| address))
    }

    /// Where its page is.
    #[track_caller]
    pub fn page_address(&self) -> SocketAddr {
        let address = self.address().unwrap_or_else(|| panic!("{} has no address", self.name));
        SocketAddr::new(address, PAGE)
    }

    /// Its page; empty while it does not answer.
    pub fn page(&self) -> Metrics {
        self.address().map_or_else(|| Metrics::parse(""), |address| page_at(SocketAddr::new(address, PAGE)))
    }

    /// What it has logged since it was last started.
    #[track_caller]
    pub fn log(&self) -> String {
        self.cluster.kubectl(&["logs", "-n", &self.namespace, &self.name, "-c", CONTAINER])
    }

    /// Where its container's memory is limited.
    fn memory(&self) -> Option<PathBuf> {
        let id = self.status()?["containerID"].as_str()?.rsplit('/').next()?.to_owned();
        let pods = format!("{MEMORY}/virt-otel-{}/kubepods", self.node);
        let classes = ["", "burstable", "besteffort"].map(|class| PathBuf::from(&pods).join(class));
        let mut groups = classes.iter().map(|class| class.join(format!("pod{}", self.uid)).join(&id));
        groups.find(|group| group.exists())
    }

    /// The process of the agent, as this machine numbers it.
    #[track_caller]
    pub fn process(&self) -> u32 {
        self.try_process().unwrap_or_else(|| panic!("{} has no process", self.name))
    }

    fn try_process(&self) -> Option<u32> {
        let text = fs::read_to_string(self.memory()?.join("cgroup.procs")).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// It was never killed for its memory, and its container never used all that it may.
    #[track_caller]
    pub fn check_memory(&self) {
        let status = self.status().unwrap_or_default();
        for when in ["state", "lastState"] {
            assert_ne!(status[when]["terminated"]["reason"], "OOMKilled", "{}: {status}", self.name);
        }
        let Some(group) = self.memory() else { return };
        let number = |file: &str| {
            let text = fs::read_to_string(group.join(file)).expect("a control group of memory");
            text.trim().parse::<u64>().expect("a number")
        };
        let (most, limit) = (number("memory.max_usage_in_bytes"), number("memory.limit_in_bytes"));
        assert!(limit < 1 << 40, "{} has no limit of memory", self.name);
        assert!(most < limit, "{} has used {most} of {limit} bytes", self.name);
        println!("{} on {}: {} MiB at most, of {}", self.name, self.node, most >> 20, limit >> 20);
    }
}
