//! What the decoder makes of real answers (`fixtures/`, from libvirt 9.0 with QEMU 7.2) and of invented ones.

mod hostile;
mod jobs;
mod monitor;
mod properties;
mod real;

use super::*;

/// An answer as `name type value` lines, after a line with the domain's id.
fn answer(text: &str) -> (Option<u32>, Vec<Parameter>) {
    let mut lines = text.lines();
    let id = lines.next().and_then(|line| line.split_whitespace().last()).and_then(|id| id.parse().ok());
    (id, lines.map(line).collect())
}

fn line(line: &str) -> Parameter {
    let mut words = line.splitn(3, ' ');
    let (name, kind, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
    let value = match kind {
        "int" => ParameterValue::Int(value.parse().unwrap()),
        "uint" => ParameterValue::UInt(value.parse().unwrap()),
        "llong" => ParameterValue::Llong(value.parse().unwrap()),
        "ullong" => ParameterValue::Ullong(value.parse().unwrap()),
        "double" => ParameterValue::Double(value.parse().unwrap()),
        "boolean" => ParameterValue::Boolean(value == "1"),
        "string" => ParameterValue::Text(value.to_owned()),
        other => panic!("{other} is no type"),
    };
    Parameter { name: name.to_owned(), value }
}

fn lines(text: &str) -> Vec<Parameter> {
    text.lines().map(str::trim).filter(|text| !text.is_empty()).map(line).collect()
}

/// Decodes a running domain's answer to a question for every group.
fn running(text: &str) -> Stats {
    stats(Some(1), &lines(text), Groups::all())
}

fn groups<const N: usize>(groups: [Group; N]) -> Groups {
    groups.into_iter().collect()
}
