//! The agent's own metrics: the tables of all stages, with the counters that they are read from.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::{self, ScrapeCounters};
use crate::catalog::{Attribute, Instrument, Label, Observable, OwnMetric, Unit, observables};
use crate::clock::Clock;
use crate::collector::{self, CredentialCounters};
use crate::export::otlp::{self, OtlpCounters};
use crate::libvirt::endpoint;
use crate::observe::{self, ObserveCounters};
use crate::snapshot::Snapshots;
use crate::watch::{self, WatchCounters};
use crate::web::{self, WebCounters};

const VERSION: Attribute = Attribute::open("virt_otel.version", "version", "The agent's version.", &["0.1.0"]);

/// The rows that belong to no stage.
const METRICS: &[OwnMetric<Published>] = &[
    OwnMetric::gauges("virt_otel.build.info", Unit::None, &[&VERSION], "The agent's version; always 1.", |_, emit| {
        emit(&[Label::new(&VERSION, env!("CARGO_PKG_VERSION"))], 1_u64.into());
    }),
    OwnMetric::gauge("virt_otel.snapshot.age", Unit::Seconds, "Age of the latest snapshot.", |published| {
        published.age().map(Into::into)
    }),
];

/// The snapshots that were published, and the clock that tells their age.
pub(super) struct Published {
    pub(super) snapshots: Snapshots,
    pub(super) clock: Arc<dyn Clock>,
}

impl Published {
    /// How old the latest snapshot is; `None` before the first.
    fn age(&self) -> Option<Duration> {
        let (sequence, published) = {
            let snapshot = self.snapshots.borrow();
            (snapshot.sequence, snapshot.published)
        };
        (sequence > 0).then(|| self.clock.now().since(published))
    }
}

/// The counters of every stage that runs.
pub(super) struct Counted {
    pub(super) published: Arc<Published>,
    pub(super) reads: Arc<ObserveCounters>,
    pub(super) daemons: Arc<endpoint::Daemons>,
    pub(super) watch: Option<Arc<WatchCounters>>,
    pub(super) otlp: Option<Arc<OtlpCounters>>,
    pub(super) credentials: Option<Arc<CredentialCounters>>,
    pub(super) scrapes: Option<Arc<ScrapeCounters>>,
    pub(super) web: Option<Arc<WebCounters>>,
}

impl Counted {
    /// Every row of the stages that run.
    pub(super) fn observables(&self) -> Vec<Observable> {
        observables(METRICS, &self.published)
            .chain(observables(observe::METRICS, &self.reads))
            .chain(observables(endpoint::METRICS, &self.daemons))
            .chain(self.watch.iter().flat_map(|watch| observables(watch::METRICS, watch)))
            .chain(self.otlp.iter().flat_map(|otlp| observables(otlp::METRICS, otlp)))
            .chain(self.credentials.iter().flat_map(|counters| observables(collector::METRICS, counters)))
            .chain(self.scrapes.iter().flat_map(|scrapes| observables(admin::METRICS, scrapes)))
            .chain(self.web.iter().flat_map(|web| observables(web::METRICS, web)))
            .collect()
    }
}

/// The description of every metric of the agent itself, in the order of the documentation.
pub fn instruments() -> impl Iterator<Item = Instrument> {
    fn of<C>(rows: &'static [OwnMetric<C>]) -> impl Iterator<Item = Instrument> {
        rows.iter().map(OwnMetric::instrument)
    }
    of(METRICS)
        .chain(of(observe::METRICS))
        .chain(of(endpoint::METRICS))
        .chain(of(watch::METRICS))
        .chain(of(otlp::METRICS))
        .chain(of(collector::METRICS))
        .chain(of(admin::METRICS))
        .chain(of(web::METRICS))
}

#[cfg(test)]
mod tests;
