//! Invariants for every answer.

use std::time::Duration;

use proptest::prelude::*;

use crate::model::Bytes;

use super::*;

fn any_value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<i32>().prop_map(Value::Int),
        any::<u32>().prop_map(Value::UInt),
        any::<i64>().prop_map(Value::LLong),
        any::<u64>().prop_map(Value::ULLong),
        prop_oneof![0..100_u64, Just(u64::MAX), Just(1 << 53), Just(1 << 63)].prop_map(Value::ULLong),
        any::<f64>().prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(|text| Value::Text(text.into())),
    ]
}

/// Names built from the words of real names, so that many of them are nearly right.
fn any_name() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => prop::sample::select(vec![
            "state", "reason", "cpu", "time", "user", "system", "balloon", "current", "maximum", "rss", "last-update",
            "vcpu", "wait", "delay", "halted", "exits", "sum", "net", "block", "count", "name", "rx", "tx", "bytes",
            "pkts", "rd", "wr", "fl", "reqs", "times", "capacity", "iothread", "poll-max-ns", "dirtyrate",
            "megabytes_per_second", "calc_start_time", "calc_period", "", "0", "1", "2", "4095", "4096", "4294967295",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => any::<u64>().prop_map(|number| number.to_string()),
    ];
    prop::collection::vec(word, 1..5).prop_map(|words| words.join("."))
}

fn any_parameters() -> impl Strategy<Value = Vec<Parameter<'static>>> {
    prop::collection::vec(
        (any_name(), any_value()).prop_map(|(name, value)| Parameter { field: name.into(), value }),
        0..60,
    )
}

fn any_groups() -> impl Strategy<Value = Groups> {
    prop::sample::subsequence(Group::ALL.to_vec(), 0..=Group::ALL.len()).prop_map(|groups| groups.into_iter().collect())
}

/// Every figure of a disk, as an integer.
fn figures(disk: &Disk) -> Vec<u128> {
    let counts = [disk.read_requests, disk.write_requests, disk.flush_requests, disk.errors];
    let bytes = [disk.read_bytes, disk.write_bytes, disk.capacity, disk.allocation, disk.physical];
    let times = [disk.read_time, disk.write_time, disk.flush_time];
    let counts = counts.into_iter().flatten().map(u128::from);
    let bytes = bytes.into_iter().flatten().map(|Bytes(bytes)| u128::from(bytes));
    counts.chain(bytes).chain(times.into_iter().flatten().map(|time| time.as_nanos())).collect()
}

proptest! {
    #[test]
    fn any_answer_is_decoded_within_bounds(
        id in any::<Option<u32>>(), parameters in any_parameters(), asked in any_groups(),
    ) {
        let said = stats(id, parameters.iter().cloned(), asked);
        prop_assert_eq!(said.parameters as usize, parameters.len());
        prop_assert!(said.unknown_parameters as usize <= parameters.len());
        let disks = said.disks.as_deref().unwrap_or_default();
        let vcpus = said.vcpus.as_ref().map_or(&[][..], |vcpus| &vcpus.each);
        prop_assert!(disks.len() + vcpus.len() <= parameters.len());
        prop_assert!(vcpus.windows(2).all(|pair| pair[0].number < pair[1].number));
        prop_assert!(vcpus.iter().all(|vcpu| vcpu.number < MAX_VCPUS));
        for (index, disk) in disks.iter().enumerate() {
            prop_assert!(!disk.target.is_empty());
            prop_assert!(disks[..index].iter().all(|earlier| earlier.target != disk.target));
            prop_assert!(figures(disk).into_iter().all(|figure| i64::try_from(figure).is_ok()));
        }
        prop_assert!(!(said.monitor == Monitor::Busy && said.disks.as_ref().is_some_and(|disks| !disks.is_empty())));
        let only_the_status = Stats {
            status: said.status,
            unknown_parameters: said.unknown_parameters,
            left_out: said.left_out,
            parameters: said.parameters,
            ..Stats::default()
        };
        prop_assert!(id.is_some() || said == only_the_status);
    }

    #[test]
    fn any_job_is_decoded(kind in any::<i32>(), parameters in any_parameters()) {
        let (job, unknown) = job(kind, parameters.iter().cloned());
        prop_assert!(unknown as usize <= parameters.len());
        prop_assert!(job.is_none_or(|job| job.kind.is_active()));
    }

    /// The order of the answer does not matter, whatever is asked.
    #[test]
    fn order_does_not_matter(seed in any::<u64>(), asked in any_groups()) {
        let (id, parameters) = answer(include_str!("../fixtures/running-tcg.txt"));
        let mut shuffled = parameters.clone();
        let mut state = seed | 1;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
        }
        prop_assert_eq!(stats(id, shuffled.iter().cloned(), asked), stats(id, parameters.iter().cloned(), asked));
    }

    /// Disks written as parameters decode unchanged.
    #[test]
    fn disks_come_back_as_they_were_written(
        figures in prop::collection::vec(prop::array::uniform4(0..=value::LARGEST_FIGURE), 1..20),
    ) {
        let disks: Vec<Disk> = figures.iter().enumerate().map(|(number, figures)| Disk {
            target: format!("vd{number}").into(),
            read_requests: Some(figures[0]),
            write_bytes: Some(Bytes(figures[1])),
            flush_time: Some(Duration::from_nanos(figures[2])),
            physical: Some(Bytes(figures[3])),
            ..Disk::default()
        }).collect();
        let parameters: Vec<_> = disks.iter().zip(&figures).enumerate().flat_map(|(number, (disk, figures))| {
            let mut fields = vec![(format!("block.{number}.name"), Value::Text(disk.target.to_string().into()))];
            for (field, figure) in ["rd.reqs", "wr.bytes", "fl.times", "physical"].into_iter().zip(figures) {
                fields.push((format!("block.{number}.{field}"), Value::ULLong(*figure)));
            }
            fields
        }).map(|(name, value)| Parameter { field: name.into(), value }).collect();
        let said = stats(Some(1), parameters.iter().cloned(), groups([Group::Block]));
        prop_assert_eq!(said.disks, Some(disks));
        prop_assert_eq!(said.unknown_parameters, 0);
    }
}
