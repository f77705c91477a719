//! `virt-otel snapshot`: one reading of everything, printed.

use std::io::{IsTerminal as _, Write};
use std::sync::Arc;

use super::progress::Line;
use super::{Exit, output, printed, table};
use crate::agent::{self, AgentError, Once, runs};
use crate::config::{self, SnapshotFormat, Vms};
use crate::export::otlp::otlp_json;
use crate::export::prometheus::{Format, Renderer};
use crate::model::Vm;
use crate::snapshot::Snapshot;
use crate::telemetry::Logs;

/// Reads once and prints.
pub(super) fn snapshot(config: &config::Snapshot, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    // What it says on the way is for people, and gone when it is done.
    let terminal = std::io::stderr().is_terminal().then_some(&mut *err);
    let read = agent::runtime().map_err(AgentError::Runtime).and_then(|runtime| {
        let read = runtime.block_on(read(config, Line::on(terminal)));
        runtime.shutdown_background();
        read
    });
    let (snapshot, api) = match read {
        Ok(read) => read,
        Err(error) => {
            output::complain(err, &output::chain(&error));
            return Exit(error.exit_code());
        }
    };
    let text = match render(config, &snapshot) {
        Ok(text) => text,
        Err(error) => {
            output::complain(err, &format!("the snapshot could not be printed as JSON: {error}"));
            return Exit::FAILURE;
        }
    };
    let code = printed(out.write_all(text.as_bytes()), err);
    match missing(&snapshot, api).or_else(|| nobody(&config.source.vms, &snapshot)) {
        None => code,
        Some(sentence) => {
            output::complain(err, &sentence);
            Exit::FAILURE
        }
    }
}

/// What was read; and whether the Kubernetes API has listed the VMs.
async fn read(config: &config::Snapshot, mut line: Line<'_, '_>) -> Result<(Arc<Snapshot>, Api), AgentError> {
    let identity = agent::identity(&config.source, &config.identity, 0);
    let logs = Logs::start(&agent::logs(&config.logs, None), &identity)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let Once { snapshot, watch } = agent::read_once(&config.source, |snapshot| line.show(snapshot)).await?;
    logs.finish().await;
    let api = if watch.is_some_and(|watch| !watch.synced()) { Api::Silent } else { Api::Said };
    Ok((snapshot, api))
}

/// Whether the Kubernetes API has listed the VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    /// It has, or is not used.
    Said,
    /// It has not.
    Silent,
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

/// What did not answer, as a sentence; `None` if everything did.
fn missing(snapshot: &Snapshot, api: Api) -> Option<String> {
    if api == Api::Silent {
        let sentence = "the Kubernetes API did not say which VMs are on this node; the log before this says why";
        return Some(sentence.to_owned());
    }
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
    // Without a domain there is a type only if its libvirt should report one and does not, or reports another VM's.
    let away = |vm: &Vm| vm.hypervisor.is_some() && (vm.key.uuid.is_nil() || vm.collection.connected == Some(false));
    let silent = |vm: &Vm| runs(vm) && (vm.collection.stuck || vm.collection.complete != Some(true));
    if let Some(names) = agent::named(snapshot.vms.iter().filter(|vm| away(vm))) {
        return Some(format!("the libvirt of {names} could not be read; the log before this says why"));
    }
    let names = agent::named(snapshot.vms.iter().filter(|vm| silent(vm)))?;
    Some(format!("no complete answer from {names}; its QEMU hangs, or another job keeps it busy"))
}

/// A sentence if a sidecar has read nothing at all.
fn nobody(vms: &Vms, snapshot: &Snapshot) -> Option<String> {
    let Vms::Sidecar(sidecar) = vms else { return None };
    let socket = sidecar.socket.display();
    snapshot.vms.is_empty().then(|| {
        format!("no VM was read through {socket}; the log before this says why, or its domain has not started yet")
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{Collection, Daemon, DaemonId, HypervisorType, Identity, Place, Status, VmKey};

    fn vm(number: u128, state: i64, collection: Collection) -> Arc<Vm> {
        let (uuid, uri) = (Uuid::from_u128(number), DaemonId("qemu:///system".into()));
        Arc::new(Vm {
            status: Some(Status::from_libvirt(state, 0)),
            collection,
            ..Vm::new(
                VmKey { daemon: uri.clone(), uuid },
                Arc::new(Identity {
                    name: format!("vm-{number}").into(),
                    uuid: Some(uuid),
                    domain_type: None,
                    arch: None,
                    place: Place::host("host".into(), uri.0),
                }),
            )
        })
    }

    fn of(vms: Vec<Arc<Vm>>, up: bool) -> Snapshot {
        let daemon = Daemon { id: DaemonId("qemu:///system".into()), up, reason: None, facts: None, domains: None };
        Snapshot { complete: true, daemons: vec![Arc::new(daemon)], vms: vms.into(), ..Snapshot::default() }
    }

    const RUNNING: i64 = 1;
    const SHUT_OFF: i64 = 5;

    fn collection(complete: Option<bool>, stuck: bool) -> Collection {
        Collection { stuck, complete, ..Collection::default() }
    }

    #[test]
    fn everyone_who_runs_must_have_answered() {
        let well = vm(1, RUNNING, collection(Some(true), false));
        let off = vm(2, SHUT_OFF, collection(None, false));
        assert_eq!(missing(&of(vec![Arc::clone(&well), off], true), Api::Said), None);
        for silent in [collection(None, false), collection(Some(false), false), collection(Some(true), true)] {
            let sentence =
                missing(&of(vec![Arc::clone(&well), vm(3, RUNNING, silent)], true), Api::Said).expect("one is silent");
            assert!(sentence.contains("from vm-3;"), "{sentence}");
        }
    }

    #[test]
    fn a_daemon_that_is_down_is_named_before_its_vms() {
        let sentence = missing(&of(Vec::new(), false), Api::Said).expect("it is down");
        assert!(sentence.contains("qemu:///system"), "{sentence}");
    }

    #[test]
    fn a_vmi_without_a_domain_is_missed_only_when_its_libvirt_should_tell_of_it() {
        let mut bare = Vm::clone(&vm(1, RUNNING, Collection { connected: Some(false), ..Collection::default() }));
        bare.status = None;
        bare.key.uuid = Uuid::nil();
        bare.identity = Arc::new(Identity { uuid: None, ..Identity::clone(&bare.identity) });
        assert_eq!(missing(&of(vec![Arc::new(bare.clone())], true), Api::Said), None, "it does not run yet");
        let sentence = missing(&of(vec![Arc::new(bare.clone())], true), Api::Silent).expect("the API is silent");
        assert!(sentence.contains("Kubernetes API"), "{sentence}");
        bare.hypervisor = Some(HypervisorType::Unknown);
        let sentence = missing(&of(vec![Arc::new(bare.clone())], true), Api::Said).expect("its libvirt is away");
        assert!(sentence.contains("libvirt of vm-1"), "{sentence}");
        bare.collection.connected = Some(true);
        assert!(missing(&of(vec![Arc::new(bare)], true), Api::Said).is_some(), "its libvirt has another's domain");
    }

    #[test]
    fn a_sidecar_that_has_read_nothing_says_so() {
        let sidecar = Vms::Sidecar(config::Sidecar {
            socket: "/run/sock".into(),
            node: "here".to_owned(),
            namespace: "shop".to_owned(),
            pod_uid: "1".to_owned(),
            vmi_name: None,
        });
        let sentence = nobody(&sidecar, &Snapshot::default()).expect("it has read nothing");
        assert!(sentence.contains("/run/sock"), "{sentence}");
        let read = of(vec![vm(1, RUNNING, collection(Some(true), false))], true);
        assert_eq!(nobody(&sidecar, &read), None);
        let host = Vms::Libvirt { daemons: Vec::new() };
        assert_eq!(nobody(&host, &Snapshot::default()), None, "a host may be without VMs");
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let vms = (1..=8).map(|number| vm(number, RUNNING, collection(None, true))).collect();
        let sentence = missing(&of(vms, true), Api::Said).expect("all are silent");
        assert!(sentence.contains("vm-5 and 3 more;") && !sentence.contains("vm-6"), "{sentence}");
    }
}
