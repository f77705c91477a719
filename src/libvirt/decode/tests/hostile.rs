//! Answers that libvirt never gives.

use crate::model::Bytes;

use super::*;

#[test]
fn what_is_not_known_is_skipped_and_counted() {
    for unknown in [
        "",
        ".",
        "cpu",
        "cpu.",
        "cpu.later",
        "state.later",
        "balloon.later",
        "vcpu.x.time",
        "vcpu.-1.time",
        "vcpu.+1.time",
        "vcpu.01.time",
        "vcpu..time",
        "vcpu.0",
        "vcpu.0.later",
        "vcpu.4294967296.time",
        "vcpu.99999999999999999999999.time",
        "block.0.later",
        "block.0.rd",
        "block.99999999999999999999.rd.reqs",
        "net.0.rx",
        "net.0.rx.bytes.later",
        "iothread.1.later",
        "dirtyrate.later",
        "later.x",
        "Cpu.time",
    ] {
        let parameter = Parameter { field: unknown.into(), value: Value::ULLong(1) };
        assert_eq!(stats(Some(1), [parameter], Groups::all()).unknown_parameters, 1, "{unknown:?}");
    }
}

#[test]
fn a_value_of_a_type_that_its_name_does_not_have_is_skipped_and_counted() {
    let stats = running(
        "cpu.time string 5
         cpu.user double 5.0
         balloon.current boolean 1
         state.state string running
         vcpu.0.halted int 1
         block.0.name ullong 5
         block.count string many
         net.0.name boolean 1",
    );
    assert_eq!(stats.unknown_parameters, 8);
    assert_eq!((stats.status, stats.cpu, stats.memory), (None, None, None));
}

#[test]
fn every_integer_type_is_taken() {
    for kind in ["int", "uint", "llong", "ullong"] {
        let stats = running(&format!("balloon.major_fault {kind} 5\nstate.state {kind} 1"));
        assert_eq!(stats.memory.and_then(|memory| memory.major_faults), Some(5), "{kind}");
        assert_eq!(stats.status.map(|status| status.state), Some(crate::model::State::Running), "{kind}");
    }
}

#[test]
fn what_cannot_be_is_not_known_rather_than_huge() {
    let stats = running(
        "cpu.time ullong 18446744073709551615
         cpu.user ullong 9223372036854775807
         cpu.system ullong 9223372036854775808
         balloon.current ullong 18014398509481983
         balloon.maximum ullong 9007199254740991
         balloon.major_fault llong -1
         balloon.last-update ullong 9223372036854775807
         net.0.name string vnet0
         net.0.rx.bytes llong -1
         net.0.rx.drop int -1
         net.0.tx.bytes ullong 0
         vcpu.0.state int -7",
    );
    assert_eq!(stats.unknown_parameters, 0, "libvirt says -1 where it does not know");
    let cpu = stats.cpu.unwrap();
    assert_eq!((cpu.time, cpu.system), (None, None));
    assert!(cpu.user.is_some());
    let memory = stats.memory.unwrap();
    assert_eq!((memory.current, memory.major_faults, memory.last_update), (None, None, None));
    assert_eq!(memory.maximum, Some(Bytes(9_007_199_254_740_991 * 1024)));
    let nics = stats.nics.unwrap();
    assert_eq!((nics[0].receive_bytes, nics[0].receive_drops), (None, None));
    assert_eq!(nics[0].transmit_bytes, Some(Bytes(0)));
    assert_eq!(stats.vcpus.unwrap().each[0].state, Some(crate::model::VcpuState::Unknown));
}

#[test]
fn counts_and_high_numbers_reserve_nothing() {
    let stats = running(
        "block.count uint 4294967295
         net.count uint 4294967295
         iothread.count uint 4294967295
         vcpu.maximum uint 4294967295
         block.4294967295.name string vda
         block.4294967295.rd.reqs ullong 5
         block.7.name string vdb
         net.4294967294.name string vnet0
         iothread.4294967295.poll-grow uint 2
         vcpu.4095.time ullong 5",
    );
    assert_eq!(stats.unknown_parameters, 0);
    let disks = stats.disks.unwrap();
    assert_eq!(disks.iter().map(|disk| &*disk.target).collect::<Vec<_>>(), ["vdb", "vda"]);
    assert_eq!(stats.nics.unwrap().len(), 1);
    assert_eq!(stats.io_threads.unwrap()[0].id, u32::MAX);
    assert_eq!(stats.vcpus.unwrap().each[0].number, 4095);
}

#[test]
fn more_devices_than_a_machine_has_slots_for_are_not_taken() {
    let one = |number: usize| Parameter {
        field: format!("block.{number}.name").into(),
        value: Value::Text(format!("d{number}").into()),
    };
    let parameters: Vec<_> = (0..MAX_DEVICES + 7).map(one).chain([line("block.0.rd.reqs ullong 5")]).collect();
    let stats = stats(Some(1), parameters.iter().cloned(), Groups::all());
    let disks = stats.disks.unwrap();
    assert_eq!(disks.len(), MAX_DEVICES);
    assert_eq!(disks[0].read_requests, Some(5), "those that are taken are still filled");
    assert_eq!((stats.unknown_parameters, stats.left_out), (0, 7));
}

#[test]
fn more_vcpus_than_any_machine_has_are_not_taken() {
    for number in [MAX_VCPUS, u32::MAX] {
        let stats = running(&format!("vcpu.{number}.time ullong 1"));
        assert_eq!((stats.vcpus, stats.unknown_parameters, stats.left_out), (None, 0, 1));
    }
}

#[test]
fn devices_without_a_name_of_their_own_are_left_out() {
    let stats = running(&format!(
        "net.0.rx.bytes ullong 5
         net.1.name string {}
         net.2.name string vnet2
         net.3.name string vnet2
         net.3.rx.bytes ullong 7
         block.0.name string vda
         block.0.rd.reqs ullong 1
         block.1.name string vda
         block.1.rd.reqs ullong 2",
        "x".repeat(value::LONGEST_NAME + 1)
    ));
    let nics = stats.nics.unwrap();
    assert_eq!(nics.len(), 1);
    assert_eq!((&*nics[0].target, nics[0].receive_bytes), ("vnet2", None));
    let disks = stats.disks.unwrap();
    assert_eq!(disks.len(), 1);
    assert_eq!(disks[0].read_requests, Some(1), "the disk's own figures, not its backing file's");
}
