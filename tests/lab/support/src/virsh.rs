//! `virsh`, the other client of the daemons.

use std::process::Command;
use std::time::Duration;

use super::process;

/// Runs it on a URI's daemon, and kills it after the timeout. Returns its output, or its errors if it failed.
pub fn run(uri: &str, timeout: Duration, arguments: &[&str]) -> Result<String, String> {
    match process::run(command(uri, arguments), timeout) {
        None => Err(format!("no end within {timeout:?}")),
        Some(output) if output.code == Some(0) => Ok(output.stdout),
        Some(output) => Err(output.stderr),
    }
}

pub fn command(uri: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("virsh");
    command.args(["--quiet", "--connect", uri]).args(arguments);
    plain(&mut command);
    command
}

/// Prints a line for each event in a guest's lifecycle, with its time, until it is killed.
pub fn lifecycle_events(uri: &str, name: &str) -> Command {
    // virsh buffers its output to a pipe or file.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "virsh", "--quiet", "--connect", uri]);
    command.args(["event", "--loop", "--timestamp", "--event", "lifecycle", "--domain", name]);
    plain(&mut command);
    command
}

/// Tests compare messages, so no user settings may change them.
fn plain(command: &mut Command) {
    command.env("LC_ALL", "C").env_remove("LIBVIRT_DEFAULT_URI").env_remove("VIRSH_DEFAULT_CONNECT_URI");
}
