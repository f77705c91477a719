//! Other readers of libvirt: `virsh domstats` in bulk, and the exporter that Debian ships.

use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fleet::{Cpu, Fleet, children};
use crate::lab::http::{self, Response};
use crate::lab::process::{self, Process};
use crate::lab::{Metrics, free_port, prepared};
use crate::support::Spread;
use virt_otel::model::Group;

/// The groups that virt-otel reads, as options of `virsh domstats`.
pub(crate) fn same_groups() -> Vec<String> {
    let of_virsh = |group: &Group| match group {
        Group::Job => None,
        Group::Cpu => Some("--cpu-total".to_owned()),
        group => Some(format!("--{}", group.as_str())),
    };
    Group::ALL.iter().filter_map(of_virsh).collect()
}

/// What a reading costs.
pub(crate) struct Reading {
    pub(crate) time: Spread,
    pub(crate) cpu: Cpu,
}

/// Readings by `virsh domstats --nowait`: one call for all domains, and for all groups or these. In a pause before
/// each, other processes use the machine's caches.
pub(crate) fn virsh(fleet: &Fleet, groups: &[String], runs: u32, pause: Duration) -> Reading {
    let arguments: Vec<&str> = ["domstats", "--nowait"].into_iter().chain(groups.iter().map(String::as_str)).collect();
    let read = || {
        std::thread::sleep(pause);
        let started = Instant::now();
        let printed = fleet.libvirtd.virsh(&arguments);
        let took = started.elapsed();
        assert_eq!(printed.matches("Domain: ").count(), fleet.names.len(), "virsh has read every domain");
        took
    };
    read();
    let before = fleet.cpu(children());
    let time = Spread::of((0..runs).map(|_| read()).collect());
    Reading { time, cpu: fleet.cpu(children()).since(before, runs.into()) }
}

/// Debian's prometheus-libvirt-exporter; killed when dropped.
pub(crate) struct Exporter {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Exporter {
    pub(crate) fn start(fleet: &Fleet) -> Exporter {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut command = Command::new(prepared("peers", "peers/usr/bin/prometheus-libvirt-exporter"));
        command.args(["--libvirt.uri", &fleet.libvirtd.uri()]);
        command.args(["--web.listen-address", &format!("127.0.0.1:{port}")]);
        let mut process = Process::spawn("prometheus-libvirt-exporter", command, &folder.path().join("log"));
        // Its front page reads nothing.
        process.wait_ready(Duration::from_secs(20), || http::get(port, "/", &[]).ok());
        Exporter { process, port, _folder: folder }
    }

    pub(crate) fn scrape(&self) -> std::io::Result<Response> {
        http::get(self.port, "/metrics", &[])
    }

    /// Readings, each of which is a scrape, with the last page and its size.
    pub(crate) fn readings(&self, fleet: &Fleet, runs: u32) -> (Reading, Metrics, usize) {
        let scrape = || {
            let started = Instant::now();
            let page = self.scrape().expect("a page of the exporter");
            (started.elapsed(), page)
        };
        let (_, mut page) = scrape();
        let used = || process::cpu_time(self.process.pid()).expect("the CPU time of the exporter");
        let before = fleet.cpu(used());
        let mut times = Vec::new();
        for _ in 0..runs {
            let (took, next) = scrape();
            times.push(took);
            page = next;
        }
        let cpu = fleet.cpu(used()).since(before, runs.into());
        let bytes = page.body.len();
        let page = Metrics::parse(&page.text());
        assert_eq!(page.get("libvirt_up", &[]), Some(1.0), "the exporter has read every domain");
        (Reading { time: Spread::of(times), cpu }, page, bytes)
    }

    /// A line of /proc/PID/status that is an amount of memory, in bytes.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let text = process::status_field(self.process.pid(), field).expect("a running exporter");
        text.trim_end_matches(" kB").parse::<u64>().expect("an amount of memory") * 1_024
    }
}
