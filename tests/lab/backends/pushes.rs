//! What agents push for four VMs: two on a libvirt host, two of one namespace on one Kubernetes node.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, ResourceMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use virt_otel::catalog::{Selection, Vocabulary};
use virt_otel::export::otlp::{Requests, ResourceSettings};
use virt_otel::model::{Reading, Vm};
use virt_otel::snapshot::Snapshot;
use virt_otel::testing::{sample, vmis};

use crate::support::http;

/// The four VMs by the names that the configurations give them as hosts.
pub const HOSTS: [&str; 4] = ["db-1.shop", "vm-0001", "vm-0002", "web-1.shop"];

/// How much each counter grows from one push to the next.
pub const GROWTH: u16 = 10;

/// From one push to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Two agents, one in each mode, and what they have pushed.
pub struct Agents {
    agents: Vec<(Requests, Snapshot)>,
    pushes: u16,
    /// From the times of the samples to those of today, which backends accept.
    late: Duration,
}

impl Agents {
    pub fn new() -> Agents {
        Agents::with_domains(2)
    }

    /// With so many VMs on the libvirt host.
    pub fn with_domains(count: u128) -> Agents {
        Agents::started(count, Vec::new())
    }

    /// The one under KubeVirt was told its cluster's name.
    pub fn in_cluster(name: &str) -> Agents {
        Agents::started(2, vec![("k8s.cluster.name".to_owned(), name.to_owned())])
    }

    fn started(count: u128, in_cluster: Vec<(String, String)>) -> Agents {
        let libvirt = sample::fleet(count);
        let vms = vec![Arc::new(vmis::running()), Arc::new(vmis::paused())];
        let kubevirt = Snapshot { vms: vms.into(), ..vmis::snapshot() };
        let agents =
            [(Vocabulary::Libvirt, libvirt), (Vocabulary::Kubevirt, kubevirt)].map(|(vocabulary, snapshot)| {
                let attributes = if vocabulary == Vocabulary::Kubevirt { in_cluster.clone() } else { Vec::new() };
                let settings = ResourceSettings { attributes, ..ResourceSettings::default() };
                (Requests::new(Selection::everything(vocabulary), settings), snapshot)
            });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let read = Duration::from_nanos(sample::READ.unix_nanos());
        Agents { agents: agents.into(), pushes: 0, late: now - read }
    }

    /// A VM has ended: its series end with the next push.
    pub fn end(&mut self, name: &str) {
        for (_, snapshot) in &mut self.agents {
            let left: Vec<Arc<Vm>> = snapshot.vms.iter().filter(|vm| &*vm.identity.name != name).cloned().collect();
            snapshot.vms = left.into();
        }
    }

    /// What both push next: every VM has been read again.
    pub fn push(&mut self) -> Vec<ExportMetricsServiceRequest> {
        let since = INTERVAL * u32::from(self.pushes);
        let growth = self.pushes * GROWTH;
        self.pushes += 1;
        let late = self.late;
        self.agents
            .iter_mut()
            .flat_map(|(requests, snapshot)| requests.push(&Arc::new(read_again(snapshot, since))))
            .map(|bytes| {
                let mut request = ExportMetricsServiceRequest::decode(bytes).unwrap();
                for metric in metrics(&mut request) {
                    let counts = matches!(&metric.data, Some(Data::Sum(sum)) if sum.is_monotonic);
                    for point in points(metric) {
                        today(point, late);
                        if counts {
                            grow(point, growth);
                        }
                    }
                }
                request
            })
            .collect()
    }

    /// Pushes to the Collector at this port of OTLP over HTTP.
    #[track_caller]
    pub fn push_to(&mut self, port: u16) {
        for request in self.push() {
            let headers = [("Content-Type", "application/x-protobuf")];
            let response = http::post(port, "/v1/metrics", &headers, &request.encode_to_vec()).unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
        }
    }
}

/// Moves times to today.
fn today(point: &mut NumberDataPoint, late: Duration) {
    let late = u64::try_from(late.as_nanos()).unwrap();
    point.time_unix_nano += late;
    if point.start_time_unix_nano > 0 {
        point.start_time_unix_nano += late;
    }
}

fn grow(point: &mut NumberDataPoint, by: u16) {
    match &mut point.value {
        Some(Value::AsInt(value)) => *value += i64::from(by),
        Some(Value::AsDouble(value)) => *value += f64::from(by),
        None => {}
    }
}

fn metrics(request: &mut ExportMetricsServiceRequest) -> impl Iterator<Item = &mut Metric> {
    let scopes = request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
    scopes.flat_map(|scope| &mut scope.metrics)
}

fn points(metric: &mut Metric) -> &mut [NumberDataPoint] {
    match &mut metric.data {
        Some(Data::Gauge(gauge)) => &mut gauge.data_points,
        Some(Data::Sum(sum)) => &mut sum.data_points,
        other => panic!("the catalogue has no such metrics: {other:?}"),
    }
}

/// The same VMs, read later.
fn read_again(snapshot: &Snapshot, later: Duration) -> Snapshot {
    fn one<T>(reading: &mut Option<Reading<T>>, later: Duration) {
        if let Some(reading) = reading {
            reading.at = reading.at.after(later);
        }
    }
    let vms: Vec<Arc<Vm>> = snapshot
        .vms
        .iter()
        .map(|vm| {
            let mut vm = (**vm).clone();
            one(&mut vm.cpu, later);
            one(&mut vm.vcpus, later);
            one(&mut vm.memory, later);
            one(&mut vm.disks, later);
            one(&mut vm.nics, later);
            Arc::new(vm)
        })
        .collect();
    Snapshot { published: snapshot.published.after(later), vms: vms.into(), ..snapshot.clone() }
}

/// The text of an attribute.
pub fn text<'a>(resource: &'a Resource, key: &str) -> Option<&'a str> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    let attribute = resource.attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Any::StringValue(value) => Some(value),
        _ => None,
    }
}

/// Every metric of some requests, with its Resource.
pub fn received<'r>(
    requests: &'r [ExportMetricsServiceRequest],
) -> impl Iterator<Item = (&'r Resource, &'r Metric)> + Clone + use<'r> {
    let resources = requests.iter().flat_map(|request| &request.resource_metrics);
    resources.flat_map(|of: &ResourceMetrics| {
        let resource = of.resource.as_ref().unwrap();
        of.scope_metrics.iter().flat_map(|scope| &scope.metrics).map(move |metric| (resource, metric))
    })
}

/// The points of a metric that was received, whatever its temporality.
pub fn numbers(metric: &Metric) -> &[NumberDataPoint] {
    match &metric.data {
        Some(Data::Gauge(gauge)) => &gauge.data_points,
        Some(Data::Sum(sum)) => &sum.data_points,
        other => panic!("the catalogue has no such metrics: {other:?}"),
    }
}
