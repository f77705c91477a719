//! Real answers, field by field.

use std::time::Duration;

use crate::model::{Bytes, DirtyRate, Status, Timestamp, Vcpu, VcpuState};

use super::*;

const RUNNING: &str = include_str!("../fixtures/running-tcg.txt");
const PAUSED_KVM: &str = include_str!("../fixtures/paused-kvm.txt");
const BUSY: &str = include_str!("../fixtures/busy-tcg.txt");
const SHUT_OFF: &str = include_str!("../fixtures/shutoff.txt");

#[test]
fn a_running_domain_field_by_field() {
    let (id, parameters) = answer(RUNNING);
    let stats = stats(id, parameters.iter().cloned(), Groups::all());

    assert_eq!(stats.id, Some(1));
    assert_eq!(stats.status, Some(Status::from_libvirt(1, 1)));
    assert_eq!(stats.monitor, Monitor::Answered);
    assert_eq!(stats.unknown_parameters, 0);
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(stats.cpu, Some(Cpu { time: millis(690), user: millis(390), system: millis(300) }));
    assert_eq!(
        stats.memory,
        Some(Memory {
            current: Some(Bytes(32768 * 1024)),
            maximum: Some(Bytes(32768 * 1024)),
            resident: Some(Bytes(50868 * 1024)),
            // Here and below: `last-update` is 0, and the guest has no balloon driver.
            ..Memory::default()
        })
    );
    let vcpu = |number, time, delay| Vcpu {
        number,
        state: Some(VcpuState::Running),
        time: Some(Duration::from_nanos(time)),
        wait: Some(Duration::ZERO),
        delay: Some(Duration::from_nanos(delay)),
        halted: None,
    };
    assert_eq!(
        stats.vcpus,
        Some(crate::source::VcpuStats {
            current: Some(2),
            maximum: Some(4),
            each: vec![vcpu(0, 300_000_000, 12_905_753), vcpu(1, 0, 12_468_739)],
        })
    );
    // net.0 is a user-mode interface, about which libvirt knows nothing.
    let zero = Some(0);
    assert_eq!(
        stats.nics,
        Some(vec![Nic {
            target: "vnet7".into(),
            description: None,
            receive_bytes: Some(Bytes(90)),
            receive_packets: Some(1),
            receive_errors: zero,
            receive_drops: zero,
            transmit_bytes: Some(Bytes(0)),
            transmit_packets: zero,
            transmit_errors: zero,
            transmit_drops: zero,
        }])
    );
    let disks = stats.disks.unwrap();
    assert_eq!(disks.iter().map(|disk| &*disk.target).collect::<Vec<_>>(), ["vda", "vdb", "sda"]);
    assert_eq!(
        disks[0],
        Disk {
            target: "vda".into(),
            description: None,
            read_requests: Some(1),
            read_bytes: Some(Bytes(512)),
            read_time: Some(Duration::from_nanos(232_254)),
            write_requests: zero,
            write_bytes: Some(Bytes(0)),
            write_time: Some(Duration::ZERO),
            flush_requests: zero,
            flush_time: Some(Duration::ZERO),
            errors: None,
            capacity: Some(Bytes(67_108_864)),
            allocation: Some(Bytes(0)),
            physical: Some(Bytes(67_108_864)),
        }
    );
    assert_eq!(disks[2].read_bytes, Some(Bytes(54)));
    assert_eq!(disks[2].capacity, None, "an empty drive has no capacity, not one of 0");
    let thread =
        |id| IoThread { id, poll_max: Some(Duration::from_nanos(32768)), poll_grow: Some(0), poll_shrink: Some(0) };
    assert_eq!(stats.io_threads, Some(vec![thread(1), thread(2)]), "libvirt lists them downwards");
    assert_eq!(
        stats.dirty_rate,
        Some(DirtyRate { bytes_per_second: Some(Bytes(0)), measured: None }),
        "2465 is seconds since the host booted, not 1970"
    );
    assert_eq!(stats.job, None);
}

#[test]
fn a_paused_kvm_domain_with_the_kernels_own_counters() {
    let (id, parameters) = answer(PAUSED_KVM);
    assert_eq!(parameters.len(), 114);
    let stats = stats(id, parameters.iter().cloned(), Groups::all());
    assert_eq!(stats.status, Some(Status::from_libvirt(3, 1)));
    assert_eq!(stats.monitor, Monitor::Answered);
    assert_eq!(stats.unknown_parameters, 0);
    assert_eq!(stats.vcpus.unwrap().each.len(), 2);
    assert_eq!(stats.nics, Some(vec![]), "its one interface is user-mode");
    assert_eq!(stats.dirty_rate, None, "never measured");
}

#[test]
fn a_busy_domain_gives_what_libvirt_itself_knows() {
    let (id, parameters) = answer(BUSY);
    let stats = stats(id, parameters.iter().cloned(), Groups::all());
    assert_eq!(stats.monitor, Monitor::Busy);
    assert_eq!(stats.unknown_parameters, 0);
    assert!(stats.status.is_some() && stats.cpu.is_some() && stats.nics.is_some());
    assert_eq!(stats.vcpus.map(|vcpus| vcpus.each.len()), Some(2));
    let current = Some(Bytes(32768 * 1024));
    assert_eq!(stats.memory, Some(Memory { current, maximum: current, ..Memory::default() }));
    assert_eq!(stats.disks, None, "three names are no reading");
    assert_eq!(stats.io_threads, None, "not answered is not none");
    assert_eq!(stats.dirty_rate, None);
}

#[test]
fn of_a_shut_off_domain_only_the_state_is_kept() {
    let (id, parameters) = answer(SHUT_OFF);
    assert!(parameters.iter().any(|parameter| parameter.field == "cpu.time"), "libvirtd's own time is in the answer");
    let taken = u32::try_from(parameters.len()).unwrap();
    assert_eq!(
        stats(id, parameters.iter().cloned(), Groups::all()),
        Stats { status: Some(Status::from_libvirt(5, 2)), parameters: taken, ..Stats::default() }
    );
}

#[test]
fn figures_of_a_domain_count_only_while_it_is_active() {
    for (id, state, kept) in [
        (Some(7), 1, true),
        (Some(7), 2, true),
        (Some(7), 3, true),
        (Some(7), 4, true),
        (Some(7), 7, true),
        (Some(7), 0, false),
        (Some(7), 5, false),
        (Some(7), 6, false),
        (Some(7), 99, false),
        (None, 1, false),
    ] {
        let parameters = lines(&format!("state.state int {state}\ncpu.time ullong 5"));
        let stats = stats(id, parameters.iter().cloned(), Groups::all());
        assert_eq!(stats.cpu.is_some(), kept, "id {id:?}, state {state}");
        assert!(stats.status.is_some());
        assert!(kept || stats.monitor == Monitor::NotAsked);
    }
}

#[test]
fn only_the_groups_asked_for_are_filled() {
    let (id, parameters) = answer(RUNNING);
    for group in Group::ALL {
        let stats = stats(id, parameters.iter().cloned(), groups([group]));
        let filled = [
            (Group::Cpu, stats.cpu.is_some()),
            (Group::Balloon, stats.memory.is_some()),
            (Group::Vcpu, stats.vcpus.is_some()),
            (Group::Interface, stats.nics.is_some()),
            (Group::Block, stats.disks.is_some()),
            (Group::Iothread, stats.io_threads.is_some()),
            (Group::Dirtyrate, stats.dirty_rate.is_some()),
        ];
        for (other, filled) in filled {
            assert_eq!(filled, other == group, "asked for {group:?}, looked at {other:?}");
        }
    }
}

#[test]
fn the_whole_balloon_group() {
    let memory = running(
        "balloon.current ullong 1
         balloon.maximum ullong 2
         balloon.swap_in ullong 3
         balloon.swap_out ullong 4
         balloon.major_fault ullong 5
         balloon.minor_fault ullong 6
         balloon.unused ullong 7
         balloon.available ullong 8
         balloon.usable ullong 9
         balloon.last-update ullong 1700000000
         balloon.disk_caches ullong 10
         balloon.hugetlb_pgalloc ullong 11
         balloon.hugetlb_pgfail ullong 12
         balloon.rss ullong 13",
    );
    let kib = |kib: u64| Some(Bytes(kib * 1024));
    assert_eq!(
        memory.memory,
        Some(Memory {
            current: kib(1),
            maximum: kib(2),
            swap_in: kib(3),
            swap_out: kib(4),
            major_faults: Some(5),
            minor_faults: Some(6),
            unused: kib(7),
            available: kib(8),
            usable: kib(9),
            disk_caches: kib(10),
            huge_page_allocations: Some(11),
            huge_page_failures: Some(12),
            last_update: Some(Timestamp::from_unix_nanos(1_700_000_000_000_000_000)),
            resident: kib(13),
        })
    );
}

#[test]
fn a_dirty_rate_knows_when_it_was_measured_where_the_start_is_a_time_of_day() {
    let measured = |start: u64| {
        running(&format!(
            "dirtyrate.calc_status int 2
             dirtyrate.calc_start_time llong {start}
             dirtyrate.calc_period int 2
             dirtyrate.megabytes_per_second llong 3
             dirtyrate.calc_mode string dirty-ring
             dirtyrate.vcpu.0.megabytes_per_second ullong 3"
        ))
    };
    let stats = measured(1_700_000_000);
    assert_eq!(stats.unknown_parameters, 0);
    let rate = stats.dirty_rate.unwrap();
    assert_eq!(rate.bytes_per_second, Some(Bytes(3 * 1024 * 1024)));
    assert_eq!(rate.measured, Some(Timestamp::from_unix_nanos(1_700_000_002_000_000_000)));
    assert_eq!(measured(86_400).dirty_rate.unwrap().measured, None);
}

#[test]
fn a_halted_vcpu_of_a_host_that_says_so() {
    let stats = running("vcpu.3.halted boolean 1\nvcpu.0.halted boolean 0");
    let halted: Vec<_> = stats.vcpus.unwrap().each.iter().map(|vcpu| (vcpu.number, vcpu.halted)).collect();
    assert_eq!(halted, [(0, Some(false)), (3, Some(true))]);
}

/// The names of libvirt 12, as its headers list them.
#[test]
fn names_that_are_known_and_not_used_are_not_counted_as_unknown() {
    let stats = running(
        "cpu.haltpoll.success.time ullong 1
         cpu.haltpoll.fail.time ullong 1
         cpu.cache.monitor.count uint 1
         cpu.cache.monitor.0.name string a
         cpu.cache.monitor.0.bank.0.bytes uint 1
         cpu.energy.monitor.count uint 1
         cpu.energy.monitor.0.pkg.0.id uint 1
         vcpu.0.exits.sum ullong 1
         vcpu.0.blocking.cur boolean 0
         vcpu.0.something_new.max ullong 1
         block.0.path string /p
         block.0.backingIndex uint 1
         block.0.threshold ullong 1
         block.0.limits.request_alignment uint 1
         block.0.latency_histogram.read.bin.count uint 1
         block.0.latency_histogram.read.bin.0.start ullong 1
         block.0.timed_group.count uint 1
         block.0.timed_group.0.rd_latency_avg ullong 1
         block.0.timed_group.0.rd_queue_depth_avg double 0.5
         iothread.1.poll-weight uint 1
         memory.bandwidth.monitor.count uint 1
         dirtyrate.calc_mode string page-sampling
         perf.cmt ullong 1
         perf.of_later ullong 1
         vm.pages_4k.cur ullong 1",
    );
    assert_eq!(stats.unknown_parameters, 0);
    assert_eq!(stats.cpu, None);
}

/// Many figures in the real answers are 0, so swapped fields would go unnoticed.
#[test]
fn every_figure_of_a_device_lands_in_its_own_field() {
    let stats = running(
        "net.0.name string vnet0
         net.0.rx.bytes ullong 1
         net.0.rx.pkts ullong 2
         net.0.rx.errs ullong 3
         net.0.rx.drop ullong 4
         net.0.tx.bytes ullong 5
         net.0.tx.pkts ullong 6
         net.0.tx.errs ullong 7
         net.0.tx.drop ullong 8
         block.0.name string vda
         block.0.rd.reqs ullong 1
         block.0.rd.bytes ullong 2
         block.0.rd.times ullong 3
         block.0.wr.reqs ullong 4
         block.0.wr.bytes ullong 5
         block.0.wr.times ullong 6
         block.0.fl.reqs ullong 7
         block.0.fl.times ullong 8
         block.0.errors ullong 9
         block.0.allocation ullong 10
         block.0.capacity ullong 11
         block.0.physical ullong 12
         iothread.1.poll-max-ns ullong 1
         iothread.1.poll-grow ullong 2
         iothread.1.poll-shrink ullong 3
         vcpu.0.state int 2
         vcpu.0.time ullong 1
         vcpu.0.wait ullong 2
         vcpu.0.delay ullong 3",
    );
    let nanos = |nanos| Some(Duration::from_nanos(nanos));
    assert_eq!(
        stats.nics.unwrap()[0],
        Nic {
            target: "vnet0".into(),
            description: None,
            receive_bytes: Some(Bytes(1)),
            receive_packets: Some(2),
            receive_errors: Some(3),
            receive_drops: Some(4),
            transmit_bytes: Some(Bytes(5)),
            transmit_packets: Some(6),
            transmit_errors: Some(7),
            transmit_drops: Some(8),
        }
    );
    assert_eq!(
        stats.disks.unwrap()[0],
        Disk {
            target: "vda".into(),
            description: None,
            read_requests: Some(1),
            read_bytes: Some(Bytes(2)),
            read_time: nanos(3),
            write_requests: Some(4),
            write_bytes: Some(Bytes(5)),
            write_time: nanos(6),
            flush_requests: Some(7),
            flush_time: nanos(8),
            errors: Some(9),
            allocation: Some(Bytes(10)),
            capacity: Some(Bytes(11)),
            physical: Some(Bytes(12)),
        }
    );
    let threads = stats.io_threads.unwrap();
    assert_eq!(threads[0], IoThread { id: 1, poll_max: nanos(1), poll_grow: Some(2), poll_shrink: Some(3) });
    let vcpu = Vcpu {
        number: 0,
        state: Some(VcpuState::Blocked),
        time: nanos(1),
        wait: nanos(2),
        delay: nanos(3),
        halted: None,
    };
    assert_eq!(stats.vcpus.unwrap().each, [vcpu]);
}
