//! Whatever is read, in whatever order: no value drops while its start stays, timestamps only grow, no start is later
//! than its point.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use uuid::Uuid;

use super::fake::{booted, disk, full, nic, partial};
use crate::model::{DaemonId, Timestamp, Vm};
use crate::observe::Intervals;
use crate::observe::context::{DaemonContext, Moment};
use crate::observe::domain::DomainState;
use crate::observe::lines::{Lines, OF_A_HOST};
use crate::observe::share::{self, Share};
use crate::source::{DomainEvent, Monitor, Stats};

/// One thing that happens to a VM.
#[derive(Debug, Clone)]
enum Step {
    /// It is read: the processor's counter, each disk's (`None`: unplugged), whether the QEMU answers, its id.
    Read { cpu: Option<u64>, disks: [Option<u64>; 3], faults: Option<u64>, monitor: Monitor, id: u32 },
    /// It sends STARTED.
    Started,
    /// It sends RESUMED.
    Resumed,
    /// The daemon goes and comes back.
    Reconnected,
    /// An abandoned call returns.
    Late { cpu: u64, disk: u64 },
    /// The clock is set; seconds.
    Clock(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let count = || proptest::option::weighted(0.8, 0_u64..6);
    let monitor = prop_oneof![
        4 => Just(Monitor::Answered),
        1 => Just(Monitor::Busy),
        1 => Just(Monitor::Stuck),
        1 => Just(Monitor::NotAsked)
    ];
    let read = (count(), [count(), count(), count()], count(), monitor, prop_oneof![9 => Just(1_u32), 1 => Just(2)])
        .prop_map(|(cpu, disks, faults, monitor, id)| Step::Read { cpu, disks, faults, monitor, id });
    prop_oneof![
        12 => read,
        1 => Just(Step::Started),
        1 => Just(Step::Resumed),
        1 => Just(Step::Reconnected),
        1 => (0_u64..6, 0_u64..6).prop_map(|(cpu, disk)| Step::Late { cpu, disk }),
        1 => (-100_i64..100).prop_map(Step::Clock),
    ]
}

fn stats(cpu: Option<u64>, disks: [Option<u64>; 3], faults: Option<u64>, monitor: Monitor, id: u32) -> Stats {
    let mut stats = if monitor == Monitor::Answered { full(0) } else { partial(0, monitor) };
    stats.id = Some(id);
    stats.status = Some(booted());
    let time = cpu.map(Duration::from_secs);
    stats.cpu.as_mut().unwrap().time = time;
    stats.vcpus.as_mut().unwrap().each[0].time = time;
    if monitor == Monitor::Answered {
        stats.memory.as_mut().unwrap().major_faults = faults;
        let named = disks.iter().zip(["vda", "vdb", "vdc"]);
        stats.disks = Some(named.filter_map(|(count, target)| count.map(|count| disk(target, count))).collect());
    }
    stats.nics = Some(vec![nic("vnet0", cpu.unwrap_or(0))]);
    stats
}

/// Every counter that is shown, by name: value, start, timestamp.
fn counters(vm: &Vm) -> Vec<(String, u64, Timestamp, Timestamp)> {
    let mut shown = Vec::new();
    let mut show = |name: String, value: Option<u64>, start: Timestamp, at: Timestamp| {
        shown.extend(value.map(|value| (name, value, start, at)));
    };
    if let Some(cpu) = &vm.cpu {
        show("cpu".to_owned(), cpu.value.time.map(|time| time.as_secs()), cpu.start, cpu.at);
    }
    if let Some(memory) = &vm.memory {
        show("faults".to_owned(), memory.value.major_faults, memory.start, memory.at);
    }
    for (reading, vcpu) in
        vm.vcpus.iter().flat_map(|reading| reading.value.each.iter().map(move |each| (reading, each)))
    {
        show(format!("vcpu {}", vcpu.value.number), vcpu.value.time.map(|time| time.as_secs()), vcpu.start, reading.at);
    }
    for (reading, disk) in vm.disks.iter().flat_map(|reading| reading.value.iter().map(move |each| (reading, each))) {
        show(disk.value.drive().to_owned(), disk.value.read_requests, disk.start, reading.at);
    }
    for (reading, nic) in vm.nics.iter().flat_map(|reading| reading.value.iter().map(move |each| (reading, each))) {
        show(nic.value.interface().to_owned(), nic.value.receive_bytes.map(|bytes| bytes.0), nic.start, reading.at);
    }
    shown
}

fn check(steps: &[Step]) -> Result<(), TestCaseError> {
    let origin = Instant::now();
    let context = DaemonContext {
        daemon: DaemonId("fake:///one".into()),
        libvirt: None,
        host_name: "host".into(),
        launcher: None,
        vmi: None,
        has_sidecar: false,
        told: None,
        intervals: Intervals::default(),
        groups: crate::model::Groups::all(),
        choice: crate::model::VmChoice::default(),
        metadata_labels: Arc::default(),
        not_yet: Duration::ZERO,
        epoch: origin,
        counters: Arc::default(),
        lines: Arc::new(Lines::new(OF_A_HOST)),
        share: Arc::new(Share::new(&Arc::default(), share::OF_A_HOST)),
    };
    let name: Arc<str> = "vm".into();
    let mut domain = DomainState::new(Uuid::from_u128(1), Arc::clone(&name), &context, origin);
    let mut wall: i64 = 1_700_000_000;
    let mut seen: HashMap<String, (u64, Timestamp, Timestamp)> = HashMap::new();
    for (number, step) in steps.iter().enumerate() {
        wall += 1;
        let instant = origin + Duration::from_secs(u64::try_from(number).unwrap() + 1);
        let stamp = Timestamp::from_unix(Duration::from_secs(u64::try_from(wall).unwrap()));
        let moment = Moment { instant, stamp };
        match step {
            Step::Read { cpu, disks, faults, monitor, id } => {
                domain.on_status(Some(booted()), moment, &context);
                let stats = stats(*cpu, *disks, *faults, *monitor, *id);
                domain.on_stats(Ok(Some(stats)), context.groups, instant, moment, &context);
            }
            Step::Started => {
                domain.on_event(&DomainEvent::Started { incoming_migration: false }, &name, moment);
            }
            Step::Resumed => {
                domain.on_event(&DomainEvent::Resumed { migrated: false }, &name, moment);
            }
            Step::Reconnected => {
                domain.daemon_lost();
            }
            Step::Late { cpu, disk } => {
                domain.condition.left_behind = Some(instant - Duration::from_secs(2));
                let stats = stats(Some(*cpu), [Some(*disk); 3], None, Monitor::Answered, 1);
                domain.on_late(Some(stats), moment, &context);
            }
            Step::Clock(seconds) => wall += seconds,
        }
        domain.refresh(instant, &context.intervals);
        for (name, value, start, at) in counters(&domain.vm) {
            prop_assert!(start <= at, "{name} begins after its point");
            if let Some((before, old_start, old_at)) = seen.insert(name.clone(), (value, start, at)) {
                prop_assert!(at >= old_at, "{name}: a stamp went back");
                prop_assert!(at == old_at || at.since(old_at) >= Duration::from_millis(1), "{name}: stamps too near");
                prop_assert!(at > old_at || value == before, "{name}: another value under the same stamp");
                prop_assert!(start >= old_start, "{name}: a start went back");
                prop_assert!(start > old_start || value >= before, "{name} dropped and its start stayed");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_drops_while_its_start_stays(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build().unwrap();
        let _guard = runtime.enter();
        check(&steps)?;
    }
}
