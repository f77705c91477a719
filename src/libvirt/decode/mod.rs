//! Typed parameters into readings. A stub, to be replaced.

use crate::model::{Group, Groups, Job, JobKind, JobOperation, Memory, Status};
use crate::source::{Monitor, Stats};

/// A typed parameter, owned.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its field.
    pub name: String,
    /// Its value.
    pub value: ParameterValue,
}

/// A typed parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
    /// `VIR_TYPED_PARAM_INT`
    Int(i32),
    /// `VIR_TYPED_PARAM_UINT`
    UInt(u32),
    /// `VIR_TYPED_PARAM_LLONG`
    Llong(i64),
    /// `VIR_TYPED_PARAM_ULLONG`
    Ullong(u64),
    /// `VIR_TYPED_PARAM_DOUBLE`
    Double(f64),
    /// `VIR_TYPED_PARAM_BOOLEAN`
    Boolean(bool),
    /// `VIR_TYPED_PARAM_STRING`
    Text(String),
    /// A type that this version does not know.
    Unknown(i32),
}

fn int(parameters: &[Parameter], name: &str) -> Option<i64> {
    parameters.iter().find(|parameter| parameter.name == name).and_then(|parameter| match parameter.value {
        ParameterValue::Int(value) => Some(i64::from(value)),
        ParameterValue::Ullong(value) => i64::try_from(value).ok(),
        _ => None,
    })
}

/// A stub.
#[must_use]
pub fn stats(id: Option<u32>, parameters: &[Parameter], asked: Groups) -> Stats {
    let status = int(parameters, "state.state")
        .map(|state| Status::from_libvirt(state, int(parameters, "state.reason").unwrap_or(0)));
    let answered = int(parameters, "balloon.rss").is_some();
    Stats {
        id,
        status,
        memory: asked.contains(Group::Balloon).then(Memory::default),
        monitor: match (asked.needs_monitor(), answered) {
            (false, _) => Monitor::NotAsked,
            (true, true) => Monitor::Answered,
            (true, false) => Monitor::Busy,
        },
        ..Stats::default()
    }
}

/// A stub.
#[must_use]
pub fn job(kind: i32, parameters: &[Parameter]) -> (Option<Job>, u32) {
    let kind = JobKind::from_libvirt(i64::from(kind));
    let operation = JobOperation::from_libvirt(int(parameters, "operation").unwrap_or(0));
    (kind.is_active().then(|| Job::new(kind, operation)), 0)
}
