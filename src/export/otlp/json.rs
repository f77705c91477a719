//! The same requests as OTLP's JSON.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

use super::book::{Book, Cycle, Extent};
use super::settings::ResourceSettings;
use crate::catalog::Selection;
use crate::snapshot::Snapshot;

/// A snapshot as one `ExportMetricsServiceRequest` in OTLP's JSON encoding: what a first push of it would say.
///
/// # Errors
///
/// When it cannot be serialised, which does not happen with what a snapshot holds.
pub fn otlp_json(
    snapshot: &Arc<Snapshot>,
    selection: &Selection,
    settings: &ResourceSettings,
) -> Result<String, serde_json::Error> {
    let mut request = ExportMetricsServiceRequest::default();
    let cycle = Cycle { snapshot: Arc::clone(snapshot), taken: snapshot.published, extent: Extent::Everything };
    Book::new(selection.clone(), settings.clone()).build(&cycle, &mut |messages, _, _| {
        request.resource_metrics.extend(messages.iter().map(|message| (*message).clone()));
        Ok(())
    });
    serde_json::to_string_pretty(&request)
}

#[cfg(test)]
mod tests {
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
    }
}
