//! A real sshd of our own on the loopback address, which leads to a private libvirtd.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::libvirtd::Libvirtd;
use super::process::{self, Process};
use super::{free_port, wait_until};

/// sshd starts itself again, so it needs its full path.
const SSHD: &str = "/usr/sbin/sshd";

/// The empty folder that sshd requires.
const EMPTY: &str = "/run/sshd";

/// Which host keys an ssh knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knows {
    /// The one of this sshd.
    It,
    /// None.
    Nobody,
    /// Another one for this sshd.
    Another,
}

/// A running sshd. Its sessions are root's, on the daemon's host: they see its sockets.
pub struct Sshd {
    // `nsenter`, which waits for it outside of the namespaces.
    outer: Process,
    listener: u32,
    port: u16,
    folder: TempDir,
}

impl Sshd {
    /// Starts it on a free port and waits until it listens.
    #[track_caller]
    pub fn start(libvirtd: &Libvirtd) -> Sshd {
        for (program, package) in [(SSHD, "openssh-server"), ("/usr/bin/ssh", "openssh-client")] {
            let found = Path::new(program).exists();
            assert!(found, "{program} ({package}) is missing: install it with: tests/lab/prepare.sh packages");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        for name in ["host", "other-host", "user", "stranger"] {
            make_key(&path.join(name));
        }
        fs::copy(path.join("user.pub"), path.join("authorized")).expect("the keys that are let in");
        let port = free_port();
        let public = |name: &str| fs::read_to_string(path.join(name)).expect("a public key");
        fs::write(path.join("known"), format!("[127.0.0.1]:{port} {}", public("host.pub"))).expect("known hosts");
        let other = format!("[127.0.0.1]:{port} {}", public("other-host.pub"));
        fs::write(path.join("known-otherwise"), other).expect("known hosts");
        for (name, known) in [("ssh", "known"), ("ssh-of-stranger", "none"), ("ssh-of-other", "known-otherwise")] {
            write_ssh(&path.join(name), &path.join(known));
        }
        fs::create_dir_all(EMPTY).expect("sshd's folder");
        let shown = path.display();
        // Passwords are offered, so that a client whose key is refused would ask for one. No PAM: it needs a complete
        // host.
        let configuration = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication yes\n"
        );
        fs::write(path.join("sshd_config"), configuration).expect("sshd's configuration");
        let mut command = libvirtd.namespace().command_on_our_network(SSHD);
        command.args(["-D", "-e", "-f"]).arg(path.join("sshd_config"));
        let mut outer = Process::spawn("sshd", command, &path.join("sshd.log"));
        outer.wait_ready(Duration::from_secs(20), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        let listener = outer.only_child();
        Sshd { outer, listener, port, folder }
    }

    /// The URI of the daemon behind it, with more parameters: `proxy=netcat`.
    pub fn uri(&self, more: &str) -> String {
        self.uri_as(Knows::It, "user", more)
    }

    /// [`uri`](Self::uri), for an ssh that knows these hosts and has this key: `user` (accepted) or `stranger`.
    pub fn uri_as(&self, knows: Knows, key: &str, more: &str) -> String {
        let ssh = match knows {
            Knows::It => "ssh",
            Knows::Nobody => "ssh-of-stranger",
            Knows::Another => "ssh-of-other",
        };
        let more = if more.is_empty() { String::new() } else { format!("&{more}") };
        let (port, ssh, key) = (self.port, self.path(ssh), self.path(key));
        format!("qemu+ssh://root@127.0.0.1:{port}/system?keyfile={key}&command={ssh}{more}")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Its sessions: a process for each connection.
    pub fn sessions(&self) -> Vec<u32> {
        process::children(self.listener).into_iter().filter(|&pid| process::alive(pid)).collect()
    }

    /// Sends a signal to each session, and returns them.
    pub fn signal_sessions(&self, signal: Signal) -> Vec<u32> {
        let sessions = self.sessions();
        sessions.iter().for_each(|&pid| process::signal(pid, signal));
        sessions
    }

    /// Freezes it: connections open, nobody answers.
    pub fn freeze(&self) {
        process::signal(self.listener, Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        process::signal(self.listener, Signal::CONT);
        // `nsenter` stops itself when its child is stopped.
        process::signal(self.outer.pid(), Signal::CONT);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.outer.log()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Sessions have process groups of their own, and one that is stopped ends with the namespace at the latest.
        process::signal(self.listener, Signal::KILL);
        self.outer.wait_end(Duration::from_secs(10));
    }
}

#[track_caller]
fn make_key(path: &Path) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(path);
    let output = process::run(command, Duration::from_secs(20)).expect("a key within 20 s");
    assert_eq!(output.code, Some(0), "ssh-keygen: {}", output.stderr);
}

/// An ssh that ignores this machine's configuration and knows the hosts in a file.
fn write_ssh(path: &Path, known: &Path) {
    let script = format!(
        "#!/bin/sh\nexec ssh -F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes \
         -o IdentityAgent=none \"$@\"\n",
        known.display()
    );
    fs::write(path, script).expect("a program of our own");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program that runs");
    // A file that another thread's child still has open for writing cannot be run yet.
    wait_until(Duration::from_secs(10), "a program that can be run", || {
        let mut command = Command::new(path);
        command.arg("-V");
        process::run(command, Duration::from_secs(5)).filter(|output| output.code == Some(0))
    });
}
