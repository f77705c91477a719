//! What arrives: in a real Collector, in a real Prometheus, over OTLP and by scraping.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use virt_otel::catalog::{Kind, Selected, Selection, Vocabulary};
use virt_otel::export::otlp::SCHEMA_URL;

use super::support::collector::{attributes, points_of};
use super::support::prometheus::promtool;
use super::support::{
    Agent, Collector, CollectorOptions, Domain, Libvirtd, Prometheus3, PrometheusOptions, wait_until,
};

fn pushing(libvirtd: &Libvirtd, collector: &Collector, more: &[&str]) -> Agent {
    let uri = libvirtd.uri();
    let mut arguments = vec!["--libvirt-uri", uri.as_str(), "--interval", "1s"];
    arguments.extend_from_slice(more);
    Agent::start(
        &arguments,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()), ("OTEL_METRIC_EXPORT_INTERVAL", "1000")],
    )
}

#[test]
fn each_vm_is_one_resource_with_its_own_points() {
    let libvirtd = Libvirtd::system();
    let linux = Domain::tcg_linux("linux", 2, 1).vcpus(2, 2);
    let idle = Domain::tcg("idle");
    libvirtd.boot(&linux);
    libvirtd.create_paused(&idle);
    let collector = Collector::start(CollectorOptions::file());
    let _agent = pushing(&libvirtd, &collector, &[]);
    collector.wait_for(Duration::from_secs(30), "figures of both", |collector| {
        let names: BTreeSet<String> = collector
            .points("libvirt.domain.cpu.usage")
            .iter()
            .filter_map(|point| point.of_resource("libvirt.domain.name").map(str::to_owned))
            .collect();
        (names.len() == 2 && !collector.points("libvirt.domain.storage.iops_write").is_empty()).then_some(())
    });

    // One Resource per VM and request, always the same.
    let mut identities: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for request in collector.requests() {
        let mut seen = BTreeSet::new();
        for resource in request["resourceMetrics"].as_array().unwrap() {
            let identity: BTreeMap<_, _> = attributes(&resource["resource"]["attributes"]).into_iter().collect();
            let Some(uuid) = identity.get("libvirt.domain.uuid").cloned() else { continue };
            assert!(seen.insert(uuid.clone()), "a Resource is in one request twice");
            let known = identities.entry(uuid).or_insert_with(|| identity.clone());
            assert_eq!(*known, identity, "a Resource has changed");
            let scopes = resource["scopeMetrics"].as_array().unwrap();
            assert_eq!(scopes.len(), 1, "one scope a Resource");
            assert_eq!(scopes[0]["scope"]["name"], "virt-otel");
            assert_eq!(scopes[0]["scope"]["version"], env!("CARGO_PKG_VERSION"));
            assert_eq!(scopes[0]["schemaUrl"], SCHEMA_URL);
            assert_eq!(resource["schemaUrl"], SCHEMA_URL);
        }
    }
    let identity = &identities[linux.uuid()];
    let host = libvirtd.virsh(&["hostname"]).trim().to_owned();
    for (key, value) in [
        ("service.namespace", host.as_str()),
        ("service.name", "libvirt-domain"),
        ("service.instance.id", linux.uuid()),
        ("libvirt.domain.name", "linux"),
        ("libvirt.domain.uuid", linux.uuid()),
        ("libvirt.domain.type", "qemu"),
        ("libvirt.host.name", host.as_str()),
        ("libvirt.uri", libvirtd.uri().as_str()),
        ("host.arch", "amd64"),
    ] {
        assert_eq!(identity.get(key).map(String::as_str), Some(value), "{key} of {identity:?}");
    }
    assert!(!identity.contains_key("host.name"), "the host of a VM's Resource is the VM, not the node");

    // Kinds, units, start times.
    for (name, unit, kind, monotonic) in [
        ("libvirt.domain.cpu.usage", "s", "sum", true),
        ("libvirt.domain.storage.iops_write", "{operation}", "sum", true),
        ("libvirt.domain.network.receive", "By", "sum", true),
        ("libvirt.domain.vcpu_wait", "s", "sum", true),
        ("libvirt.domain.hypervisor.info", "", "gauge", false),
    ] {
        let points = collector.points(name);
        assert!(!points.is_empty(), "nothing of {name} was received");
        for point in points {
            assert_eq!(point.metric["unit"].as_str().unwrap_or(""), unit, "{name}");
            assert!(point.metric.get(kind).is_some(), "{name} is no {kind}: {}", point.metric);
            if monotonic {
                assert_eq!(point.metric[kind]["isMonotonic"], true, "{name}");
                assert_eq!(point.metric[kind]["aggregationTemporality"], 2, "{name} is not cumulative");
                assert!(point.start_time() > 0 && point.start_time() <= point.time(), "{name}: {}", point.point);
            }
        }
    }
    // The same for every other row that arrived.
    let received = collector.resource_metrics();
    let mut rows = 0;
    for Selected { name, metric } in Selection::everything(Vocabulary::Libvirt).vm {
        let points: Vec<_> = received.iter().flat_map(|resource| points_of(resource, &name)).collect();
        rows += usize::from(!points.is_empty());
        for point in points {
            let (kind, monotonic) = match metric.kind {
                Kind::Counter => ("sum", true),
                Kind::UpDownCounter => ("sum", false),
                Kind::Gauge => ("gauge", false),
            };
            assert_eq!(point.metric["unit"].as_str().unwrap_or(""), metric.unit.ucum(), "{name}");
            assert!(point.metric.get(kind).is_some(), "{name} is no {kind}: {}", point.metric);
            assert_eq!(point.metric[kind]["isMonotonic"].as_bool().unwrap_or(false), monotonic, "{name}");
            assert!(!monotonic || (1..=point.time()).contains(&point.start_time()), "{name}: {}", point.point);
            let value = if metric.unit.is_double() { "asDouble" } else { "asInt" };
            assert!(point.ended() || point.point.get(value).is_some(), "{name} has no {value}: {}", point.point);
        }
    }
    assert!(rows > 45, "only {rows} rows were received");
    let info = collector.points("libvirt.domain.hypervisor.info");
    assert!(info.iter().all(|point| point.attribute("hypervisor_type").as_deref() == Some("qemu-tcg")));

    // Within a Resource nothing is sent twice and nothing goes back in time.
    let mut newest: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for resource in collector.resource_metrics() {
        let metrics = resource["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let names: BTreeSet<&str> = metrics.iter().filter_map(|metric| metric["name"].as_str()).collect();
        for name in names {
            for point in points_of(&resource, name) {
                let Some(uuid) = point.of_resource("libvirt.domain.uuid") else { continue };
                let labels = point.point["attributes"].to_string();
                let before = newest.insert((uuid.to_owned(), name.to_owned(), labels), point.time());
                assert!(before.is_none_or(|before| before < point.time()), "{name} stood still: {}", point.point);
            }
        }
    }
}

/// The agent's own metrics and, on request, logs have a Resource that is no VM's.
#[test]
fn the_agents_own_telemetry_has_a_resource_of_its_own() {
    let libvirtd = Libvirtd::system();
    libvirtd.create_paused(&Domain::tcg("idle"));
    let collector = Collector::start(CollectorOptions::file());
    let uri = libvirtd.uri();
    let mut agent = Agent::start(
        &["--libvirt-uri", &uri, "--interval", "1s", "--logs-exporter", "otlp"],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ("OTEL_SERVICE_NAME", "mine"),
        ],
    );
    collector.wait_for(Duration::from_secs(30), "figures of the VM and of the agent", |collector| {
        let [vm, own] = ["libvirt.domain.state", "virt_otel.libvirt.calls"].map(|name| collector.points(name));
        (!vm.is_empty() && !own.is_empty()).then_some(())
    });
    for point in collector.points("virt_otel.libvirt.calls") {
        assert_eq!(point.of_resource("service.name"), Some("mine"));
        assert_eq!(point.of_resource("libvirt.domain.name"), None);
    }
    for point in collector.points("libvirt.domain.state") {
        assert_eq!(point.of_resource("service.name"), Some("libvirt-domain"));
    }
    agent.terminate();
    let records =
        collector.wait_for(Duration::from_secs(10), "what the agent said at its start and end", |collector| {
            let requests = collector.requests();
            let resources = requests.iter().filter_map(|request| request.get("resourceLogs")?.as_array()).flatten();
            let mut said = Vec::new();
            for resource in resources {
                let identity = attributes(&resource["resource"]["attributes"]);
                assert!(identity.contains(&("service.name".to_owned(), "mine".to_owned())), "{identity:?}");
                said.push(resource["scopeLogs"].to_string());
            }
            let all = said.join("\n");
            (all.contains("virt-otel starts") && all.contains("told to stop")).then_some(all)
        });
    assert!(records.contains("severityNumber"), "{records}");
}

/// Two VMs that differ only in identity stay apart, and when one ends, all its series end.
#[test]
fn two_vms_stay_apart_and_end_at_once() {
    let libvirtd = Libvirtd::system();
    let names = ["left", "right"];
    for name in names {
        libvirtd.create(&Domain::tcg(name).disks(3).nics(3).vcpus(3, 3));
    }
    let prometheus = Prometheus3::start(PrometheusOptions::default());
    let collector = Collector::start(CollectorOptions::file().and_prometheus(prometheus.port()).and_scrapers());
    let _agent = pushing(&libvirtd, &collector, &[]);
    let of = |name: &str| format!("{{__name__=~\"libvirt_domain_.+\",domain=\"{name}\"}}");
    for name in names {
        prometheus.wait_for(
            Duration::from_secs(30),
            &format!("libvirt_domain_storage_iops_read_total{{domain=\"{name}\",drive=\"vdc\"}}"),
        );
    }
    assert_eq!(prometheus.query("libvirt_domain_cpu_usage_seconds_total").len(), 2);
    wait_until(Duration::from_secs(10), "both in the Collector's exporter", || {
        let page = collector.exported();
        names
            .iter()
            .all(|name| page.all("libvirt_domain_storage_iops_read_total", &[("domain", name)]).len() == 3)
            .then_some(())
    });

    libvirtd.destroy("left");
    let ended = Instant::now();
    wait_until(Duration::from_secs(15), "every series of the ended VM to be stale in Prometheus", || {
        prometheus.query(&of("left")).is_empty().then_some(())
    });
    wait_until(Duration::from_secs(5), "every series of the ended VM to be gone from the Collector's exporter", || {
        (!collector
            .exported()
            .samples
            .iter()
            .any(|sample| sample.name.starts_with("libvirt_domain_") && sample.label("domain") == Some("left")))
        .then_some(())
    });
    println!("every series of the ended VM was stale after {:?}", ended.elapsed());
    assert!(prometheus.query(&of("right")).len() > 30, "the other VM has lost series");
    assert_eq!(collector.points_lost(), 0.0, "{}", collector.log());
}

/// Ten minutes' worth of pushes at one a second: disks at four times the interval, VMs that end and start again,
/// pauses, and Prometheus down for 15 s. With Prometheus' default: it accepts nothing out of order.
#[test]
fn nothing_is_refused_in_ten_minutes_worth_of_pushes() {
    const PUSHES: u64 = 60;
    let libvirtd = Libvirtd::system();
    libvirtd.define(&Domain::tcg("restarts").disks(2).nics(1));
    libvirtd.virsh(&["start", "restarts"]);
    libvirtd.create(&Domain::tcg("pauses").disks(2).nics(1));
    libvirtd.boot(&Domain::tcg_linux("works", 2, 1));
    let mut prometheus = Prometheus3::start(PrometheusOptions {
        out_of_order_time_window: Some("0s".to_owned()),
        flags: vec!["--enable-feature=created-timestamp-zero-ingestion".to_owned()],
        ..PrometheusOptions::default()
    });
    let collector = Collector::start(CollectorOptions::file().and_prometheus(prometheus.port()));
    let agent = pushing(&libvirtd, &collector, &["--group-interval", "block=4s"]);
    let before = libvirtd.domstats("works");
    prometheus.wait_for(Duration::from_secs(30), "libvirt_domain_cpu_usage_seconds_total");
    let started = Instant::now();
    let mut outage = false;
    let mut turn = 0;
    while started.elapsed() < Duration::from_secs(PUSHES) {
        match turn % 4 {
            0 => drop(libvirtd.virsh(&["suspend", "pauses"])),
            1 => libvirtd.destroy("restarts"),
            2 => drop(libvirtd.virsh(&["resume", "pauses"])),
            _ => drop(libvirtd.virsh(&["start", "restarts"])),
        }
        turn += 1;
        if !outage && started.elapsed() > Duration::from_secs(PUSHES / 3) {
            outage = true;
            prometheus.stop();
            std::thread::sleep(Duration::from_secs(15));
            prometheus.start_again();
        }
        std::thread::sleep(Duration::from_millis(1_300));
    }
    assert!(outage);
    // What piled up while Prometheus was away has to arrive as well.
    let newest = |collector: &Collector| {
        let works = collector.points("libvirt.domain.cpu.usage");
        works
            .iter()
            .filter(|point| point.of_resource("libvirt.domain.name") == Some("works"))
            .map(|point| point.time())
            .max()
    };
    let sent = newest(&collector).unwrap();
    wait_until(Duration::from_secs(40), "what was sent last to be in Prometheus", || {
        let series = prometheus.query("libvirt_domain_cpu_usage_seconds_total{domain=\"works\"}[30s]");
        let newest = series.first()?.samples.last()?.0;
        #[allow(clippy::cast_precision_loss, reason = "seconds are compared")]
        (newest >= sent as f64 / 1e9 - 0.01).then_some(())
    });
    assert_eq!(collector.points_lost(), 0.0, "the Collector gave up on points:\n{}", collector.log());
    let own = prometheus.own_metrics();
    for refused in
        ["prometheus_tsdb_out_of_order_samples_total", "prometheus_target_scrapes_sample_duplicate_timestamp_total"]
    {
        let count: f64 = own.all(refused, &[]).iter().map(|sample| sample.value).sum();
        assert_eq!(count, 0.0, "{refused}");
    }
    assert!(!agent.log().contains("rejected"), "{}", agent.log());

    // Where start times are used, a running total must not look like an increase.
    let after = libvirtd.domstats("works");
    let figure = |stats: &BTreeMap<String, String>| stats["cpu.time"].parse::<f64>().unwrap() / 1e9;
    let increase = prometheus
        .value("increase(libvirt_domain_cpu_usage_seconds_total{domain=\"works\"}[5m])")
        .expect("an increase");
    let true_increase = figure(&after) - figure(&before);
    println!("CPU time increased by {true_increase:.1} s, by Prometheus' account {increase:.1} s");
    assert!(increase < true_increase * 1.5 + 2.0, "a false increase: {increase} instead of {true_increase}");
    // A guest that idles in its BIOS uses less than its share of real time.
    for series in prometheus.query("increase(libvirt_domain_cpu_usage_seconds_total[5m])") {
        assert!(series.value() < 300.0, "a false increase: {series:?}");
    }
}

#[test]
fn a_scrape_and_a_push_give_prometheus_the_same() {
    let libvirtd = Libvirtd::system();
    let guest = Domain::tcg_linux("both", 2, 1).vcpus(2, 2);
    libvirtd.boot(&guest);
    let scraper_of = |agent: &Agent, format: &str| {
        let protocols = format!("global:\n  scrape_protocols: [{format}]\n");
        Prometheus3::start(PrometheusOptions {
            agent: Some(agent.port()),
            scrape_interval: Some("1s".to_owned()),
            replacements: vec![("global:\n".to_owned(), protocols)],
            ..PrometheusOptions::default()
        })
    };
    let receiver = Prometheus3::start(PrometheusOptions::default());
    let collector = Collector::start(CollectorOptions::file().and_prometheus(receiver.port()));
    let agent = pushing(&libvirtd, &collector, &[]);
    // What Prometheus 3 requests by default, and what older scrapers request.
    let scraper = scraper_of(&agent, "OpenMetricsText1.0.0");
    let classic = scraper_of(&agent, "PrometheusText0.0.4");
    for prometheus in [&scraper, &classic, &receiver] {
        prometheus.wait_for(Duration::from_secs(30), "libvirt_domain_storage_iops_write_total{drive=\"vdb\"}");
    }
    // With the guest paused, both ways must agree to the last digit.
    libvirtd.virsh(&["suspend", "both"]);
    let figures = |prometheus: &Prometheus3| -> BTreeMap<String, f64> {
        prometheus
            .query("{__name__=~\"libvirt_domain_(storage|network|memory|vcpu)_.+\",__name__!~\".+_age_seconds|.+resident.+|.+vcpu_.*seconds.+\",domain=\"both\"}")
            .into_iter()
            .map(|series| {
                let key = ["__name__", "drive", "interface", "id", "state"]
                    .map(|label| series.label(label).unwrap_or("").to_owned())
                    .join(" ");
                let value = series.value();
                (key, value)
            })
            .collect()
    };
    let paused = Instant::now();
    let (scraped, differences) = wait_until(Duration::from_secs(30), "the two ways to agree", || {
        let (scraped, pushed, as_text) = (figures(&scraper), figures(&receiver), figures(&classic));
        let keys: BTreeSet<&String> = scraped.keys().chain(pushed.keys()).chain(as_text.keys()).collect();
        let differences: Vec<String> = keys
            .into_iter()
            .map(|key| (key, scraped.get(key), as_text.get(key), pushed.get(key)))
            .filter(|(_, scraped, as_text, pushed)| scraped != pushed || scraped != as_text)
            .map(|(key, scraped, as_text, pushed)| {
                format!("{key}: scraped {scraped:?}, scraped as text {as_text:?}, pushed {pushed:?}")
            })
            .collect();
        (differences.is_empty() || paused.elapsed() > Duration::from_secs(20)).then_some((scraped, differences))
    });
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(scraped.len() > 40, "only {} series: {scraped:?}", scraped.len());
    println!("{} series agree", scraped.len());

    // The same page in both formats, in Prometheus' own judgement.
    let page = agent.metrics_raw("text/plain;version=0.0.4");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &page.body).unwrap();
    let (code, said) = promtool(&["check", "metrics"], Some(file.path()));
    assert_eq!((code, said.trim()), (Some(0), ""), "promtool check metrics");
    let open = agent.metrics_raw("application/openmetrics-text;version=1.0.0");
    assert!(open.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    assert!(open.text().ends_with("# EOF\n"));
    for prometheus in [&scraper, &classic] {
        assert_eq!(prometheus.value("up{job=\"virt-otel\"}"), Some(1.0));
    }

    // Common queries.
    for (question, answers) in [
        ("sum by (domain) (rate(libvirt_domain_cpu_usage_seconds_total[1m]))", 1),
        ("rate(libvirt_domain_storage_iops_write_total[1m]) + rate(libvirt_domain_storage_iops_read_total[1m])", 2),
        ("libvirt_domain_memory_available_bytes - libvirt_domain_memory_usable_bytes", 1),
        (
            "libvirt_domain_storage_capacity_bytes * on (uuid, drive) group_left (bus, source) libvirt_domain_storage_info",
            2,
        ),
        (
            "libvirt_domain_network_receive_bytes_total * on (uuid, interface) group_left (mac) libvirt_domain_network_info",
            1,
        ),
    ] {
        wait_until(Duration::from_secs(20), &format!("{answers} answers to {question}"), || {
            (scraper.query(question).len() == answers).then_some(())
        });
    }
}
