//! Who started the agent and wants to hear how it is: systemd, or another that speaks its protocol (`sd_notify(3)`).

use std::time::Duration;

use super::error::Given;
use super::layers::Layers;

/// Where the service manager listens, and how often it wants a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceManager {
    /// `NOTIFY_SOCKET`: the path of a datagram socket, or `@` and an abstract name.
    pub socket: String,
    /// `WATCHDOG_USEC`: after how long without one it acts; `None` if it does not.
    pub watchdog: Option<Duration>,
}

/// What the service manager has said in the environment. What is not understood is no reason not to run: it is warned of.
/// `process`: the number of this one.
pub(super) fn service_manager(layers: Layers<'_>, process: u32, warnings: &mut Vec<String>) -> Option<ServiceManager> {
    let socket = layers.variable("NOTIFY_SOCKET")?;
    if !socket.value.starts_with(['/', '@']) || socket.value.len() < 2 {
        warnings.push(ignored(&socket, "is neither a path nor @ and a name; no service manager is told anything"));
        return None;
    }
    Some(ServiceManager { watchdog: watchdog(layers, process, warnings), socket: socket.value })
}

fn watchdog(layers: Layers<'_>, process: u32, warnings: &mut Vec<String>) -> Option<Duration> {
    // Meant for another process: whoever started this one has passed it on.
    if layers.variable("WATCHDOG_PID").is_some_and(|pid| pid.value != process.to_string()) {
        return None;
    }
    let given = layers.variable("WATCHDOG_USEC")?;
    match given.value.parse() {
        Ok(micros) if micros > 0 => Some(Duration::from_micros(micros)),
        _ => {
            warnings.push(ignored(&given, "is no number of microseconds; the watchdog is told nothing"));
            None
        }
    }
}

fn ignored(given: &Given, why: &str) -> String {
    format!("{}: `{}` {why}", given.origin, given.value)
}
