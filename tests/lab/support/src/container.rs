//! What a container runtime does to a program before it starts it, as far as our manifests ask for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::private_mounts;

/// Where a pod has the files of its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How a program is confined.
#[derive(Debug, Clone, Default)]
pub struct Container {
    user: u32,
    capability: Option<&'static str>,
    read_only: Vec<(PathBuf, PathBuf)>,
    account: Option<PathBuf>,
}

impl Container {
    /// A user without any capability, even root, and no way to get one.
    pub fn of_user(user: u32) -> Container {
        Container { user, ..Container::default() }
    }

    /// This one capability, without `CAP_`. A user other than root has it as an ambient one.
    pub fn capability(mut self, name: &'static str) -> Container {
        self.capability = Some(name);
        self
    }

    /// A folder of ours mounted read-only at another one, which must be there.
    pub fn read_only(mut self, source: &Path, target: &Path) -> Container {
        self.read_only.push((source.to_owned(), target.to_owned()));
        self
    }

    /// A folder of ours where a pod has its service account's files, with nothing else in `/run`.
    pub fn account(mut self, source: &Path) -> Container {
        self.account = Some(source.to_owned());
        self
    }

    /// A command that becomes the program; add its arguments.
    pub fn command(&self, program: &str) -> Command {
        let mut script = "set -e\n".to_owned();
        if let Some(source) = &self.account {
            let source = source.display();
            let _ = write!(script, "mount -t tmpfs tmpfs /run\nmkdir -p {ACCOUNT}\nmount --bind {source} {ACCOUNT}\n");
        }
        for (source, target) in &self.read_only {
            let (source, target) = (source.display(), target.display());
            let _ = write!(
                script,
                "mount --bind {source} {target}\nmount -o remount,bind,ro {target}\n\
                 if (: >{target}/probe) 2>/dev/null; then echo '{target} can be written to' >&2; exit 1; fi\n"
            );
        }
        // The program may be where this user cannot go.
        let _ = writeln!(script, "exec 9<{program}");
        let (user, capability) = (self.user, self.capability.map(|name| format!(",+{name}")).unwrap_or_default());
        let _ = write!(script, "exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs");
        let _ = write!(script, " --bounding-set=-all{capability} --inh-caps=-all{capability}");
        let _ = write!(script, " --ambient-caps=-all{}", if user == 0 { "" } else { &capability });
        script += " --pdeathsig KILL /proc/self/fd/9 \"$@\"\n";
        private_mounts::command(&[], &script)
    }
}
