//! Where a private libvirtd has its files, and the capabilities of QEMU that all of them share.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use super::libvirtd::{Kind, Libvirtd, LibvirtdOptions};
use super::{kvm, process, repository, uuid};

/// The daemon that the lab starts: libvirt's monolithic one or, where only that is installed, the modular one for QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name, which its configuration and its admin server have too.
    pub name: &'static str,
    /// How the names of its sockets begin.
    sockets: &'static str,
}

impl Program {
    const MONOLITHIC: Program = Program { name: "libvirtd", sockets: "libvirt" };
    const MODULAR: Program = Program { name: "virtqemud", sockets: "virtqemud" };

    /// The one that is installed.
    pub fn installed() -> Program {
        let there = |program: &&Program| Path::new("/usr/sbin").join(program.name).exists();
        *[&Program::MONOLITHIC, &Program::MODULAR]
            .into_iter()
            .find(there)
            .expect("libvirtd (libvirt-daemon-system) is missing: install it with: tests/lab/prepare.sh packages")
    }

    /// Whether it serves other drivers than QEMU's.
    pub fn has_other_drivers(self) -> bool {
        self == Program::MONOLITHIC
    }

    /// The name of its socket.
    pub fn socket(self) -> String {
        format!("{}-sock", self.sockets)
    }

    /// The name of its socket for administrators.
    pub fn admin_socket(self) -> String {
        format!("{}-admin-sock", self.sockets)
    }
}

/// The paths within a daemon's folder.
#[derive(Debug, Clone)]
pub struct Layout {
    pub socket: PathBuf,
    pub configuration: PathBuf,
    pub capabilities: PathBuf,
    /// The runtime folder, in which the daemon makes its socket.
    pub run: PathBuf,
    /// The pid files of the guests.
    pub qemu_run: PathBuf,
}

impl Layout {
    pub fn new(options: &LibvirtdOptions, folder: &Path) -> Layout {
        let mut layout = Layout::of(options.kind, folder);
        if let Some(launcher) = &options.launcher {
            // The daemon's xdg/libvirt is this folder, and its path may be too long for a socket.
            layout.qemu_run = launcher.join("qemu/run");
            layout.socket = folder.join("launcher/virtqemud-sock");
        }
        layout
    }

    fn of(kind: Kind, folder: &Path) -> Layout {
        match kind {
            Kind::System => Layout {
                socket: folder.join("run").join(Program::installed().socket()),
                configuration: folder.join("etc"),
                capabilities: folder.join("cache/qemu/capabilities"),
                run: folder.join("run"),
                qemu_run: folder.join("run/qemu"),
            },
            Kind::Session => Layout {
                socket: folder.join("xdg/libvirt").join(Program::installed().socket()),
                configuration: folder.join("config/libvirt"),
                capabilities: folder.join("cache/libvirt/qemu/cache/capabilities"),
                run: folder.join("xdg"),
                qemu_run: folder.join("xdg/libvirt/qemu/run"),
            },
        }
    }

    pub fn write_configuration(&self, options: &LibvirtdOptions) {
        // Sockets without polkit, and a host UUID of its own, because libvirt refuses a migration within one host.
        // libvirt takes the first value of a setting, so a test's lines come first.
        let daemon = format!(
            "{}\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nunix_sock_ro_perms = \"0777\"\n\
             host_uuid = \"{}\"\nlog_outputs = \"3:stderr\"\n",
            options.libvirtd_conf,
            uuid()
        );
        // No virtlogd, no security labels, no mount namespaces and no change of ownership: QEMU runs as the daemon's
        // own user and can read what we put there.
        let mut qemu = "stdio_handler = \"file\"\nsecurity_driver = \"none\"\nnamespaces = []\n".to_owned();
        if options.kind == Kind::System {
            qemu += "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nremember_owner = 0\n";
        }
        if !options.control_groups {
            qemu += "cgroup_controllers = []\n";
        }
        qemu += &options.qemu_conf;
        let name = format!("{}.conf", Program::installed().name);
        fs::write(self.configuration.join(name), daemon).expect("the daemon's configuration");
        fs::write(self.configuration.join("qemu.conf"), qemu).expect("qemu.conf");
    }
}

/// The user and group that QEMU runs as under a session daemon: libvirt's own.
pub fn qemu_user() -> (u32, u32) {
    process::user_ids("libvirt-qemu")
        .expect("the user libvirt-qemu, who comes with libvirt: tests/lab/prepare.sh packages")
}

/// The group of KVM's device, which that user needs beside his own: newer packages do not make it his own, and another
/// root may number its groups otherwise. `None` without KVM.
pub fn kvm_group() -> Option<u32> {
    let device = kvm().then(|| fs::metadata("/dev/kvm").ok()).flatten();
    device.map(|device| device.gid()).filter(|gid| *gid != 0)
}

/// Gives a folder and everything in it to a user.
pub fn give_away(path: &Path, user: u32, group: u32) {
    chown(path, Some(user), Some(group)).expect("a new owner");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("the folder just made") {
            give_away(&entry.expect("an entry of the folder just made").path(), user, group);
        }
    }
}

/// Copies a folder's files, without subfolders.
pub fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder to copy from") {
        let entry = entry.expect("an entry of the folder");
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy).expect("a copy");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).expect("a copy that libvirt can read");
    }
}

/// The folder with QEMU's capabilities as libvirt caches them, so that not every daemon probes for 3 to 4 s.
///
/// On a machine's first call, a separate daemon probes for them. libvirt compares the cache with the binaries and
/// probes again if they differ, so a stale copy only costs time.
pub fn warm_capabilities(kind: Kind) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut hasher = DefaultHasher::new();
    (kind, kvm()).hash(&mut hasher);
    fs::read("/proc/sys/kernel/osrelease").unwrap_or_default().hash(&mut hasher);
    let daemon = format!("/usr/sbin/{}", Program::installed().name);
    for binary in [daemon.as_str(), "/usr/bin/qemu-system-x86_64"] {
        let changed = fs::metadata(binary).and_then(|metadata| metadata.modified()).ok();
        changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).hash(&mut hasher);
    }
    let store = repository().join("target/lab/capabilities");
    let warm = store.join(format!("{:016x}", hasher.finish()));
    if !warm.exists() {
        fs::create_dir_all(&store).expect("target/lab");
        let mut options = LibvirtdOptions::new(kind);
        options.cold_cache = true;
        let libvirtd = Libvirtd::start(options);
        libvirtd.virsh(&["capabilities"]);
        // Complete or absent: another test process may be doing the same.
        let building = tempfile::tempdir_in(&store).expect("a folder in target/lab");
        copy_files(&libvirtd.layout().capabilities, building.path());
        if fs::rename(building.path(), &warm).is_ok() {
            let _ = building.keep();
        }
    }
    warm
}
