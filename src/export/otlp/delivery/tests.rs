use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Wire;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};

use super::super::fixture::{self, cpu, disks, identity, memory, ms, nics, vcpus, vm};
use super::*;
use crate::model::{Bytes, Daemon, HypervisorType, Identity, State, Status, Vm};
use crate::testing::receiver::{Receiver, attributes, points};

/// A delivery state, and the receiver of its pushes.
pub(super) struct Push {
    pub(super) delivery: DeliveryState,
    pub(super) receiver: Receiver,
    left_out: LeftOut,
}

/// What becomes of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Lost,
    /// It arrived, but this was not confirmed.
    Unconfirmed,
}

impl Push {
    pub(super) fn new() -> Self {
        let delivery = DeliveryState::new(fixture::selection(), ResourceSettings::default());
        Self { delivery, receiver: Receiver::default(), left_out: LeftOut::default() }
    }

    fn everything(&mut self, at: u64, vms: Vec<Vm>) -> Vec<ResourceMetrics> {
        self.cycle(at, fixture::snapshot(vms, at), Extent::Everything, Outcome::Delivered)
    }

    fn changes(&mut self, at: u64, vms: Vec<Vm>) -> Vec<ResourceMetrics> {
        self.cycle(at, fixture::snapshot(vms, at), Extent::Changes, Outcome::Delivered)
    }

    pub(super) fn cycle(
        &mut self,
        taken: u64,
        snapshot: Snapshot,
        extent: Extent,
        outcome: Outcome,
    ) -> Vec<ResourceMetrics> {
        let cycle = Cycle { snapshot: Arc::new(snapshot), taken: ms(taken), extent };
        let (mut messages, mut records) = (Vec::new(), Vec::new());
        self.left_out = self.delivery.build(&cycle, &mut |resource, count, record| {
            let all: usize =
                resource.iter().flat_map(|message| metrics(message)).map(|metric| points(metric).len()).sum();
            assert_eq!(all, count, "the number of points that is reported is the number in the messages");
            messages.extend(resource.iter().map(|message| (*message).clone()));
            records.push(record);
            Ok(())
        });
        if outcome != Outcome::Lost {
            self.receiver.accept(&messages);
        }
        match outcome {
            Outcome::Delivered => self.delivery.delivered(records),
            Outcome::Lost | Outcome::Unconfirmed => self.delivery.failed(records),
        }
        messages
    }
}

fn metrics(message: &ResourceMetrics) -> &[Metric] {
    &message.scope_metrics[0].metrics
}

/// The points of a metric, by its name without prefix.
fn named<'m>(message: &'m ResourceMetrics, name: &str) -> Vec<&'m NumberDataPoint> {
    let full = format!("libvirt.domain.{name}");
    metrics(message).iter().filter(|metric| metric.name == full).flat_map(points).collect()
}

/// Which series a message ends: metric without prefix, and the values of its attributes.
fn ends_in(message: &ResourceMetrics) -> Vec<(String, Vec<String>)> {
    let mut ends: Vec<_> = metrics(message)
        .iter()
        .flat_map(|metric| points(metric).iter().map(move |point| (metric, point)))
        .filter(|(_, point)| point.flags == 1)
        .map(|(metric, point)| {
            let name = metric.name.trim_start_matches("libvirt.domain.").to_owned();
            (name, attributes(&point.attributes).into_values().collect())
        })
        .collect();
    ends.sort();
    ends
}

fn end(name: &str, labels: &[&str]) -> (String, Vec<String>) {
    (name.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())
}

fn name_of(message: &ResourceMetrics) -> String {
    attributes(&message.resource.as_ref().unwrap().attributes)["libvirt.domain.name"].clone()
}

fn stuck(message: &ResourceMetrics) -> u64 {
    named(message, "collection.stuck")[0].time_unix_nano / 1_000_000
}

#[test]
fn a_reading_is_sent_once_and_with_the_time_at_which_it_was_read() {
    let mut push = Push::new();
    let first = push.everything(2_000, vec![Vm { memory: Some(memory(1_500)), ..vm(1) }]);
    assert_eq!(named(&first[0], "cpu.usage")[0].time_unix_nano, ms(1_000).unix_nanos());
    assert_eq!(named(&first[0], "memory.available")[0].time_unix_nano, ms(1_500).unix_nanos());
    // The CPU was read again, the memory was not.
    let second = push.everything(17_000, vec![Vm { memory: Some(memory(1_500)), cpu: Some(cpu(16_000)), ..vm(1) }]);
    assert_eq!(named(&second[0], "cpu.usage")[0].time_unix_nano, ms(16_000).unix_nanos());
    assert!(named(&second[0], "memory.available").is_empty());
    assert!(ends_in(&second[0]).is_empty(), "what was not read again is not at its end");
}

#[test]
fn a_vm_of_which_nothing_was_read_is_still_pushed_with_its_state() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    let again = push.everything(17_000, vec![vm(1)]);
    let state = named(&again[0], "state");
    assert_eq!(state.len(), State::ALL.len());
    assert!(state.iter().all(|point| point.time_unix_nano == ms(17_000).unix_nanos()));
    assert!(named(&again[0], "cpu.usage").is_empty());
}

#[test]
fn states_are_stamped_with_the_push_but_never_before_a_reading_nor_at_an_earlier_stamp() {
    let mut push = Push::new();
    let first = push.everything(500, vec![vm(1)]);
    assert_eq!(stuck(&first[0]), 1_000, "not before the reading of one second");
    let second = push.everything(500, vec![vm(1)]);
    assert_eq!(stuck(&second[0]), 1_001, "a millisecond after the last");
    let third = push.everything(2_000, vec![vm(1)]);
    assert_eq!(stuck(&third[0]), 2_000);
}

#[test]
fn kinds_units_and_start_times_are_those_of_the_row() {
    let mut push = Push::new();
    let reading = disks(4_000, &["vda"]);
    let message = &push.everything(5_000, vec![Vm { disks: Some(reading), memory: Some(memory(4_001)), ..vm(1) }])[0];
    let metric = |name: &str| metrics(message).iter().find(|metric| metric.name.ends_with(name)).unwrap();
    let Some(Data::Sum(read)) = &metric("storage.read").data else { panic!() };
    assert!(read.is_monotonic);
    assert_eq!(read.data_points[0].start_time_unix_nano, ms(1_000).unix_nanos());
    assert_eq!(read.data_points[0].value, Some(Wire::AsInt(4_000)));
    let Some(Data::Sum(capacity)) = &metric("storage.capacity").data else { panic!() };
    assert!(!capacity.is_monotonic);
    assert_eq!(capacity.data_points[0].start_time_unix_nano, ms(1_000).unix_nanos());
    let Some(Data::Gauge(available)) = &metric("memory.available").data else { panic!() };
    assert_eq!(available.data_points[0].start_time_unix_nano, 0, "a gauge has no start");
    let usage = metric("cpu.usage");
    assert_eq!((usage.unit.as_str(), usage.description.as_str()), ("s", "A row of the tests."));
    assert_eq!(points(usage)[0].value, Some(Wire::AsDouble(1.0)));
    assert_eq!(metric("domain.state").unit, "{domain}");
    let scope = message.scope_metrics[0].scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("virt-otel", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_first_reading_has_a_start_time_that_is_exactly_its_own() {
    let mut push = Push::new();
    let message = &push.everything(2_000, vec![vm(1)])[0];
    let point = named(message, "cpu.usage")[0];
    assert_eq!(point.start_time_unix_nano, point.time_unix_nano);
}

#[test]
fn an_unplugged_disk_ends_once_and_each_of_its_series_in_a_metric_of_its_own() {
    let mut push = Push::new();
    push.everything(5_000, vec![Vm { disks: Some(disks(4_000, &["vda", "vdb"])), ..vm(1) }]);
    let without = Vm { disks: Some(disks(18_000, &["vda"])), ..vm(1) };
    let second = push.everything(20_000, vec![without.clone()]);
    assert_eq!(ends_in(&second[0]), [end("storage.capacity", &["vdb"]), end("storage.read", &["vdb"])]);
    let third = push.everything(35_000, vec![without]);
    assert!(ends_in(&third[0]).is_empty());
}

#[test]
fn an_end_has_the_unit_kind_and_temporality_of_its_row_and_no_value() {
    let mut push = Push::new();
    push.everything(5_000, vec![Vm { nics: Some(nics(4_000, &["vnet0"])), ..vm(1) }]);
    let message = &push.everything(20_000, vec![vm(1)])[0];
    let metric = metrics(message).last().unwrap();
    assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("libvirt.domain.network.receive", "By"));
    let Some(Data::Sum(sum)) = &metric.data else { panic!() };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    assert_eq!(sum.data_points[0].value, None);
    assert_eq!(sum.data_points[0].time_unix_nano, ms(20_000).unix_nanos());
}

#[test]
fn a_group_that_was_dropped_for_its_age_ends_and_comes_back_with_its_next_reading() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    let second = push.everything(62_000, vec![Vm { cpu: None, ..vm(1) }]);
    assert_eq!(ends_in(&second[0]), [end("cpu.usage", &[])]);
    let third = push.everything(77_000, vec![Vm { cpu: Some(cpu(76_000)), ..vm(1) }]);
    assert_eq!(named(&third[0], "cpu.usage").len(), 1);
}

#[test]
fn a_vm_that_is_gone_ends_with_all_its_series_once_under_its_own_resource() {
    let mut push = Push::new();
    let full = Vm {
        disks: Some(disks(1_003, &["vda", "vdb"])),
        nics: Some(nics(1_004, &["vnet0", "vnet1"])),
        vcpus: Some(vcpus(1_005, 4)),
        ..vm(1)
    };
    push.everything(2_000, vec![full, vm(2)]);
    let alive = push.receiver.alive.len();
    let second = push.everything(17_000, vec![vm(2)]);
    let gone = second.iter().find(|message| name_of(message) == "vm-1").unwrap();
    assert_eq!(ends_in(gone).len(), State::ALL.len() + 1 + 1 + 4 + 4 + 2);
    assert_eq!(metrics(gone).len(), ends_in(gone).len(), "a metric each");
    assert_eq!(push.receiver.alive.len(), alive - ends_in(gone).len());
    let third = push.everything(32_000, vec![vm(2)]);
    assert!(third.iter().all(|message| name_of(message) == "vm-2"));
}

#[test]
fn a_vm_that_comes_back_goes_on_after_its_end() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    push.everything(17_000, vec![]);
    let back = push.everything(18_000, vec![Vm { cpu: Some(cpu(17_500)), ..vm(1) }]);
    assert_eq!(named(&back[0], "cpu.usage").len(), 1);
    // Its first reading was stamped before its end: it would be out of order.
    push.everything(19_000, vec![]);
    let back = push.everything(20_000, vec![Vm { cpu: Some(cpu(18_999)), ..vm(1) }]);
    assert!(named(&back[0], "cpu.usage").is_empty());
    assert_eq!(push.left_out.late, 1);
}

#[test]
fn a_vm_that_ended_and_started_again_between_two_pushes_goes_on_with_a_later_start_time() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    let mut again = cpu(17_000);
    again.start = again.at;
    let second = push.everything(18_000, vec![Vm { cpu: Some(again), ..vm(1) }]);
    assert!(ends_in(&second[0]).is_empty());
    let point = named(&second[0], "cpu.usage")[0];
    assert_eq!(point.start_time_unix_nano, point.time_unix_nano);
}

#[test]
fn a_renamed_vm_ends_under_its_old_name_before_it_begins_under_the_new_one() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    let renamed = Vm { identity: identity(1, "other"), cpu: Some(cpu(16_000)), ..vm(1) };
    let second = push.everything(17_000, vec![renamed.clone()]);
    assert_eq!(second.iter().map(name_of).collect::<Vec<_>>(), ["vm-1", "other"]);
    assert_eq!(ends_in(&second[0]).len(), State::ALL.len() + 2);
    assert!(ends_in(&second[1]).is_empty());
    // Prometheus takes both for one: the ends lie between the last point of the old and the first of the new.
    let ended = points(&metrics(&second[0])[0])[0].time_unix_nano;
    assert_eq!(ended, ms(2_001).unix_nanos());
    assert_eq!(named(&second[1], "cpu.usage")[0].time_unix_nano, ms(16_000).unix_nanos());
    assert!(push.receiver.alive.keys().all(|(resource, ..)| resource["libvirt.domain.name"] == "other"));
    let third = push.everything(32_000, vec![renamed]);
    assert_eq!(third.len(), 1);
}

#[test]
fn a_reading_of_a_renamed_vm_that_lies_before_the_end_of_its_old_name_is_left_out() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    let renamed = Vm { identity: identity(1, "other"), cpu: Some(cpu(2_001)), ..vm(1) };
    let second = push.everything(17_000, vec![renamed]);
    assert!(named(&second[1], "cpu.usage").is_empty());
    assert_eq!(push.left_out.late, 1);
}

#[test]
fn a_renamed_vm_does_not_send_the_readings_of_its_old_name_again() {
    let mut push = Push::new();
    push.everything(2_000, vec![Vm { memory: Some(memory(1_500)), ..vm(1) }]);
    let renamed = Vm { identity: identity(1, "other"), memory: Some(memory(1_500)), cpu: Some(cpu(16_000)), ..vm(1) };
    let second = push.everything(17_000, vec![renamed.clone()]);
    assert!(named(&second[1], "memory.available").is_empty());
    // It was never sent under the new name, so there is nothing to end there.
    let third = push.everything(32_000, vec![Vm { memory: None, ..renamed }]);
    assert!(ends_in(&third[0]).is_empty());
}

#[test]
fn a_reading_that_was_stamped_before_the_last_push_but_published_after_it_is_left_out_and_counted_once() {
    let mut push = Push::new();
    push.everything(10_000, vec![vm(1)]);
    let late = Vm { cpu: Some(cpu(9_900)), ..vm(1) };
    let second = push.everything(25_000, vec![late.clone()]);
    assert!(named(&second[0], "cpu.usage").is_empty());
    assert_eq!(push.left_out.late, 1);
    assert!(ends_in(&second[0]).is_empty(), "the series goes on with its next reading");
    push.everything(40_000, vec![late]);
    assert_eq!(push.left_out.late, 0);
}

#[test]
fn two_devices_of_one_name_are_one_series() {
    let mut push = Push::new();
    let first = push.everything(5_000, vec![Vm { disks: Some(disks(4_000, &["vda", "vda"])), ..vm(1) }]);
    assert_eq!(named(&first[0], "storage.read").len(), 1);
    assert_eq!(push.left_out.duplicate, 2);
}

#[test]
fn one_vm_seen_through_two_uris_is_pushed_once() {
    let mut push = Push::new();
    let mut twin = vm(1);
    twin.key.daemon = crate::model::DaemonId("qemu+unix:///system".into());
    let first = push.everything(5_000, vec![vm(1), twin.clone()]);
    assert_eq!(first.len(), 1);
    assert_eq!(push.left_out.duplicate, State::ALL.len() + 2);
    // When the first URI is lost the other goes on under the same Resource, without an end in between.
    let second = push.everything(20_000, vec![Vm { cpu: Some(cpu(19_000)), ..twin }]);
    assert!(ends_in(&second[0]).is_empty());
    assert_eq!(named(&second[0], "cpu.usage").len(), 1);
}

#[test]
fn a_value_that_the_wire_cannot_hold_has_no_point_and_its_series_ends() {
    let mut push = Push::new();
    push.everything(5_000, vec![Vm { memory: Some(memory(4_000)), ..vm(1) }]);
    let mut huge = memory(19_000);
    huge.value.available = Some(Bytes(u64::MAX));
    let second = push.everything(20_000, vec![Vm { memory: Some(huge), ..vm(1) }]);
    assert_eq!(ends_in(&second[0]), [end("memory.available", &[])]);
    assert_eq!(named(&second[0], "memory.available").len(), 1, "only the end");
}

#[test]
fn a_push_of_changes_has_only_what_changed_with_all_its_new_readings() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1), vm(2), vm(3)]);
    let paused =
        Vm { status: Some(Status::from_libvirt(3, 1)), cpu: Some(cpu(9_000)), memory: Some(memory(9_001)), ..vm(1) };
    let second = push.changes(10_000, vec![paused.clone(), Vm { cpu: Some(cpu(9_000)), ..vm(2) }]);
    assert_eq!(second.len(), 2, "the paused one, and the end of the one that is gone");
    let names: Vec<_> = second.iter().map(name_of).collect();
    assert_eq!(names, ["vm-3", "vm-1"], "ends come first");
    assert_eq!(named(&second[1], "cpu.usage").len(), 1);
    assert_eq!(named(&second[1], "memory.available").len(), 1);
    assert!(push.changes(10_500, vec![paused, vm(2)]).is_empty(), "nothing changed since");
}

#[test]
fn an_end_that_was_not_delivered_is_repeated_until_it_is() {
    let mut push = Push::new();
    push.everything(2_000, vec![Vm { disks: Some(disks(1_500, &["vda"])), ..vm(1) }]);
    for at in [17_000, 32_000] {
        let lost = push.cycle(at, fixture::snapshot(vec![vm(1)], at), Extent::Everything, Outcome::Lost);
        assert_eq!(ends_in(&lost[0]).len(), 2, "at {at}");
    }
    let third = push.everything(47_000, vec![vm(1)]);
    assert_eq!(ends_in(&third[0]), [end("storage.capacity", &["vda"]), end("storage.read", &["vda"])]);
    assert!(ends_in(&push.everything(62_000, vec![vm(1)])[0]).is_empty());
}

#[test]
fn a_series_that_lived_only_in_a_push_of_unknown_fate_is_ended_too() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    let with = fixture::snapshot(vec![Vm { disks: Some(disks(16_000, &["vda"])), ..vm(1) }], 17_000);
    push.cycle(17_000, with, Extent::Everything, Outcome::Unconfirmed);
    let next = push.everything(32_000, vec![vm(1)]);
    assert_eq!(ends_in(&next[0]).len(), 2);
}

#[test]
fn a_lost_reading_is_not_sent_later_because_it_would_be_older_than_what_may_have_arrived() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    let next = Vm { cpu: Some(cpu(16_000)), memory: Some(memory(16_001)), ..vm(1) };
    push.cycle(17_000, fixture::snapshot(vec![next.clone()], 17_000), Extent::Everything, Outcome::Lost);
    let third = push.everything(32_000, vec![Vm { cpu: Some(cpu(31_000)), ..next }]);
    assert!(named(&third[0], "memory.available").is_empty());
    assert_eq!(named(&third[0], "cpu.usage").len(), 1);
}

#[test]
fn what_is_gone_for_longer_than_receivers_remember_is_forgotten() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    for at in (17_000..400_000).step_by(15_000) {
        push.cycle(at, fixture::snapshot(vec![], at), Extent::Everything, Outcome::Lost);
    }
    assert!(push.delivery.sent.is_empty());
}

#[test]
fn a_vm_that_is_too_large_is_left_out_and_the_others_are_sent() {
    let mut push = Push::new();
    let cycle = Cycle {
        snapshot: Arc::new(fixture::snapshot(vec![vm(1), vm(2)], 2_000)),
        taken: ms(2_000),
        extent: Extent::Everything,
    };
    let mut sent = Vec::new();
    let left_out = push.delivery.build(&cycle, &mut |messages, _, _| {
        if name_of(messages[0]) == "vm-1" {
            return Err(TooLarge { bytes: 5_000_000 });
        }
        sent.push(name_of(messages[0]));
        Ok(())
    });
    assert_eq!(sent, ["vm-2"]);
    assert_eq!(left_out.too_large, State::ALL.len() + 2);
}

#[test]
fn a_daemon_is_a_resource_of_its_own_and_its_counts_end_when_it_is_down() {
    let mut push = Push::new();
    let with = |daemon: Daemon, at| Snapshot { daemons: vec![Arc::new(daemon)], ..fixture::snapshot(vec![], at) };
    let first = push.cycle(2_000, with(fixture::daemon(true), 2_000), Extent::Everything, Outcome::Delivered);
    assert_eq!(metrics(&first[0]).iter().map(|metric| points(metric).len()).sum::<usize>(), 1 + State::ALL.len());
    let down = push.cycle(3_000, with(fixture::daemon(false), 3_000), Extent::Changes, Outcome::Delivered);
    let up = metrics(&down[0]).iter().find(|metric| metric.name == "libvirt.up").unwrap();
    assert_eq!(points(up)[0].value, Some(Wire::AsInt(0)));
    assert_eq!(ends_in(&down[0]).len(), State::ALL.len());
}

#[test]
fn a_dropped_push_loses_the_readings_that_no_later_push_has() {
    let mut push = Push::new();
    push.everything(2_000, vec![vm(1)]);
    let dropped = Cycle {
        snapshot: Arc::new(fixture::snapshot(
            vec![Vm { cpu: Some(cpu(16_000)), memory: Some(memory(16_001)), ..vm(1) }],
            17_000,
        )),
        taken: ms(17_000),
        extent: Extent::Changes,
    };
    let next = fixture::snapshot(vec![Vm { cpu: Some(cpu(31_000)), memory: Some(memory(16_001)), ..vm(1) }], 32_000);
    assert_eq!(push.delivery.superseded(&dropped, &next), 1, "the CPU's; the memory's is still there");
    let states = State::ALL.len() + 1;
    let all = Cycle { extent: Extent::Everything, ..dropped };
    assert_eq!(push.delivery.superseded(&all, &next), 1 + states);
}

#[test]
fn a_vmi_is_pushed_by_the_resource_that_it_keeps() {
    let bare = |hypervisor| {
        let mut vm = vm(1);
        vm.identity = Arc::new(Identity { uuid: None, domain_type: None, arch: None, ..Identity::clone(&vm.identity) });
        (vm.cpu, vm.status, vm.hypervisor) = (None, None, hypervisor);
        vm
    };
    let mut push = Push::new();
    assert!(push.everything(1_000, vec![bare(None)]).is_empty(), "its Resource is not whole yet");
    assert_eq!(push.everything(2_000, vec![vm(1)]).len(), 1);
    let mut push = Push::new();
    assert_eq!(push.everything(1_000, vec![bare(Some(HypervisorType::Unknown))]).len(), 1, "nobody can tell when");
    // Once pushed, it is pushed until it is gone.
    let later = push.everything(2_000, vec![bare(None)]);
    assert_eq!(later.len(), 1);
    assert_eq!(ends_in(&later[0]), []);
    assert_eq!(named(&later[0], "collection.stuck").len(), 1);
}

#[test]
fn a_vm_that_a_sidecar_pushes_is_left_to_it() {
    let mut push = Push::new();
    let left = Vm { has_sidecar: true, ..vm(1) };
    let messages = push.everything(2_000, vec![left.clone(), vm(2)]);
    assert_eq!(messages.iter().map(name_of).collect::<Vec<_>>(), ["vm-2"]);
    assert_eq!(push.changes(3_000, vec![left, vm(2)]), []);
    assert!(push.everything(4_000, vec![vm(2)]).iter().all(|message| name_of(message) == "vm-2"), "it is not ended");
}

#[test]
fn a_sidecar_that_comes_later_continues_the_series_which_are_not_ended() {
    for outcome in [Outcome::Delivered, Outcome::Unconfirmed, Outcome::Lost] {
        let mut push = Push::new();
        push.cycle(2_000, fixture::snapshot(vec![vm(1)], 2_000), Extent::Everything, outcome);
        let left = Vm { has_sidecar: true, ..vm(1) };
        assert_eq!(push.everything(17_000, vec![left.clone()]), [], "{outcome:?}");
        // What becomes of the VM is the sidecar's to say.
        let without_devices = Vm { cpu: None, ..left };
        assert_eq!(push.everything(32_000, vec![without_devices]), [], "{outcome:?}");
        assert_eq!(push.everything(47_000, Vec::new()), [], "{outcome:?}");
    }
}
