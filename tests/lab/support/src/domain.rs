//! Definitions of the guests that the lab starts.

use std::fmt::Write as _;
use std::path::Path;

use super::{kvm, prepared, uuid};

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hypervisor {
    Kvm,
    /// QEMU's own emulation; libvirt calls it `qemu`.
    Tcg,
}

/// A guest's definition. Made by [`Domain::kvm`], [`Domain::tcg`] or [`Domain::tcg_linux`] and refined by the methods.
#[derive(Debug, Clone)]
pub struct Domain {
    name: String,
    uuid: String,
    hypervisor: Hypervisor,
    linux: bool,
    memory_mib: u32,
    vcpus: u32,
    vcpus_maximum: u32,
    disks: usize,
    nics: usize,
    iothreads: u32,
    iotune: Option<(u64, u64)>,
    disk_aliases: Vec<String>,
    nic_aliases: Vec<String>,
    machine: String,
    devices: String,
    elements: String,
}

impl Domain {
    /// A KVM guest of 16 MiB with nothing to boot: it starts in 0.1 s and idles in its BIOS.
    ///
    /// The lab's Linux does not come up under nested KVM, which is what most test machines have.
    pub fn kvm(name: &str) -> Domain {
        Domain::new(name, Hypervisor::Kvm, false, 16)
    }

    /// An emulated guest of 16 MiB with nothing to boot.
    pub fn tcg(name: &str) -> Domain {
        Domain::new(name, Hypervisor::Tcg, false, 16)
    }

    /// An emulated guest that boots Linux in about 4 s and then moves every figure libvirt has: see guest/init.
    pub fn tcg_linux(name: &str, disks: usize, nics: usize) -> Domain {
        Domain::new(name, Hypervisor::Tcg, true, 192).disks(disks).nics(nics)
    }

    /// The quickest guest that this machine can run: [`kvm`](Self::kvm), or [`tcg`](Self::tcg) without KVM.
    pub fn quick(name: &str) -> Domain {
        if kvm() { Domain::kvm(name) } else { Domain::tcg(name) }
    }

    fn new(name: &str, hypervisor: Hypervisor, linux: bool, memory_mib: u32) -> Domain {
        Domain {
            name: name.to_owned(),
            uuid: uuid(),
            hypervisor,
            linux,
            memory_mib,
            vcpus: 1,
            vcpus_maximum: 1,
            disks: 0,
            nics: 0,
            iothreads: 0,
            iotune: None,
            disk_aliases: Vec::new(),
            nic_aliases: Vec::new(),
            // Its PCI slots take hot-plugged devices without reserved ports.
            machine: "pc".to_owned(),
            devices: String::new(),
            elements: String::new(),
        }
    }

    pub fn disks(mut self, count: usize) -> Domain {
        self.disks = count;
        self
    }

    pub fn nics(mut self, count: usize) -> Domain {
        self.nics = count;
        self
    }

    /// As KubeVirt writes it: a disk `rootdisk` and a NIC `default` under aliases of these names, with metadata that
    /// holds an empty UID.
    pub fn like_kubevirt(mut self) -> Domain {
        self.elements += "<metadata><kubevirt xmlns='http://kubevirt.io'><uid></uid></kubevirt></metadata>";
        (self.disks, self.nics) = (self.disks.max(1), self.nics.max(1));
        self.disk_aliases = vec!["ua-rootdisk".to_owned()];
        self.nic_aliases = vec!["ua-default".to_owned()];
        self
    }

    pub fn vcpus(mut self, current: u32, maximum: u32) -> Domain {
        (self.vcpus, self.vcpus_maximum) = (current, maximum);
        self
    }

    pub fn memory_mib(mut self, mib: u32) -> Domain {
        self.memory_mib = mib;
        self
    }

    /// I/O threads; every disk uses the first one.
    pub fn iothreads(mut self, count: u32) -> Domain {
        self.iothreads = count;
        self
    }

    /// Limits of bytes and of requests a second for every disk.
    pub fn iotune(mut self, bytes: u64, requests: u64) -> Domain {
        self.iotune = Some((bytes, requests));
        self
    }

    pub fn machine(mut self, machine: &str) -> Domain {
        machine.clone_into(&mut self.machine);
        self
    }

    /// More XML within `<devices>`.
    pub fn device(mut self, xml: &str) -> Domain {
        self.devices += xml;
        self
    }

    /// More XML within `<domain>`, such as `<metadata>`.
    pub fn element(mut self, xml: &str) -> Domain {
        self.elements += xml;
        self
    }

    /// A definition with the UUID given, to bring a guest back as itself.
    pub fn with_uuid(mut self, uuid: &str) -> Domain {
        uuid.clone_into(&mut self.uuid);
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    pub fn is_kvm(&self) -> bool {
        self.hypervisor == Hypervisor::Kvm
    }

    /// The targets of its disks: vda, vdb …
    pub fn disk_targets(&self) -> Vec<String> {
        ('a'..='z').take(self.disks).map(|letter| format!("vd{letter}")).collect()
    }

    /// The definition, for a daemon that keeps disk images and consoles in this folder and has such NICs.
    pub fn xml(&self, folder: &Path, nic: Nic) -> String {
        let Domain { name, uuid, machine, memory_mib, vcpus, vcpus_maximum, .. } = self;
        let kind = if self.is_kvm() { "kvm" } else { "qemu" };
        let mut xml = format!(
            "<domain type='{kind}'><name>{name}</name><uuid>{uuid}</uuid>\
             <memory unit='MiB'>{memory_mib}</memory><vcpu current='{vcpus}'>{vcpus_maximum}</vcpu>\
             <features><acpi/></features>{}",
            self.elements
        );
        if self.iothreads > 0 {
            let _ = write!(xml, "<iothreads>{}</iothreads>", self.iothreads);
        }
        let _ = write!(xml, "<os><type arch='x86_64' machine='{machine}'>hvm</type>");
        if self.linux {
            // The daemon's own copies: its QEMUs may run as a user who cannot look into the working tree.
            let folder = folder.display();
            let _ = write!(
                xml,
                "<kernel>{folder}/vmlinuz</kernel><initrd>{folder}/initramfs</initrd><cmdline>console=ttyS0 quiet</cmdline>"
            );
        }
        xml += "</os><devices><controller type='usb' model='none'/>";
        for target in self.disk_targets() {
            xml += &self.disk_xml(folder, &target);
        }
        for number in 0..self.nics {
            xml += &nic.xml(number, None, self.nic_aliases.get(number).map(String::as_str));
        }
        if self.linux {
            let _ = write!(xml, "<serial type='file'><source path='{}'/></serial>", console(folder, name));
        }
        xml += "<memballoon model='virtio'><stats period='2'/></memballoon>";
        xml += &self.devices;
        xml += "</devices></domain>";
        xml
    }

    /// A disk of this guest, for its definition or to be plugged in.
    pub fn disk_xml(&self, folder: &Path, target: &str) -> String {
        let source = self.disk_image(folder, target);
        let iothread = if self.iothreads > 0 { " iothread='1'" } else { "" };
        let iotune = self.iotune.map_or(String::new(), |(bytes, requests)| {
            format!(
                "<iotune><total_bytes_sec>{bytes}</total_bytes_sec><total_iops_sec>{requests}</total_iops_sec></iotune>"
            )
        });
        let number = self.disk_targets().iter().position(|known| known == target);
        let alias = alias(number.and_then(|number| self.disk_aliases.get(number)).map(String::as_str));
        format!(
            "<disk type='file' device='disk'><driver name='qemu' type='raw'{iothread}/><source file='{source}'/>\
             <target dev='{target}' bus='virtio'/>{iotune}{alias}</disk>"
        )
    }

    /// The image behind a disk.
    pub fn disk_image(&self, folder: &Path, target: &str) -> String {
        folder.join(format!("{}-{target}.img", self.name)).display().to_string()
    }

    /// The kernel and the initramfs of the Linux guest.
    pub fn linux_files() -> [(std::path::PathBuf, &'static str); 2] {
        [(prepared("guest", "guest/vmlinuz"), "vmlinuz"), (prepared("guest", "guest/initramfs"), "initramfs")]
    }

    pub fn is_linux(&self) -> bool {
        self.linux
    }
}

/// Where a Linux guest's console is written.
pub fn console(folder: &Path, name: &str) -> String {
    folder.join(format!("{name}.console")).display().to_string()
}

/// An alias of the user's own: libvirt keeps it, and a migration too, if it starts with `ua-`.
fn alias(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!("<alias name='{name}'/>"))
}

/// How a guest's NIC is connected to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nic {
    /// A tap device of its own: libvirt has its traffic. Needs root.
    Tap,
    /// A tap device that was made beforehand, tap0 and so on, as KubeVirt makes them for its launchers.
    Made,
    /// QEMU's user-mode network: no host interface, so libvirt has no figures for it.
    User,
}

impl Nic {
    /// The device with this number, with the MAC given or one that libvirt makes up.
    pub fn xml(self, number: usize, mac: Option<&str>, name: Option<&str>) -> String {
        let (kind, target) = match self {
            Nic::Tap => ("ethernet", String::new()),
            Nic::Made => ("ethernet", format!("<target dev='tap{number}' managed='no'/>")),
            Nic::User => ("user", String::new()),
        };
        let mac = mac.map_or(String::new(), |mac| format!("<mac address='{mac}'/>"));
        let alias = alias(name);
        // Without its option ROM the BIOS does not try to boot from the network.
        format!("<interface type='{kind}'>{mac}{target}<model type='virtio'/><rom enabled='no'/>{alias}</interface>")
    }
}
