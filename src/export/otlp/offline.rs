//! The same requests without a Collector: as OTLP's JSON for people, and encoded for benchmarks and files.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::bytes::Bytes;

use super::delivery::{Cycle, DeliveryState, Extent};
use super::request::{ExportRequest, ExportRequests};
use super::settings::{REQUEST_LIMIT, ResourceSettings};
use crate::catalog::Selection;
use crate::snapshot::Snapshot;

/// A snapshot as one `ExportMetricsServiceRequest` in OTLP's JSON encoding: what a first push of it would contain.
///
/// # Errors
///
/// When it cannot be serialised, which does not happen with a snapshot.
pub fn otlp_json(
    snapshot: &Arc<Snapshot>,
    selection: &Selection,
    settings: &ResourceSettings,
) -> Result<String, serde_json::Error> {
    let mut request = ExportMetricsServiceRequest::default();
    DeliveryState::new(selection.clone(), settings.clone()).build(&everything(snapshot), &mut |messages, _, _| {
        request.resource_metrics.extend(messages.iter().map(|message| (*message).clone()));
        Ok(())
    });
    serde_json::to_string_pretty(&request)
}

/// What would be pushed, push after push, to a receiver that accepts everything.
#[derive(Debug)]
pub struct Requests(DeliveryState);

/// How large a push is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushSize {
    /// Its data points.
    pub points: usize,
    /// Its requests.
    pub requests: usize,
    /// Their bytes, before compression.
    pub bytes: usize,
}

impl Requests {
    /// Before the first push.
    #[must_use]
    pub fn new(selection: Selection, settings: ResourceSettings) -> Self {
        Self(DeliveryState::new(selection, settings))
    }

    /// The requests of the next push, each an encoded `ExportMetricsServiceRequest`.
    pub fn push(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Bytes> {
        self.requests(snapshot)
            .into_iter()
            .map(|request| {
                self.0.delivered(request.records);
                request.bytes
            })
            .collect()
    }

    /// How large the next push is, by building it.
    pub fn size(&mut self, snapshot: &Arc<Snapshot>) -> PushSize {
        let requests = self.requests(snapshot);
        PushSize {
            points: requests.iter().map(|request| request.points).sum(),
            requests: requests.len(),
            bytes: requests.iter().map(|request| request.bytes.len()).sum(),
        }
    }

    fn requests(&mut self, snapshot: &Arc<Snapshot>) -> Vec<ExportRequest> {
        let mut requests = ExportRequests::new(REQUEST_LIMIT);
        self.0.build(&everything(snapshot), &mut |messages, points, record| requests.add(messages, points, record));
        requests.finish()
    }
}

fn everything(snapshot: &Arc<Snapshot>) -> Cycle {
    Cycle { snapshot: Arc::clone(snapshot), taken: snapshot.published, extent: Extent::Everything }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::Value;

    use super::super::fixture;
    use super::*;

    #[test]
    fn it_reads_as_the_specification_spells_it() {
        let snapshot = Arc::new(fixture::snapshot(vec![fixture::vm(1)], 1_000));
        let json = otlp_json(&snapshot, &fixture::selection(), &ResourceSettings::default()).unwrap();
        let read: Value = serde_json::from_str(&json).unwrap();
        let resource = &read["resourceMetrics"][0];
        assert_eq!(resource["resource"]["attributes"][0]["key"], "service.namespace");
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "host-a");
        let metrics = resource["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let cpu = metrics.iter().find(|metric| metric["name"] == "libvirt.domain.cpu.usage").unwrap();
        let point = &cpu["sum"]["dataPoints"][0];
        assert_eq!(cpu["sum"]["isMonotonic"], true);
        assert_eq!(point["timeUnixNano"], "1000000000", "64-bit numbers are texts in JSON");
        assert!(point["asDouble"].is_number());
        let stuck = metrics.iter().find(|metric| metric["name"] == "libvirt.domain.collection.stuck").unwrap();
        assert_eq!(stuck["gauge"]["dataPoints"][0]["asInt"], "0");
    }

    #[test]
    fn the_json_says_what_a_first_push_says() {
        let snapshot = Arc::new(fixture::snapshot(vec![fixture::vm(1), fixture::vm(2)], 1_000));
        let json = otlp_json(&snapshot, &fixture::selection(), &ResourceSettings::default()).unwrap();
        let read: ExportMetricsServiceRequest = serde_json::from_str(&json).unwrap();
        let pushed = Requests::new(fixture::selection(), ResourceSettings::default()).push(&snapshot);
        assert_eq!(pushed.len(), 1);
        assert_eq!(read, ExportMetricsServiceRequest::decode(pushed[0].clone()).unwrap());
        let size = Requests::new(fixture::selection(), ResourceSettings::default()).size(&snapshot);
        assert_eq!((size.requests, size.bytes), (1, pushed[0].len()));
        let metrics = read.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics[0].metrics);
        assert_eq!(size.points, metrics.map(|metric| crate::testing::receiver::points(metric).len()).sum::<usize>());
    }
}
