//! What a Collector carries: agents push to it as the real ones do, each with its VMs, its connection and its place in the
//! interval, and it sends on to a server that discards everything.
//!
//! Needs `tests/lab/prepare.sh collector`. With `collector-contrib` it measures the gateway of otel/collector/fleet, whose
//! queue is on disk, as well.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints what it measured, reads the real clock, and ends where it cannot go on"
)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use flate2::Compression;
use flate2::write::GzEncoder;
use lab_support::measure as support;
use lab_support::measure::{mebibytes, print_table, row, thousands};
use lab_support::{Collector, CollectorOptions, process, repository};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use virt_otel::catalog::{Selection, Vocabulary};
use virt_otel::clock::{Clock as _, SystemClock};
use virt_otel::export::otlp::{
    DropReason, Exporter, OtlpCounters, OtlpSettings, Requests, ResourceSettings, Spread, Tuning,
};
use virt_otel::heartbeat::Pulse;
use virt_otel::model::{self, Reading, Timestamp, Vm};
use virt_otel::snapshot::{self, Snapshot};
use virt_otel::testing::{receiver, sample};

/// The agent's default.
const INTERVAL: Duration = Duration::from_secs(15);

/// How many agents push at once, in each round, and how many VMs each of them has. The last round has many connections, and
/// no more points than the second.
const ROUNDS: [(u128, u128); 4] = [(20, 20), (100, 20), (300, 20), (900, 2)];

/// Until every agent has connected and pushed once.
const WARM: Duration = Duration::from_secs(16);

/// How long is measured: each agent pushes twice.
const MEASURED: Duration = Duration::from_secs(30);

/// What the lab's Collector runs: what is received is sent on, through a queue in memory.
const IN_MEMORY: &str = "
extensions:
  health_check:
    endpoint: ${env:HEALTH_ENDPOINT}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: ${env:OTLP_GRPC_ENDPOINT}
exporters:
  otlp_http:
    endpoint: ${env:BACKEND_OTLP_ENDPOINT}
    sending_queue:
      num_consumers: 1
      sizer: bytes
      queue_size: 134217728
service:
  extensions: [health_check]
  pipelines:
    metrics:
      receivers: [otlp]
      exporters: [otlp_http]
";

/// The part of gateway.yaml that a bench on one machine does without.
const TLS: &str = "        tls:
          cert_file: ${env:TLS_CERT_FILE}
          key_file: ${env:TLS_KEY_FILE}
";

fn main() {
    if !support::asked_to_measure() {
        return;
    }
    print_table("The machine", "", &["", ""], &support::machine::facts());
    let selection = Selection::everything(Vocabulary::Libvirt);
    print_table(
        "What one agent sends",
        "One push of everything, which comes once in the interval of 15 s; VMs with 4 vCPUs, 2 disks and 1 interface.",
        &["VMs", "Points", "Requests", "Bytes", "gzip"],
        &[1, 10, 20, 100].map(|vms| one_push(&selection, vms)),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let backend = discard(&runtime);
    let mut rows = Vec::new();
    for fleet in ROUNDS {
        let collector = Collector::start(
            CollectorOptions::changed(IN_MEMORY).variable("BACKEND_OTLP_ENDPOINT", &format!("http://{backend}")),
        );
        rows.push(round("queue in memory", &runtime, &selection, &collector, fleet));
    }
    if repository().join("target/lab/bin/otelcol-contrib-lab").exists() {
        for fleet in ROUNDS {
            let folder = tempfile::tempdir().unwrap();
            let collector = gateway(backend, folder.path());
            rows.push(round("gateway.yaml, queue on disk", &runtime, &selection, &collector, fleet));
        }
    } else {
        println!("\nThe gateway was not measured: tests/lab/prepare.sh collector-contrib");
    }
    print_table(
        "What one Collector carried",
        &format!(
            "Agents with such VMs, interval 15 s, over gRPC with gzip; sent on by OTLP over HTTP to a server that discards \
             it, on the same machine as the agents. Over {} s.",
            MEASURED.as_secs()
        ),
        &[
            "Collector",
            "Agents",
            "VMs",
            "Points a second",
            "CPU of one core",
            "CPU for a million points",
            "Resident",
            "Lost",
        ],
        &rows,
    );
}

/// The gateway as it ships, without TLS.
fn gateway(backend: SocketAddr, folder: &std::path::Path) -> Collector {
    let text = std::fs::read_to_string(repository().join("otel/collector/fleet/gateway.yaml")).unwrap();
    assert!(text.contains(TLS), "gateway.yaml has other lines about TLS");
    let options = CollectorOptions::changed(&text.replace(TLS, ""))
        .with_vendors()
        .variable("BACKEND_OTLP_ENDPOINT", &format!("http://{backend}"))
        .variable("QUEUE_DIRECTORY", &folder.display().to_string());
    Collector::start(options)
}

/// Stands in for a backend: says yes to everything.
fn discard(runtime: &Runtime) -> SocketAddr {
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(|body: Bytes| async move { drop(body) }).layer(DefaultBodyLimit::disable());
        tokio::spawn(axum::serve(listener, router).into_future());
        address
    })
}

fn one_push(selection: &Selection, vms: u128) -> Vec<String> {
    let mut requests = Requests::new(selection.clone(), ResourceSettings::default());
    // An agent that has pushed before.
    requests.push(&Arc::new(fleet(vms, sample::READ)));
    let pushed = requests.push(&Arc::new(fleet(vms, sample::READ.after(INTERVAL))));
    let points = pushed.iter().map(|request| points(&ExportMetricsServiceRequest::decode(&request[..]).unwrap()));
    row([
        &vms.to_string(),
        &thousands(points.sum()),
        &pushed.len().to_string(),
        &thousands(pushed.iter().map(|request| request.len()).sum()),
        &thousands(pushed.iter().map(|request| gzip(request)).sum()),
    ])
}

fn points(request: &ExportMetricsServiceRequest) -> usize {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).map(|metric| receiver::points(metric).len()).sum()
}

fn gzip(bytes: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().len()
}

/// VMs with 4 vCPUs, 2 disks and 1 interface, read at this time, each with its own figures: equal ones would compress too
/// well.
fn fleet(vms: u128, at: Timestamp) -> Snapshot {
    let snapshot = sample::fleet(vms);
    // Uniform pseudo-random numbers (splitmix64's step), others at each time.
    let mut state = at.unix_nanos();
    let mut next = move |below: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 31)) % below
    };
    let read = |vm: &Arc<Vm>| {
        let mut vm = (**vm).clone();
        for vcpus in vm.vcpus.iter_mut().map(|reading| &mut reading.value.each) {
            let one = vcpus[0].clone();
            vcpus.clear();
            for number in 0..4 {
                let mut vcpu = one.clone();
                vcpu.value.number = number;
                vcpus.push(vcpu);
            }
        }
        for disks in vm.disks.iter_mut().map(|reading| &mut reading.value) {
            let mut second = disks[0].clone();
            second.value.target = "vdb".into();
            disks.push(second);
        }
        vary(&mut vm, &mut next);
        stamp(&mut vm, at);
        Arc::new(vm)
    };
    let vms: Vec<Arc<Vm>> = snapshot.vms.iter().map(read).collect();
    Snapshot { published: at, vms: vms.into(), ..snapshot.clone() }
}

/// Gives a VM's figures other values.
fn vary(vm: &mut Vm, next: &mut impl FnMut(u64) -> u64) {
    let vcpus = vm.vcpus.iter_mut().flat_map(|vcpus| &mut vcpus.value.each);
    let times = vcpus.flat_map(|vcpu| [&mut vcpu.value.time, &mut vcpu.value.wait, &mut vcpu.value.delay]);
    let cpu = vm.cpu.iter_mut().flat_map(|cpu| [&mut cpu.value.time, &mut cpu.value.user, &mut cpu.value.system]);
    for time in times.chain(cpu) {
        *time = Some(Duration::from_nanos(next(1 << 50)));
    }
    if let Some(memory) = vm.memory.as_mut().map(|memory| &mut memory.value) {
        for amount in [&mut memory.unused, &mut memory.usable, &mut memory.disk_caches, &mut memory.resident] {
            *amount = Some(model::Bytes::from_kib(next(1 << 22)));
        }
        memory.minor_faults = Some(next(1 << 40));
    }
    for disk in vm.disks.iter_mut().flat_map(|disks| &mut disks.value).map(|disk| &mut disk.value) {
        for count in [&mut disk.read_requests, &mut disk.write_requests, &mut disk.flush_requests] {
            *count = Some(next(1 << 30));
        }
        for bytes in [&mut disk.read_bytes, &mut disk.write_bytes, &mut disk.allocation] {
            *bytes = Some(model::Bytes(next(1 << 40)));
        }
        for time in [&mut disk.read_time, &mut disk.write_time, &mut disk.flush_time] {
            *time = Some(Duration::from_nanos(next(1 << 50)));
        }
    }
    for nic in vm.nics.iter_mut().flat_map(|nics| &mut nics.value).map(|nic| &mut nic.value) {
        for bytes in [&mut nic.receive_bytes, &mut nic.transmit_bytes] {
            *bytes = Some(model::Bytes(next(1 << 40)));
        }
        for packets in [&mut nic.receive_packets, &mut nic.transmit_packets] {
            *packets = Some(next(1 << 30));
        }
    }
}

/// Stamps the readings of a VM.
fn stamp(vm: &mut Vm, at: Timestamp) {
    fn one<T>(reading: &mut Option<Reading<T>>, at: Timestamp) {
        if let Some(reading) = reading {
            reading.at = at;
        }
    }
    one(&mut vm.cpu, at);
    one(&mut vm.vcpus, at);
    one(&mut vm.memory, at);
    one(&mut vm.disks, at);
    one(&mut vm.nics, at);
}

/// What a Collector has done and used so far.
struct Used {
    at: Instant,
    points: f64,
    cpu: Duration,
}

fn used(collector: &Collector) -> Used {
    let points = collector
        .own_metrics()
        .samples
        .iter()
        .filter(|sample| sample.name.starts_with("otelcol_receiver_accepted_metric_points"))
        .map(|sample| sample.value)
        .sum();
    Used { at: Instant::now(), points, cpu: process::cpu_time(collector.pid()).unwrap() }
}

/// Runs so many agents against a Collector, and measures it once they are all connected.
fn round(
    what: &str,
    runtime: &Runtime,
    selection: &Selection,
    collector: &Collector,
    (agents, vms): (u128, u128),
) -> Vec<String> {
    eprintln!("bench: {what}: {agents} agents of {vms} VMs");
    let shutdown = CancellationToken::new();
    let started: Vec<Arc<OtlpCounters>> =
        (0..agents).map(|number| start(runtime, selection, &collector.endpoint(), (number, vms), &shutdown)).collect();
    std::thread::sleep(WARM);
    let before = used(collector);
    std::thread::sleep(MEASURED);
    let after = used(collector);
    let resident = process::status_field(collector.pid(), "VmHWM").unwrap();
    let resident: u64 = resident.trim_end_matches(" kB").trim().parse().unwrap();
    shutdown.cancel();

    let seconds = (after.at - before.at).as_secs_f64();
    let points = after.points - before.points;
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    let dropped: u64 =
        started.iter().flat_map(|counters| DropReason::ALL.map(|reason| counters.points_dropped(reason))).sum();
    let lost = dropped as f64 + collector.points_lost();
    assert!(points > 0.0, "the Collector has accepted nothing: {}", collector.log());
    row([
        what,
        &agents.to_string(),
        &(agents * vms).to_string(),
        &format!("{:.0}", points / seconds),
        &format!("{:.1} %", 100.0 * cpu / seconds),
        &format!("{:.2} s", cpu / points * 1e6),
        &mebibytes(resident * 1_024),
        &format!("{lost:.0}"),
    ])
}

/// One agent's part that pushes, and VMs that are read anew in each interval.
fn start(
    runtime: &Runtime,
    selection: &Selection,
    endpoint: &str,
    (number, vms): (u128, u128),
    shutdown: &CancellationToken,
) -> Arc<OtlpCounters> {
    let clock = Arc::new(SystemClock::new());
    let counters = Arc::new(OtlpCounters::default());
    let mut settings = OtlpSettings { interval: INTERVAL, ..OtlpSettings::default() };
    settings.collector.endpoint = endpoint.parse().unwrap();
    // Another host for each: no two agents have a Resource in common.
    settings.resource.attributes = vec![("host.name".to_owned(), format!("host-{number}"))];
    let (credentials, rotation) = settings.collector.open().unwrap();
    let (writer, snapshots) = snapshot::channel();
    let spread = Spread::at_random(INTERVAL);
    let exporter = Exporter::new(
        settings,
        credentials,
        selection.clone(),
        Arc::clone(&clock) as Arc<dyn virt_otel::clock::Clock>,
        Arc::clone(&counters),
    )
    .with_tuning(Tuning { spread, ..Tuning::default() });
    let until = shutdown.clone();
    runtime.spawn(rotation.run(Pulse::default(), until.clone()));
    runtime.spawn(exporter.run(snapshots, until.clone()));
    runtime.spawn(async move {
        let mut turn = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                _ = turn.tick() => drop(writer.send_replace(Arc::new(fleet(vms, clock.now())))),
                () = until.cancelled() => return,
            }
        }
    });
    counters
}
