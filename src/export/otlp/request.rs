//! Packs Resources into requests: as many as fit, in order, none split.

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};

use super::delivery::{DeliveryRecord, TooLarge};

/// The tag of `ExportMetricsServiceRequest.resource_metrics`: field 1, length-delimited.
const RESOURCE_METRICS_TAG: u8 = (1 << 3) | 2;

/// An encoded request: encoded once however often it is sent, and a seventh of the memory.
#[derive(Debug)]
pub(super) struct ExportRequest {
    /// An encoded `ExportMetricsServiceRequest`.
    pub(super) bytes: Bytes,
    /// How many points are in it.
    pub(super) points: usize,
    /// What to remember about each Resource in it once its outcome is known.
    pub(super) records: Vec<DeliveryRecord>,
}

/// The requests of one push under construction.
#[derive(Debug)]
pub(super) struct ExportRequests {
    limit: usize,
    open: BytesMut,
    points: usize,
    records: Vec<DeliveryRecord>,
    done: Vec<ExportRequest>,
}

impl ExportRequests {
    /// Requests of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, open: BytesMut::new(), points: 0, records: Vec::new(), done: Vec::new() }
    }

    /// Adds messages that must stay in one request.
    pub(super) fn add(
        &mut self,
        messages: &[&ResourceMetrics],
        points: usize,
        record: DeliveryRecord,
    ) -> Result<(), TooLarge> {
        let begin = self.open.len();
        for message in messages {
            self.open.put_u8(RESOURCE_METRICS_TAG);
            // It fails only where a buffer cannot grow, and this one can.
            let encoded = message.encode_length_delimited(&mut self.open);
            debug_assert!(encoded.is_ok());
        }
        // Measured afterwards: computing a message's length costs as much as part of encoding it.
        let bytes = self.open.len() - begin;
        if bytes > self.limit {
            self.open.truncate(begin);
            return Err(TooLarge { bytes });
        }
        if self.open.len() > self.limit {
            let last = self.open.split_off(begin);
            self.close();
            self.open = last;
        }
        self.points += points;
        self.records.push(record);
        Ok(())
    }

    /// The requests, in order.
    pub(super) fn finish(mut self) -> Vec<ExportRequest> {
        self.close();
        self.done
    }

    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.done.push(ExportRequest {
            bytes: self.open.split().freeze(),
            points: std::mem::take(&mut self.points),
            records: std::mem::take(&mut self.records),
        });
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

    use super::super::fixture;
    use super::*;

    fn messages(count: u128) -> Vec<ResourceMetrics> {
        (0..count)
            .map(|number| ResourceMetrics {
                resource: None,
                scope_metrics: Vec::new(),
                schema_url: format!("{number:0>100}"),
            })
            .collect()
    }

    fn requests(limit: usize, messages: &[ResourceMetrics]) -> Vec<ExportRequest> {
        let mut requests = ExportRequests::new(limit);
        for (number, message) in messages.iter().enumerate() {
            requests.add(&[message], 1, fixture::record(number)).unwrap();
        }
        requests.finish()
    }

    #[test]
    fn the_bytes_are_those_of_the_request_that_the_specification_describes() {
        let messages = messages(3);
        let requests = requests(10_000, &messages);
        let request = ExportMetricsServiceRequest { resource_metrics: messages };
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].bytes, request.encode_to_vec());
        assert_eq!((requests[0].points, requests[0].records.len()), (3, 3));
    }

    #[test]
    fn requests_are_filled_in_order_and_never_above_the_limit() {
        let messages = messages(10);
        let one = ExportMetricsServiceRequest { resource_metrics: vec![messages[0].clone()] }.encoded_len();
        let requests = requests(one * 3, &messages);
        assert_eq!(requests.iter().map(|request| request.points).collect::<Vec<_>>(), [3, 3, 3, 1]);
        let sent: Vec<_> = requests
            .iter()
            .flat_map(|request| {
                assert!(request.bytes.len() <= one * 3);
                ExportMetricsServiceRequest::decode(request.bytes.clone()).unwrap().resource_metrics
            })
            .collect();
        assert_eq!(sent, messages);
    }

    #[test]
    fn messages_that_belong_together_are_never_in_two_requests() {
        let messages = messages(3);
        let one = ExportMetricsServiceRequest { resource_metrics: vec![messages[0].clone()] }.encoded_len();
        let mut requests = ExportRequests::new(one * 2);
        requests.add(&[&messages[0]], 1, fixture::record(0)).unwrap();
        requests.add(&[&messages[1], &messages[2]], 2, fixture::record(1)).unwrap();
        let done = requests.finish();
        assert_eq!(done.iter().map(|request| request.points).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn what_is_larger_than_a_request_is_refused_and_the_rest_goes_on() {
        let messages = messages(2);
        let one = ExportMetricsServiceRequest { resource_metrics: vec![messages[0].clone()] }.encoded_len();
        let mut requests = ExportRequests::new(one);
        assert_eq!(
            requests.add(&[&messages[0], &messages[1]], 2, fixture::record(0)),
            Err(TooLarge { bytes: one * 2 })
        );
        requests.add(&[&messages[1]], 1, fixture::record(1)).unwrap();
        assert_eq!(requests.finish().len(), 1);
    }

    #[test]
    fn nothing_makes_no_request() {
        assert!(ExportRequests::new(100).finish().is_empty());
    }
}
