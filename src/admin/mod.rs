//! The admin server: `/metrics`, `/livez`, `/readyz` and a landing page.
//!
//! It reads memory only: no request makes anything wait for libvirt, and none waits for it. Everything a client can
//! ask for is bounded by [`limits`].

mod content;
mod counters;
mod gzip;
mod landing;
pub mod limits;
mod listener;
mod routes;
mod server;
mod stall;

pub use content::{Content, DaemonState, Page, State};
pub use counters::ScrapeCounters;
pub use listener::{ListenError, bind};
pub use server::serve;
