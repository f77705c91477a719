//! How the admin server's address is guarded: the document of `--web-config-file`, in the format of Prometheus'
//! exporter-toolkit, and who may ask.
//!
//! ```text
//!  document  the file's format          files     reads it and what it names, within bounds
//!  judge     from a document to Settings:  tls, suites, clients, names; headers; users; rate
//!  follow    reads again, and keeps the last good Settings
//!  guard     whether one request is admitted:  passwords (bcrypt), tokens (reviewed elsewhere)
//! ```
//!
//! It knows nothing of HTTP messages: `admin` turns an [`Admission`] into a response. Nor does it know Kubernetes: whoever
//! reviews a token is a [`Review`].

mod admission;
mod clients;
mod counters;
mod digest;
mod document;
mod error;
mod files;
mod follow;
mod guard;
mod handshake;
mod headers;
mod judge;
pub mod limits;
mod loosening;
mod memory;
mod metrics;
mod names;
mod passwords;
mod rate;
mod security;
mod settings;
mod suites;
mod tls;
mod tokens;
mod users;

#[cfg(test)]
pub(crate) mod testing;

pub use admission::{Admission, Refusal};
pub use counters::WebCounters;
pub use error::WebError;
pub use follow::{Current, Follower, Loaded, load};
pub use guard::Guard;
pub use handshake::{Secured, secure};
pub use metrics::METRICS;
pub use security::Security;
pub use settings::Settings;
pub use tokens::{NoAnswer, Review, Reviewing, Tokens, Verdict};
