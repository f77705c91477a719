//! What can be done with the guests of a [`Libvirtd`].

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::domain::{self, Domain};
use super::libvirtd::Libvirtd;
use super::{process, uuid, wait_until};

/// The number of a NIC that is plugged in; the first one is there from the start.
const PLUGGED: usize = 1;

/// How long Linux may take to boot: some seconds, unless the machine is overloaded.
const BOOTED_WITHIN: Duration = Duration::from_secs(300);

impl Libvirtd {
    /// Everything that `virsh domstats` says about a guest, as it says it.
    #[track_caller]
    pub fn domstats(&self, name: &str) -> BTreeMap<String, String> {
        let text = self.virsh(&["domstats", name]);
        text.lines()
            .filter_map(|line| line.trim().split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Defines a guest and leaves it shut off.
    #[track_caller]
    pub fn define(&self, domain: &Domain) {
        let file = self.write_definition(domain);
        self.virsh(&["define", &file]);
    }

    /// Starts a guest that is not defined: it is gone when it ends.
    #[track_caller]
    pub fn create(&self, domain: &Domain) {
        let file = self.write_definition(domain);
        self.virsh(&["create", &file]);
    }

    /// [`create`](Self::create), paused before its first instruction.
    #[track_caller]
    pub fn create_paused(&self, domain: &Domain) {
        let file = self.write_definition(domain);
        self.virsh(&["create", "--paused", &file]);
    }

    /// Starts guests with a disk, paused, and returns their names: vm00, vm01 and so on.
    #[track_caller]
    pub fn create_paused_guests(&self, count: usize) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|number| format!("vm{number:02}")).collect();
        names.iter().for_each(|name| self.create_paused(&Domain::quick(name).disks(1)));
        names
    }

    /// Starts a Linux guest and waits until its console says that everything moves.
    #[track_caller]
    pub fn boot(&self, domain: &Domain) {
        self.create(domain);
        self.wait_booted(domain);
    }

    /// Waits for a Linux guest that was started.
    #[track_caller]
    pub fn wait_booted(&self, domain: &Domain) {
        wait_until(BOOTED_WITHIN, &format!("{} to boot", domain.name()), || {
            self.console(domain.name()).contains("lab guest: ready").then_some(())
        });
    }

    /// Ends a guest at once. It is gone for good unless it was defined.
    #[track_caller]
    pub fn destroy(&self, name: &str) {
        self.virsh(&["destroy", name]);
    }

    /// What a Linux guest has written to its console.
    pub fn console(&self, name: &str) -> String {
        fs::read(domain::console(&self.images(), name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Plugs a disk into a running guest.
    #[track_caller]
    pub fn plug_disk(&self, domain: &Domain, target: &str) {
        self.make_image(domain, target);
        self.plug(domain.name(), &domain.disk_xml(&self.images(), target));
    }

    /// Unplugs a disk from a running guest; only a guest with an operating system releases it.
    #[track_caller]
    pub fn unplug_disk(&self, domain: &Domain, target: &str) {
        self.virsh(&["detach-disk", domain.name(), target, "--live"]);
        wait_until(Duration::from_secs(30), "the guest to let go of the disk", || {
            (!self.virsh(&["domblklist", domain.name()]).contains(target)).then_some(())
        });
    }

    /// Plugs a NIC with this MAC into a running guest.
    #[track_caller]
    pub fn plug_nic(&self, name: &str, mac: &str) {
        self.plug(name, &self.nic().xml(PLUGGED, Some(mac), None));
    }

    /// Unplugs the NIC with this MAC from a running guest; only a guest with an operating system releases it.
    #[track_caller]
    pub fn unplug_nic(&self, name: &str, mac: &str) {
        let file = self.folder().join(format!("unplug-{}.xml", uuid()));
        fs::write(&file, self.nic().xml(PLUGGED, Some(mac), None)).expect("a file for the device");
        self.virsh(&["detach-device", name, &file.display().to_string(), "--live"]);
        wait_until(Duration::from_secs(30), "the guest to let go of the NIC", || {
            (!self.virsh(&["domiflist", name]).contains(mac)).then_some(())
        });
    }

    /// Plugs any device into a running guest.
    #[track_caller]
    pub fn plug(&self, name: &str, xml: &str) {
        let file = self.folder().join(format!("plug-{}.xml", uuid()));
        fs::write(&file, xml).expect("a file for the device");
        self.virsh(&["attach-device", name, &file.display().to_string(), "--live"]);
    }

    /// The process id of a guest's QEMU. Panics when it does not run.
    #[track_caller]
    pub fn qemu_pid(&self, name: &str) -> u32 {
        let file = self.layout().qemu_run.join(format!("{name}.pid"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("no running QEMU of {name}: {error}"));
        let inside: u32 = text.trim().parse().expect("a process id");
        let mut known = self.qemu_pids.lock().expect("the map of process ids");
        let entry = known.entry((name.to_owned(), inside));
        *entry.or_insert_with(|| {
            self.namespace().outside(inside).unwrap_or_else(|| panic!("QEMU of {name} is gone, its pid file is not"))
        })
    }

    /// Freezes a guest's QEMU with SIGSTOP: its monitor answers nobody.
    #[track_caller]
    pub fn freeze(&self, name: &str) {
        process::signal(self.qemu_pid(name), Signal::STOP);
    }

    /// Lets a frozen guest go on.
    #[track_caller]
    pub fn thaw(&self, name: &str) {
        process::signal(self.qemu_pid(name), Signal::CONT);
    }

    /// Kills a guest's QEMU, as the kernel does when memory is short.
    #[track_caller]
    pub fn kill_qemu(&self, name: &str) {
        process::signal(self.qemu_pid(name), Signal::KILL);
    }

    /// The definition of a guest as this daemon needs it, for the caller's own `virsh`.
    #[track_caller]
    pub fn definition(&self, domain: &Domain) -> String {
        for target in domain.disk_targets() {
            self.make_image(domain, &target);
        }
        if domain.is_linux() {
            for (source, name) in Domain::linux_files() {
                let copy = self.images().join(name);
                if !copy.exists() {
                    fs::copy(&source, &copy).expect("a copy of the guest's files");
                }
            }
        }
        domain.xml(&self.images(), self.nic())
    }

    #[track_caller]
    fn write_definition(&self, domain: &Domain) -> String {
        let file = self.folder().join(format!("{}.xml", domain.name()));
        fs::write(&file, self.definition(domain)).expect("a file for the definition");
        file.display().to_string()
    }

    fn make_image(&self, domain: &Domain, target: &str) {
        let image = domain.disk_image(&self.images(), target);
        if !Path::new(&image).exists() {
            // Sparse: 64 MiB of nothing.
            fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("a disk image");
            fs::set_permissions(&image, fs::Permissions::from_mode(0o666)).expect("an image QEMU can write");
        }
    }
}
