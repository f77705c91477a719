//! The admin server: `/metrics`, `/livez`, `/readyz` and a status page; the two probes may have their own address.
//!
//! It reads memory only: no request waits for libvirt, or makes anything else wait for it. Everything a client can ask
//! for is bounded by [`limits`]. Who may ask, and whether within TLS, is `web`'s to say.

mod answer;
mod connection;
mod content;
mod counters;
mod guarded;
mod gzip;
pub mod limits;
mod listener;
mod metrics;
mod paths;
mod room;
mod routes;
mod server;
mod site;
mod slot;
mod status;
mod write_timeout;

pub use content::{Content, Made, NotMade, Page, Pushes, State, Status};
pub use counters::ScrapeCounters;
pub use listener::{ListenError, bind};
pub use metrics::METRICS;
pub use paths::Paths;
pub use routes::SERVER;
pub use server::serve;
pub use site::Site;
