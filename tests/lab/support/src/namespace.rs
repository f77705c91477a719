//! Namespaces that separate a libvirtd and its QEMUs from the machine's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::private_mounts;
use super::process::{self, Process};

/// Private mounts, network, host name and process ids, held open by one process.
///
/// That process is PID 1 of the process namespace: when it ends, the kernel kills everything else in it, even if
/// stopped, orphaned or started by a daemon that is long gone. So a test leaves nothing running.
pub struct Namespace {
    unshare: Process,
    holder: u32,
    ended: bool,
}

impl Namespace {
    /// Makes the namespaces, with each folder on the left mounted over the path on the right.
    #[track_caller]
    pub fn new(folder: &Path, host_name: &str, mounts: &[(PathBuf, PathBuf)]) -> Namespace {
        let ready = folder.join("ready");
        let mut script = String::from("set -e\n");
        for (source, target) in mounts {
            let (source, target) = (source.display(), target.display());
            script += &format!("mkdir -p {target}; mount --bind {source} {target}\n");
        }
        script += &format!("ip link set lo up; hostname {host_name}; : >{}\n", ready.display());
        // Process 1 inherits the orphaned QEMUs and must reap them: libvirt waits 40 s for a zombie to go. Ignoring
        // SIGCHLD makes the kernel reap them; shells refuse to ignore it, so env does.
        script += "exec env --ignore-signal=CHLD sleep infinity\n";
        let namespaces = ["--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let command = private_mounts::command(&namespaces, &script);
        let mut unshare = Process::spawn("a namespace", command, &folder.join("namespace.log"));
        unshare.wait_ready(Duration::from_secs(20), || ready.exists().then_some(()));
        let holder = unshare.only_child();
        Namespace { unshare, holder, ended: false }
    }

    /// The process that holds the namespaces open.
    pub fn holder(&self) -> u32 {
        self.holder
    }

    /// A command that runs inside. `nsenter` stays outside as its parent.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.enter(&["--net"]);
        command.arg(program);
        command
    }

    /// A command that runs inside except for the network, which is the tests': a server that they can reach and that
    /// ends with the namespace.
    pub fn command_on_our_network(&self, program: &str) -> Command {
        let mut command = self.enter(&[]);
        command.arg(program);
        command
    }

    fn enter(&self, more: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        // With the holder's root: the root of the mounts is another one in a chroot.
        command.args(["--target", &self.holder.to_string(), "--mount", "--uts", "--pid", "--root", "--wd"]);
        command.args(more).arg("--");
        command
    }

    /// Runs a command inside to its end and returns what it printed; panics when it fails.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.command(program);
        command.args(arguments);
        let output = process::run(command, Duration::from_secs(20))
            .unwrap_or_else(|| panic!("{program} {arguments:?} did not end within 20 s"));
        assert_eq!(output.code, Some(0), "{program} {arguments:?} failed: {}", output.stderr);
        output.stdout
    }

    /// The process ids, as seen from outside, of all processes inside but the holder.
    pub fn processes(&self) -> Vec<u32> {
        let ours = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let space = ours(self.holder);
        let entries = std::fs::read_dir("/proc").expect("/proc");
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&pid| pid != self.holder && space.is_some() && ours(pid) == space)
            .collect()
    }

    /// How many processes of this name run inside.
    pub fn running(&self, name: &str) -> usize {
        self.processes().into_iter().filter(|&pid| process::status_field(pid, "Name").as_deref() == Some(name)).count()
    }

    /// The outside process id of the process with this id inside.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        let inside = inside.to_string();
        self.processes().into_iter().find(|&pid| {
            process::status_field(pid, "NSpid").is_some_and(|ids| ids.split_whitespace().next_back() == Some(&inside))
        })
    }

    /// Kills everything inside and returns when it is gone.
    pub fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            process::signal(self.holder, Signal::KILL);
            // `unshare` ends with the holder, and the holder only when all the others are gone.
            self.unshare.wait_end(Duration::from_secs(20));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.end();
    }
}
