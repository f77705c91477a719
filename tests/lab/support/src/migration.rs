//! Live migrations between two libvirtds of this machine.

use std::collections::BTreeMap;
use std::time::Duration;

use super::libvirtd::Libvirtd;
use super::process::{self, Exit, Process};
use super::{uuid, virsh, wait_until};

/// How long a migration may take: the lab's guests are small.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(120);

/// A migration that has begun. The guest's disk images stay where they are.
pub struct Migration {
    virsh: Process,
    name: String,
    source: String,
}

/// How to migrate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// A limit in MiB per second, so that the migration can be watched; none for full speed.
    pub mebibytes_a_second: Option<u32>,
    /// Lets [`Migration::switch_to_post_copy`] be called.
    pub post_copy: bool,
}

impl Pace {
    /// A Linux guest of the lab then takes about 20 s.
    pub const SLOW: Pace = Pace { mebibytes_a_second: Some(4), post_copy: false };
}

impl Libvirtd {
    /// Moves a running guest to another daemon of the same kind.
    #[track_caller]
    pub fn migrate_to(&self, name: &str, to: &Libvirtd) {
        self.begin_migration(name, to, Pace::default()).finish();
    }

    /// Begins to move a running guest, and returns when the other daemon lists it.
    #[track_caller]
    pub fn begin_migration(&self, name: &str, to: &Libvirtd, pace: Pace) -> Migration {
        let target = to.uri();
        let socket = format!("unix://{}", self.images().join(format!("{}.sock", &uuid()[..8])).display());
        let mut arguments = vec!["migrate", "--live", "--unsafe", name, &target, "--migrateuri", &socket];
        let limit = pace.mebibytes_a_second.map(|limit| limit.to_string());
        if let Some(limit) = &limit {
            arguments.extend(["--bandwidth", limit]);
        }
        if pace.post_copy {
            arguments.push("--postcopy");
            if let Some(limit) = &limit {
                arguments.extend(["--postcopy-bandwidth", limit]);
            }
        }
        let log = self.folder().join(format!("migration-{}.log", &uuid()[..8]));
        let mut virsh = Process::spawn("virsh migrate", virsh::command(&self.uri(), &arguments), &log);
        wait_until(Duration::from_secs(30), "the guest to come in on the target", || {
            // A fast one may be over before anybody looks.
            (to.virsh(&["list", "--name"]).lines().any(|line| line == name) || !virsh.running()).then_some(())
        });
        Migration { virsh, name: name.to_owned(), source: self.uri() }
    }
}

impl Migration {
    /// Waits until the guest is on the other side.
    #[track_caller]
    pub fn finish(mut self) {
        let exit = self.end();
        assert_eq!(exit.code, Some(0), "virsh migrate: {}", self.virsh.log());
    }

    /// Waits for the end of an aborted or failed migration. Returns virsh's output.
    #[track_caller]
    pub fn finish_failed(mut self) -> String {
        let exit = self.end();
        assert_eq!(exit.code, Some(1), "the migration did not fail: {}", self.virsh.log());
        self.virsh.log()
    }

    fn end(&mut self) -> Exit {
        self.virsh.wait_end(MIGRATION_TIMEOUT)
    }

    pub fn running(&mut self) -> bool {
        self.virsh.running()
    }

    /// What `virsh domjobinfo` says on the source, such as `Data processed`; empty when there is no job.
    pub fn job(&self) -> BTreeMap<String, String> {
        let text = self.source_virsh(&["domjobinfo", &self.name]).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect()
    }

    /// Removes its speed limit, so that it ends soon; also on a machine too busy to send memory as fast as the guest
    /// writes it.
    #[track_caller]
    pub fn hurry(&self) {
        self.source_virsh(&["migrate-setspeed", &self.name, "1000"]).expect("a new speed");
        self.source_virsh(&["migrate-setmaxdowntime", &self.name, "10000"]).expect("a new longest pause");
    }

    /// Has the guest run on the target before its memory is all there.
    #[track_caller]
    pub fn switch_to_post_copy(&self) {
        // It is refused until the memory is on its way.
        wait_until(Duration::from_secs(20), "a migration in post-copy", || {
            self.source_virsh(&["migrate-postcopy", &self.name])
        });
    }

    /// Aborts it: the guest goes on where it was.
    #[track_caller]
    pub fn abort(self) -> String {
        self.source_virsh(&["domjobabort", &self.name]).expect("an aborted job");
        self.finish_failed()
    }

    /// Makes it fail by killing the target's QEMU: the guest goes on where it was.
    #[track_caller]
    pub fn fail(self, target: &Libvirtd) -> String {
        target.kill_qemu(&self.name);
        self.finish_failed()
    }

    fn source_virsh(&self, arguments: &[&str]) -> Option<String> {
        let output = process::run(virsh::command(&self.source, arguments), Duration::from_secs(20))?;
        (output.code == Some(0)).then_some(output.stdout)
    }
}
