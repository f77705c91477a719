//! The parts of vendors' own messages that say what a figure is about.

/// `datadog.agentpayload.MetricPayload`: what Datadog's intake takes at /api/v2/series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DatadogPayload {
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<DatadogSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DatadogSeries {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<DatadogResource>,
    #[prost(string, tag = "2")]
    pub metric: String,
    #[prost(string, repeated, tag = "3")]
    pub tags: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub points: Vec<DatadogPoint>,
    /// 1 is a count, 2 a rate, 3 a gauge.
    #[prost(int32, tag = "5")]
    pub kind: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DatadogResource {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DatadogPoint {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// A count, in [`DatadogSeries::kind`].
pub const DATADOG_COUNT: i32 = 1;

impl DatadogSeries {
    /// The host that it is shown under.
    pub fn host(&self) -> &str {
        self.resources.iter().find(|resource| resource.kind == "host").map_or("", |resource| &resource.name)
    }
}

/// `com.signalfx.metrics.protobuf.DataPointUploadMessage`: what Splunk Observability takes at /v2/datapoint.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SplunkUpload {
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<SplunkPoint>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SplunkPoint {
    #[prost(string, tag = "2")]
    pub metric: String,
    #[prost(message, optional, tag = "4")]
    pub value: Option<SplunkValue>,
    /// 0 is a gauge, 1 a counter, 3 a cumulative counter.
    #[prost(int32, optional, tag = "5")]
    pub kind: Option<i32>,
    #[prost(message, repeated, tag = "6")]
    pub dimensions: Vec<SplunkDimension>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SplunkValue {
    #[prost(double, optional, tag = "2")]
    pub double: Option<f64>,
    #[prost(int64, optional, tag = "3")]
    pub integer: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SplunkDimension {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A cumulative counter, in [`SplunkPoint::kind`].
pub const SPLUNK_CUMULATIVE: i32 = 3;

impl SplunkPoint {
    pub fn dimension(&self, key: &str) -> &str {
        self.dimensions.iter().find(|dimension| dimension.key == key).map_or("", |dimension| &dimension.value)
    }
}
