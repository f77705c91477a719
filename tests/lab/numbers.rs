//! What the endpoint shows is what libvirt says, field by field.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::{Agent, Domain, Libvirtd, Metrics, process, wait_until};

/// How a figure of `virsh domstats` appears on the page.
struct Field {
    /// In `virsh domstats`.
    libvirt: String,
    /// On the page.
    name: &'static str,
    /// Its labels there, besides the domain's.
    labels: Vec<(&'static str, String)>,
    /// What one libvirt unit is on the page.
    scale: f64,
    /// Whether it goes on moving while the guest is paused.
    moves: bool,
}

/// A kind of figure: libvirt's key (of a device, behind its number), the name on the page behind `libvirt_domain_`, what
/// one libvirt unit is there, and whether it goes on moving while the guest is paused.
type Kind = (&'static str, &'static str, f64, bool);

const NANO: f64 = 1e-9;
const KIB: f64 = 1024.0;
const ONE: f64 = 1.0;

/// The other keys of `virsh domstats`, with `N` for each number: not shown, or not as a figure of their own.
const OTHERS: &[&str] = &[
    // A series for each state, with the current one as 1; compared below.
    "state.state",
    "state.reason",
    "vcpu.N.state",
    // There are as many series; compared below.
    "block.count",
    "net.count",
    "iothread.count",
    // Shown in labels, of each series and the info metrics.
    "block.N.name",
    "net.N.name",
    "block.N.path",
    // Shown as an age, which no other reading can be compared with.
    "balloon.last-update",
    // How the dirty rate was measured: only the time of day is shown, as an age.
    "dirtyrate.calc_status",
    "dirtyrate.calc_start_time",
    "dirtyrate.calc_period",
    "dirtyrate.calc_mode",
    // Left out: neither KubeVirt nor the exporters have them.
    "block.N.backingIndex",
    "cpu.cache.monitor.count",
    "cpu.haltpoll.success.time",
    "cpu.haltpoll.fail.time",
];

/// The beginnings of further keys, of versions after 9.0: known, and not shown.
const NEWER: &[&str] =
    &["block.N.limits.", "block.N.timed_group.", "block.N.latency_histogram.", "iothread.N.poll-weight"];

/// Every figure of a Linux guest as a whole.
const GUEST: &[Kind] = &[
    // QEMU's work for its clients' requests counts, so these move while the guest is paused.
    ("cpu.time", "cpu_usage_seconds_total", NANO, true),
    ("cpu.user", "cpu_user_usage_seconds_total", NANO, true),
    ("cpu.system", "cpu_system_usage_seconds_total", NANO, true),
    ("vcpu.current", "vcpu_current", ONE, false),
    ("vcpu.maximum", "vcpu_maximum", ONE, false),
    ("balloon.current", "memory_domain_bytes", KIB, false),
    ("balloon.current", "memory_actual_balloon_bytes", KIB, false),
    ("balloon.maximum", "memory_maximum_bytes", KIB, false),
    ("balloon.swap_in", "memory_swap_in_traffic_bytes", KIB, false),
    ("balloon.swap_out", "memory_swap_out_traffic_bytes", KIB, false),
    ("balloon.major_fault", "memory_pgmajfault_total", ONE, false),
    ("balloon.minor_fault", "memory_pgminfault_total", ONE, false),
    ("balloon.unused", "memory_unused_bytes", KIB, false),
    ("balloon.available", "memory_available_bytes", KIB, false),
    ("balloon.usable", "memory_usable_bytes", KIB, false),
    ("balloon.disk_caches", "memory_cached_bytes", KIB, false),
    ("balloon.hugetlb_pgalloc", "memory_hugetlb_pgalloc_total", ONE, false),
    ("balloon.hugetlb_pgfail", "memory_hugetlb_pgfail_total", ONE, false),
    ("balloon.rss", "memory_resident_bytes", KIB, true),
    ("dirtyrate.megabytes_per_second", "dirty_rate_bytes_per_second", 1024.0 * KIB, false),
];

/// Of a virtual CPU that is plugged in.
const VCPU: &[Kind] = &[
    ("time", "vcpu_seconds_total", NANO, true),
    ("wait", "vcpu_wait_seconds_total", NANO, true),
    ("delay", "vcpu_delay_seconds_total", NANO, true),
];

/// Of a disk.
const DISK: &[Kind] = &[
    ("rd.reqs", "storage_iops_read_total", ONE, false),
    ("rd.bytes", "storage_read_traffic_bytes_total", ONE, false),
    ("rd.times", "storage_read_times_seconds_total", NANO, false),
    ("wr.reqs", "storage_iops_write_total", ONE, false),
    ("wr.bytes", "storage_write_traffic_bytes_total", ONE, false),
    ("wr.times", "storage_write_times_seconds_total", NANO, false),
    ("fl.reqs", "storage_flush_requests_total", ONE, false),
    ("fl.times", "storage_flush_times_seconds_total", NANO, false),
    ("allocation", "storage_allocation_bytes", ONE, false),
    ("capacity", "storage_capacity_bytes", ONE, false),
    ("physical", "storage_physical_bytes", ONE, false),
];

/// The guest's raw disks.
const RAW: [&str; 2] = ["vda", "vdb"];

/// Of a NIC. The host goes on sending while the guest is paused.
const NIC: &[Kind] = &[
    ("rx.bytes", "network_receive_bytes_total", ONE, true),
    ("rx.pkts", "network_receive_packets_total", ONE, true),
    ("rx.errs", "network_receive_errors_total", ONE, true),
    ("rx.drop", "network_receive_packets_dropped_total", ONE, true),
    ("tx.bytes", "network_transmit_bytes_total", ONE, true),
    ("tx.pkts", "network_transmit_packets_total", ONE, true),
    ("tx.errs", "network_transmit_errors_total", ONE, true),
    ("tx.drop", "network_transmit_packets_dropped_total", ONE, true),
];

/// Of an I/O thread.
const THREAD: &[Kind] = &[
    ("poll-max-ns", "iothread_poll_max_seconds", NANO, false),
    ("poll-grow", "iothread_poll_grow", ONE, false),
    ("poll-shrink", "iothread_poll_shrink", ONE, false),
];

/// The figures of devices of one kind: each is numbered in libvirt's keys, and has a label on the page.
fn of_devices(prefix: &str, kinds: &[Kind], label: &'static str, devices: &[(String, String)]) -> Vec<Field> {
    let figures = devices.iter().flat_map(|(number, value)| kinds.iter().map(move |kind| (number, value, kind)));
    let field = |(number, value, (libvirt, name, scale, moves)): (&String, &String, &Kind)| Field {
        libvirt: format!("{prefix}.{number}.{libvirt}"),
        name,
        labels: vec![(label, value.clone())],
        scale: *scale,
        moves: *moves,
    };
    figures.map(field).collect()
}

/// The numbers of devices in keys such as `block.0.name`, with what is under these keys.
fn devices(stats: &BTreeMap<String, String>, prefix: &str, last: &str) -> Vec<(String, String)> {
    let number = |key: &str| {
        key.strip_prefix(prefix)?.strip_prefix('.')?.strip_suffix(last)?.strip_suffix('.').map(str::to_owned)
    };
    stats.iter().filter_map(|(key, value)| Some((number(key)?, value.clone()))).collect()
}

/// Every figure of the guest that has these statistics.
fn fields(stats: &BTreeMap<String, String>) -> Vec<Field> {
    let itself = |devices: Vec<(String, String)>| -> Vec<(String, String)> {
        devices.into_iter().map(|(number, _)| (number.clone(), number)).collect()
    };
    let guest = GUEST.iter().map(|(libvirt, name, scale, moves)| Field {
        libvirt: (*libvirt).to_owned(),
        name,
        labels: Vec::new(),
        scale: *scale,
        moves: *moves,
    });
    guest
        .chain(of_devices("vcpu", VCPU, "id", &itself(devices(stats, "vcpu", "state"))))
        .chain(of_devices("block", DISK, "drive", &devices(stats, "block", "name")))
        .chain(of_devices("net", NIC, "interface", &devices(stats, "net", "name")))
        .chain(of_devices("iothread", THREAD, "iothread", &itself(devices(stats, "iothread", "poll-max-ns"))))
        .collect()
}

/// `block.0.rd.reqs` as `block.N.rd.reqs`.
fn without_numbers(key: &str) -> String {
    let part =
        |part: &str| if part.bytes().all(|byte| byte.is_ascii_digit()) { "N".to_owned() } else { part.to_owned() };
    key.split('.').map(part).collect::<Vec<_>>().join(".")
}

impl Field {
    fn libvirts(&self, stats: &BTreeMap<String, String>) -> Option<f64> {
        stats.get(&self.libvirt).map(|text| text.parse::<f64>().unwrap() * self.scale)
    }

    fn ours(&self, page: &Metrics, domain: &str) -> Option<f64> {
        let mut labels = vec![("domain", domain)];
        labels.extend(self.labels.iter().map(|(name, value)| (*name, value.as_str())));
        page.get(&format!("libvirt_domain_{}", self.name), &labels)
    }

    /// Whether libvirt's value says nothing: from 11 on it reports 0 for the allocation of every raw file.
    fn says_nothing(&self, libvirt: &[u32], value: Option<f64>) -> bool {
        let is_raw = self.labels.iter().any(|(_, drive)| RAW.contains(&drive.as_str()));
        libvirt >= &[11][..] && is_raw && self.libvirt.ends_with(".allocation") && value == Some(0.0)
    }

    /// What is wrong with our figure, when it was read after `before` and libvirt now says `after`.
    fn fault(&self, before: Option<f64>, ours: Option<f64>, after: Option<f64>) -> Option<String> {
        // Doubles are printed with all their digits, but libvirt's nanoseconds go through one division.
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(1e-3);
        let fits = match (before, ours, after) {
            (None, None, None) => true,
            (Some(before), Some(ours), Some(after)) if self.moves => {
                let (low, high) = (before.min(after), before.max(after));
                (low..=high).contains(&ours) || close(ours, low) || close(ours, high)
            }
            (_, Some(ours), Some(after)) => close(ours, after),
            _ => false,
        };
        (!fits).then(|| {
            let Field { libvirt, name, labels, .. } = self;
            format!("{name}{labels:?} is {ours:?}; libvirt's {libvirt} was {before:?} and is {after:?}")
        })
    }
}

/// The Linux guest with everything that libvirt has figures for: two of four vCPUs, two raw disks, a qcow2 disk whose
/// latencies libvirt 12.8 counts in bins and intervals, an empty CD drive, two NICs and two I/O threads.
fn guest_with_everything(libvirtd: &Libvirtd, name: &str) -> Domain {
    let image = libvirtd.images().join("qcow2.img").display().to_string();
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", &image, "16M"]);
    let created = process::run(create, Duration::from_secs(20)).expect("the end of qemu-img");
    assert_eq!(created.code, Some(0), "qemu-img: {}", created.stderr);
    let bins = "<bin start='0'/><bin start='100000'/><bin start='1000000'/>";
    let histograms: String = ["read", "write", "flush"]
        .iter()
        .map(|kind| format!("<latency-histogram type='{kind}'>{bins}</latency-histogram>"))
        .collect();
    // Versions that do not know the statistics leave them out.
    Domain::tcg_linux(name, 2, 2).vcpus(2, 4).iothreads(2).device(&format!(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'><statistics><statistic interval='1'/>\
             <statistic interval='10'/>{histograms}</statistics></driver><source file='{image}'/>\
             <target dev='vdc' bus='virtio'/></disk>\
             <disk type='file' device='cdrom'><target dev='hda' bus='ide'/><readonly/></disk>"
    ))
}

#[test]
fn the_page_says_what_virsh_domstats_says() {
    let libvirtd = Libvirtd::system();
    let version = libvirtd.version();
    libvirtd.boot(&guest_with_everything(&libvirtd, "counted"));
    wait_until(Duration::from_secs(30), "the balloon's figures", || {
        libvirtd.domstats("counted").contains_key("balloon.swap_out").then_some(())
    });
    // The agent never starts a measurement, but shows others' results.
    libvirtd.virsh(&["domdirtyrate-calc", "counted", "--seconds", "1"]);
    wait_until(Duration::from_secs(20), "the dirty rate", || {
        libvirtd.domstats("counted").contains_key("dirtyrate.megabytes_per_second").then_some(())
    });
    let agent = Agent::start(&["--libvirt-uri", &libvirtd.uri(), "--interval", "1s", "--exporters", "prometheus"], &[]);
    agent.wait_for(Duration::from_secs(20), "the guest's figures to move", |page| {
        page.get("libvirt_domain_storage_iops_write_total", &[("domain", "counted"), ("drive", "vda")])
            .is_some_and(|requests| requests > 0.0)
    });
    // While the guest is paused, its figures stand still: they must be equal, not close.
    libvirtd.virsh(&["suspend", "counted"]);
    agent.wait_for(Duration::from_secs(5), "the state to be paused", |page| {
        page.get("libvirt_domain_state", &[("domain", "counted"), ("state", "paused")]) == Some(1.0)
    });
    let paused = Instant::now();
    let fields = fields(&libvirtd.domstats("counted"));
    let faults = wait_until(Duration::from_secs(20), "two intervals after the pause", || {
        let before = libvirtd.domstats("counted");
        std::thread::sleep(Duration::from_millis(1_500));
        let page = agent.metrics();
        let after = libvirtd.domstats("counted");
        let faults: Vec<String> = fields
            .iter()
            .filter_map(|field| {
                let said = |stats| field.libvirts(stats).filter(|value| !field.says_nothing(&version, Some(*value)));
                field.fault(said(&before), field.ours(&page, "counted"), said(&after))
            })
            .collect();
        // A noisy machine may delay one reading beyond the window; a wrong figure stays wrong.
        (faults.is_empty() || paused.elapsed() > Duration::from_secs(15)).then_some(faults)
    });
    assert!(faults.is_empty(), "{faults:#?}");
    let (page, stats) = (agent.metrics(), libvirtd.domstats("counted"));
    let present = fields.iter().filter(|field| field.ours(&page, "counted").is_some()).count();
    println!("{present} of {} figures are there, and each is libvirt's", fields.len());
    // What this libvirt does not report about a guest like this one.
    let absent: Vec<&String> = fields
        .iter()
        .filter(|field| {
            let said = field.libvirts(&stats);
            said.is_none() || field.says_nothing(&version, said)
        })
        .map(|field| &field.libvirt)
        .collect();
    assert_eq!(present + absent.len(), fields.len());
    assert!(present > 70, "only {present} figures are there; libvirt did not say {absent:?}");
    let unknown: Vec<&String> = stats
        .keys()
        .filter(|key| fields.iter().all(|field| field.libvirt != **key))
        .filter(|key| {
            let key = without_numbers(key);
            !OTHERS.contains(&key.as_str()) && !NEWER.iter().any(|prefix| key.starts_with(prefix))
        })
        .collect();
    assert!(unknown.is_empty(), "libvirt says what nothing here compares: {unknown:?}");

    let of = |name: &str, labels: &[(&str, &str)]| {
        page.all(name, labels).iter().filter(|sample| sample.label("domain") == Some("counted")).count()
    };
    assert_eq!((stats["state.state"].as_str(), stats["state.reason"].as_str()), ("3", "1"), "paused by a user");
    assert_eq!(of("libvirt_domain_state_reason", &[("state", "paused"), ("reason", "user")]), 1);
    for id in ["0", "1"] {
        assert_eq!(stats[&format!("vcpu.{id}.state")], "1", "running");
        assert_eq!(
            page.get("libvirt_domain_vcpu_state", &[("domain", "counted"), ("id", id), ("state", "running")]),
            Some(1.0)
        );
    }
    for (count, name) in [
        // QEMU counts the requests to an empty drive, too; it has no size.
        ("block.count", "libvirt_domain_storage_iops_read_total"),
        ("net.count", "libvirt_domain_network_receive_bytes_total"),
        ("iothread.count", "libvirt_domain_iothread_poll_grow"),
    ] {
        assert_eq!(stats[count], of(name, &[]).to_string(), "{count}");
    }
    assert_eq!(of("libvirt_domain_storage_capacity_bytes", &[("drive", "hda")]), 0);
    let path = stats["block.0.path"].as_str();
    assert_eq!(of("libvirt_domain_storage_info", &[("target", &stats["block.0.name"]), ("source", path)]), 1);
    assert_eq!(of("libvirt_domain_network_receive_bytes_total", &[("interface", &stats["net.0.name"])]), 1);

    // Nothing that this version says is new to the agent, or worth a warning.
    assert_eq!(page.get("virt_otel_unknown_parameters_total", &[]), Some(0.0));
    let log = agent.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn what_libvirt_does_not_say_is_not_there() {
    let libvirtd = Libvirtd::system();
    // Nothing boots: there is no balloon driver, and no disk or NIC at all.
    libvirtd.create(&Domain::tcg("bare"));
    let agent = Agent::start(&["--libvirt-uri", &libvirtd.uri(), "--interval", "1s", "--exporters", "prometheus"], &[]);
    let page = agent.wait_for(Duration::from_secs(20), "the guest's figures", |page| {
        page.has("libvirt_domain_memory_resident_bytes", &[("domain", "bare")])
    });
    for absent in [
        "libvirt_domain_memory_unused_bytes",
        "libvirt_domain_memory_available_bytes",
        "libvirt_domain_memory_usable_bytes",
        "libvirt_domain_memory_pgmajfault_total",
        "libvirt_domain_memory_last_update_age_seconds",
        "libvirt_domain_storage_iops_read_total",
        "libvirt_domain_network_receive_bytes_total",
        "libvirt_domain_dirty_rate_bytes_per_second",
        "libvirt_domain_job_elapsed_time_seconds",
    ] {
        assert!(!page.has(absent, &[]), "{absent} is there: {:?}", page.all(absent, &[]));
    }
    assert!(page.samples.iter().all(|sample| !sample.value.is_nan()), "there is a NaN");
}
