//! The agent's own telemetry: its metrics through the OpenTelemetry SDK, and its logs.
//!
//! ```text
//!  own         SDK instruments for the stages' tables of metrics; for /metrics, and pushed
//!  channel     the connection to the Collector
//!  resource    the agent's Resource
//!  logs        to standard error, and pushed
//! ```
//!
//! VMs' data does not pass through here: one Resource per provider, callbacks that cannot be unregistered and points
//! without their own time make the SDK unfit for it.

mod channel;
mod kept;
mod logs;
mod own;
mod resource;

pub use channel::ChannelError;
pub use kept::KeptLines;
pub use logs::{LogFormat, LogSettings, Logs, LogsError};
pub use own::{Page, Push};
pub use resource::Identity;
