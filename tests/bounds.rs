//! What one VM may add to the metrics page and to a push, whatever its daemon says: it always fits into one request,
//! and the largest real machines are shown completely.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::sample;
use virt_otel::catalog::{Metric, Read, Selection, Vocabulary};
use virt_otel::export::otlp::{REQUEST_LIMIT, Requests, ResourceSettings};
use virt_otel::export::prometheus::{Format, Renderer};
use virt_otel::model::{
    Bytes, Description, Disk, DiskDescription, IoLimits, IoThread, Metadata, MetadataKey, MetadataLabels, Nic,
    NicDescription, Place, Reading, Since, Vcpu, VcpuState, Vcpus, Vm,
};
use virt_otel::observe::room::{self, Cut};
use virt_otel::snapshot::Snapshot;

/// The longest XML value that is accepted, in bytes.
const LONGEST_VALUE: usize = 1_024;

/// A VM's size.
#[derive(Debug, Clone, Copy)]
struct Size {
    vcpus: u32,
    disks: usize,
    nics: usize,
    io_threads: u32,
    /// Bytes of each text in its description.
    text: usize,
    /// Which VM of this size: each number gives the devices other names.
    number: usize,
}

/// The most that is accepted from a daemon.
const FLOOD: Size = Size { vcpus: 4_096, disks: 1_024, nics: 1_024, io_threads: 1_024, text: LONGEST_VALUE, number: 0 };

/// The largest machine that libvirt's users are known to have, with a long alias for each device.
const LARGE: Size = Size { vcpus: 512, disks: 64, nics: 64, io_threads: 64, text: 200, number: 0 };

impl Size {
    /// A text that no other device has.
    fn text(self, what: &str, device: usize) -> Arc<str> {
        let Self { number, text, .. } = self;
        format!("{number}-{device}-{what}-{}", "\\".repeat(text)).chars().take(text).collect::<String>().into()
    }

    fn disk(self, device: usize) -> DiskDescription {
        let text = |what: &str| Some(self.text(what, device));
        let bytes = Some(Bytes(u64::MAX >> 1));
        let requests = Some(u64::MAX >> 1);
        let length = Some(Duration::from_secs(1));
        DiskDescription {
            target: format!("target-{}-{device}", self.number).into(),
            user_alias: text("alias"),
            source_kind: text("kind"),
            source: text("source"),
            protocol: text("protocol"),
            bus: text("bus"),
            device: text("device"),
            format: text("format"),
            cache: text("cache"),
            serial: text("serial"),
            limits: IoLimits {
                total_bytes: bytes,
                read_bytes: bytes,
                write_bytes: bytes,
                total_requests: requests,
                read_requests: requests,
                write_requests: requests,
                total_bytes_burst: bytes,
                read_bytes_burst: bytes,
                write_bytes_burst: bytes,
                total_requests_burst: requests,
                read_requests_burst: requests,
                write_requests_burst: requests,
                total_bytes_burst_length: length,
                read_bytes_burst_length: length,
                write_bytes_burst_length: length,
                total_requests_burst_length: length,
                read_requests_burst_length: length,
                write_requests_burst_length: length,
                request_size: bytes,
            },
        }
    }

    fn nic(self, device: usize) -> NicDescription {
        let text = |what: &str| Some(self.text(what, device));
        NicDescription {
            target: Some(format!("nic-{}-{device}", self.number).into()),
            user_alias: text("alias"),
            mac: text("mac"),
            model: text("model"),
            source_kind: text("kind"),
            source: text("source"),
            mtu: Some(u32::MAX),
        }
    }

    fn metadata(self) -> Metadata {
        let mut metadata = Metadata::default();
        metadata.flavor = sample::metadata().flavor;
        for key in MetadataKey::ALL {
            metadata.set(key, Some(self.text(key.as_str(), 0)));
        }
        metadata
    }

    fn description(self) -> Description {
        Description {
            domain_type: "kvm".into(),
            metadata: Some(Arc::new(self.metadata())),
            disks: (0..self.disks).map(|device| Arc::new(self.disk(device))).collect(),
            nics: (0..self.nics).map(|device| Arc::new(self.nic(device))).collect(),
            ..Description::default()
        }
    }

    /// A VM of this size, cut as the reading loop cuts it, and what was cut.
    fn vm(self) -> (Vm, Cut, u32) {
        let mut vm = sample::running();
        vm.description = Some(Arc::new(self.description()));
        room::fit_description(&mut vm, room::PAGE_MAX);
        let left_out = vm.description.as_ref().map_or(0, |description| description.left_out);
        vm.vcpus = Some(reading(self.vcpus()));
        vm.disks = Some(reading((0..self.disks).map(|device| since(disk(&self.disk(device)))).collect()));
        vm.nics = Some(reading((0..self.nics).map(|device| since(nic(&self.nic(device)))).collect()));
        let thread = |id| IoThread { id, poll_max: Some(Duration::MAX), poll_grow: Some(1), poll_shrink: Some(1) };
        vm.io_threads = Some(reading((0..self.io_threads).map(thread).collect()));
        let (cut, _) = room::fit(&mut vm, room::PAGE_MAX);
        (vm, cut, left_out)
    }

    fn vcpus(self) -> Vcpus {
        let each = (0..self.vcpus).map(|number| {
            since(Vcpu {
                number,
                state: Some(VcpuState::Running),
                time: Some(Duration::from_secs(1)),
                wait: Some(Duration::from_secs(1)),
                delay: Some(Duration::from_secs(1)),
                halted: Some(true),
            })
        });
        Vcpus { current: Some(1), maximum: Some(1), each: each.collect() }
    }
}

fn reading<T>(value: T) -> Reading<T> {
    Reading { at: sample::READ, start: sample::BOOTED, value }
}

fn since<T>(value: T) -> Since<T> {
    Since { start: sample::BOOTED, value }
}

/// A disk with every value known.
fn disk(description: &DiskDescription) -> Disk {
    let whole = sample::running().disks.expect("its disks").value[0].value.clone();
    Disk {
        target: Arc::clone(&description.target),
        description: Some(Arc::new(description.clone())),
        errors: Some(1),
        ..whole
    }
}

fn nic(description: &NicDescription) -> Nic {
    let whole = sample::running().nics.expect("its interfaces").value[0].value.clone();
    Nic {
        target: description.target.clone().expect("a target"),
        description: Some(Arc::new(description.clone())),
        ..whole
    }
}

fn snapshot(vm: Vm, after: Duration) -> Arc<Snapshot> {
    let published = sample::READ.after(after);
    Arc::new(Snapshot { vms: vec![Arc::new(vm)].into(), published, daemons: vec![], ..sample::snapshot() })
}

/// The largest request of a push, in bytes, and how many there are.
fn push(requests: &mut Requests, snapshot: &Arc<Snapshot>) -> (usize, usize) {
    let requests = requests.push(snapshot);
    (requests.iter().map(|request| request.len()).max().unwrap_or(0), requests.len())
}

/// The page's size.
fn page(snapshot: &Snapshot) -> usize {
    let mut page = String::new();
    Renderer::new(&everything()).render(snapshot, &[], Format::OpenMetrics100, &mut page);
    page.len()
}

fn everything() -> Selection {
    Selection::everything(Vocabulary::Libvirt)
}

#[test]
fn the_largest_machines_are_shown_whole() {
    let (vm, cut, left_out) = LARGE.vm();
    assert_eq!((cut, left_out), (Cut::default(), 0));
    let mut requests = Requests::new(everything(), ResourceSettings::default());
    assert_eq!(push(&mut requests, &snapshot(vm, Duration::ZERO)).1, 1);
}

#[test]
fn whatever_a_daemon_says_of_a_vm_fits_into_one_request() {
    for text in [0, 16, 128, LONGEST_VALUE] {
        for (vcpus, disks, nics) in [(4_096, 0, 0), (0, 1_024, 0), (0, 0, 1_024), (4_096, 1_024, 1_024)] {
            let size = Size { vcpus, disks, nics, text, ..FLOOD };
            let (vm, cut, _) = size.vm();
            assert!(cut != Cut::default() || vcpus == 0, "{size:?}");
            let mut requests = Requests::new(everything(), ResourceSettings::default());
            let (bytes, count) = push(&mut requests, &snapshot(vm, Duration::ZERO));
            assert!(count == 1 && bytes <= REQUEST_LIMIT, "{size:?}: {count} requests, {bytes} bytes");

            // Every device gets another name: all series end, as many begin.
            let (vm, ..) = Size { number: 1, ..size }.vm();
            let (bytes, count) = push(&mut requests, &snapshot(vm, Duration::from_secs(1)));
            assert!(count == 1 && bytes <= REQUEST_LIMIT, "{size:?}, renamed: {count} requests, {bytes} bytes");

            let gone = Arc::new(Snapshot {
                vms: vec![].into(),
                published: sample::READ.after(Duration::from_secs(2)),
                daemons: vec![],
                ..sample::snapshot()
            });
            let (bytes, count) = push(&mut requests, &gone);
            assert!(count == 1 && bytes <= REQUEST_LIMIT, "{size:?}, gone: {count} requests, {bytes} bytes");
        }
    }
}

#[test]
fn a_long_name_leaves_less_room_for_the_rest() {
    let (mut vm, ..) = LARGE.vm();
    let identity = virt_otel::model::Identity { name: "\\".repeat(4_096).into(), ..(*vm.identity).clone() };
    vm.identity = Arc::new(identity);
    assert_ne!(room::fit(&mut vm, room::PAGE_MAX).0, Cut::default());
    let page = page(&snapshot(vm, Duration::ZERO));
    assert!(page <= room::PAGE_MAX + 4 * 1_024 * 1_024, "{page} bytes");
}

/// The VM without its vCPUs and devices.
fn bare(vm: &Vm) -> Vm {
    Vm { vcpus: None, disks: None, nics: None, io_threads: None, description: None, ..vm.clone() }
}

/// When many VMs share the room, each may have less.
#[test]
fn a_vm_that_is_given_little_takes_no_more() {
    for most in [0, 16 * 1_024, 128 * 1_024, 1_024 * 1_024] {
        for text in [0, 64, LONGEST_VALUE] {
            let mut vm = Size { text, ..FLOOD }.vm().0;
            let bare_page = page(&snapshot(bare(&vm), Duration::ZERO));
            assert!(room::fit_description(&mut vm, most));
            let (cut, taken) = room::fit(&mut vm, most);
            // The machine's own description is not cut.
            let machine = 1_024;
            assert!(taken <= most.max(machine) && cut != Cut::default(), "{most}, {text}: {taken} bytes, {cut:?}");
            let page = page(&snapshot(vm, Duration::ZERO)) - bare_page;
            assert!(page <= taken + machine, "{most}, {text}: {page} bytes of the page where {taken} were reckoned");
        }
    }
}

#[test]
fn a_longer_name_takes_no_more_than_was_reckoned() {
    let named = |vm: &mut Vm, name: &str| {
        vm.identity = Arc::new(virt_otel::model::Identity { name: name.into(), ..(*vm.identity).clone() });
        page(&snapshot(vm.clone(), Duration::ZERO))
    };
    for mut vm in [bare(&sample::running()), bare(&sample::migrating())] {
        let short = named(&mut vm, "");
        for name in ["web-1", &"x".repeat(255), &"\\".repeat(1_024), &"\0".repeat(1_024)] {
            let more = named(&mut vm, name) - short;
            let reckoned = room::name_bytes(name);
            assert!(more <= reckoned && reckoned < 3 * more, "{name}: {more} bytes where {reckoned} were reckoned");
        }
    }
}

#[test]
fn labels_from_metadata_take_no_more_than_was_reckoned() {
    let labelled = |text: &str| {
        let mut vm = bare(&sample::running());
        let mut metadata = Metadata::default();
        MetadataKey::ALL.into_iter().for_each(|key| metadata.set(key, Some(text.into())));
        let mut identity = (*vm.identity).clone();
        if let Place::Host { labels, .. } = &mut identity.place {
            *labels = MetadataLabels::of(&metadata, &MetadataKey::ALL);
        }
        let reckoned = room::identity_bytes(&identity);
        vm.identity = Arc::new(identity);
        (page(&snapshot(vm, Duration::ZERO)), reckoned)
    };
    let too_long = labelled(&"x".repeat(1_024));
    for text in ["m1.small", &"x".repeat(256), &"\\".repeat(256), &"\0".repeat(256)] {
        let (page, reckoned) = labelled(text);
        let (more, reckoned) = (page - too_long.0, reckoned - too_long.1);
        assert!(more <= reckoned && reckoned < 4 * more, "{text}: {more} bytes where {reckoned} were reckoned");
    }
}

/// What the metadata make is no more than was reckoned.
#[test]
fn metadata_make_no_more_series_than_was_reckoned() {
    let vm = sample::running();
    let mut series = 0;
    for selected in everything().vm {
        if matches!(selected.metric.read, Read::Domain(_) | Read::DomainEach(..)) {
            selected.metric.points(&vm, &mut |_| series += 1);
        }
    }
    assert_eq!(series, room::METADATA_SERIES);
}

/// The estimate for a series is no less than what it takes.
#[test]
fn the_page_and_the_push_of_a_vm_are_no_larger_than_was_reckoned() {
    for text in [0, 64, LONGEST_VALUE] {
        let (vm, ..) = Size { text, ..FLOOD }.vm();
        let bare = bare(&vm);
        let description = room::DESCRIPTION_MAX;
        let of = |vm: &Vm| {
            let snapshot = snapshot(vm.clone(), Duration::ZERO);
            let page = page(&snapshot);
            (page, push(&mut Requests::new(everything(), ResourceSettings::default()), &snapshot).0)
        };
        let ((page, push), (bare_page, bare_push)) = (of(&vm), of(&bare));
        let (_, taken) = room::fit(&mut vm.clone(), room::PAGE_MAX);
        assert!(taken <= room::PAGE_MAX, "{text}: {taken} bytes were reckoned");
        assert!(page - bare_page <= taken, "{text}: {page} bytes of the page where {taken} were reckoned");
        assert!(push - bare_push <= room::PUSH_MAX + 2 * description, "{text}: {push} bytes of the push");
    }
}

/// Fails when a new row for each vCPU or device needs more room.
#[test]
fn no_vcpu_and_no_device_has_more_series_than_was_reckoned() {
    let one = Size { vcpus: 1, disks: 1, nics: 1, io_threads: 1, text: 8, number: 0 };
    let (vm, ..) = one.vm();
    let series = |which: fn(&Read) -> bool| {
        let mut series = 0;
        for selected in everything().vm {
            let metric: &Metric = selected.metric;
            if which(&metric.read) {
                metric.points(&vm, &mut |_| series += 1);
            }
        }
        series
    };
    let info = 1;
    assert_eq!(series(|read| matches!(read, Read::Vcpu(_) | Read::VcpuEach(..))), room::VCPU_SERIES);
    assert_eq!(series(|read| matches!(read, Read::Disk(_))) + info, room::DISK_SERIES);
    assert_eq!(series(|read| matches!(read, Read::Nic(_))) + info, room::NIC_SERIES);
    assert_eq!(series(|read| matches!(read, Read::IoThread(_))), room::IO_THREAD_SERIES);
}
