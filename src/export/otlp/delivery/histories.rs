//! Random histories of VMs and pushes against the strict receiver.

use proptest::prelude::*;

use super::super::fixture::{self, cpu, disks, identity, memory, nics, vcpus, vm};
use super::tests::{Outcome, Push};
use super::*;
use crate::model::{Status, Vm};
use crate::testing::receiver::Attributes;

/// What happens to a VM between two pushes.
#[derive(Debug, Clone)]
enum Happening {
    Nothing,
    /// Some of its groups are read, with these devices.
    Read {
        groups: u8,
        disks: usize,
        nics: usize,
        vcpus: u32,
    },
    Aged(u8),
    Paused,
    Renamed,
    Gone,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => Just(Happening::Nothing),
        8 => (any::<u8>(), 0_usize..4, 0_usize..3, 0_u32..4).prop_map(|(groups, disks, nics, vcpus)| {
            Happening::Read { groups, disks, nics, vcpus }
        }),
        1 => any::<u8>().prop_map(Happening::Aged),
        1 => Just(Happening::Paused),
        1 => Just(Happening::Renamed),
        2 => Just(Happening::Gone),
    ]
}

const DISKS: [&str; 4] = ["vda", "vdb", "vdc", "vdd"];
const NICS: [&str; 3] = ["vnet0", "vnet1", "vnet2"];

/// Applies it. Readings are stamped from `at` on, a millisecond apart, as `observe` does.
fn happen(slot: &mut Option<Vm>, number: u128, happening: &Happening, mut at: u64) {
    let mut stamp = || {
        at += 1;
        at
    };
    let current = slot.clone().unwrap_or_else(|| Vm { cpu: Some(cpu(stamp())), ..vm(number) });
    *slot = Some(match happening {
        Happening::Nothing => current,
        Happening::Read { groups, disks: disk_count, nics: nic_count, vcpus: vcpu_count } => {
            let mut next = current;
            if groups & 1 != 0 {
                next.cpu = Some(cpu(stamp()));
            }
            if groups & 2 != 0 {
                next.memory = Some(memory(stamp()));
            }
            if groups & 4 != 0 {
                next.disks = Some(disks(stamp(), &DISKS[DISKS.len() - disk_count..]));
            }
            if groups & 8 != 0 {
                next.nics = Some(nics(stamp(), &NICS[..*nic_count]));
            }
            if groups & 16 != 0 {
                next.vcpus = Some(vcpus(stamp(), *vcpu_count));
            }
            next
        }
        Happening::Aged(groups) => Vm {
            cpu: current.cpu.clone().filter(|_| groups & 1 == 0),
            memory: current.memory.clone().filter(|_| groups & 2 == 0),
            disks: current.disks.clone().filter(|_| groups & 4 == 0),
            ..current
        },
        Happening::Paused => Vm { status: Some(Status::from_libvirt(3, 1)), ..current },
        Happening::Renamed => Vm { identity: identity(number, &format!("renamed-at-{at}")), ..current },
        Happening::Gone => {
            *slot = None;
            return;
        }
    });
}

/// Every series that a snapshot has: resource name, metric, attributes.
fn present(snapshot: &Snapshot) -> HashSet<(String, String, Attributes)> {
    let selection = fixture::selection();
    let mut all = HashSet::new();
    for vm in snapshot.vms.iter() {
        for row in &selection.vm {
            row.metric.points(vm, &mut |point| {
                let labels =
                    point.labels.iter().map(|label| (label.attribute.key.to_owned(), label.value.to_owned())).collect();
                all.insert((vm.identity.name.to_string(), row.name.clone(), labels));
            });
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The receiver asserts the order of points and the form of ends. Asserted here: whatever happens to VMs and
    /// pushes, nothing that is gone stays alive at the receiver.
    #[test]
    fn whatever_happens_the_receiving_side_has_what_there_is_and_in_order(
        steps in prop::collection::vec(
            (prop::collection::vec(happening(), 3), 0_u64..20_000, 0_u64..300, 0_u8..10, any::<bool>()),
            1..25,
        ),
        reliable in any::<bool>(),
    ) {
        let mut push = Push::new();
        push.receiver.forgiving = !reliable;
        let mut vms: Vec<Option<Vm>> = vec![None, None, None];
        let mut now = 1_000;
        for (happenings, pause, early, outcome, changes) in steps {
            // Some readings are stamped up to a third of a second before they are published, and so perhaps before
            // the last push.
            let since = (now + pause).saturating_sub(early).max(now.saturating_sub(300)) + 20;
            now += pause + 40;
            for (number, (slot, happening)) in vms.iter_mut().zip(&happenings).enumerate() {
                let newest = slot.as_ref().and_then(Vm::newest).map_or(0, |at| at.unix_nanos() / 1_000_000);
                happen(slot, number as u128 + 1, happening, since.max(newest));
            }
            let snapshot = fixture::snapshot(vms.iter().flatten().cloned().collect(), now);
            let outcome = match outcome {
                _ if reliable => Outcome::Delivered,
                0..4 => Outcome::Delivered,
                4..7 => Outcome::Lost,
                _ => Outcome::Unconfirmed,
            };
            let extent = if changes { Extent::Changes } else { Extent::Everything };
            push.cycle(now, snapshot, extent, outcome);
        }
        let snapshot = fixture::snapshot(vms.iter().flatten().cloned().collect(), now + 1_000);
        let present = present(&snapshot);
        push.cycle(now + 1_000, snapshot, Extent::Everything, Outcome::Delivered);
        for (resource, metric, labels) in push.receiver.alive.keys() {
            let series = (resource["libvirt.domain.name"].clone(), metric.clone(), labels.clone());
            prop_assert!(present.contains(&series), "{series:?} is gone, but was not ended");
        }
    }
}
