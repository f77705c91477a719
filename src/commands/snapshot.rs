//! `virt-otel snapshot`: one reading of everything, printed.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{output, printed, table};
use crate::agent::{self, AgentError, Sources};
use crate::clock::SystemClock;
use crate::config::{self, SnapshotFormat};
use crate::export::otlp::otlp_json;
use crate::export::prometheus::{Format, Renderer};
use crate::model::Vm;
use crate::observe::{self, Health, Intervals};
use crate::snapshot::{self, Snapshot};
use crate::telemetry::Logs;

/// How long the round may take besides the deadline of each call: the first reading in a daemon's life takes up to
/// thirty seconds, and 500 VMs take three.
const ROUND: Duration = Duration::from_secs(45);

/// Every VM is read once, at once and without a second time: the first readings of an interval are spread over it, and
/// a person waits.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many that did not answer are named.
const NAMED: usize = 5;

/// Reads once and prints.
pub(super) fn snapshot(config: &config::Snapshot, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let read = agent::runtime(config.source.uris.len()).map_err(AgentError::Runtime).and_then(|runtime| {
        let read = runtime.block_on(read(config));
        runtime.shutdown_background();
        read
    });
    let snapshot = match read {
        Ok(snapshot) => snapshot,
        Err(error) => {
            output::complain(err, &output::chain(&error));
            return ExitCode::from(error.exit_code());
        }
    };
    let text = match render(config, &snapshot) {
        Ok(text) => text,
        Err(error) => {
            output::complain(err, &format!("the snapshot could not be printed as JSON: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = printed(out.write_all(text.as_bytes()), err);
    match missing(&snapshot) {
        None => code,
        Some(sentence) => {
            output::complain(err, &sentence);
            ExitCode::FAILURE
        }
    }
}

/// The snapshot in which everything has been read, or the latest when time is up.
async fn read(config: &config::Snapshot) -> Result<Arc<Snapshot>, AgentError> {
    let identity = agent::identity(&config.identity, 0);
    let logs = Logs::start(&agent::logs(&config.logs, None), &identity)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let (publish, mut snapshots) = snapshot::channel();
    let stop = CancellationToken::new();
    let settings = observe::Settings { intervals: Intervals::uniform(INTERVAL), ..observe::Settings::default() };
    let observing = tokio::spawn(observe::run(
        settings,
        Sources::start(&config.source).into_feeds(),
        Arc::new(SystemClock::new()),
        publish,
        Arc::new(Health::new()),
        stop.clone(),
    ));
    let patience = config.source.deadline + ROUND;
    let done = async {
        let is_done = |snapshot: &Arc<Snapshot>| snapshot.complete && snapshot.vms.iter().all(|vm| answered(vm));
        let _ = snapshots.wait_for(is_done).await;
    };
    let _ = tokio::time::timeout(patience, done).await;
    let snapshot = Arc::clone(&snapshots.borrow());
    stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), observing).await;
    logs.finish().await;
    Ok(snapshot)
}

/// Whether there is nothing to wait for: it does not run, was read, or hangs.
fn answered(vm: &Vm) -> bool {
    let runs = vm.status.is_none_or(|status| status.state.is_active());
    !runs || vm.collection.complete.is_some() || vm.collection.stuck
}

fn render(config: &config::Snapshot, snapshot: &Arc<Snapshot>) -> Result<String, serde_json::Error> {
    match config.format {
        SnapshotFormat::Table => Ok(table::table(snapshot)),
        SnapshotFormat::Prometheus => {
            let mut text = String::new();
            Renderer::new(&config.selection).render(snapshot, &[], Format::Text004, &mut text);
            Ok(text)
        }
        SnapshotFormat::OtlpJson => {
            let resource = agent::resource(&config.source, &config.identity);
            otlp_json(snapshot, &config.selection, &resource).map(|json| json + "\n")
        }
    }
}

/// Who did not answer, as a sentence; `None` if everyone did.
fn missing(snapshot: &Snapshot) -> Option<String> {
    let daemons = snapshot.daemons.iter().filter(|daemon| !daemon.up).map(|daemon| daemon.id.to_string());
    let daemons: Vec<String> = daemons.collect();
    if !daemons.is_empty() {
        return Some(format!(
            "no answer from {}; check that the daemon runs and that this user may read it (`virsh -r -c URI list`)",
            daemons.join(", ")
        ));
    }
    if !snapshot.complete {
        return Some("not every daemon was read in time; try again, or raise --deadline".to_owned());
    }
    let silent = |vm: &&Arc<Vm>| {
        let runs = vm.status.is_none_or(|status| status.state.is_active());
        runs && (vm.collection.stuck || vm.collection.complete != Some(true))
    };
    let names: Vec<&str> = snapshot.vms.iter().filter(silent).map(|vm| &*vm.identity.name).collect();
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    Some(format!("no complete answer from {named}{more}; its QEMU hangs, or another job keeps it busy"))
}
