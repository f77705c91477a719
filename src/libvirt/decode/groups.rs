//! The groups without numbered items: state, cpu, balloon, dirtyrate.

use std::time::Duration;

use crate::model::{Bytes, Cpu, DirtyRate, Memory, Status, Timestamp};

use super::Value;
use super::value::{self, Fit};

/// A dirty rate's start below this many seconds is not Unix time (it would lie in 2001 or earlier) but time since the
/// host booted, which QEMU reports wherever the host has a monotonic clock. The time of measurement is then unknown.
const EARLIEST_UNIX_SECONDS: u64 = 1_000_000_000;

/// `state.*`
#[derive(Debug, Default)]
pub(super) struct State {
    state: Option<i64>,
    reason: Option<i64>,
}

impl State {
    pub(super) fn take(&mut self, field: &str, value: &Value<'_>) -> Fit {
        match field {
            "state" => value::number(value, &mut self.state),
            "reason" => value::number(value, &mut self.reason),
            _ => Fit::Unknown,
        }
    }

    /// A missing reason becomes `unknown`; without a state there is no status.
    pub(super) fn status(&self) -> Option<Status> {
        self.state.map(|state| Status::from_libvirt(state, self.reason.unwrap_or(-1)))
    }
}

/// `cpu.*`
pub(super) fn cpu(cpu: &mut Cpu, field: &str, value: &Value<'_>) -> Fit {
    match field {
        "time" => value::nanos(value, &mut cpu.time),
        "user" => value::nanos(value, &mut cpu.user),
        "system" => value::nanos(value, &mut cpu.system),
        _ if ["haltpoll.", "cache.monitor.", "energy.monitor."].iter().any(|prefix| field.starts_with(prefix)) => {
            Fit::LeftOut
        }
        _ => Fit::Unknown,
    }
}

/// `balloon.*`
pub(super) fn balloon(memory: &mut Memory, field: &str, value: &Value<'_>) -> Fit {
    match field {
        "current" => value::kib(value, &mut memory.current),
        "maximum" => value::kib(value, &mut memory.maximum),
        "swap_in" => value::kib(value, &mut memory.swap_in),
        "swap_out" => value::kib(value, &mut memory.swap_out),
        "major_fault" => value::count(value, &mut memory.major_faults),
        "minor_fault" => value::count(value, &mut memory.minor_faults),
        "unused" => value::kib(value, &mut memory.unused),
        "available" => value::kib(value, &mut memory.available),
        "usable" => value::kib(value, &mut memory.usable),
        "disk_caches" => value::kib(value, &mut memory.disk_caches),
        "hugetlb_pgalloc" => value::count(value, &mut memory.huge_page_allocations),
        "hugetlb_pgfail" => value::count(value, &mut memory.huge_page_failures),
        "rss" => value::kib(value, &mut memory.resident),
        "last-update" => {
            let mut since_epoch = None;
            let fit = value::seconds(value, &mut since_epoch);
            // 0 is "the guest has never reported", not 1970.
            memory.last_update = since_epoch.filter(|since_epoch| !since_epoch.is_zero()).map(Timestamp::from_unix);
            fit
        }
        _ => Fit::Unknown,
    }
}

/// `dirtyrate.*`
#[derive(Debug, Default)]
pub(super) struct Dirty {
    rate: Option<Bytes>,
    start: Option<Duration>,
    period: Option<Duration>,
}

impl Dirty {
    pub(super) fn take(&mut self, field: &str, value: &Value<'_>) -> Fit {
        match field {
            "megabytes_per_second" => value::mib(value, &mut self.rate),
            "calc_start_time" => value::seconds(value, &mut self.start),
            "calc_period" => value::seconds(value, &mut self.period),
            "calc_status" | "calc_mode" => Fit::LeftOut,
            _ if field.starts_with("vcpu.") => Fit::LeftOut,
            _ => Fit::Unknown,
        }
    }

    /// `None` if no rate was measured.
    pub(super) fn measured(&self) -> Option<DirtyRate> {
        let measured = self
            .start
            .filter(|start| start.as_secs() >= EARLIEST_UNIX_SECONDS)
            .and_then(|start| start.checked_add(self.period?))
            .map(Timestamp::from_unix);
        self.rate.map(|rate| DirtyRate { bytes_per_second: Some(rate), measured })
    }
}
