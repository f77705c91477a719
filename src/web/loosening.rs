//! What a change of the document may not do while the agent runs.

use super::settings::{Settings, Tls};

/// What a change would open, if it opens anything. A file that is being written, or was emptied by mistake, is a valid
/// document that guards nothing; opening the address takes a restart.
pub(super) fn loosened(before: &Settings, after: &Settings) -> Option<&'static str> {
    let policy = |settings: &Settings, holds: fn(&Tls) -> bool| settings.tls.as_ref().is_some_and(holds);
    let lost = |holds: fn(&Tls) -> bool| policy(before, holds) && !policy(after, holds);
    if lost(|_| true) {
        Some("TLS")
    } else if lost(|tls| tls.policy.is_mandatory()) {
        Some("the demand for certificates of clients")
    } else if lost(|tls| tls.policy.verifies()) {
        Some("the verification of clients' certificates")
    } else if lost(|tls| tls.names) {
        Some("client_allowed_sans")
    } else if before.has_users() && !after.has_users() {
        Some("every user")
    } else {
        None
    }
}
