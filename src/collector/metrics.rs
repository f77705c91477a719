//! The agent's own metrics about credentials.

use super::CredentialCounters;
use crate::catalog::{OwnMetric, Unit};

/// One row per metric. Authorities, a certificate with its key, and headers are one credential each.
pub const METRICS: &[OwnMetric<CredentialCounters>] = &[
    OwnMetric::counter(
        "virt_otel.credentials.renewed",
        Unit::Count("credential"),
        "Credentials for the Collector that were replaced by what their files hold now.",
        |now| Some(now.renewed().into()),
    ),
    OwnMetric::counter(
        "virt_otel.credentials.refused",
        Unit::Count("credential"),
        "New credentials for the Collector that could not be used, counted at each change of their files.",
        |now| Some(now.refused().into()),
    ),
    OwnMetric::gauge(
        "virt_otel.credentials.unusable",
        Unit::Count("credential"),
        "Credentials for the Collector whose files cannot be used now: what they last held is used on.",
        |now| Some(now.unusable().into()),
    ),
];
