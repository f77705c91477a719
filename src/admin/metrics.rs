//! The agent's own metrics about the admin server.

use super::counters::ScrapeCounters;
use crate::catalog::{OwnMetric, Unit};

/// One row per metric.
pub const METRICS: &[OwnMetric<ScrapeCounters>] = &[
    OwnMetric::counter("virt_otel.scrapes", Unit::Count("scrape"), "Scrapes of /metrics that were answered.", |now| {
        Some(now.answered().into())
    }),
    OwnMetric::counter(
        "virt_otel.scrapes_refused",
        Unit::Count("scrape"),
        "Scrapes of /metrics that were refused because too many ran at once.",
        |now| Some(now.refused().into()),
    ),
    OwnMetric::counter("virt_otel.scrape.duration", Unit::Seconds, "Time spent rendering /metrics.", |now| {
        Some(now.duration().into())
    }),
    OwnMetric::counter(
        "virt_otel.scrape.size",
        Unit::Bytes,
        "Size of the rendered /metrics before compression.",
        |now| Some(now.bytes().into()),
    ),
];
