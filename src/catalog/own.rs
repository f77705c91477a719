//! Rows of the agent's own metrics. Each stage has a table of them beside its counters; `agent` lists the tables.

use std::sync::Arc;

use super::{Attribute, Emit, Kind, Unit, Value};

/// A row: one metric of the agent itself, read from the counters `C` of a stage.
#[derive(Debug)]
pub struct OwnMetric<C: 'static> {
    instrument: Instrument,
    read: OwnRead<C>,
}

/// The description of a metric: the identity of its instrument, and its attributes.
#[derive(Debug, Clone, Copy)]
pub struct Instrument {
    /// The OpenTelemetry name. Prometheus' name is derived.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Counter, up-down counter or gauge.
    pub kind: Kind,
    /// One sentence with a full stop.
    pub brief: &'static str,
    /// The attributes of its series.
    pub attributes: &'static [&'static Attribute],
}

/// How a row is read.
#[derive(Debug)]
enum OwnRead<C> {
    One(fn(&C) -> Option<Value>),
    Each(fn(&C, Emit<'_>)),
}

impl<C> OwnMetric<C> {
    /// A monotonic sum with one series; none while `read` gives `None`.
    pub const fn counter(name: &'static str, unit: Unit, brief: &'static str, read: fn(&C) -> Option<Value>) -> Self {
        Self::row(Kind::Counter, name, unit, &[], brief, OwnRead::One(read))
    }

    /// A gauge with one series; none while `read` gives `None`.
    pub const fn gauge(name: &'static str, unit: Unit, brief: &'static str, read: fn(&C) -> Option<Value>) -> Self {
        Self::row(Kind::Gauge, name, unit, &[], brief, OwnRead::One(read))
    }

    /// A monotonic sum with a series for each set of values of these attributes.
    pub const fn counters(
        name: &'static str,
        unit: Unit,
        attributes: &'static [&'static Attribute],
        brief: &'static str,
        read: fn(&C, Emit<'_>),
    ) -> Self {
        Self::row(Kind::Counter, name, unit, attributes, brief, OwnRead::Each(read))
    }

    /// A gauge with a series for each set of values of these attributes.
    pub const fn gauges(
        name: &'static str,
        unit: Unit,
        attributes: &'static [&'static Attribute],
        brief: &'static str,
        read: fn(&C, Emit<'_>),
    ) -> Self {
        Self::row(Kind::Gauge, name, unit, attributes, brief, OwnRead::Each(read))
    }

    const fn row(
        kind: Kind,
        name: &'static str,
        unit: Unit,
        attributes: &'static [&'static Attribute],
        brief: &'static str,
        read: OwnRead<C>,
    ) -> Self {
        Self { instrument: Instrument { name, unit, kind, brief, attributes }, read }
    }

    /// The metric's description.
    #[must_use]
    pub const fn instrument(&self) -> Instrument {
        self.instrument
    }
}

/// A row together with the counters that it is read from.
#[derive(Clone)]
pub struct Observable {
    /// The metric's description.
    pub instrument: Instrument,
    read: Arc<dyn Fn(Emit<'_>) + Send + Sync>,
}

impl Observable {
    /// Emits the current series. It neither waits nor panics.
    pub fn read(&self, emit: Emit<'_>) {
        (self.read)(emit);
    }
}

impl std::fmt::Debug for Observable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Observable").field("instrument", &self.instrument).finish_non_exhaustive()
    }
}

/// The rows of a table, to be read from these counters.
pub fn observables<C: Send + Sync>(
    rows: &'static [OwnMetric<C>],
    counters: &Arc<C>,
) -> impl Iterator<Item = Observable> {
    rows.iter().map(move |row| {
        let counters = Arc::clone(counters);
        let read: Arc<dyn Fn(Emit<'_>) + Send + Sync> = match row.read {
            OwnRead::One(read) => Arc::new(move |emit| {
                if let Some(value) = read(&counters) {
                    emit(&[], value);
                }
            }),
            OwnRead::Each(read) => Arc::new(move |emit| read(&counters, emit)),
        };
        Observable { instrument: row.instrument, read }
    })
}
