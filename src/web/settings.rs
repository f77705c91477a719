//! What a document that was understood asks for.

use std::sync::Arc;

use rustls::ServerConfig;

use super::clients::Policy;
use super::headers::Header;
use super::rate::Rate;
use super::users::Users;

/// One reading of the document, ready for use. A later one replaces it as a whole.
pub struct Settings {
    pub(super) tls: Option<Tls>,
    pub(super) headers: Vec<Header>,
    pub(super) users: Users,
    pub(super) rate: Option<Rate>,
}

/// TLS, and what it demands of clients.
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) policy: Policy,
    /// Whether a client's certificate must have one of some names.
    pub(super) names: bool,
}

impl Settings {
    /// Whether connections are TLS.
    #[must_use]
    pub const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether clients need a password.
    #[must_use]
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether clients need a certificate.
    #[must_use]
    pub fn demands_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.policy.is_mandatory())
    }
}

/// It holds private keys and hashes.
impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("tls", &self.has_tls())
            .field("users", &self.has_users())
            .finish_non_exhaustive()
    }
}
