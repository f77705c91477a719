//! What the endpoint shows is what libvirt says, field by field.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::support::{Agent, Domain, Libvirtd, Metrics, wait_until};

/// How a figure of `virsh domstats` appears on the page.
struct Field {
    /// In `virsh domstats`.
    libvirt: &'static str,
    /// On the page.
    name: &'static str,
    /// Its labels there, besides the domain's.
    labels: &'static [(&'static str, &'static str)],
    /// What one libvirt unit is on the page.
    scale: f64,
    /// Whether it goes on moving while the guest is paused.
    moves: bool,
}

const fn field(
    libvirt: &'static str,
    name: &'static str,
    labels: &'static [(&'static str, &'static str)],
    scale: f64,
) -> Field {
    Field { libvirt, name, labels, scale, moves: false }
}

const fn moving(libvirt: &'static str, name: &'static str, labels: &'static [(&'static str, &'static str)]) -> Field {
    Field { libvirt, name, labels, scale: NANO, moves: true }
}

const NANO: f64 = 1e-9;
const KIB: f64 = 1024.0;
const ONE: f64 = 1.0;

const VDA: &[(&str, &str)] = &[("drive", "vda")];
const VDB: &[(&str, &str)] = &[("drive", "vdb")];
const VCPU0: &[(&str, &str)] = &[("id", "0")];
const VCPU1: &[(&str, &str)] = &[("id", "1")];
const THREAD1: &[(&str, &str)] = &[("iothread", "1")];

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

/// Every figure of a Linux guest with two disks, a NIC, two vCPUs, an I/O thread and a dirty rate. `libvirt_domain_`
/// precedes each name.
const FIELDS: &[Field] = &[
    // QEMU's work for its clients' requests counts, so these move while the guest is paused.
    moving("cpu.time", "cpu_usage_seconds_total", &[]),
    moving("cpu.user", "cpu_user_usage_seconds_total", &[]),
    moving("cpu.system", "cpu_system_usage_seconds_total", &[]),
    moving("vcpu.0.time", "vcpu_seconds_total", VCPU0),
    moving("vcpu.1.time", "vcpu_seconds_total", VCPU1),
    moving("vcpu.0.wait", "vcpu_wait_seconds_total", VCPU0),
    moving("vcpu.1.wait", "vcpu_wait_seconds_total", VCPU1),
    moving("vcpu.0.delay", "vcpu_delay_seconds_total", VCPU0),
    moving("vcpu.1.delay", "vcpu_delay_seconds_total", VCPU1),
    field("vcpu.current", "vcpu_current", &[], ONE),
    field("vcpu.maximum", "vcpu_maximum", &[], ONE),
    field("balloon.current", "memory_domain_bytes", &[], KIB),
    field("balloon.current", "memory_actual_balloon_bytes", &[], KIB),
    field("balloon.maximum", "memory_maximum_bytes", &[], KIB),
    field("balloon.swap_in", "memory_swap_in_traffic_bytes", &[], KIB),
    field("balloon.swap_out", "memory_swap_out_traffic_bytes", &[], KIB),
    field("balloon.major_fault", "memory_pgmajfault_total", &[], ONE),
    field("balloon.minor_fault", "memory_pgminfault_total", &[], ONE),
    field("balloon.unused", "memory_unused_bytes", &[], KIB),
    field("balloon.available", "memory_available_bytes", &[], KIB),
    field("balloon.usable", "memory_usable_bytes", &[], KIB),
    field("balloon.disk_caches", "memory_cached_bytes", &[], KIB),
    field("balloon.hugetlb_pgalloc", "memory_hugetlb_pgalloc_total", &[], ONE),
    field("balloon.hugetlb_pgfail", "memory_hugetlb_pgfail_total", &[], ONE),
    Field { libvirt: "balloon.rss", name: "memory_resident_bytes", labels: &[], scale: KIB, moves: true },
    field("block.0.rd.reqs", "storage_iops_read_total", VDA, ONE),
    field("block.0.rd.bytes", "storage_read_traffic_bytes_total", VDA, ONE),
    field("block.0.rd.times", "storage_read_times_seconds_total", VDA, NANO),
    field("block.0.wr.reqs", "storage_iops_write_total", VDA, ONE),
    field("block.0.wr.bytes", "storage_write_traffic_bytes_total", VDA, ONE),
    field("block.0.wr.times", "storage_write_times_seconds_total", VDA, NANO),
    field("block.0.fl.reqs", "storage_flush_requests_total", VDA, ONE),
    field("block.0.fl.times", "storage_flush_times_seconds_total", VDA, NANO),
    field("block.0.allocation", "storage_allocation_bytes", VDA, ONE),
    field("block.0.capacity", "storage_capacity_bytes", VDA, ONE),
    field("block.0.physical", "storage_physical_bytes", VDA, ONE),
    field("block.1.rd.reqs", "storage_iops_read_total", VDB, ONE),
    field("block.1.rd.bytes", "storage_read_traffic_bytes_total", VDB, ONE),
    field("block.1.rd.times", "storage_read_times_seconds_total", VDB, NANO),
    field("block.1.wr.reqs", "storage_iops_write_total", VDB, ONE),
    field("block.1.wr.bytes", "storage_write_traffic_bytes_total", VDB, ONE),
    field("block.1.wr.times", "storage_write_times_seconds_total", VDB, NANO),
    field("block.1.fl.reqs", "storage_flush_requests_total", VDB, ONE),
    field("block.1.fl.times", "storage_flush_times_seconds_total", VDB, NANO),
    field("block.1.allocation", "storage_allocation_bytes", VDB, ONE),
    field("block.1.capacity", "storage_capacity_bytes", VDB, ONE),
    field("block.1.physical", "storage_physical_bytes", VDB, ONE),
    field("net.0.rx.bytes", "network_receive_bytes_total", &[], ONE),
    field("net.0.rx.pkts", "network_receive_packets_total", &[], ONE),
    field("net.0.rx.errs", "network_receive_errors_total", &[], ONE),
    field("net.0.rx.drop", "network_receive_packets_dropped_total", &[], ONE),
    field("net.0.tx.bytes", "network_transmit_bytes_total", &[], ONE),
    field("net.0.tx.pkts", "network_transmit_packets_total", &[], ONE),
    field("net.0.tx.errs", "network_transmit_errors_total", &[], ONE),
    field("net.0.tx.drop", "network_transmit_packets_dropped_total", &[], ONE),
    field("iothread.1.poll-max-ns", "iothread_poll_max_seconds", THREAD1, NANO),
    field("iothread.1.poll-grow", "iothread_poll_grow", THREAD1, ONE),
    field("iothread.1.poll-shrink", "iothread_poll_shrink", THREAD1, ONE),
    field("dirtyrate.megabytes_per_second", "dirty_rate_bytes_per_second", &[], 1024.0 * KIB),
];

/// `block.0.rd.reqs` as `block.N.rd.reqs`.
fn without_numbers(key: &str) -> String {
    let part =
        |part: &str| if part.bytes().all(|byte| byte.is_ascii_digit()) { "N".to_owned() } else { part.to_owned() };
    key.split('.').map(part).collect::<Vec<_>>().join(".")
}

impl Field {
    fn libvirts(&self, stats: &BTreeMap<String, String>) -> Option<f64> {
        stats.get(self.libvirt).map(|text| text.parse::<f64>().unwrap() * self.scale)
    }

    fn ours(&self, page: &Metrics, domain: &str) -> Option<f64> {
        let mut labels = vec![("domain", domain)];
        labels.extend_from_slice(self.labels);
        page.get(&format!("libvirt_domain_{}", self.name), &labels)
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

#[test]
fn the_page_says_what_virsh_domstats_says() {
    let libvirtd = Libvirtd::system();
    let guest = Domain::tcg_linux("counted", 2, 1).vcpus(2, 2).iothreads(1);
    libvirtd.boot(&guest);
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
    let faults = wait_until(Duration::from_secs(20), "two intervals after the pause", || {
        let before = libvirtd.domstats("counted");
        std::thread::sleep(Duration::from_millis(1_500));
        let page = agent.metrics();
        let after = libvirtd.domstats("counted");
        let faults: Vec<String> = FIELDS
            .iter()
            .filter_map(|field| {
                field.fault(field.libvirts(&before), field.ours(&page, "counted"), field.libvirts(&after))
            })
            .collect();
        // A noisy machine may delay one reading beyond the window; a wrong figure stays wrong.
        (faults.is_empty() || paused.elapsed() > Duration::from_secs(15)).then_some(faults)
    });
    assert!(faults.is_empty(), "{faults:#?}");
    let (page, stats) = (agent.metrics(), libvirtd.domstats("counted"));
    let present = FIELDS.iter().filter(|field| field.ours(&page, "counted").is_some()).count();
    println!("{present} of {} figures are there, and each is libvirt's", FIELDS.len());
    // What this libvirt does not report about a guest like this one.
    let absent: Vec<&str> = FIELDS.iter().map(|field| field.libvirt).filter(|key| !stats.contains_key(*key)).collect();
    assert_eq!(present + absent.len(), FIELDS.len());
    assert!(present > 50, "only {present} figures are there; libvirt did not say {absent:?}");
    let unknown: Vec<&String> = stats
        .keys()
        .filter(|key| FIELDS.iter().all(|field| field.libvirt != **key))
        .filter(|key| !OTHERS.contains(&without_numbers(key).as_str()))
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
        ("block.count", "libvirt_domain_storage_iops_read_total"),
        ("net.count", "libvirt_domain_network_receive_bytes_total"),
        ("iothread.count", "libvirt_domain_iothread_poll_grow"),
    ] {
        assert_eq!(stats[count], of(name, &[]).to_string(), "{count}");
    }
    let path = stats["block.0.path"].as_str();
    assert_eq!(of("libvirt_domain_storage_info", &[("target", &stats["block.0.name"]), ("source", path)]), 1);
    assert_eq!(of("libvirt_domain_network_receive_bytes_total", &[("interface", &stats["net.0.name"])]), 1);
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
