//! One VM, whole: who it is, each of its devices, and how old what is known of it is. Pure.

use std::time::Duration;

use crate::commands::table::{self, ABSENT, absent};
use crate::model::{Bytes, Place, Vm};

/// What is known of a VM, a name and a value a line.
pub(super) fn lines(vm: &Vm) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut line = |what, text: String| lines.push((what, table::printable(&text)));
    if let Some(uuid) = vm.identity.uuid {
        line("UUID", uuid.to_string());
    }
    match &vm.identity.place {
        Place::Host { .. } => line("DAEMON", vm.key.daemon.0.to_string()),
        Place::Launcher(launcher) => line("NODE", launcher.node.to_string()),
    }
    if vm.collection.connected == Some(false) {
        line("LIBVIRT", "it cannot be reached".to_owned());
    }
    if let Some(description) = &vm.description {
        line("RUNS ON", format!("{} {}", description.domain_type, description.machine.as_deref().unwrap_or(ABSENT)));
        for (key, text) in description.metadata.iter().flat_map(|metadata| metadata.texts()) {
            line("METADATA", format!("{} {text}", key.as_str()));
        }
    }
    let bytes = |bytes: Option<Bytes>| bytes.map_or_else(absent, table::humane);
    if let Some(memory) = vm.memory.as_ref().map(|memory| &memory.value) {
        line("MEMORY", format!("{} used/total, QEMU has {} resident", table::memory(vm), bytes(memory.resident)));
    }
    for vcpu in vm.vcpus.iter().flat_map(|vcpus| &vcpus.value.each) {
        let (vcpu, time) = (&vcpu.value, |span: Option<Duration>| span.map_or_else(absent, seconds));
        line("VCPU", format!("{} ran {}, waited {} for a processor", vcpu.number, time(vcpu.time), time(vcpu.delay)));
    }
    for disk in vm.disks.iter().flat_map(|disks| &disks.value) {
        let disk = &disk.value;
        let source = disk.description.as_ref().and_then(|disk| disk.source.as_deref()).unwrap_or(ABSENT);
        let (read, written) = (bytes(disk.read_bytes), bytes(disk.write_bytes));
        line("DISK", format!("{} {source}: read {read}, written {written}", disk.drive()));
    }
    for nic in vm.nics.iter().flat_map(|nics| &nics.value) {
        let nic = &nic.value;
        let (received, sent) = (bytes(nic.receive_bytes), bytes(nic.transmit_bytes));
        line("NETWORK", format!("{}: received {received}, sent {sent}", nic.interface()));
    }
    if let Some(job) = &vm.job {
        let job = &job.value;
        line("JOB", format!("{}: {} of {}", job.operation.as_str(), bytes(job.data_processed), bytes(job.data_total)));
    }
    for age in &vm.collection.ages {
        line("READ", format!("{} {} ago", age.group.as_str(), seconds(age.age)));
    }
    lines
}

fn seconds(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;

    #[test]
    fn each_device_has_a_line_and_what_it_is_called() {
        let lines = lines(&sample::running());
        let text: String = lines.iter().map(|(what, text)| format!("{what} {text}\n")).collect();
        for part in ["DISK rootdisk", "NETWORK vnet", "METADATA ", "RUNS ON kvm pc-q35-7.2", "VCPU 0", "UUID ", "READ "]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn of_a_vm_of_which_nothing_is_known_there_is_who_it_is() {
        let vm = sample::running();
        let bare = Vm::new(vm.key.clone(), vm.identity.clone());
        let names: Vec<_> = lines(&bare).into_iter().map(|(what, _)| what).collect();
        assert_eq!(names, ["UUID", "DAEMON"]);
    }
}
