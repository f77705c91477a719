//! The lab works as promised, so a product test that fails in it points to the product.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::support::collector::validate;
use super::support::prometheus::promtool;
use super::support::{
    Collector, CollectorOptions, Domain, Kind, Libvirtd, LibvirtdOptions, Metrics, Prometheus3, PrometheusOptions,
    control_groups, http, kvm_or_skip, process, repository, wait_until,
};

/// A figure of `virsh domstats`.
fn figure(stats: &BTreeMap<String, String>, key: &str) -> u64 {
    stats.get(key).unwrap_or_else(|| panic!("no {key} in {stats:?}")).parse().unwrap()
}

#[test]
fn every_figure_of_a_linux_guest_moves() {
    let libvirtd = Libvirtd::system();
    let guest = Domain::tcg_linux("mover", 2, 1).vcpus(2, 2);
    libvirtd.boot(&guest);
    let moving = [
        "cpu.time",
        "vcpu.0.time",
        "balloon.swap_in",
        "balloon.swap_out",
        "balloon.major_fault",
        "balloon.minor_fault",
        "balloon.last-update",
        "net.0.tx.bytes",
        "net.0.tx.pkts",
        "block.0.rd.bytes",
        "block.0.wr.reqs",
        "block.0.fl.reqs",
        "block.1.rd.reqs",
        "block.1.wr.times",
    ];
    // The balloon driver answers for the first time a few seconds after the boot.
    let before = wait_until(Duration::from_secs(20), "the balloon's figures", || {
        Some(libvirtd.domstats("mover")).filter(|stats| stats.contains_key("balloon.swap_out"))
    });
    wait_until(Duration::from_secs(30), "every figure to move", || {
        let now = libvirtd.domstats("mover");
        moving.iter().all(|key| figure(&now, key) > figure(&before, key)).then_some(())
    });
    let stats = libvirtd.domstats("mover");
    for key in ["balloon.unused", "balloon.available", "balloon.usable", "balloon.disk_caches", "balloon.rss"] {
        assert!(figure(&stats, key) > 0, "{key}");
    }
    assert_eq!(figure(&stats, "block.count"), 2);
    assert_eq!(figure(&stats, "net.count"), 1);
    assert_eq!(figure(&stats, "vcpu.current"), 2);

    // Its power button works.
    libvirtd.virsh(&["shutdown", "mover"]);
    wait_until(Duration::from_secs(20), "the guest to power off", || {
        (!libvirtd.virsh(&["list", "--name"]).contains("mover")).then_some(())
    });
}

#[test]
fn devices_come_and_go_in_a_running_guest() {
    let libvirtd = Libvirtd::system();
    let guest = Domain::tcg_linux("plugged", 1, 1);
    libvirtd.boot(&guest);
    let mac = "52:54:00:00:00:77";
    libvirtd.plug_disk(&guest, "vdb");
    libvirtd.plug_nic("plugged", mac);
    wait_until(Duration::from_secs(20), "the guest to use its new disk", || {
        let stats = libvirtd.domstats("plugged");
        (stats.get("block.1.name").is_some_and(|name| name == "vdb") && figure(&stats, "block.1.wr.reqs") > 0)
            .then_some(())
    });
    assert_eq!(figure(&libvirtd.domstats("plugged"), "net.count"), 2);
    libvirtd.unplug_disk(&guest, "vdb");
    libvirtd.unplug_nic("plugged", mac);
    let stats = libvirtd.domstats("plugged");
    assert_eq!((figure(&stats, "block.count"), figure(&stats, "net.count")), (1, 1));
}

#[test]
fn a_frozen_guest_hangs_whoever_asks_its_monitor_until_it_is_thawed() {
    let libvirtd = Libvirtd::system();
    libvirtd.create(&Domain::tcg("frozen"));
    libvirtd.create_paused(&Domain::tcg("other"));
    libvirtd.freeze("frozen");
    let asked = libvirtd.virsh_within(Duration::from_secs(2), &["domstats", "frozen"]);
    assert!(asked.is_err_and(|error| error.contains("no end")), "a frozen guest answered");
    assert_eq!(libvirtd.domstats("other")["state.state"], "3", "paused");
    libvirtd.thaw("frozen");
    assert_eq!(libvirtd.domstats("frozen")["state.state"], "1", "running");
}

#[test]
fn a_daemon_restarts_and_its_guests_go_on() {
    let mut libvirtd = Libvirtd::system();
    libvirtd.create(&Domain::tcg("survivor"));
    let (daemon, qemu) = (libvirtd.pid(), libvirtd.qemu_pid("survivor"));
    libvirtd.kill();
    assert!(!process::alive(daemon) && process::alive(qemu));
    assert!(libvirtd.try_virsh(&["list"]).is_err());
    libvirtd.start_again();
    assert!(libvirtd.virsh(&["list", "--name"]).contains("survivor"));
    libvirtd.restart();
    assert_eq!(libvirtd.qemu_pid("survivor"), qemu);

    libvirtd.freeze_daemon();
    assert!(libvirtd.virsh_within(Duration::from_secs(1), &["list"]).is_err(), "a mute daemon answered");
    libvirtd.thaw_daemon();
    libvirtd.virsh(&["list"]);
}

#[test]
fn nothing_is_left_running() {
    let libvirtd = Libvirtd::system();
    libvirtd.create(&Domain::tcg("left"));
    libvirtd.create(&Domain::tcg("left-frozen"));
    libvirtd.freeze("left-frozen");
    let folder = libvirtd.folder().to_owned();
    let pids = [libvirtd.pid(), libvirtd.qemu_pid("left"), libvirtd.qemu_pid("left-frozen")];
    assert!(pids.iter().all(|&pid| process::alive(pid)));
    // Like a test that fails.
    let failed = std::thread::spawn(move || {
        let _ours = libvirtd;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(failed.join().is_err());
    assert!(pids.iter().all(|&pid| !process::alive(pid)), "something still runs");
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn guests_in_control_groups_leave_none_behind() {
    let mut options = LibvirtdOptions::new(Kind::System);
    options.control_groups = true;
    let libvirtd = Libvirtd::start(options);
    libvirtd.create(&Domain::tcg("grouped"));
    let groups = control_groups::of_guests(&[libvirtd.qemu_pid("grouped")]);
    assert!(!groups.is_empty() && groups.iter().all(|group| group.exists()), "{groups:?}");
    drop(libvirtd);
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
}

#[test]
fn two_daemons_do_not_see_each_other() {
    let one = Libvirtd::system();
    let other = Libvirtd::system();
    one.create_paused(&Domain::tcg("same-name").nics(1));
    other.create_paused(&Domain::tcg("same-name").nics(1));
    other.destroy("same-name");
    assert!(one.virsh(&["list", "--name"]).contains("same-name"));
    assert!(!other.virsh(&["list", "--name"]).contains("same-name"));
    assert_ne!(one.virsh(&["hostname"]), other.virsh(&["hostname"]));

    // The read-only socket lets clients look at a guest, not change it.
    let ask = |arguments: &[&str]| {
        let mut virsh = std::process::Command::new("virsh");
        virsh.args(["--connect", &one.read_only_uri()]).args(arguments);
        process::run(virsh, Duration::from_secs(10)).unwrap().code
    };
    assert_eq!((ask(&["dominfo", "same-name"]), ask(&["destroy", "same-name"])), (Some(0), Some(1)));
}

#[test]
fn a_session_daemon_runs_as_a_plain_user() {
    let libvirtd = Libvirtd::session();
    let guest = Domain::tcg_linux("launched", 1, 1);
    libvirtd.boot(&guest);
    let user = process::user_ids("libvirt-qemu").unwrap().0.to_string();
    for pid in [libvirtd.pid(), libvirtd.qemu_pid("launched")] {
        let uids = process::status_field(pid, "Uid").unwrap();
        assert!(uids.split_whitespace().all(|uid| uid == user), "process {pid} has user ids {uids}");
    }
    wait_until(Duration::from_secs(20), "the disk's figures to move", || {
        (figure(&libvirtd.domstats("launched"), "block.0.wr.reqs") > 0).then_some(())
    });
}

#[test]
fn a_guest_moves_from_one_session_daemon_to_another() {
    let [source, target] = [Libvirtd::session(), Libvirtd::session()];
    let guest = Domain::tcg_linux("traveller", 1, 1);
    source.boot(&guest);
    source.migrate_to("traveller", &target);
    assert!(!source.virsh(&["list", "--all", "--name"]).contains("traveller"));
    assert_eq!(target.virsh(&["domstate", "traveller", "--reason"]).trim(), "running (migrated)");
    assert_eq!(target.virsh(&["domuuid", "traveller"]).trim(), guest.uuid());
}

#[test]
fn kvm_guests_start() {
    if !kvm_or_skip() {
        return;
    }
    let [system, session] = [Libvirtd::system(), Libvirtd::session()];
    for libvirtd in [&system, &session] {
        let started = Instant::now();
        libvirtd.create(&Domain::kvm("fast").disks(1).iothreads(1).iotune(1_000_000, 100));
        assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
        assert!(libvirtd.virsh(&["dumpxml", "fast"]).contains("<domain type='kvm'"));
        let stats = libvirtd.domstats("fast");
        assert_eq!(stats["state.state"], "1");
        assert!(figure(&stats, "iothread.count") == 1 && figure(&stats, "vcpu.0.time") > 0, "{stats:?}");
    }
}

#[test]
fn a_daemon_with_warm_capabilities_answers_its_first_question_soon() {
    let libvirtd = Libvirtd::system();
    libvirtd.create_paused(&Domain::tcg("first"));
    let started = Instant::now();
    libvirtd.domstats("first");
    assert!(started.elapsed() < Duration::from_secs(1), "took {:?}", started.elapsed());

    let mut options = LibvirtdOptions::new(Kind::System);
    options.cold_cache = true;
    let cold = Libvirtd::start(options);
    let started = Instant::now();
    cold.virsh(&["capabilities"]);
    assert!(started.elapsed() > Duration::from_millis(300), "took only {:?}", started.elapsed());
}

/// A request of one gauge as OTLP's JSON, written by hand.
fn otlp(metric: &str, vm: &str, disk: &str, value: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.namespace","value":{{"stringValue":"host-1"}}}},
            {{"key":"service.name","value":{{"stringValue":"libvirt-domain"}}}},
            {{"key":"service.instance.id","value":{{"stringValue":"uuid-of-{vm}"}}}},
            {{"key":"libvirt.domain.name","value":{{"stringValue":"{vm}"}}}},
            {{"key":"libvirt.domain.uuid","value":{{"stringValue":"uuid-of-{vm}"}}}}]}},
          "scopeMetrics":[{{"scope":{{"name":"by-hand","version":"1"}},"metrics":[
            {{"name":"{metric}","unit":"By","gauge":{{"dataPoints":[
              {{"timeUnixNano":"{now}","asInt":"{value}",
                "attributes":[{{"key":"system.device","value":{{"stringValue":"{disk}"}}}}]}}]}}}}]}}]}}]}}"#
    )
}

#[track_caller]
fn send(collector: &Collector, request: &str) {
    let json = [("Content-Type", "application/json")];
    let response = http::post(collector.http_port(), "/v1/metrics", &json, request.as_bytes()).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
}

#[test]
fn what_the_collector_receives_is_in_its_file_and_on_its_page() {
    let mut collector = Collector::start(CollectorOptions::file().and_scrapers());
    send(&collector, &otlp("lab.thing", "alpha", "vda", 41));
    let points = collector.wait_for(Duration::from_secs(10), "the point in the file", |collector| {
        Some(collector.points("lab.thing")).filter(|points| !points.is_empty())
    });
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].value(), Some(41.0));
    assert_eq!(points[0].of_resource("service.instance.id"), Some("uuid-of-alpha"));
    assert_eq!(points[0].attribute("system.device").as_deref(), Some("vda"), "the file has what came in, unchanged");
    assert_eq!(points[0].metric["unit"], "By");
    assert!(points[0].time() > 0 && !points[0].ended());

    // The labels are the endpoint's, without any of the scope.
    let exported = wait_until(Duration::from_secs(10), "the series on the exporter's page", || {
        Some(collector.exported()).filter(|page| page.has("lab_thing_bytes", &[]))
    });
    let sample = exported.all("lab_thing_bytes", &[])[0];
    let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("domain", "alpha"),
        ("drive", "vda"),
        ("instance", "uuid-of-alpha"),
        ("job", "host-1/libvirt-domain"),
        ("uuid", "uuid-of-alpha"),
    ];
    assert_eq!(labels, expected);

    assert_eq!(collector.points_lost(), 0.0);
    assert!(collector.own_metrics().has("otelcol_receiver_accepted_metric_points_total", &[]));
    collector.restart();
    send(&collector, &otlp("lab.thing", "alpha", "vda", 42));
    collector.wait_for(Duration::from_secs(10), "the point after the restart", |collector| {
        (collector.points("lab.thing").len() == 2).then_some(())
    });
}

/// A request of one monotonic sum as OTLP's JSON, counted since `start`.
fn sum(start: SystemTime, value: u64) -> String {
    let nanoseconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.instance.id","value":{{"stringValue":"uuid-of-alpha"}}}}]}},
          "scopeMetrics":[{{"metrics":[{{"name":"lab.counted","unit":"By",
            "sum":{{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[
              {{"startTimeUnixNano":"{}","timeUnixNano":"{}","asInt":"{value}"}}]}}}}]}}]}}]}}"#,
        nanoseconds(start),
        nanoseconds(SystemTime::now())
    )
}

#[test]
fn totals_become_deltas_on_the_way_to_a_backend_that_wants_them() {
    let backend = Collector::start(CollectorOptions::file());
    let collector = Collector::start(CollectorOptions::default().and_delta_backend(backend.http_port()));
    let start = SystemTime::now();
    for total in [100, 130, 175] {
        std::thread::sleep(Duration::from_millis(5));
        send(&collector, &sum(start, total));
    }
    let points = backend.wait_for(Duration::from_secs(10), "three deltas", |backend| {
        Some(backend.points("lab.counted")).filter(|points| points.len() == 3)
    });
    let deltas: Vec<_> = points.iter().map(|point| point.value().unwrap()).collect();
    // The first is whole: the count began after the Collector.
    assert_eq!(deltas, [100.0, 30.0, 45.0]);
    assert_eq!(points[0].metric["sum"]["aggregationTemporality"], 1);
}

#[test]
fn prometheus_has_what_the_collector_received_and_scrapes_it_too() {
    // The Collector's exporter needs a port before Prometheus starts, and Prometheus' before the Collector does.
    let scraped = Collector::start(CollectorOptions::file().and_scrapers());
    let mut prometheus = Prometheus3::start(PrometheusOptions {
        collector: Some(scraped.exporter_port()),
        scrape_interval: Some("1s".to_owned()),
        ..PrometheusOptions::default()
    });
    let pushing = Collector::start(CollectorOptions::file().and_prometheus(prometheus.port()));
    send(&pushing, &otlp("lab.pushed", "alpha", "vda", 7));
    send(&pushing, &otlp("lab.pushed", "beta", "vda", 8));
    send(&scraped, &otlp("lab.scraped", "gamma", "vdb", 9));

    let value = |vm: &str| format!("lab_pushed_bytes{{domain=\"{vm}\",drive=\"vda\"}}");
    prometheus.wait_for(Duration::from_secs(20), &value("alpha"));
    prometheus.wait_for(Duration::from_secs(20), &value("beta"));
    assert_eq!(prometheus.value(&value("alpha")), Some(7.0));
    assert_eq!(prometheus.value(&value("beta")), Some(8.0));
    let series = prometheus.query(&value("alpha"));
    assert_eq!(series[0].label("job"), Some("host-1/libvirt-domain"));
    assert_eq!(series[0].label("libvirt_domain_name"), Some("alpha"), "promoted");
    assert_eq!(prometheus.query("lab_pushed_bytes[5m]").len(), 2);
    assert_eq!(prometheus.value("count(target_info)"), Some(2.0));

    let series = prometheus.wait_for(Duration::from_secs(20), "lab_scraped_bytes");
    assert_eq!(series[0].label("instance"), Some("uuid-of-gamma"), "honor_labels");
    assert_eq!(series[0].value(), 9.0);

    prometheus.restart();
    assert_eq!(prometheus.query("lab_pushed_bytes[5m]").len(), 2, "the data outlives a restart");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let range = prometheus.query_range(&value("beta"), now - 60.0, now, Duration::from_secs(1));
    assert!(range.iter().flat_map(|series| &series.samples).all(|&(_, value)| value == 8.0) && range.len() == 1);
    assert_eq!(pushing.points_lost(), 0.0);
}

#[test]
fn the_configurations_that_ship_are_valid() {
    let folder = repository().join("otel/collector");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths.filter(|path| path.is_file()).collect();
    assert!(files.len() >= 4);
    for file in files {
        validate(&file);
    }
    let configuration = repository().join("otel/prometheus/prometheus.yml");
    let (code, said) = promtool(&["check", "config", "--lint-fatal", configuration.to_str().unwrap()], None);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn pages_of_metrics_are_read() {
    let page = "# HELP a_b words\n# TYPE a_b gauge\na_b{x=\"1\",y=\"q\\\"\\\\\\n}\"} 2.5e3\na_b{x=\"2\"} +Inf 1700000000\n\
                # TYPE c counter\nc_total 7\n# EOF\n";
    let metrics = Metrics::parse(page);
    assert_eq!(metrics.samples.len(), 3);
    assert_eq!(metrics.get("a_b", &[("x", "1")]), Some(2500.0));
    assert_eq!(metrics.samples[0].label("y"), Some("q\"\\\n}"));
    assert_eq!(metrics.get("a_b", &[("x", "2")]), Some(f64::INFINITY));
    assert_eq!(metrics.get("c_total", &[]), Some(7.0));
    assert_eq!(metrics.get("c_total", &[("x", "1")]), None);
    assert_eq!(metrics.types["a_b"], "gauge");
}
