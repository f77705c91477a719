//! Stub, to be replaced.
#![allow(missing_docs)]
use std::fmt::Write as _;

use prometheus::proto::MetricFamily;

use crate::catalog::Selection;
use crate::snapshot::Snapshot;

#[derive(Debug, Clone, Copy)]
pub enum Format {
    Text004,
    OpenMetrics100,
}
impl Format {
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Self {
        if accept.is_some_and(|accept| accept.contains("openmetrics")) { Self::OpenMetrics100 } else { Self::Text004 }
    }
}
#[derive(Debug)]
pub struct Renderer;
impl Renderer {
    #[must_use]
    pub fn new(_selection: &Selection) -> Self {
        Self
    }
    pub fn render(&self, snapshot: &Snapshot, own: &[MetricFamily], _format: Format, out: &mut String) {
        out.push_str("# HELP libvirt_up Whether the daemon is connected.\n# TYPE libvirt_up gauge\n");
        for daemon in &snapshot.daemons {
            let _ = writeln!(out, "libvirt_up{{uri=\"{}\"}} {}", daemon.id, u8::from(daemon.up));
        }
        let encoder = prometheus::TextEncoder::new();
        let _ = encoder.encode_utf8(own, out);
    }
}
