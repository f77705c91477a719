//! The agent's own metrics about the guard of the admin server's address.

use super::admission::Refusal;
use super::counters::WebCounters;
use crate::catalog::{Attribute, Label, OwnMetric, Unit};

/// Why a request was refused.
const REFUSAL: Attribute =
    Attribute::closed("error.type", "reason", "Why a request was refused before it was answered.", &Refusal::NAMES);

/// One row per metric.
pub const METRICS: &[OwnMetric<WebCounters>] = &[
    OwnMetric::counters(
        "virt_otel.requests_refused",
        Unit::Count("request"),
        &[&REFUSAL],
        "Requests at --listen that were refused by what --web-config-file and --web-auth demand.",
        |now, emit| {
            for refusal in Refusal::ALL {
                emit(&[Label::new(&REFUSAL, refusal.as_str())], now.refused(refusal).into());
            }
        },
    ),
    OwnMetric::counter(
        "virt_otel.handshakes_failed",
        Unit::Count("handshake"),
        "TLS handshakes at --listen that failed: other protocols, certificates of clients that are not accepted, silence.",
        |now| Some(now.handshakes_failed().into()),
    ),
    OwnMetric::gauge(
        "virt_otel.web_config.current",
        Unit::None,
        "Whether what --web-config-file and the files it names have now is in force, 1 or 0; at 0 the last good one is.",
        |now| Some(now.current().into()),
    ),
    OwnMetric::counter(
        "virt_otel.web_config.changes",
        Unit::Count("change"),
        "Changes of --web-config-file, or of a file that it names, that were taken over.",
        |now| Some(now.changes().into()),
    ),
];
