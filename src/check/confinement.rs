//! What may keep the agent from launchers' sockets in mode kubevirt: SELinux, and missing capabilities.

use super::finding::{Check, Finding};
use super::system::System;

/// The capability that passes the permissions of launchers' sockets, by its bit (`CAP_DAC_OVERRIDE`).
const DAC_OVERRIDE: u64 = 1 << 1;

/// SELinux, as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selinux {
    /// Whether it enforces; `None` if that cannot be seen.
    enforces: Option<bool>,
    /// The type of this process; `None` without SELinux.
    kind: Option<String>,
}

impl Selinux {
    pub(super) fn on(system: &System) -> Self {
        let enforces = system.text("sys/fs/selinux/enforce").map(|word| word == "1");
        let context = system.text("proc/self/attr/current");
        // user:role:type:level, where AppArmor has `name (mode)`.
        let kind = context.and_then(|context| context.split(':').nth(2).map(str::to_owned));
        Self { enforces, kind }
    }

    /// In mode kubevirt each launcher's socket has categories of its own.
    pub(super) fn judge(&self, reads_launchers: bool) -> Finding {
        const NEXT: &str = "give the container seLinuxOptions with `type: spc_t` (the chart's seLinuxType); `ausearch -m \
                            avc -ts recent` on the node shows what was denied";
        let Some(kind) = &self.kind else {
            return Finding::not_tried(
                Check::Selinux,
                "this process has no SELinux context: the kernel does not use SELinux",
            );
        };
        if !reads_launchers || kind == "spc_t" || kind.starts_with("unconfined_") {
            return Finding::well(Check::Selinux, format!("this process has the type {kind}"));
        }
        let detail = format!("this process has the type {kind}, which may not connect to launchers' sockets");
        match self.enforces {
            Some(true) => Finding::failure(Check::Selinux, format!("SELinux enforces, and {detail}"), NEXT),
            Some(false) => {
                Finding::warning(Check::Selinux, format!("SELinux would deny it if it enforced: {detail}"), NEXT)
            }
            None => Finding::warning(Check::Selinux, detail, NEXT),
        }
    }
}

/// Whether this process passes the permissions of a socket of another user.
pub(super) fn privileges(system: &System) -> Finding {
    let status = system.text("proc/self/status").unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let Some(effective) = field("CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
        return Finding::not_tried(
            Check::Privileges,
            "/proc/self/status does not say which capabilities this process has",
        );
    };
    if effective & DAC_OVERRIDE != 0 {
        return Finding::well(Check::Privileges, "this process has CAP_DAC_OVERRIDE");
    }
    // Real, effective, saved, for files.
    let user = field("Uid:").and_then(|ids| ids.split_whitespace().nth(1)).unwrap_or("another");
    Finding::warning(
        Check::Privileges,
        format!("this process has no CAP_DAC_OVERRIDE: it opens sockets of the user {user} alone"),
        "run the agent as root with the capability DAC_OVERRIDE, as the chart does",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;
    use crate::check::system::tests::machine;

    const CURRENT: &str = "proc/self/attr/current";
    const ENFORCE: &str = "sys/fs/selinux/enforce";

    fn judged(files: &[(&str, &str)], reads_launchers: bool) -> Finding {
        let (_root, system) = machine(files);
        Selinux::on(&system).judge(reads_launchers)
    }

    #[test]
    fn an_ordinary_container_reaches_no_launcher_where_selinux_enforces() {
        let container = "system_u:system_r:container_t:s0:c123,c456\0";
        assert_eq!(judged(&[(CURRENT, container), (ENFORCE, "1")], true).outcome, Outcome::Failure);
        assert_eq!(judged(&[(CURRENT, container), (ENFORCE, "0")], true).outcome, Outcome::Warning);
        assert_eq!(judged(&[(CURRENT, container)], true).outcome, Outcome::Warning);
        assert_eq!(judged(&[(CURRENT, container), (ENFORCE, "1")], false).outcome, Outcome::Well, "no launchers");
        let privileged = "system_u:system_r:spc_t:s0\n";
        assert_eq!(judged(&[(CURRENT, privileged), (ENFORCE, "1")], true).outcome, Outcome::Well);
    }

    #[test]
    fn without_selinux_there_is_nothing_to_judge() {
        for context in ["unconfined\n", "cri-containerd.apparmor.d (enforce)", ""] {
            assert_eq!(judged(&[(CURRENT, context)], true).outcome, Outcome::NotTried, "{context}");
        }
        assert_eq!(judged(&[], true).outcome, Outcome::NotTried);
    }

    #[test]
    fn the_capability_is_told_by_its_bit() {
        let with = |capabilities: &str| {
            let status = format!("Name:\tvirt-otel\nUid:\t107\t107\t107\t107\nCapEff:\t{capabilities}\n");
            privileges(&machine(&[("proc/self/status", &status)]).1)
        };
        assert_eq!(with("0000000000000002").outcome, Outcome::Well);
        assert_eq!(with("000001ffffffffff").outcome, Outcome::Well);
        let without = with("00000000a80425f9");
        assert!(without.outcome == Outcome::Warning && without.detail.contains("user 107"), "{without:?}");
        assert_eq!(privileges(&machine(&[]).1).outcome, Outcome::NotTried);
    }
}
