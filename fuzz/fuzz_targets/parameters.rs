//! Any list of typed parameters as a domain's statistics and as its job's.

#![no_main]

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use virt_otel::libvirt::decode::{self, Parameter, Value};
use virt_otel::model::{Group, Groups};

/// The words that names are made of.
const WORDS: &[&str] = &[
    "state",
    "reason",
    "cpu",
    "time",
    "user",
    "system",
    "balloon",
    "current",
    "maximum",
    "rss",
    "last-update",
    "swap_in",
    "vcpu",
    "wait",
    "delay",
    "halted",
    "exits",
    "sum",
    "net",
    "block",
    "count",
    "name",
    "path",
    "rx",
    "tx",
    "bytes",
    "pkts",
    "errs",
    "drop",
    "rd",
    "wr",
    "fl",
    "reqs",
    "times",
    "capacity",
    "allocation",
    "iothread",
    "poll-max-ns",
    "poll-grow",
    "dirtyrate",
    "megabytes_per_second",
    "calc_start_time",
    "calc_period",
    "operation",
    "time_elapsed",
    "memory_dirty_rate",
    "memory_page_size",
    "0",
    "1",
    "4095",
    "4096",
    "4294967295",
    "4294967296",
    "",
];

/// The most parameters of one list.
const MOST: usize = 5000;

#[derive(Debug)]
struct Answer {
    id: Option<u32>,
    kind: i32,
    asked: Groups,
    parameters: Vec<Parameter<'static>>,
}

impl<'a> Arbitrary<'a> for Answer {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let asked: u16 = input.arbitrary()?;
        let asked = Group::ALL.into_iter().enumerate().filter(|(bit, _)| asked & (1 << bit) != 0);
        let mut answer = Self {
            id: input.arbitrary()?,
            kind: input.int_in_range(-1..=6)?,
            asked: asked.map(|(_, group)| group).collect(),
            parameters: Vec::new(),
        };
        while !input.is_empty() && answer.parameters.len() < MOST {
            answer.parameters.push(Parameter { field: name(input)?.into(), value: value(input)? });
        }
        Ok(answer)
    }
}

fn name(input: &mut Unstructured<'_>) -> Result<String> {
    if input.ratio(1, 16)? {
        return input.arbitrary();
    }
    let mut name = String::new();
    for word in 0..input.int_in_range(1..=4)? {
        if word > 0 {
            name.push('.');
        }
        name.push_str(input.choose(WORDS)?);
    }
    Ok(name)
}

fn value(input: &mut Unstructured<'_>) -> Result<Value<'static>> {
    Ok(match input.int_in_range(0..=7)? {
        0 => Value::Int(input.arbitrary()?),
        1 => Value::UInt(input.arbitrary()?),
        2 => Value::LLong(input.arbitrary()?),
        3 => Value::ULLong(input.arbitrary()?),
        4 => Value::ULLong(u64::from(input.arbitrary::<u8>()?)),
        5 => Value::Double(input.arbitrary()?),
        6 => Value::Boolean(input.arbitrary()?),
        _ => Value::Text(input.arbitrary::<String>()?.into()),
    })
}

fuzz_target!(|answer: Answer| {
    let said = decode::stats(answer.id, answer.parameters.iter().cloned(), answer.asked);
    assert!(said.unknown_parameters as usize <= answer.parameters.len());
    assert!(said.disks.is_none_or(|disks| disks.len() <= decode::MAX_DEVICES));
    assert!(said.nics.is_none_or(|nics| nics.len() <= decode::MAX_DEVICES));
    assert!(said.vcpus.is_none_or(|vcpus| vcpus.each.iter().all(|vcpu| vcpu.number < decode::MAX_VCPUS)));

    let (job, unknown) = decode::job(answer.kind, answer.parameters.iter().cloned());
    assert!(unknown as usize <= answer.parameters.len());
    assert!(job.is_none_or(|job| job.kind.is_active()));
});
