//! Decodes real answers (`fixtures/`; those in no folder are from libvirt 9.0 with QEMU 7.2) and invented ones.

mod hostile;
mod jobs;
mod monitor;
mod properties;
mod real;
mod versions;

use super::*;
use crate::model::{Cpu, Disk, Group, IoThread, Memory, Nic};
use crate::source::Monitor;

/// An answer as `name type value` lines, after a line with the domain's id.
fn answer(text: &str) -> (Option<u32>, Vec<Parameter<'static>>) {
    let mut lines = text.lines();
    let id = lines.next().and_then(|line| line.split_whitespace().last()).and_then(|id| id.parse().ok());
    (id, lines.map(line).collect())
}

fn line(line: &str) -> Parameter<'static> {
    let mut words = line.splitn(3, ' ');
    let (name, kind, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
    let value = match kind {
        "int" => Value::Int(value.parse().unwrap()),
        "uint" => Value::UInt(value.parse().unwrap()),
        "llong" => Value::LLong(value.parse().unwrap()),
        "ullong" => Value::ULLong(value.parse().unwrap()),
        "double" => Value::Double(value.parse().unwrap()),
        "boolean" => Value::Boolean(value == "1"),
        "string" => Value::Text(value.to_owned().into()),
        other => panic!("{other} is no type"),
    };
    Parameter { field: name.to_owned().into(), value }
}

fn lines(text: &str) -> Vec<Parameter<'static>> {
    text.lines().map(str::trim).filter(|text| !text.is_empty()).map(line).collect()
}

/// Decodes a running domain's answer for all groups.
fn running(text: &str) -> Stats {
    stats(Some(1), lines(text), Groups::all())
}

fn groups<const N: usize>(groups: [Group; N]) -> Groups {
    groups.into_iter().collect()
}
