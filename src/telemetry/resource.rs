//! The agent's own OpenTelemetry Resource.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// What identifies the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `service.name`
    pub service_name: String,
    /// `service.instance.id`: distinguishes agents with the same name.
    pub instance_id: String,
    /// `host.name`
    pub host_name: String,
    /// `k8s.node.name`; `None` where it is not the agent of a node.
    pub node: Option<String>,
    /// The user's attributes; they beat the others.
    pub attributes: Vec<(String, String)>,
}

impl Identity {
    /// The Resource of the agent's own metrics and logs. It does not read the environment: the configuration did.
    #[must_use]
    pub(super) fn resource(&self) -> Resource {
        let attribute = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
        Resource::builder_empty()
            .with_detector(Box::new(opentelemetry_sdk::resource::TelemetryResourceDetector))
            .with_attribute(attribute("service.name", &self.service_name))
            .with_attribute(attribute("service.instance.id", &self.instance_id))
            .with_attribute(attribute("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(attribute("host.name", &self.host_name))
            .with_attributes(self.node.iter().map(|node| attribute("k8s.node.name", node)))
            .with_attributes(self.attributes.iter().map(|(key, value)| attribute(key, value)))
            .build()
    }
}
