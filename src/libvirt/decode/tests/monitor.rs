//! Whether QEMU took part, inferred from the answer alone.

use super::*;

#[test]
fn how_the_qemu_took_part() {
    use Group::{Balloon, Block, Cpu, Dirtyrate, Interface, Iothread, Job, State, Vcpu};
    use Monitor::{Answered, Busy, NotAsked};

    let running = include_str!("../fixtures/running-tcg.txt");
    let bare = include_str!("../fixtures/paused-bare.txt");
    let busy = include_str!("../fixtures/busy-tcg.txt");
    let busy_bare = include_str!("../fixtures/busy-bare.txt");
    for (what, text, asked, expected) in [
        ("everything", running, Groups::all(), Answered),
        ("everything, while busy", busy, Groups::all(), Busy),
        ("no monitor group", running, groups([State, Interface]), NotAsked),
        ("no monitor group, while busy", busy, groups([State, Interface]), NotAsked),
        ("the job is another call's", busy, groups([State, Job]), NotAsked),
        // A VM without balloon device, disk or I/O thread must not look busy forever.
        ("nothing to report", bare, Groups::all(), Answered),
        ("nothing to report, while busy", busy_bare, Groups::all(), Busy),
        ("balloon alone", bare, groups([Balloon]), Answered),
        ("balloon alone, while busy", busy_bare, groups([Balloon]), Busy),
        ("no disks", bare, groups([Block]), Answered),
        ("disks", running, groups([Block]), Answered),
        ("disks, while busy", busy, groups([Block]), Busy),
        // These cannot be decided.
        ("no disks, while busy", busy_bare, groups([Block]), Answered),
        ("cpu, while busy", busy, groups([Cpu]), Answered),
        ("vcpu, while busy", busy, groups([Vcpu]), Answered),
        ("iothread and dirty rate, while busy", busy, groups([Iothread, Dirtyrate]), Answered),
    ] {
        let (id, parameters) = answer(text);
        let parameters: Vec<_> = parameters.into_iter().filter(|parameter| belongs(&parameter.field, asked)).collect();
        assert_eq!(stats(id, parameters.iter().cloned(), asked).monitor, expected, "{what}");
    }
}

/// Whether libvirt answers with this parameter when asked for these groups.
fn belongs(name: &str, asked: Groups) -> bool {
    let group = name.split('.').next().unwrap();
    asked.iter().any(|asked| group == if asked == Group::Interface { "net" } else { asked.as_str() })
}

#[test]
fn a_driver_that_knows_the_state_only_is_not_busy() {
    let stats = running("state.state int 1\nstate.reason int 1");
    assert_eq!(stats.monitor, Monitor::Answered);
    assert_eq!((stats.cpu, stats.memory, stats.vcpus, stats.disks), (None, None, None, None));
}

#[test]
fn a_domain_without_io_threads_says_so_only_when_its_qemu_answered() {
    let (id, parameters) = answer(include_str!("../fixtures/paused-bare.txt"));
    assert_eq!(stats(id, parameters.iter().cloned(), Groups::all()).io_threads, Some(vec![]));
    let (id, parameters) = answer(include_str!("../fixtures/busy-bare.txt"));
    assert_eq!(stats(id, parameters.iter().cloned(), Groups::all()).io_threads, None);
}

#[test]
fn a_domain_without_disks_has_none_even_while_it_is_busy() {
    let (id, parameters) = answer(include_str!("../fixtures/busy-bare.txt"));
    assert_eq!(stats(id, parameters.iter().cloned(), Groups::all()).disks, Some(vec![]));
}
