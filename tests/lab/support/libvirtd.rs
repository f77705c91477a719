//! Private libvirtd daemons with their QEMUs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::control_groups;
use super::domain::{self, Domain, Nic};
use super::layout::{Layout, copy_files, give_away, qemu_user, warm_capabilities};
use super::namespace::Namespace;
use super::process::{self, Exit, Process};
use super::{kvm, uuid, virsh, wait_until};

/// How long a `virsh` of ours may take. A destroy of a frozen guest needs 12 s.
const VIRSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Which of libvirt's two kinds of daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Of root: what a libvirt host runs. Guests have tap devices, and so figures of their NICs.
    System,
    /// Of a plain user: what stands in for the virtqemud in a launcher pod.
    Session,
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct LibvirtdOptions {
    pub(crate) kind: Kind,
    /// The host's name, with a dot in it (else libvirt asks the resolver for its domain); made up when none.
    pub(crate) host_name: Option<String>,
    /// To start without knowing QEMU's capabilities: the first reading in the daemon's life then takes 3 to 4 s.
    pub(crate) cold_cache: bool,
    /// Lets libvirt put guests into control groups of the machine, as hosts with systemd do. Off by default because
    /// they are named by id and domain name, and two private daemons may have the same.
    pub(crate) control_groups: bool,
    /// More lines of libvirtd.conf.
    pub(crate) libvirtd_conf: String,
    /// More lines of qemu.conf.
    pub(crate) qemu_conf: String,
}

impl LibvirtdOptions {
    pub(crate) fn new(kind: Kind) -> LibvirtdOptions {
        LibvirtdOptions {
            kind,
            host_name: None,
            cold_cache: false,
            control_groups: false,
            libvirtd_conf: String::new(),
            qemu_conf: String::new(),
        }
    }
}

/// A libvirtd of our own, in namespaces of its own; it ends with its QEMUs when dropped.
pub(crate) struct Libvirtd {
    daemon: Option<Daemon>,
    // Before the folder: nothing may be mounted from it, or run in it, when it goes.
    namespace: Namespace,
    folder: TempDir,
    kind: Kind,
    // Process ids do not change while a guest lives, and to find one costs a walk through /proc.
    qemu_pids: Mutex<HashMap<(String, u32), u32>>,
}

struct Daemon {
    // `nsenter`, which waits for libvirtd outside of the namespaces.
    outer: Process,
    pid: u32,
}

impl Libvirtd {
    /// A daemon of root with warm capabilities.
    #[track_caller]
    pub(crate) fn system() -> Libvirtd {
        Libvirtd::start(LibvirtdOptions::new(Kind::System))
    }

    /// A daemon of a plain user with warm capabilities.
    #[track_caller]
    pub(crate) fn session() -> Libvirtd {
        Libvirtd::start(LibvirtdOptions::new(Kind::Session))
    }

    /// Starts a daemon and waits until it answers.
    #[track_caller]
    pub(crate) fn start(options: LibvirtdOptions) -> Libvirtd {
        assert!(process::is_root(), "private daemons need namespaces: run the lab as root");
        let warm = if options.cold_cache { None } else { Some(warm_capabilities(options.kind)) };
        let mut libvirtd = Libvirtd::prepare(options, warm.as_deref());
        libvirtd.start_again();
        libvirtd
    }

    fn prepare(options: LibvirtdOptions, capabilities: Option<&Path>) -> Libvirtd {
        for (program, package) in [
            ("libvirtd", "libvirt-daemon-system"),
            ("virsh", "libvirt-clients"),
            ("qemu-system-x86_64", "qemu-system-x86"),
        ] {
            let found = ["/usr/sbin", "/usr/bin"].iter().any(|bin| Path::new(bin).join(program).exists());
            assert!(found, "{program} ({package}) is missing: install it with: tests/lab/prepare.sh packages");
        }
        // KVM's device may need its group put right before a QEMU of a plain user can open it.
        kvm();
        // A short path: a socket's may have 107 bytes.
        let folder = tempfile::Builder::new().prefix("lab-").tempdir().expect("a temporary folder");
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a folder that QEMU's user can enter");
        let layout = Layout::new(options.kind, path);
        for part in [&layout.configuration, &layout.capabilities, &layout.run, &path.join("images")] {
            fs::create_dir_all(part).expect("the daemon's folders");
        }
        layout.write_configuration(&options);
        if let Some(warm) = capabilities {
            copy_files(warm, &layout.capabilities);
        }
        let mounts = match options.kind {
            // What the system daemon has compiled in. Bound from our folder, its socket is seen from outside too.
            Kind::System => ["run", "lib", "cache", "etc", "log"].map(|name| path.join(name)).to_vec(),
            Kind::Session => Vec::new(),
        };
        for mount in &mounts {
            fs::create_dir_all(mount).expect("the folder to mount");
        }
        let targets = ["/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/etc/libvirt", "/var/log/libvirt"];
        let mounts: Vec<_> = mounts.into_iter().zip(targets).collect();
        if options.kind == Kind::Session {
            let (user, group) = qemu_user();
            give_away(path, user, group);
        }
        let host_name = options.host_name.unwrap_or_else(|| format!("lab-{}.test", &uuid()[..8]));
        let namespace = Namespace::new(path, &host_name, &mounts);
        Libvirtd { daemon: None, namespace, folder, kind: options.kind, qemu_pids: Mutex::default() }
    }

    /// The folder with everything of this daemon.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder with disk images and consoles.
    pub(crate) fn images(&self) -> PathBuf {
        self.folder().join("images")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        Layout::new(self.kind, self.folder()).socket
    }

    pub(crate) fn uri(&self) -> String {
        let name = match self.kind {
            Kind::System => "system",
            Kind::Session => "session",
        };
        format!("qemu+unix:///{name}?socket={}", self.socket().display())
    }

    /// The URI of the socket on which only reading is possible; a session daemon has none.
    pub(crate) fn read_only_uri(&self) -> String {
        assert_eq!(self.kind, Kind::System, "a session daemon has no read-only socket");
        format!("{}-ro", self.uri())
    }

    /// The daemon's process id. Panics when it does not run.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a libvirtd that runs").pid
    }

    /// What the daemon has logged, over all its lives.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder().join("libvirtd.log")).unwrap_or_default()).into_owned()
    }

    /// Ends the daemon with SIGTERM and starts it anew; its QEMUs go on.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.terminate();
        self.start_again();
    }

    /// Ends the daemon with SIGTERM; its QEMUs go on.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> Exit {
        self.end(libc::SIGTERM)
    }

    /// Ends the daemon with SIGKILL; its QEMUs go on.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.end(libc::SIGKILL);
    }

    #[track_caller]
    fn end(&mut self, signal: i32) -> Exit {
        let mut daemon = self.daemon.take().expect("a libvirtd that runs");
        process::signal(daemon.pid, signal);
        let exit = daemon.outer.wait_end(Duration::from_secs(20));
        // Where it hung in a frozen guest, SIGTERM was not enough; `nsenter` is gone, the daemon may not be.
        if process::alive(daemon.pid) {
            process::signal(daemon.pid, libc::SIGKILL);
            wait_until(Duration::from_secs(10), "libvirtd's end", || (!process::alive(daemon.pid)).then_some(()));
        }
        exit
    }

    /// Starts the daemon once more and waits until it answers.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        self.launch();
        let uri = self.uri();
        let daemon = self.daemon.as_mut().expect("the daemon just launched");
        daemon.outer.wait_ready(Duration::from_secs(30), || {
            // Not `version`: that makes the daemon probe its QEMUs, and a cold cache is to stay cold.
            let output = process::run(virsh::command(&uri, &["list"]), Duration::from_secs(10))?;
            (output.code == Some(0)).then_some(())
        });
    }

    /// Starts the daemon and does not wait.
    #[track_caller]
    pub(crate) fn launch(&mut self) {
        assert!(self.daemon.is_none(), "this libvirtd runs already");
        // A socket that is left over takes connections into nowhere; a daemon that was killed leaves it.
        let _ = fs::remove_file(self.socket());
        let command = match self.kind {
            Kind::System => {
                let mut command = self.namespace.command("libvirtd");
                // Its usual place is one that all daemons of the machine would share.
                command.args(["--pid-file", "/run/libvirt/libvirtd.pid"]);
                command
            }
            Kind::Session => {
                let (user, group) = qemu_user();
                let folder = self.folder().display().to_string();
                let mut command = self.namespace.command("setpriv");
                command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups"]);
                command.args(["libvirtd"]);
                command.env("HOME", format!("{folder}/home"));
                command.env("XDG_RUNTIME_DIR", format!("{folder}/xdg"));
                command.env("XDG_CONFIG_HOME", format!("{folder}/config"));
                command.env("XDG_CACHE_HOME", format!("{folder}/cache"));
                command.current_dir("/");
                command
            }
        };
        // `nsenter` must outlive the daemon to take it in: as an orphan it would be up to whatever is process 1 outside,
        // and where that never does (in many containers) the namespace could not end.
        let mut outer = Process::spawn_unbound("libvirtd", command, &self.folder().join("libvirtd.log"));
        let pid = outer.only_child();
        self.daemon = Some(Daemon { outer, pid });
    }

    /// Makes the daemon mute with SIGSTOP: connections to it open, nobody answers.
    pub(crate) fn freeze_daemon(&self) {
        process::signal(self.pid(), libc::SIGSTOP);
    }

    /// Lets a mute daemon go on.
    pub(crate) fn thaw_daemon(&self) {
        process::signal(self.pid(), libc::SIGCONT);
        // `nsenter` stops itself when its child is stopped.
        if let Some(daemon) = &self.daemon {
            process::signal(daemon.outer.pid(), libc::SIGCONT);
        }
    }

    /// Runs `virsh` on this daemon and returns what it printed; panics when it fails.
    #[track_caller]
    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
        self.try_virsh(arguments).unwrap_or_else(|error| panic!("virsh {arguments:?}: {error}"))
    }

    /// [`virsh`](Self::virsh) with what it said when it failed.
    pub(crate) fn try_virsh(&self, arguments: &[&str]) -> Result<String, String> {
        self.virsh_within(VIRSH_TIMEOUT, arguments)
    }

    /// [`try_virsh`](Self::try_virsh) that gives up, and kills virsh, after the time given.
    pub(crate) fn virsh_within(&self, timeout: Duration, arguments: &[&str]) -> Result<String, String> {
        virsh::run(&self.uri(), timeout, arguments)
    }

    /// Another client of the daemon, which listens to a guest's lifecycle: a line of its log for each event, with the
    /// time at which it came.
    #[track_caller]
    pub(crate) fn listener(&self, name: &str) -> Process {
        let log = self.folder().join("events.log");
        Process::spawn("virsh event", virsh::lifecycle_events(&self.uri(), name), &log)
    }

    /// Everything that `virsh domstats` says about a guest, as it says it.
    #[track_caller]
    pub(crate) fn domstats(&self, name: &str) -> BTreeMap<String, String> {
        let text = self.virsh(&["domstats", name]);
        text.lines()
            .filter_map(|line| line.trim().split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Defines a guest and leaves it shut off.
    #[track_caller]
    pub(crate) fn define(&self, domain: &Domain) {
        let file = self.write_definition(domain);
        self.virsh(&["define", &file]);
    }

    /// Starts a guest that is not defined: it is gone when it ends.
    #[track_caller]
    pub(crate) fn create(&self, domain: &Domain) {
        let file = self.write_definition(domain);
        self.virsh(&["create", &file]);
    }

    /// [`create`](Self::create), paused before its first instruction.
    #[track_caller]
    pub(crate) fn create_paused(&self, domain: &Domain) {
        let file = self.write_definition(domain);
        self.virsh(&["create", "--paused", &file]);
    }

    /// Starts a Linux guest and waits until its console says that everything moves.
    #[track_caller]
    pub(crate) fn boot(&self, domain: &Domain) {
        self.create(domain);
        self.wait_booted(domain);
    }

    /// Waits for a Linux guest that was started.
    #[track_caller]
    pub(crate) fn wait_booted(&self, domain: &Domain) {
        wait_until(Duration::from_secs(90), &format!("{} to boot", domain.name()), || {
            self.console(domain.name()).contains("lab guest: ready").then_some(())
        });
    }

    /// Ends a guest at once. It is gone for good unless it was defined.
    #[track_caller]
    pub(crate) fn destroy(&self, name: &str) {
        self.virsh(&["destroy", name]);
    }

    /// What a Linux guest has written to its console.
    pub(crate) fn console(&self, name: &str) -> String {
        fs::read(domain::console(&self.images(), name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Plugs a disk into a running guest.
    #[track_caller]
    pub(crate) fn plug_disk(&self, domain: &Domain, target: &str) {
        self.make_image(domain, target);
        self.plug(domain.name(), &domain.disk_xml(&self.images(), target));
    }

    /// Takes a disk out of a running guest; only an operating system in it lets go.
    #[track_caller]
    pub(crate) fn unplug_disk(&self, domain: &Domain, target: &str) {
        self.virsh(&["detach-disk", domain.name(), target, "--live"]);
        wait_until(Duration::from_secs(30), "the guest to let go of the disk", || {
            (!self.virsh(&["domblklist", domain.name()]).contains(target)).then_some(())
        });
    }

    /// Plugs a NIC with this MAC into a running guest.
    #[track_caller]
    pub(crate) fn plug_nic(&self, name: &str, mac: &str) {
        self.plug(name, &self.nic().xml(Some(mac)));
    }

    /// Takes the NIC with this MAC out of a running guest; only an operating system in it lets go.
    #[track_caller]
    pub(crate) fn unplug_nic(&self, name: &str, mac: &str) {
        let file = self.folder().join(format!("unplug-{}.xml", uuid()));
        fs::write(&file, self.nic().xml(Some(mac))).expect("a file for the device");
        self.virsh(&["detach-device", name, &file.display().to_string(), "--live"]);
        wait_until(Duration::from_secs(30), "the guest to let go of the NIC", || {
            (!self.virsh(&["domiflist", name]).contains(mac)).then_some(())
        });
    }

    /// Plugs any device into a running guest.
    #[track_caller]
    pub(crate) fn plug(&self, name: &str, xml: &str) {
        let file = self.folder().join(format!("plug-{}.xml", uuid()));
        fs::write(&file, xml).expect("a file for the device");
        self.virsh(&["attach-device", name, &file.display().to_string(), "--live"]);
    }

    /// Moves a running guest to another daemon of the same kind. Its disk images stay where they are.
    #[track_caller]
    pub(crate) fn migrate(&self, name: &str, to: &Libvirtd) {
        let (target, socket) = (to.uri(), self.folder().join("images/migration.sock"));
        let socket = format!("unix://{}", socket.display());
        self.virsh(&["migrate", "--live", "--unsafe", name, &target, "--migrateuri", &socket]);
    }

    /// The process id of a guest's QEMU. Panics when it does not run.
    #[track_caller]
    pub(crate) fn qemu_pid(&self, name: &str) -> u32 {
        let file = Layout::new(self.kind, self.folder()).qemu_run.join(format!("{name}.pid"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("no running QEMU of {name}: {error}"));
        let inside: u32 = text.trim().parse().expect("a process id");
        let mut known = self.qemu_pids.lock().expect("the map of process ids");
        let entry = known.entry((name.to_owned(), inside));
        *entry.or_insert_with(|| {
            self.namespace.outside(inside).unwrap_or_else(|| panic!("QEMU of {name} is gone, its pid file is not"))
        })
    }

    /// Freezes a guest's QEMU with SIGSTOP: its monitor answers nobody.
    #[track_caller]
    pub(crate) fn freeze(&self, name: &str) {
        process::signal(self.qemu_pid(name), libc::SIGSTOP);
    }

    /// Lets a frozen guest go on.
    #[track_caller]
    pub(crate) fn thaw(&self, name: &str) {
        process::signal(self.qemu_pid(name), libc::SIGCONT);
    }

    /// Kills a guest's QEMU, as the kernel does when memory is short.
    #[track_caller]
    pub(crate) fn kill_qemu(&self, name: &str) {
        process::signal(self.qemu_pid(name), libc::SIGKILL);
    }

    /// The namespaces, for commands that must see the daemon's network, mounts or processes.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The definition of a guest as this daemon needs it, for a `virsh` of one's own.
    #[track_caller]
    pub(crate) fn definition(&self, domain: &Domain) -> String {
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

    /// How NICs of this daemon's guests are tied to the host.
    pub(crate) fn nic(&self) -> Nic {
        match self.kind {
            Kind::System => Nic::Tap,
            Kind::Session => Nic::User,
        }
    }
}

impl Drop for Libvirtd {
    fn drop(&mut self) {
        // The namespace takes the daemon and all QEMUs with it, frozen ones too; `nsenter` then ends by itself.
        let groups = control_groups::of_guests(&self.namespace.processes());
        self.namespace.end();
        groups.iter().for_each(|group| control_groups::remove(group));
        if let Some(mut daemon) = self.daemon.take() {
            daemon.outer.wait_end(Duration::from_secs(10));
        }
    }
}
