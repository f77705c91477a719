//! The measured node: its launchers, real ones and fakes in front of them, and the VirtualMachineInstances in the API.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::fakes::Fakes;
use crate::lab::{ApiServer, Domain, Launcher, Node, Place, Vmi, process};
use crate::names::{NAMESPACE, name};

/// How many launchers are started, or objects written, at once: each gives other processes work, too.
const AT_ONCE: u32 = 4;

/// Everything on the node.
pub(crate) struct Machine {
    pub(crate) api: ApiServer,
    pub(crate) node: Node,
    pub(crate) fakes: Fakes,
    real: Vec<Real>,
    /// Where the VMs run, in the order of their numbers, which begin with 1. The real ones come first.
    places: Vec<Place>,
}

/// A real launcher with a paused KVM domain.
struct Real {
    launcher: Launcher,
    qemu: u32,
}

/// CPU time used until a moment, or between two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) agent: Duration,
    /// Of the libvirtds of all launchers together.
    pub(crate) libvirtds: Duration,
    /// Of all QEMUs together.
    pub(crate) qemus: Duration,
}

impl Cpu {
    pub(crate) fn since(self, before: Cpu) -> Cpu {
        Cpu {
            agent: self.agent.saturating_sub(before.agent),
            libvirtds: self.libvirtds.saturating_sub(before.libvirtds),
            qemus: self.qemus.saturating_sub(before.qemus),
        }
    }
}

impl Machine {
    /// Starts an API server and so many launchers, with a domain each, and adds fakes for all other VMs.
    pub(crate) fn start(launchers: u32, vms: u32) -> Machine {
        let api = ApiServer::start();
        let node = Node::new("node-a");
        let mut real: Vec<(u32, Real, String)> = Vec::new();
        {
            let started = Mutex::new(&mut real);
            in_parallel(1, launchers, |number| {
                let launcher = node.launcher();
                let domain = Domain::kvm(&format!("{NAMESPACE}_{}", name(number))).like_kubevirt();
                launcher.create_paused(&domain);
                let qemu = launcher.qemu_pid(domain.name());
                let mut started = started.lock().expect("no thread has failed");
                started.push((number, Real { launcher, qemu }, domain.uuid().to_owned()));
            });
        }
        real.sort_by_key(|(number, ..)| *number);
        let mut places: Vec<Place> = real.iter().map(|(_, real, _)| real.launcher.place().clone()).collect();
        let fakes = Fakes::new();
        for number in launchers + 1..=vms {
            let (_, behind, uuid) = &real[((number - 1) % launchers) as usize];
            let place = node.place();
            fakes.add(number, &node, &place, &behind.launcher, uuid);
            places.push(place);
        }
        Machine { api, node, fakes, real: real.into_iter().map(|(_, real, _)| real).collect(), places }
    }

    /// How many launchers have a libvirtd of their own.
    pub(crate) fn launchers(&self) -> u32 {
        u32::try_from(self.real.len()).expect("some launchers")
    }

    /// How many VMs this launcher's guest stands for, itself included.
    pub(crate) fn vms_behind(&self, launcher: u32) -> u32 {
        (self.vms() - launcher) / self.launchers() + 1
    }

    /// How many VMs there can be.
    pub(crate) fn vms(&self) -> u32 {
        u32::try_from(self.places.len()).expect("some VMs")
    }

    pub(crate) fn place(&self, number: u32) -> &Place {
        &self.places[number as usize - 1]
    }

    pub(crate) fn launcher(&self, number: u32) -> &Launcher {
        &self.real[number as usize - 1].launcher
    }

    /// Creates these VMs in the API, as Running.
    pub(crate) fn run(&self, from: u32, to: u32) {
        in_parallel(from, to, |number| {
            Vmi::create_running(&self.api, NAMESPACE, &name(number), self.place(number));
        });
    }

    /// Deletes all others from the API.
    pub(crate) fn keep(&self, numbers: &[u32]) {
        in_parallel(1, self.vms(), |number| {
            if !numbers.contains(&number) {
                Vmi::known(&self.api, NAMESPACE, &name(number)).delete();
            }
        });
    }

    /// The CPU time used until now; the caller gives the agent's.
    pub(crate) fn cpu(&self, agent: Duration) -> Cpu {
        let used = |pid| process::cpu_time(pid).expect("the CPU time of a process of ours");
        Cpu {
            agent,
            libvirtds: self.real.iter().map(|real| used(real.launcher.pid())).sum(),
            qemus: self.real.iter().map(|real| used(real.qemu)).sum(),
        }
    }

    /// Resident memory of a launcher's libvirtd and of its QEMU.
    pub(crate) fn launcher_memory(&self) -> [u64; 2] {
        let real = &self.real[0];
        [real.launcher.pid(), real.qemu].map(|pid| {
            let text = process::status_field(pid, "VmRSS").expect("a process that runs");
            text.trim_end_matches(" kB").parse::<u64>().expect("an amount of memory") << 10
        })
    }
}

/// Does something for each of these numbers, a few at a time.
pub(crate) fn in_parallel(from: u32, to: u32, work: impl Fn(u32) + Sync) {
    let next = AtomicU32::new(from);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > to {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
}

impl Drop for Machine {
    /// A launcher takes half a second to end; two hundred of them end a few at a time.
    fn drop(&mut self) {
        let real: Vec<_> = self.real.drain(..).map(|real| Mutex::new(Some(real))).collect();
        let last = u32::try_from(real.len()).expect("some launchers");
        in_parallel(1, last, |number| drop(real[number as usize - 1].lock().expect("no thread has failed").take()));
    }
}
