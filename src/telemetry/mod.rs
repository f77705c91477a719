//! The agent's own telemetry: its metrics through the OpenTelemetry SDK, and its logs.
//!
//! ```text
//!  readings    what the stages counted, as plain numbers
//!  metrics     the table: one row a metric, read from the readings
//!  own         the SDK's instruments over the table; for /metrics, and pushed
//!  channel     the connection to the Collector
//!  resource    who says so
//!  logs        to standard error, and pushed
//! ```
//!
//! VMs' data does not pass through here: one Resource a provider, callbacks that cannot be taken back and points
//! without their own time make the SDK unfit for it.

mod channel;
mod logs;
mod metrics;
mod own;
mod readings;
mod resource;

pub use channel::{ChannelError, Collector};
pub use logs::{LogFormat, LogSettings, Logs, LogsError};
pub use metrics::{Emit, METRICS, OwnMetric, markdown};
pub use own::{Page, Push, Source};
pub use readings::{Calls, Daemon, Group, Observe, Otlp, Readings, Scrapes, Watch};
pub use resource::Identity;
