//! What the stages counted, gathered for the agent's own metrics.

use std::sync::Arc;

use crate::admin::ScrapeCounters;
use crate::clock::Clock;
use crate::export::otlp::{DropReason, OtlpCounters};
use crate::libvirt::endpoint::{CallCounters, EndpointCounters};
use crate::model::Group;
use crate::observe::Health;
use crate::snapshot::Snapshots;
use crate::telemetry::{self, Calls, Daemon, Observe, Otlp, Readings, Scrapes, Watch};
use crate::watch::{EventKind, FaultKind, WatchCounters};

/// The counters of every stage.
pub(super) struct Counted {
    pub(super) endpoints: Vec<(String, Arc<EndpointCounters>)>,
    pub(super) health: Arc<Health>,
    pub(super) watch: Option<Arc<WatchCounters>>,
    pub(super) otlp: Option<Arc<OtlpCounters>>,
    pub(super) scrapes: Option<Arc<ScrapeCounters>>,
    pub(super) snapshots: Snapshots,
    pub(super) clock: Arc<dyn Clock>,
}

impl Counted {
    pub(super) fn readings(&self) -> Readings {
        let (sequence, published) = {
            let snapshot = self.snapshots.borrow();
            (snapshot.sequence, snapshot.published)
        };
        let health = &self.health;
        Readings {
            daemons: self.endpoints.iter().map(|(uri, counters)| daemon(uri, counters)).collect(),
            groups: Group::ALL.into_iter().map(|group| self.group(group)).collect(),
            observe: Observe {
                turns: health.turns.get(),
                readings: health.readings.get(),
                failures: health.reading_failures.get(),
                stuck: health.stuck.get(),
                busy: health.busy.get(),
                descriptions: health.describe_queries.get(),
                description_failures: health.describe_failures.get(),
                unknown_parameters: health.unknown_parameters.get(),
                left_out: health.left_out.get(),
                domains_left_out: health.domains_left_out.get(),
                snapshots: health.snapshots.get(),
            },
            watch: self.watch.as_deref().map(watch),
            otlp: self.otlp.as_deref().map(otlp),
            scrapes: self.scrapes.as_deref().map(|scrapes| Scrapes {
                answered: scrapes.answered(),
                refused: scrapes.refused(),
                duration: scrapes.duration(),
                bytes: scrapes.bytes(),
            }),
            snapshot_age: (sequence > 0).then(|| self.clock.now().since(published)),
        }
    }

    fn group(&self, group: Group) -> telemetry::Group {
        let durations = self.health.durations(group);
        telemetry::Group { name: group.as_str(), readings: durations.count.get(), duration: durations.sum() }
    }
}

fn daemon(uri: &str, counters: &EndpointCounters) -> Daemon {
    let calls = |(kind, calls): (&'static str, &CallCounters)| Calls {
        kind,
        returned: calls.returned(),
        failed: calls.failed(),
        late: calls.late(),
        duration: calls.duration(),
    };
    Daemon {
        uri: uri.to_owned(),
        calls: counters.calls().map(calls).collect(),
        in_flight: counters.in_flight(),
        abandoned: counters.abandoned(),
        connections: counters.connections(),
        connects: counters.connects(),
        disconnects: counters.disconnects(),
        refused: counters.requests_refused(),
        events: counters.events_received(),
        events_dropped: counters.events_dropped(),
    }
}

fn watch(counters: &WatchCounters) -> Watch {
    Watch {
        connected: counters.connected(),
        away: counters.away(),
        events: EventKind::ALL.into_iter().map(|kind| (kind.as_str(), counters.events(kind))).collect(),
        errors: FaultKind::ALL.into_iter().map(|kind| (kind.as_str(), counters.errors(kind))).collect(),
        objects_dropped: counters.objects_dropped(),
        fields_dropped: counters.fields_dropped(),
        labels_dropped: counters.labels_dropped(),
    }
}

fn otlp(counters: &OtlpCounters) -> Otlp {
    Otlp {
        sent: counters.points_sent(),
        rejected: counters.points_rejected(),
        retried: counters.points_retried(),
        dropped: DropReason::ALL.into_iter().map(|reason| (reason.as_str(), counters.points_dropped(reason))).collect(),
        requests: counters.requests(),
        failed_requests: counters.failed_requests(),
        bytes: counters.bytes(),
        queued: counters.queued(),
    }
}
