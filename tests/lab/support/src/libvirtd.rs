//! Private libvirtd daemons with their QEMUs.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Signal;

use tempfile::TempDir;

use super::control_groups;
use super::domain::Nic;
use super::layout::{Layout, Program, copy_files, give_away, kvm_group, qemu_user, warm_capabilities};
use super::namespace::Namespace;
use super::process::{self, Exit, Process};
use super::{kvm, uuid, virsh, wait_until};

/// How long a `virsh` of ours may take. A destroy of a frozen guest needs 12 s.
const VIRSH_TIMEOUT: Duration = Duration::from_secs(60);

/// What a virtqemud calls its socket.
pub const VIRTQEMUD_SOCKET: &str = "virtqemud-sock";

/// Which of libvirt's two kinds of daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Runs as root, as on a libvirt host. Guests have tap devices, and so NIC figures.
    System,
    /// Runs as a plain user, in place of the virtqemud in a launcher pod.
    Session,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct LibvirtdOptions {
    pub kind: Kind,
    /// The host's name, with a dot in it (otherwise libvirt asks the resolver for its domain); generated if none.
    pub host_name: Option<String>,
    /// Starts without QEMU's cached capabilities: the first reading in the daemon's life then takes 3 to 4 s.
    pub cold_cache: bool,
    /// Lets libvirt put guests into control groups of the machine, as hosts with systemd do. Off by default because
    /// they are named by id and domain name, and two private daemons may have the same.
    pub control_groups: bool,
    /// The launcher pod's folder for this session daemon's sockets and state, as for a virtqemud: see
    /// [`Launcher`](super::launcher::Launcher).
    pub launcher: Option<PathBuf>,
    /// Lets it listen on TCP ports too, as libvirtd.conf says. They are ports of its own network.
    pub listen: bool,
    /// More lines of libvirtd.conf, which come before ours.
    pub libvirtd_conf: String,
    /// More lines of qemu.conf.
    pub qemu_conf: String,
}

impl LibvirtdOptions {
    pub fn new(kind: Kind) -> LibvirtdOptions {
        LibvirtdOptions {
            kind,
            host_name: None,
            cold_cache: false,
            control_groups: false,
            launcher: None,
            listen: false,
            libvirtd_conf: String::new(),
            qemu_conf: String::new(),
        }
    }
}

/// A libvirtd of our own, in namespaces of its own; it ends with its QEMUs when dropped.
pub struct Libvirtd {
    daemon: Option<Daemon>,
    // Before the folder: nothing may be mounted from it, or run in it, when it goes.
    namespace: Namespace,
    folder: TempDir,
    kind: Kind,
    listen: bool,
    layout: Layout,
    nic: Nic,
    // Process ids do not change while a guest lives, and to find one costs a walk through /proc.
    pub(super) qemu_pids: Mutex<HashMap<(String, u32), u32>>,
}

struct Daemon {
    // `nsenter`, which waits for libvirtd outside of the namespaces.
    outer: Process,
    pid: u32,
}

impl Libvirtd {
    /// A daemon of root with cached capabilities.
    #[track_caller]
    pub fn system() -> Libvirtd {
        Libvirtd::start(LibvirtdOptions::new(Kind::System))
    }

    /// A daemon of a plain user with cached capabilities.
    #[track_caller]
    pub fn session() -> Libvirtd {
        Libvirtd::start(LibvirtdOptions::new(Kind::Session))
    }

    /// Starts a daemon and waits until it answers.
    #[track_caller]
    pub fn start(options: LibvirtdOptions) -> Libvirtd {
        assert!(process::is_root(), "private daemons need namespaces: run the lab as root");
        let warm = if options.cold_cache { None } else { Some(warm_capabilities(options.kind)) };
        let mut libvirtd = Libvirtd::prepare(options, warm.as_deref());
        libvirtd.start_again();
        libvirtd
    }

    fn prepare(options: LibvirtdOptions, capabilities: Option<&Path>) -> Libvirtd {
        for (program, package) in [("virsh", "libvirt-clients"), ("qemu-system-x86_64", "qemu-system-x86")] {
            let found = ["/usr/sbin", "/usr/bin"].iter().any(|bin| Path::new(bin).join(program).exists());
            assert!(found, "{program} ({package}) is missing: install it with: tests/lab/prepare.sh packages");
        }
        // KVM's device may need its group put right before a QEMU of a plain user can open it.
        kvm();
        // A short path: a socket's may have 107 bytes.
        let folder = tempfile::Builder::new().prefix("lab-").tempdir().expect("a temporary folder");
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a folder that QEMU's user can enter");
        let layout = Layout::new(&options, path);
        for part in [&layout.configuration, &layout.capabilities, &layout.run, &path.join("images")] {
            fs::create_dir_all(part).expect("the daemon's folders");
        }
        layout.write_configuration(&options);
        if let Some(warm) = capabilities {
            copy_files(warm, &layout.capabilities);
        }
        let mounts = match options.kind {
            // The system daemon's compiled-in paths. Bound from our folder, so its socket is visible outside too.
            Kind::System => ["run", "lib", "cache", "etc", "log"].map(|name| path.join(name)).to_vec(),
            Kind::Session => Vec::new(),
        };
        for mount in &mounts {
            fs::create_dir_all(mount).expect("the folder to mount");
        }
        let targets = ["/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/etc/libvirt", "/var/log/libvirt"];
        let mut mounts: Vec<_> = mounts.into_iter().zip(targets.map(PathBuf::from)).collect();
        if let Some(launcher) = &options.launcher {
            let seen = layout.run.join("libvirt");
            fs::create_dir_all(&seen).expect("the folder to mount over");
            mounts.push((launcher.clone(), seen));
        }
        if options.kind == Kind::Session {
            let (user, group) = qemu_user();
            give_away(path, user, group);
        }
        if let Some(launcher) = &options.launcher {
            // For us, outside its namespace: a path short enough for a socket.
            std::os::unix::fs::symlink(launcher, path.join("launcher")).expect("a link of our own");
        }
        let nic = match (options.kind, &options.launcher) {
            (Kind::System, _) => Nic::Tap,
            (Kind::Session, Some(_)) => Nic::Made,
            (Kind::Session, None) => Nic::User,
        };
        let host_name = options.host_name.unwrap_or_else(|| format!("lab-{}.test", &uuid()[..8]));
        let namespace = Namespace::new(path, &host_name, &mounts);
        let (kind, listen) = (options.kind, options.listen);
        Libvirtd { daemon: None, namespace, folder, kind, listen, layout, nic, qemu_pids: Mutex::default() }
    }

    /// The folder with everything of this daemon.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder with disk images and consoles.
    pub fn images(&self) -> PathBuf {
        self.folder().join("images")
    }

    /// Where its files are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn socket(&self) -> PathBuf {
        self.layout.socket.clone()
    }

    pub fn uri(&self) -> String {
        let name = match self.kind {
            Kind::System => "system",
            Kind::Session => "session",
        };
        format!("qemu+unix:///{name}?socket={}", self.socket().display())
    }

    /// The URI of libvirt's test driver, which a libvirtd serves too: one domain, `test`, and no QEMU.
    pub fn test_driver_uri(&self) -> Option<String> {
        let uri = || format!("test+unix:///default?socket={}-ro", self.socket().display());
        Program::installed().has_other_drivers().then(uri)
    }

    /// The URI of the read-only socket; a session daemon has none.
    pub fn read_only_uri(&self) -> String {
        assert_eq!(self.kind, Kind::System, "a session daemon has no read-only socket");
        format!("{}-ro", self.uri())
    }

    /// The daemon's process id. Panics when it does not run.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a libvirtd that runs").pid
    }

    /// libvirt's version, such as 11.3.0.
    #[track_caller]
    pub fn version(&self) -> Vec<u32> {
        let text = self.virsh(&["version", "--daemon"]);
        let last = text.lines().find_map(|line| line.strip_prefix("Running against daemon: "));
        let version = last.unwrap_or_else(|| panic!("no version of the daemon in {text}"));
        version.split('.').map(|part| part.parse().expect("a version of numbers")).collect()
    }

    /// What the daemon has logged, across restarts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder().join("libvirtd.log")).unwrap_or_default()).into_owned()
    }

    /// Ends the daemon with SIGTERM and starts it anew; its QEMUs go on.
    #[track_caller]
    pub fn restart(&mut self) {
        self.terminate();
        self.start_again();
    }

    /// Ends the daemon with SIGTERM; its QEMUs go on.
    #[track_caller]
    pub fn terminate(&mut self) -> Exit {
        self.end(Signal::TERM)
    }

    /// Ends the daemon with SIGKILL; its QEMUs go on.
    #[track_caller]
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    #[track_caller]
    fn end(&mut self, signal: Signal) -> Exit {
        let mut daemon = self.daemon.take().expect("a libvirtd that runs");
        process::signal(daemon.pid, signal);
        let exit = daemon.outer.wait_end(Duration::from_secs(20));
        if signal == Signal::TERM {
            // It removes its socket when it ends in order, but knows it by another name in a launcher.
            let _ = fs::remove_file(self.socket());
        }
        // If it hung in a frozen guest, SIGTERM was not enough: `nsenter` is gone, the daemon may not be.
        if process::alive(daemon.pid) {
            process::signal(daemon.pid, Signal::KILL);
            wait_until(Duration::from_secs(10), "libvirtd's end", || (!process::alive(daemon.pid)).then_some(()));
        }
        exit
    }

    /// Starts the daemon once more and waits until it answers.
    #[track_caller]
    pub fn start_again(&mut self) {
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
    pub fn launch(&mut self) {
        assert!(self.daemon.is_none(), "this libvirtd runs already");
        // A killed daemon leaves its socket, on which nobody listens.
        let _ = fs::remove_file(self.socket());
        let program = Program::installed();
        let command = match self.kind {
            Kind::System => {
                let mut command = self.namespace.command(program.name);
                // All daemons of the machine would share the default path.
                command.args(["--pid-file", "/run/libvirt/daemon.pid"]);
                command.args(self.listen.then_some("--listen"));
                command
            }
            Kind::Session => {
                let (user, group) = qemu_user();
                let folder = self.folder().display().to_string();
                let mut command = self.namespace.command("setpriv");
                let groups = kvm_group().map_or("--clear-groups".to_owned(), |group| format!("--groups={group}"));
                command.args([&format!("--reuid={user}"), &format!("--regid={group}"), &groups]);
                command.arg(program.name);
                command.env("HOME", format!("{folder}/home"));
                command.env("XDG_RUNTIME_DIR", format!("{folder}/xdg"));
                command.env("XDG_CONFIG_HOME", format!("{folder}/config"));
                command.env("XDG_CACHE_HOME", format!("{folder}/cache"));
                command.current_dir("/");
                command
            }
        };
        // `nsenter` must outlive the daemon to reap it: an orphan would be left to process 1 outside, and where that
        // never reaps (in many containers), the namespace could not end.
        let mut outer = Process::spawn_unbound("libvirtd", command, &self.folder().join("libvirtd.log"));
        let pid = outer.only_child();
        let mut daemon = Daemon { outer, pid };
        let own = self.socket().with_file_name(program.socket());
        if own != self.socket() {
            // A launcher's daemon is a virtqemud, in whose place this is a libvirtd. Its socket is renamed, not linked,
            // because nobody should follow a link.
            daemon.outer.wait_ready(Duration::from_secs(30), || fs::rename(&own, self.socket()).ok());
        }
        self.daemon = Some(daemon);
    }

    /// Freezes the daemon with SIGSTOP: connections open, nobody answers.
    pub fn freeze_daemon(&self) {
        process::signal(self.pid(), Signal::STOP);
    }

    /// Lets a frozen daemon go on.
    pub fn thaw_daemon(&self) {
        process::signal(self.pid(), Signal::CONT);
        // `nsenter` stops itself when its child is stopped.
        if let Some(daemon) = &self.daemon {
            process::signal(daemon.outer.pid(), Signal::CONT);
        }
    }

    /// Runs `virsh` on this daemon and returns what it printed; panics when it fails.
    #[track_caller]
    pub fn virsh(&self, arguments: &[&str]) -> String {
        self.try_virsh(arguments).unwrap_or_else(|error| panic!("virsh {arguments:?}: {error}"))
    }

    /// [`virsh`](Self::virsh), with the error output if it fails.
    pub fn try_virsh(&self, arguments: &[&str]) -> Result<String, String> {
        self.virsh_within(VIRSH_TIMEOUT, arguments)
    }

    /// [`try_virsh`](Self::try_virsh) that gives up, and kills virsh, after the time given.
    pub fn virsh_within(&self, timeout: Duration, arguments: &[&str]) -> Result<String, String> {
        virsh::run(&self.uri(), timeout, arguments)
    }

    /// How many of the daemon's workers are busy, according to the daemon.
    #[track_caller]
    pub fn busy_workers(&self) -> usize {
        let program = Program::installed();
        let socket = self.socket().with_file_name(program.admin_socket());
        let mut command = Command::new("virt-admin");
        command.args(["--connect", &format!("{}+unix:///system?socket={}", program.name, socket.display())]);
        command.args(["server-threadpool-info", program.name]).env("LC_ALL", "C");
        let output = process::run(command, Duration::from_secs(5)).expect("an answer of the daemon's admin server");
        assert_eq!(output.code, Some(0), "virt-admin: {}", output.stderr);
        let number = |name: &str| {
            let line = output.stdout.lines().find_map(|line| line.trim().strip_prefix(name));
            let value = line.and_then(|line| line.trim_start().strip_prefix(':')?.trim().parse::<usize>().ok());
            value.unwrap_or_else(|| panic!("no {name} in {}", output.stdout))
        };
        number("nWorkers") - number("freeWorkers")
    }

    /// Another client of the daemon, which listens to a guest's lifecycle and logs a line for each event, with its
    /// time.
    #[track_caller]
    pub fn listener(&self, name: &str) -> Process {
        let log = self.folder().join("events.log");
        Process::spawn("virsh event", virsh::lifecycle_events(&self.uri(), name), &log)
    }

    /// How NICs of this daemon's guests are connected to the host.
    pub fn nic(&self) -> Nic {
        self.nic
    }

    /// The namespaces, for commands that must see the daemon's network, mounts or processes.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
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
