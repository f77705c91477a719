//! Reads the status.

use std::sync::Arc;

use k8s_openapi::jiff;

use super::json::{Raw, elements, flag, members, number, parsed, pick, text};
use super::{Tally, limits, quantity};
use crate::model::{
    Bytes, Condition, ConditionKind, GuestInterface, GuestOs, LauncherPod, Migration, MigrationMode, Phase, Timestamp,
    Topology, Vmi, VmiMemory,
};

/// Reads `status`, and `spec`'s eviction strategy and CPU topology.
pub(super) fn read(spec: Raw<'_>, status: Raw<'_>, vmi: &mut Vmi, tally: &mut Tally) {
    let [phase, node, pods, user, conditions, migration, interfaces, guest, machine, memory, topology] = pick(
        status,
        [
            "phase",
            "nodeName",
            "activePods",
            "runtimeUser",
            "conditions",
            "migrationState",
            "interfaces",
            "guestOSInfo",
            "machine",
            "memory",
            "currentCPUTopology",
        ],
        tally,
    );
    vmi.phase = self::phase(phase, tally);
    vmi.node = text(node, limits::NAME, tally);
    vmi.pods = self::pods(pods, tally);
    vmi.runtime_user = number(user, tally);
    vmi.conditions = self::conditions(conditions, tally);
    vmi.migration = migration.filter(|raw| raw.get() != "null").map(|raw| self::migration(raw, tally));
    vmi.addresses = self::interfaces(interfaces, tally);
    vmi.guest = self::guest(guest, tally);
    let [machine] = pick(machine, ["type"], tally);
    vmi.machine = text(machine, limits::WORD, tally);
    vmi.memory = self::memory(memory, tally);

    let [domain, eviction] = pick(spec, ["domain", "evictionStrategy"], tally);
    vmi.eviction_strategy = text(eviction, limits::WORD, tally);
    let [cpu] = pick(domain, ["cpu"], tally);
    vmi.topology = match self::topology(topology, tally) {
        unsaid if unsaid == Topology::default() => self::topology(cpu, tally),
        said => said,
    };
}

fn phase(raw: Raw<'_>, tally: &mut Tally) -> Phase {
    // A new VMI has none; one that cannot be understood is `Unknown`.
    match raw.map(serde_json::value::RawValue::get) {
        None | Some("null" | "\"\"") => Phase::Unset,
        Some(_) => text(raw, limits::WORD, tally).map_or(Phase::Unknown, |name| Phase::from_api(&name)),
    }
}

fn pods(raw: Raw<'_>, tally: &mut Tally) -> Vec<LauncherPod> {
    let mut pods: Vec<LauncherPod> = Vec::new();
    members(raw, tally, |uid, node, tally| {
        // The UID becomes part of a path.
        let is_uid = (1..=limits::UID).contains(&uid.len())
            && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_uid || pods.len() >= limits::PODS_READ {
            tally.field();
        } else if let Some(node) = text(Some(node), limits::NAME, tally) {
            pods.retain(|known| *known.uid != *uid);
            pods.push(LauncherPod { uid: uid.into(), node });
        }
    });
    pods
}

fn conditions(raw: Raw<'_>, tally: &mut Tally) -> Box<[Condition]> {
    let mut conditions: Vec<Condition> = Vec::new();
    elements(raw, limits::CONDITIONS, tally, |raw, tally| {
        let [kind, status] = pick(Some(raw), ["type", "status"], tally);
        let Some(kind) = text(kind, limits::WORD, tally) else { return };
        let Some(kind) = ConditionKind::from_api(&kind) else { return };
        let is_true = match text(status, limits::WORD, tally).as_deref() {
            Some("True") => Some(true),
            Some("False") => Some(false),
            Some("Unknown") => None,
            _ => return,
        };
        if conditions.iter().all(|known| known.kind != kind) {
            conditions.push(Condition { kind, is_true });
        }
    });
    conditions.sort_by_key(|condition| condition.kind);
    conditions.into()
}

fn migration(raw: &serde_json::value::RawValue, tally: &mut Tally) -> Migration {
    let [uid, start, end, source, target, completed, failed, mode] = pick(
        Some(raw),
        ["migrationUid", "startTimestamp", "endTimestamp", "sourceNode", "targetNode", "completed", "failed", "mode"],
        tally,
    );
    Migration {
        uid: text(uid, limits::UID, tally),
        start: moment(start, tally),
        end: moment(end, tally),
        source_node: text(source, limits::NAME, tally),
        target_node: text(target, limits::NAME, tally),
        completed: flag(completed, tally),
        failed: flag(failed, tally),
        mode: parsed(mode, limits::WORD, tally, MigrationMode::from_api),
    }
}

/// An RFC 3339 timestamp, not before 1970.
fn moment(raw: Raw<'_>, tally: &mut Tally) -> Option<Timestamp> {
    parsed(raw, limits::MOMENT, tally, |text| {
        let moment: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(moment.as_nanosecond()).ok().map(Timestamp::from_unix_nanos)
    })
}

fn interfaces(raw: Raw<'_>, tally: &mut Tally) -> Box<[GuestInterface]> {
    let mut interfaces = Vec::new();
    elements(raw, limits::INTERFACES, tally, |raw, tally| {
        let [name, guest_name, address, all] =
            pick(Some(raw), ["name", "interfaceName", "ipAddress", "ipAddresses"], tally);
        let mut addresses: Vec<Arc<str>> = Vec::new();
        elements(all, limits::ADDRESSES, tally, |raw, tally| {
            if let Some(address) = text(Some(raw), limits::ADDRESS, tally)
                && !addresses.contains(&address)
            {
                addresses.push(address);
            }
        });
        if addresses.is_empty() {
            addresses.extend(text(address, limits::ADDRESS, tally));
        }
        let interface = GuestInterface {
            name: text(name, limits::NAME, tally),
            guest_name: text(guest_name, limits::WORD, tally),
            addresses: addresses.into(),
        };
        if interface != GuestInterface::default() {
            interfaces.push(interface);
        }
    });
    interfaces.sort_by(|one, other| {
        (&one.name, &one.guest_name, &one.addresses).cmp(&(&other.name, &other.guest_name, &other.addresses))
    });
    interfaces.into()
}

fn guest(raw: Raw<'_>, tally: &mut Tally) -> GuestOs {
    let [name, id, pretty_name, version_id, kernel_release, machine] =
        pick(raw, ["name", "id", "prettyName", "versionId", "kernelRelease", "machine"], tally);
    let mut said = |raw| text(raw, limits::FREE_TEXT, tally);
    GuestOs {
        name: said(name),
        id: said(id),
        pretty_name: said(pretty_name),
        version_id: said(version_id),
        kernel_release: said(kernel_release),
        machine: said(machine),
    }
}

fn memory(raw: Raw<'_>, tally: &mut Tally) -> VmiMemory {
    let [at_boot, current, requested, overhead] =
        pick(raw, ["guestAtBoot", "guestCurrent", "guestRequested", "memoryOverhead"], tally);
    let mut amount = |raw: Raw<'_>| -> Option<Bytes> {
        // Kubernetes accepts a quantity as a number too.
        let said = raw?.get();
        if said.starts_with(|first: char| first.is_ascii_digit()) && said.len() <= limits::QUANTITY {
            let amount = quantity::bytes(said);
            if amount.is_none() {
                tally.field();
            }
            return amount;
        }
        parsed(raw, limits::QUANTITY, tally, quantity::bytes)
    };
    VmiMemory {
        guest_at_boot: amount(at_boot),
        guest_current: amount(current),
        guest_requested: amount(requested),
        overhead: amount(overhead),
    }
}

fn topology(raw: Raw<'_>, tally: &mut Tally) -> Topology {
    let [cores, sockets, threads] = pick(raw, ["cores", "sockets", "threads"], tally);
    // Go writes an absent number as zero.
    let mut amount = |raw| number(raw, tally).filter(|number| *number > 0);
    Topology { cores: amount(cores), sockets: amount(sockets), threads: amount(threads) }
}
