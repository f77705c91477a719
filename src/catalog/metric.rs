//! A row of the catalogue, and what it yields when it is read.

use std::time::Duration;

use super::{Attribute, Read};
use crate::model::{Bytes, Timestamp};

/// A row of the catalogue: one metric, with the function that reads it.
#[derive(Debug)]
pub struct Metric {
    /// The OpenTelemetry name without the prefix that [`Entity`] gives (`cpu.usage`). The Prometheus name is derived.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Counter, up-down counter or gauge.
    pub kind: Kind,
    /// One sentence with a full stop, for HELP, the registry and the documentation.
    pub brief: &'static str,
    /// The stability guarantee.
    pub stability: Stability,
    /// Where the value comes from: the libvirt function or field, the semantic convention.
    pub source: &'static str,
    /// The KubeVirt name this equals, or why it differs from KubeVirt; empty where KubeVirt has nothing of the kind.
    pub kubevirt: &'static str,
    /// How it is read.
    pub read: Read,
}

impl Metric {
    /// The metric of KubeVirt that this row is under KubeVirt, alike or with the differences that [`Metric::kubevirt`] tells;
    /// `None` where KubeVirt has none.
    #[must_use]
    pub fn kubevirts(&self) -> Option<&'static str> {
        let name = self.kubevirt.split_once(", ").map_or(self.kubevirt, |(name, _)| name);
        (name.starts_with("kubevirt_vmi_") && !name.contains(' ')).then_some(name)
    }
}

/// The stability guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// Name, unit, kind and attributes change only with a major version.
    Stable,
    /// May change with a minor version; the changelog says so.
    Development,
}

/// What a series belongs to; it determines the metric's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// A VM: `libvirt.domain.` in libvirt mode.
    Vm,
    /// A libvirt daemon: `libvirt.`.
    Daemon,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from its start time on: a monotonic cumulative Sum.
    Counter,
    /// Goes up and down, and its series may be added up: a non-monotonic cumulative Sum.
    UpDownCounter,
    /// Anything else.
    Gauge,
}

/// A unit: a UCUM base unit, or an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// No unit: info, up and state metrics.
    None,
    /// `s`
    Seconds,
    /// `By`
    Bytes,
    /// `By/s`
    BytesPerSecond,
    /// `1`: a fraction of a whole, between 0 and 1. Prometheus' name gets `_ratio`.
    Ratio,
    /// `{packet}`, `{operation}` …: what is counted, without braces.
    Count(&'static str),
    /// `{operation}/s` …: what is counted per second, without braces.
    CountPerSecond(&'static str),
}

impl Unit {
    /// The unit in UCUM.
    #[must_use]
    pub fn ucum(self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::None => "".into(),
            Self::Seconds => "s".into(),
            Self::Bytes => "By".into(),
            Self::BytesPerSecond => "By/s".into(),
            Self::Ratio => "1".into(),
            Self::Count(what) => format!("{{{what}}}").into(),
            Self::CountPerSecond(what) => format!("{{{what}}}/s").into(),
        }
    }

    /// Whether values of this unit are floating-point numbers on the wire; all others are integers. It is fixed by
    /// the unit because a series may never change between the two.
    #[must_use]
    pub const fn is_double(self) -> bool {
        matches!(self, Self::Seconds | Self::Ratio)
    }
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Everything but times and ratios.
    Integer(u64),
    /// Seconds and ratios.
    Double(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<Bytes> for Value {
    fn from(Bytes(value): Bytes) -> Self {
        Self::Integer(value)
    }
}

impl From<Duration> for Value {
    /// Seconds, as the nearest number: 2.97, where whole seconds plus their fraction are 2.9699999999999998. Up to 104
    /// days of nanoseconds are exact; beyond, the last digit may differ.
    #[expect(clippy::cast_precision_loss, reason = "a double has no more digits than this keeps")]
    fn from(value: Duration) -> Self {
        Self::Double(value.as_nanos() as f64 / 1e9)
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Double(Duration::from_nanos(value.unix_nanos()).as_secs_f64())
    }
}

/// An attribute with its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label<'a> {
    /// Which attribute.
    pub attribute: &'static Attribute,
    /// Its value.
    pub value: &'a str,
}

/// The longest value of a label, in bytes; longer ones are cut. It is Linux's `PATH_MAX`: a disk's source is the
/// longest meaningful value, and names and aliases are far shorter.
pub const LABEL_VALUE_MAX: usize = 4_096;

impl<'a> Label<'a> {
    /// An attribute with its value, which is cut to [`LABEL_VALUE_MAX`].
    #[must_use]
    pub fn new(attribute: &'static Attribute, value: &'a str) -> Self {
        // `str::floor_char_boundary` is newer than the minimum Rust version. A character has at most four bytes.
        let mut end = value.len().min(LABEL_VALUE_MAX);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        Self { attribute, value: &value[..end] }
    }
}

/// The attributes of one series, without those that identify the VM.
pub type Labels<'a> = [Label<'a>];

/// A point of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    /// Its attributes.
    pub labels: &'a Labels<'a>,
    /// Its value.
    pub value: Value,
    /// When it was read; `None` for what is true at the time of the export (states, info).
    pub at: Option<Timestamp>,
    /// When it started to count; only for what was read.
    pub start: Option<Timestamp>,
}

/// Receives the labels and the value of each series of a row that makes its own.
pub type Emit<'e> = &'e mut dyn FnMut(&Labels<'_>, Value);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::attribute::DISK_SOURCE;

    #[test]
    fn long_label_values_are_cut_between_characters() {
        assert_eq!(Label::new(&DISK_SOURCE, "/short").value, "/short");
        let long = "é".repeat(LABEL_VALUE_MAX);
        assert_eq!(Label::new(&DISK_SOURCE, &long).value.len(), LABEL_VALUE_MAX);
        let odd = format!("x{long}");
        assert_eq!(Label::new(&DISK_SOURCE, &odd).value.len(), LABEL_VALUE_MAX - 1);
    }

    #[test]
    fn seconds_are_the_nearest_number() {
        for (milliseconds, seconds) in [(0, 0.0), (1, 0.001), (2_970, 2.97), (41_870, 41.87), (8_640_000_000, 8.64e6)] {
            assert_eq!(Value::from(Duration::from_millis(milliseconds)), Value::Double(seconds));
        }
    }
}
