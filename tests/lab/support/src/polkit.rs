//! A system bus and a polkit of our own, in the namespaces of a private libvirtd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::libvirtd::Libvirtd;
use super::process::{self, Process};

/// Where polkit installs it: the bus starts it, PATH lacks it.
const POLKITD: &str = "/usr/lib/polkit-1/polkitd";

/// How long either may take to start.
const READY: Duration = Duration::from_secs(20);

/// A system bus with polkit on it. Both end with the namespaces.
pub struct Polkit {
    _bus: Process,
    _polkitd: Process,
}

impl Polkit {
    /// Hides the machine's own bus and rules from the daemon. A daemon that has already looked for its bus must be
    /// restarted.
    #[track_caller]
    pub fn hide(libvirtd: &Libvirtd) {
        for (name, place) in [("bus", "/run/dbus"), ("rules", "/etc/polkit-1/rules.d")] {
            let folder = libvirtd.folder().join(name);
            fs::create_dir_all(&folder).expect("a folder");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
                .expect("a folder that polkit's user can read");
            libvirtd.namespace().run("mkdir", &["-p", place]);
            libvirtd.namespace().run("mount", &["--bind", &folder.display().to_string(), place]);
        }
    }

    /// Starts both where the machine's own were hidden, and waits until polkit is there.
    #[track_caller]
    pub fn start(libvirtd: &Libvirtd) -> Polkit {
        assert!(
            Path::new(POLKITD).exists() && Path::new("/usr/bin/dbus-daemon").exists(),
            "polkitd or dbus is missing: install it with: tests/lab/prepare.sh packages"
        );
        let log = |name: &str| libvirtd.folder().join(name);
        let mut command = libvirtd.namespace().command("dbus-daemon");
        command.args(["--system", "--nofork", "--nopidfile"]);
        let mut bus = Process::spawn("dbus-daemon", command, &log("dbus.log"));
        let socket = libvirtd.folder().join("bus/system_bus_socket");
        bus.wait_ready(READY, || socket.exists().then_some(()));
        let mut command = libvirtd.namespace().command(POLKITD);
        command.arg("--no-debug");
        let mut polkitd = Process::spawn("polkitd", command, &log("polkitd.log"));
        polkitd.wait_ready(READY, || {
            let mut ask = libvirtd.namespace().command("dbus-send");
            ask.args(["--system", "--print-reply", "--dest=org.freedesktop.DBus", "/"]);
            ask.args(["org.freedesktop.DBus.GetNameOwner", "string:org.freedesktop.PolicyKit1"]);
            process::run(ask, Duration::from_secs(5)).filter(|output| output.code == Some(0))
        });
        Polkit { _bus: bus, _polkitd: polkitd }
    }

    /// A rule that only root may read libvirt. polkit loads it when it notices the file.
    pub fn forbid(libvirtd: &Libvirtd) {
        let rule = "polkit.addRule(function(action) {\n    if (action.id == \"org.libvirt.unix.monitor\") return polkit.Result.NO;\n});\n";
        let path = libvirtd.folder().join("rules/00-lab.rules");
        fs::write(&path, rule).expect("a rule");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a rule that polkit's user can read");
    }
}
