//! How many series this machine adds, by rendering what was read.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::finding::{Check, Finding, counted};
use crate::agent;
use crate::catalog::Selection;
use crate::config::Run;
use crate::export::otlp::{PushSize, Requests};
use crate::export::prometheus::{Format, Renderer};
use crate::snapshot::Snapshot;

/// About how many series the agent itself has (docs/scaling.md).
const OWN: usize = 100;

/// How many series there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesCount {
    /// How many VMs were read.
    pub vms: usize,
    /// At /metrics; `None` if nothing is served.
    pub served: Option<Served>,
    /// Over OTLP; `None` if nothing is pushed.
    pub pushed: Option<Pushed>,
}

/// What a scrape has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Its series, without the agent's own.
    pub series: usize,
    /// The bytes of its page, before compression.
    pub bytes: usize,
    /// The series of the VM that has the most.
    pub largest_vm: usize,
}

/// What a push of everything has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// How large it is.
    pub size: PushSize,
    /// How often it is pushed.
    pub every: Duration,
    /// The series of the VM that has the most.
    pub largest_vm: usize,
}

impl SeriesCount {
    /// Renders a page and builds a push.
    pub(super) fn of(config: &Run, snapshot: &Arc<Snapshot>) -> Self {
        let largest =
            |selection: &Selection| snapshot.vms.iter().map(|vm| selection.series_of(vm)).max().unwrap_or_default();
        let served = config.prometheus.then(|| {
            let mut page = String::new();
            Renderer::new(&config.served).render(snapshot, &[], Format::Text004, &mut page);
            let series = page.lines().filter(|line| !line.starts_with('#')).count();
            Served { series, bytes: page.len(), largest_vm: largest(&config.served) }
        });
        let pushed = config.otlp_metrics.is_some().then(|| {
            let resource = agent::resource(&config.source, &config.identity);
            let size = Requests::new(config.pushed.clone(), resource).size(snapshot);
            Pushed { size, every: config.export_interval, largest_vm: largest(&config.pushed) }
        });
        Self { vms: snapshot.vms.len(), served, pushed }
    }

    pub(super) fn judge(&self) -> Finding {
        let served = self.served.map(|Served { series, bytes, largest_vm }| {
            format!(
                "{series} series of {} at /metrics, {} a scrape, {largest_vm} of the largest VM",
                counted(self.vms, "VM"),
                kibibytes(bytes)
            )
        });
        let pushed = self.pushed.map(|Pushed { size, every, largest_vm }| {
            format!(
                "{} of {} over OTLP every {every:?}, {} in {}, {largest_vm} of the largest VM",
                counted(size.points, "point"),
                counted(self.vms, "VM"),
                kibibytes(size.bytes),
                counted(size.requests, "request")
            )
        });
        let both: Vec<String> = served.into_iter().chain(pushed).collect();
        if both.is_empty() {
            return Finding::not_tried(Check::Series, "metrics are neither served nor pushed");
        }
        Finding::well(Check::Series, format!("{}; and about {OWN} of the agent itself", both.join("; ")))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "vms": self.vms,
            "served": self.served.map(|Served { series, bytes, largest_vm }| {
                json!({ "series": series, "bytes": bytes, "largest_vm": largest_vm })
            }),
            "pushed": self.pushed.map(|Pushed { size: PushSize { points, requests, bytes }, every, largest_vm }| {
                json!({
                    "points": points,
                    "requests": requests,
                    "bytes": bytes,
                    "largest_vm": largest_vm,
                    "every_seconds": every.as_secs_f64(),
                })
            }),
        })
    }
}

/// A size, rounded up.
fn kibibytes(bytes: usize) -> String {
    format!("{} KiB", bytes.div_ceil(1_024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;
    use crate::check::tests::run;
    use crate::testing::sample;

    #[test]
    fn what_is_counted_is_what_is_rendered() {
        let snapshot = Arc::new(sample::snapshot());
        let count = SeriesCount::of(&run(&[]), &snapshot);
        let served = count.served.unwrap();
        let everything = Selection::everything(crate::catalog::Vocabulary::Libvirt);
        let of_vms: usize = snapshot.vms.iter().map(|vm| everything.series_of(vm)).sum();
        assert!(served.series > of_vms, "the daemon has some, too");
        assert_eq!(count.pushed.unwrap().size.points, served.series, "both publish everything");
        assert!(served.largest_vm < of_vms && served.largest_vm > 50);
        assert_eq!(count.judge().outcome, Outcome::Well);
        assert_eq!(count.json()["served"]["series"], served.series);
        assert_eq!(count.json()["pushed"]["every_seconds"], 15.0);
    }

    #[test]
    fn what_is_left_out_does_not_count_and_what_is_off_is_not_tried() {
        let snapshot = Arc::new(sample::snapshot());
        let all = SeriesCount::of(&run(&[]), &snapshot).served.unwrap().series;
        let some = SeriesCount::of(&run(&["--metrics-include", "libvirt.domain.cpu.*"]), &snapshot);
        assert!(some.served.unwrap().series < all / 5);
        let none = SeriesCount::of(&run(&["--exporters", "none"]), &snapshot);
        assert_eq!((none.judge().outcome, &none.json()["served"]), (Outcome::NotTried, &Value::Null));
    }
}
