//! The measured host: a private libvirtd with paused KVM domains, and the CPU time that it uses.

use std::time::Duration;

use crate::lab::process;
use crate::lab::{Domain, Libvirtd};

/// How many domains.
pub(crate) const DOMAINS: u32 = 100;

pub(crate) struct Fleet {
    pub(crate) libvirtd: Libvirtd,
    pub(crate) names: Vec<String>,
    qemus: Vec<u32>,
}

/// CPU time, used until a moment or between two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// Of the process that reads.
    pub(crate) reader: Duration,
    pub(crate) libvirtd: Duration,
    /// Of all QEMUs together.
    pub(crate) qemus: Duration,
}

impl Fleet {
    /// Starts the daemon and the domains: one vCPU, one disk, 16 MiB, paused before the first instruction.
    pub(crate) fn start() -> Fleet {
        let libvirtd = Libvirtd::system();
        let names: Vec<String> = (1..=DOMAINS).map(|number| format!("vm-{number:03}")).collect();
        for name in &names {
            libvirtd.create_paused(&Domain::kvm(name).disks(1));
        }
        let qemus = names.iter().map(|name| libvirtd.qemu_pid(name)).collect();
        Fleet { libvirtd, names, qemus }
    }

    /// The CPU time used until now; the caller gives the reader's.
    pub(crate) fn cpu(&self, reader: Duration) -> Cpu {
        let used = |pid| process::cpu_time(pid).expect("the CPU time of a process of ours");
        Cpu { reader, libvirtd: used(self.libvirtd.pid()), qemus: self.qemus.iter().map(|&pid| used(pid)).sum() }
    }
}

impl Cpu {
    /// What was used since `before`, per reading.
    pub(crate) fn since(self, before: Cpu, readings: f64) -> Cpu {
        let each = |after: Duration, before: Duration| after.saturating_sub(before).div_f64(readings);
        Cpu {
            reader: each(self.reader, before.reader),
            libvirtd: each(self.libvirtd, before.libvirtd),
            qemus: each(self.qemus, before.qemus),
        }
    }

    /// What the promise is about.
    pub(crate) fn reader_and_libvirtd(self) -> Duration {
        self.reader + self.libvirtd
    }
}

/// CPU time of our children that have ended and were waited for.
pub(crate) fn children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("our own state");
    // After the command's closing bracket: field 3 and what follows; cutime and cstime are fields 16 and 17.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("our own name").1.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<u64>().expect("a number of ticks");
    // USER_HZ is 100 on every Linux we run on; it is part of the kernel's interface.
    Duration::from_millis((ticks(13) + ticks(14)) * 10)
}
