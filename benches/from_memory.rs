//! What encoding costs: 500 VMs of about 60 series each, from memory to bytes. No I/O, no libvirt.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints what it measured, reads the real clock, and ends where it cannot go on"
)]

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use lab_support::measure as support;
use lab_support::measure::{PROMISES, Spread, mebibytes, print_table, promise, row, show, thousands};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use virt_otel::catalog::{Selection, Vocabulary};
use virt_otel::export::otlp::{Requests, ResourceSettings};
use virt_otel::export::prometheus::{Format, Renderer};
use virt_otel::model::{Bytes, Reading, Vm};
use virt_otel::snapshot::Snapshot;
use virt_otel::testing::sample;

const VMS: u128 = 500;

/// How often each step is timed: enough for a stable median, in a few seconds.
const RUNS: usize = 200;

/// How many snapshots are held to learn the size of one.
const HELD: usize = 20;

/// From one reading of a VM to its next.
const INTERVAL: Duration = Duration::from_secs(15);

/// What is promised of building and encoding 30,000 points.
const ENCODE_WITHIN: Duration = Duration::from_millis(10);

fn main() {
    if !support::asked_to_measure() {
        return;
    }
    print_table("The machine", "", &["", ""], &support::machine::facts());

    let selection = Selection::everything(Vocabulary::Libvirt);
    let memory = size_of_a_snapshot();
    let snapshot = Arc::new(busy_fleet());
    let push = Push::measure(&selection, &snapshot);
    let mut rows = vec![
        line("Build and encode a push", &push.steady, &thousands(push.bytes), &thousands(push.gzip)),
        line("The first push after a start", &push.first, &thousands(push.first_bytes), "–"),
        line("gzip of a push, at the level of gRPC", &push.compress, "–", &thousands(push.gzip)),
    ];
    for (name, format) in [("text 0.0.4", Format::Text004), ("OpenMetrics 1.0", Format::OpenMetrics100)] {
        let (timed, page) = render(&selection, &snapshot, format);
        let compressed = gzip(page.as_bytes(), Compression::fast());
        let name = format!("Render the page as {name}");
        rows.push(line(&name, &timed, &thousands(page.len()), &thousands(compressed.len())));
    }
    let series = push.points as f64 / VMS as f64;
    print_table(
        &format!("{VMS} VMs with {series:.0} series each, from memory"),
        &format!(
            "{} points; each VM has its own figures. Times are the minimum, median and maximum of {RUNS} runs (gzip: \
             20). One such snapshot takes {}.",
            thousands(push.points),
            mebibytes(memory)
        ),
        &["", "Time", "CPU of one", "Bytes", "gzip"],
        &rows,
    );
    let Timed { wall, cpu } = &push.steady;
    let kept = wall.median() < ENCODE_WITHIN;
    let measured = format!("{} (median; minimum {}, CPU {})", show(wall.median()), show(wall.least()), show(*cpu));
    print_table(
        "What is promised, from memory",
        "",
        &PROMISES,
        &[promise(&format!("{} points built and encoded", thousands(push.points)), "under 10 ms", &measured, kept)],
    );
}

fn line(what: &str, timed: &Timed, bytes: &str, gzip: &str) -> Vec<String> {
    row([what, &timed.wall.three(), &show(timed.cpu), bytes, gzip])
}

/// How long each run took, and the CPU time that it used.
struct Timed {
    wall: Spread,
    /// Of one run, on average: what it takes on an otherwise idle machine.
    cpu: Duration,
}

impl Timed {
    /// Runs `run` so many times, each time on the result of `prepare`, which is not timed.
    fn of_runs<P, T>(runs: usize, mut prepare: impl FnMut(u32) -> P, mut run: impl FnMut(&P) -> T) -> Timed {
        let mut wall = Vec::new();
        let mut cpu = Duration::ZERO;
        for round in 1..=u32::try_from(runs).unwrap() {
            let prepared = prepare(round);
            let (started, used) = (Instant::now(), cpu_time());
            let result = run(&prepared);
            cpu += cpu_time() - used;
            wall.push(started.elapsed());
            // Dropping the result is not timed.
            drop(std::hint::black_box(result));
        }
        Timed { wall: Spread::of(wall), cpu: cpu / u32::try_from(runs).unwrap() }
    }
}

/// The CPU time of this thread, the only one, from the scheduler's own count. That is updated at each tick of some
/// milliseconds: accurate over many runs, not over one.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// What a push costs.
struct Push {
    /// Of an agent that has pushed before: every VM has been read again.
    steady: Timed,
    /// Of an agent that has just been started.
    first: Timed,
    compress: Timed,
    bytes: usize,
    first_bytes: usize,
    gzip: usize,
    points: usize,
}

impl Push {
    fn measure(selection: &Selection, snapshot: &Arc<Snapshot>) -> Push {
        let settings = ResourceSettings::default();
        let first =
            Timed::of_runs(RUNS, |_| (), |()| Requests::new(selection.clone(), settings.clone()).push(snapshot));

        let mut requests = Requests::new(selection.clone(), settings);
        let first_bytes = requests.push(snapshot).iter().map(|request| request.len()).sum();
        let mut last = Vec::new();
        // Reading the VMs anew is the work of another stage.
        let again = |round| Arc::new(read_again(snapshot, INTERVAL * round));
        let steady = Timed::of_runs(RUNS, again, |snapshot| last = requests.push(snapshot));
        let points = last.iter().map(|request| points(&ExportMetricsServiceRequest::decode(&request[..]).unwrap()));
        let compress = Timed::of_runs(
            RUNS / 10,
            |_| (),
            |()| -> Vec<_> { last.iter().map(|request| gzip(request, Compression::default())).collect() },
        );
        Push {
            steady,
            first,
            compress,
            bytes: last.iter().map(|request| request.len()).sum(),
            first_bytes,
            gzip: last.iter().map(|request| gzip(request, Compression::default()).len()).sum(),
            points: points.sum(),
        }
    }
}

/// VMs that differ only in their figures: the sample's are all the same, and would compress too well.
fn busy_fleet() -> Snapshot {
    let snapshot = sample::fleet(VMS);
    // Uniform pseudo-random numbers (splitmix64's step), the same in every run.
    let mut state = 0_u64;
    let mut next = move |below: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 31)) % below
    };
    let vms = snapshot.vms.iter().map(|vm| {
        let mut busy = (**vm).clone();
        // Each VM is read at a moment of its own within the interval.
        moved(&mut busy, Duration::from_millis(1 + next(14_999)));
        if let Some(cpu) = &mut busy.cpu {
            for time in [&mut cpu.value.time, &mut cpu.value.user, &mut cpu.value.system] {
                *time = Some(Duration::from_nanos(next(1 << 50)));
            }
        }
        for vcpu in busy.vcpus.iter_mut().flat_map(|vcpus| &mut vcpus.value.each) {
            for time in [&mut vcpu.value.time, &mut vcpu.value.wait, &mut vcpu.value.delay] {
                *time = Some(Duration::from_nanos(next(1 << 50)));
            }
        }
        if let Some(memory) = busy.memory.as_mut().map(|memory| &mut memory.value) {
            let amounts = [&mut memory.unused, &mut memory.usable, &mut memory.disk_caches, &mut memory.resident];
            for amount in amounts {
                *amount = Some(Bytes::from_kib(next(1 << 22)));
            }
            memory.minor_faults = Some(next(1 << 40));
        }
        for disk in busy.disks.iter_mut().flat_map(|disks| &mut disks.value).map(|disk| &mut disk.value) {
            for count in [&mut disk.read_requests, &mut disk.write_requests, &mut disk.flush_requests] {
                *count = Some(next(1 << 30));
            }
            for bytes in [&mut disk.read_bytes, &mut disk.write_bytes, &mut disk.allocation] {
                *bytes = Some(Bytes(next(1 << 40)));
            }
            for time in [&mut disk.read_time, &mut disk.write_time, &mut disk.flush_time] {
                *time = Some(Duration::from_nanos(next(1 << 50)));
            }
        }
        for nic in busy.nics.iter_mut().flat_map(|nics| &mut nics.value).map(|nic| &mut nic.value) {
            (nic.receive_bytes, nic.transmit_bytes) = (Some(Bytes(next(1 << 40))), Some(Bytes(next(1 << 40))));
            (nic.receive_packets, nic.transmit_packets) = (Some(next(1 << 30)), Some(next(1 << 30)));
        }
        Arc::new(busy)
    });
    Snapshot { published: sample::READ.after(INTERVAL), vms: vms.collect(), ..snapshot.clone() }
}

/// The same VMs, read `later`.
fn read_again(snapshot: &Snapshot, later: Duration) -> Snapshot {
    let vms = snapshot.vms.iter().map(|vm| {
        let mut vm = (**vm).clone();
        moved(&mut vm, later);
        Arc::new(vm)
    });
    let published = snapshot.published.after(later);
    Snapshot { published, vms: vms.collect(), ..snapshot.clone() }
}

/// Moves the timestamps of a VM's readings.
fn moved(vm: &mut Vm, later: Duration) {
    fn one<T>(reading: &mut Option<Reading<T>>, later: Duration) {
        if let Some(reading) = reading {
            reading.at = reading.at.after(later);
        }
    }
    one(&mut vm.cpu, later);
    one(&mut vm.vcpus, later);
    one(&mut vm.memory, later);
    one(&mut vm.disks, later);
    one(&mut vm.nics, later);
}

fn render(selection: &Selection, snapshot: &Snapshot, format: Format) -> (Timed, String) {
    let renderer = Renderer::new(selection);
    // As the endpoint does it: a new buffer of the expected size for each page.
    let page = || {
        let mut text = String::with_capacity(8 * 1_024 * (snapshot.vms.len() + 1));
        renderer.render(snapshot, &[], format, &mut text);
        text
    };
    (Timed::of_runs(RUNS, |_| (), |()| page()), page())
}

fn gzip(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn points(request: &ExportMetricsServiceRequest) -> usize {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let points = scopes.flat_map(|scope| &scope.metrics).map(|metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        other => panic!("the catalogue has no such metrics: {other:?}"),
    });
    points.sum()
}

/// The memory of a snapshot, from the growth of our own anonymous memory; devices' descriptions are shared and small.
fn size_of_a_snapshot() -> u64 {
    let before = anonymous();
    let held: Vec<Snapshot> = (0..HELD).map(|_| sample::fleet(VMS)).collect();
    let after = anonymous();
    drop(std::hint::black_box(held));
    (after - before) / u64::try_from(HELD).unwrap()
}

fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}
