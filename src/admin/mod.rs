//! The admin server: `/metrics`, `/livez`, `/readyz` and a landing page; the two probes at an address of their own, if
//! there is one.
//!
//! It reads memory only: no request makes anything wait for libvirt, and none waits for it. Everything a client can
//! ask for is bounded by [`limits`].

mod content;
mod counters;
mod gzip;
mod landing;
pub mod limits;
mod listener;
mod room;
mod routes;
mod server;
mod slot;
mod stall;

pub use content::{Content, DaemonState, Made, NotMade, Page, State};
pub use counters::ScrapeCounters;
pub use listener::{ListenError, bind};
pub use routes::Paths;
pub use server::serve;
