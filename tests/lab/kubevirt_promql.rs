//! Common PromQL queries about VMs under KubeVirt, against a Prometheus that scrapes only the agents. Its answers must
//! agree with libvirt.

use std::time::Duration;

use super::agreement::{Answer, KIB, Labels, NANO, Question, Questions, ask, panels};
use super::dashboards;
use super::support::{Agent, Cluster, Migration, Node, Pace, Prometheus3, PrometheusOptions, Vmi, wait_until};

const SHOP: &str = "shop";
const SOON: Duration = Duration::from_secs(20);

const DISK: Labels = &[("drive", "rootdisk")];
const NIC: Labels = &[("interface", "default")];
const PLACE: Labels = &[("namespace", SHOP), ("node", "node-a")];

/// As in dashboards, alerts and recording rules for KubeVirt, with shorter windows.
const QUESTIONS: &[Question] = &[
    ask(
        "sum by (name, namespace) (rate(kubevirt_vmi_cpu_usage_seconds_total[10s]))",
        &[("namespace", SHOP)],
        Answer::Rate(|now| now["cpu.time"] * NANO),
    ),
    ask(
        "topk(5, sum by (name) (rate(kubevirt_vmi_vcpu_seconds_total{state=\"running\"}[10s])))",
        &[],
        Answer::Rate(|now| now["vcpu.0.time"] * NANO),
    ),
    ask(
        "count by (name, namespace, node) (kubevirt_vmi_vcpu_seconds_total)",
        PLACE,
        Answer::Now(|now| now["vcpu.current"]),
    ),
    ask(
        "sum by (name, namespace, node) (kubevirt_vmi_memory_available_bytes - kubevirt_vmi_memory_usable_bytes)",
        PLACE,
        Answer::Now(|now| (now["balloon.available"] - now["balloon.usable"]) * KIB),
    ),
    ask(
        "kubevirt_vmi_memory_usable_bytes / kubevirt_vmi_memory_available_bytes",
        PLACE,
        Answer::Now(|now| now["balloon.usable"] / now["balloon.available"]),
    ),
    ask(
        "kubevirt_vmi_memory_resident_bytes * on (namespace, name, node) group_left (hypervisor_type) \
         kubevirt_vmi_hypervisor_info",
        &[("hypervisor_type", "qemu-tcg"), ("node", "node-a")],
        Answer::Now(|now| now["balloon.rss"] * KIB),
    ),
    ask(
        "sum by (name) (rate(kubevirt_vmi_memory_pgmajfault_total[10s]))",
        &[],
        Answer::Rate(|now| now["balloon.major_fault"]),
    ),
    ask(
        "sum by (name) (rate(kubevirt_vmi_memory_swap_in_traffic_bytes[10s]) + \
         rate(kubevirt_vmi_memory_swap_out_traffic_bytes[10s]))",
        &[],
        Answer::Rate(|now| (now["balloon.swap_in"] + now["balloon.swap_out"]) * KIB),
    ),
    ask(
        "sum by (name, drive) (rate(kubevirt_vmi_storage_iops_read_total[10s]))",
        DISK,
        Answer::Rate(|now| now["block.0.rd.reqs"]),
    ),
    ask(
        "sum by (name, drive) (rate(kubevirt_vmi_storage_iops_write_total[10s]))",
        DISK,
        Answer::Rate(|now| now["block.0.wr.reqs"]),
    ),
    ask(
        "rate(kubevirt_vmi_storage_write_times_seconds_total[10s]) / rate(kubevirt_vmi_storage_iops_write_total[10s])",
        DISK,
        Answer::Ratio(|now| now["block.0.wr.times"] * NANO, |now| now["block.0.wr.reqs"]),
    ),
    ask(
        "rate(kubevirt_vmi_storage_read_times_seconds_total[10s]) / rate(kubevirt_vmi_storage_iops_read_total[10s])",
        DISK,
        Answer::Ratio(|now| now["block.0.rd.times"] * NANO, |now| now["block.0.rd.reqs"]),
    ),
    ask(
        "sum by (name, drive) (rate(kubevirt_vmi_storage_write_traffic_bytes_total[10s]))",
        DISK,
        Answer::Rate(|now| now["block.0.wr.bytes"]),
    ),
    ask(
        "sum by (name, interface) (rate(kubevirt_vmi_network_transmit_bytes_total[10s]))",
        NIC,
        Answer::Rate(|now| now["net.0.tx.bytes"]),
    ),
    ask(
        "sum by (name, interface) (rate(kubevirt_vmi_network_transmit_packets_total[10s]))",
        NIC,
        Answer::Rate(|now| now["net.0.tx.pkts"]),
    ),
];

/// Questions whose answer includes another VM's zero, or has nothing to compare with.
const ANSWERED: &[&str] = &[
    "sum by (name, interface) (rate(kubevirt_vmi_network_receive_bytes_total[10s])) >= 0",
    "topk(5, sum by (name) (rate(kubevirt_vmi_vcpu_wait_seconds_total[10s]))) >= 0",
    "sum by (node, phase, os, guest_os_name) (kubevirt_vmi_info{phase=\"running\"}) == 2",
    "count by (hypervisor_type) (kubevirt_vmi_hypervisor_info{hypervisor_type=\"qemu-tcg\"}) == 2",
    "sum(kubevirt_vmi_phase{phase=\"running\"}) == 2",
    "kubevirt_vmi_memory_domain_bytes == on (namespace, name) kubevirt_vmi_memory_actual_balloon_bytes",
    "rate(kubevirt_vmi_storage_iops_write_total{name=\"idle\"}[10s]) == 0",
    "kubevirt_vmi_non_evictable == 0",
];

/// A Prometheus that scrapes two agents each second and nothing else.
fn prometheus(agents: [&Agent; 2]) -> Prometheus3 {
    let [first, second] = agents.map(|agent| format!("\"127.0.0.1:{}\"", agent.port()));
    Prometheus3::start(PrometheusOptions {
        agent: Some(agents[0].port()),
        scrape_interval: Some("1s".to_owned()),
        replacements: vec![(format!("[{first}]"), format!("[{first}, {second}]"))],
        ..PrometheusOptions::default()
    })
}

/// An amount of `virsh domjobinfo`, such as `12.345 MiB`, in bytes; `None` until it appears.
fn amount(migration: &Migration, key: &str) -> Option<f64> {
    let said = migration.job().get(key)?.clone();
    let (number, unit) = said.split_once(' ')?;
    let units = [("B", 1.0), ("KiB", KIB), ("MiB", KIB * KIB), ("GiB", KIB * KIB * KIB)];
    let (_, bytes) = units.into_iter().find(|(known, _)| *known == unit)?;
    Some(number.parse::<f64>().ok()? * bytes)
}

#[test]
fn what_people_ask_prometheus_about_vms_is_answered_as_libvirt_would() {
    let cluster = Cluster::start();
    let nodes = ["node-a", "node-b"].map(Node::new);
    let [source, target] = nodes.each_ref().map(Node::launcher);
    let idle = nodes[0].launcher();
    idle.start_tcg(SHOP, "idle");
    let guest = source.start_linux(SHOP, "web");
    let vmi = Vmi::create_running(&cluster.api, SHOP, "web", source.place());
    Vmi::create_running(&cluster.api, SHOP, "idle", idle.place());
    let agents = nodes.each_ref().map(|node| cluster.agent(node, None));
    let prometheus = prometheus(agents.each_ref());

    let mut values = dashboards::common();
    values.extend([("namespace", SHOP), ("name", "web")]);
    let once = panels("kubevirt", &values, DISK, NIC);
    let questions = Questions { together: QUESTIONS, answered: ANSWERED, once };
    questions.wait_until_libvirt_agrees(&prometheus, &source, guest.name());

    // A migration, by the questions asked while it runs.
    vmi.begin_migration(source.place(), target.place());
    let migration = source.begin_migration(guest.name(), &target, Pace::SLOW);
    vmi.migration_started();
    vmi.target_domain_detected();
    let processed = || prometheus.value("kubevirt_vmi_migration_data_processed_bytes{name=\"web\"}");
    for _ in 0..2 {
        let before = wait_until(SOON, "some progress", || amount(&migration, "Data processed"));
        let seen = wait_until(SOON, "as much in Prometheus", || processed().filter(|seen| *seen >= before));
        // virsh shows three decimals of a MiB.
        let after = amount(&migration, "Data processed").expect("a migration that goes on") + KIB * KIB / 100.0;
        assert!(seen <= after, "{before} were processed, then {seen}, then {after}");
    }
    let data = "(kubevirt_vmi_migration_data_processed_bytes + kubevirt_vmi_migration_data_remaining_bytes)";
    let percent = prometheus.value(&format!("100 * kubevirt_vmi_migration_data_processed_bytes / {data}"));
    assert!(percent.is_some_and(|percent| percent > 0.0 && percent < 100.0), "{percent:?} %");
    let total = prometheus.value("kubevirt_vmi_migration_data_bytes_total{name=\"web\"}");
    let expected = amount(&migration, "Data total").expect("a migration that goes on");
    assert!(total.is_some_and(|total| (total / expected - 1.0).abs() < 0.01), "{total:?} of {expected}");
    // Of 4 MiB; it begins with less, and a busy machine does not come near.
    let speed = wait_until(SOON, "a speed", || {
        let speed = prometheus.value("kubevirt_vmi_migration_memory_transfer_rate_bytes{name=\"web\"}");
        speed.filter(|speed| (1e5..2e7).contains(speed))
    });
    let lasts = prometheus.value("time() - kubevirt_vmi_migration_start_time_seconds{name=\"web\"}");
    assert!(lasts.is_some_and(|lasts| (0.0..60.0).contains(&lasts)), "{lasts:?} s");
    let running = prometheus
        .value("kubevirt_vmi_migration_data_processed_bytes unless on (name) kubevirt_vmi_migration_end_time_seconds");
    assert!(running.is_some(), "a migration that has not ended");
    eprintln!("{:.1} % of {expected} bytes at {:.0} bytes a second", percent.unwrap(), speed);

    migration.hurry();
    migration.finish();
    vmi.target_domain_ready();
    vmi.flip(target.place());
    vmi.finish_migration(source.place());
    prometheus.wait_for(SOON, "kubevirt_vmi_hypervisor_info{name=\"web\", node=\"node-b\"}");
    prometheus.wait_for(SOON, "kubevirt_vmi_migration_succeeded{vmi=\"web\"}");
    prometheus.wait_for(SOON, "rate(kubevirt_vmi_cpu_usage_seconds_total{name=\"web\", node=\"node-b\"}[10s]) > 0");
    wait_until(SOON, "the VM to be counted once", || {
        (prometheus.value("count by (name) (kubevirt_vmi_hypervisor_info{name=\"web\"})") == Some(1.0)).then_some(())
    });
    assert!(prometheus.query("kubevirt_vmi_migration_data_processed_bytes{node=\"node-a\"}").is_empty());
    // There were never two on one node, and no rate exceeded what the guest can use.
    let most = prometheus
        .value("max(max_over_time(count by (name, node) (kubevirt_vmi_hypervisor_info{name=\"web\"})[3m:1s]))");
    assert_eq!(most, Some(1.0));
    let highest = prometheus.value(
        "max(max_over_time(sum by (name) (rate(kubevirt_vmi_cpu_usage_seconds_total{name=\"web\"}[10s]))[3m:1s]))",
    );
    assert!(highest.is_some_and(|highest| highest < 3.0), "{highest:?} CPUs for a guest with one");
}
