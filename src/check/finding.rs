//! What was tried, how it went, and what to do.

use crate::model::disturbs;

/// What is tried, in the order of the report. Their words are stable: programs read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Options and variables that look like a mistake.
    Configuration,
    /// The clock of this machine.
    Clock,
    /// The limit of open files.
    OpenFiles,
    /// Whether this machine has KVM.
    Kvm,
    /// SELinux' type of this process.
    Selinux,
    /// The capability that opens launchers' sockets.
    Privileges,
    /// The kubelet's directory of pods.
    PodsDirectory,
    /// Whether it is mounted read-only.
    PodsMount,
    /// The system call that follows no link.
    Openat2,
    /// The Kubernetes API.
    KubernetesApi,
    /// What the agent may do there.
    KubernetesRights,
    /// The VMIs of this node.
    Vmis,
    /// The sockets of libvirt's daemons.
    LibvirtSocket,
    /// Whether they allow no more than reading.
    LibvirtReadOnly,
    /// The groups of statistics that libvirt gives.
    StatisticsGroups,
    /// Whether every VM could be read.
    VmReadings,
    /// What really runs the VMs.
    VmTypes,
    /// Whether guests are asked for their memory's figures.
    BalloonPeriod,
    /// The Collector, for metrics.
    Collector,
    /// The Collector, for logs.
    CollectorLogs,
    /// The address of /metrics.
    Listen,
    /// Who may read at the address of /metrics.
    Guard,
    /// The address of the probes.
    ListenHealth,
    /// How many series this machine adds.
    Series,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 24] = [
        Self::Configuration,
        Self::Clock,
        Self::OpenFiles,
        Self::Kvm,
        Self::Selinux,
        Self::Privileges,
        Self::PodsDirectory,
        Self::PodsMount,
        Self::Openat2,
        Self::KubernetesApi,
        Self::KubernetesRights,
        Self::Vmis,
        Self::LibvirtSocket,
        Self::LibvirtReadOnly,
        Self::StatisticsGroups,
        Self::VmReadings,
        Self::VmTypes,
        Self::BalloonPeriod,
        Self::Collector,
        Self::CollectorLogs,
        Self::Listen,
        Self::Guard,
        Self::ListenHealth,
        Self::Series,
    ];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Clock => "clock",
            Self::OpenFiles => "open-files",
            Self::Kvm => "kvm",
            Self::Selinux => "selinux",
            Self::Privileges => "privileges",
            Self::PodsDirectory => "pods-directory",
            Self::PodsMount => "pods-mount",
            Self::Openat2 => "openat2",
            Self::KubernetesApi => "kubernetes-api",
            Self::KubernetesRights => "kubernetes-rights",
            Self::Vmis => "vmis",
            Self::LibvirtSocket => "libvirt-socket",
            Self::LibvirtReadOnly => "libvirt-read-only",
            Self::StatisticsGroups => "statistics-groups",
            Self::VmReadings => "vm-readings",
            Self::VmTypes => "vm-types",
            Self::BalloonPeriod => "balloon-period",
            Self::Collector => "collector",
            Self::CollectorLogs => "collector-logs",
            Self::Listen => "listen",
            Self::Guard => "guard",
            Self::ListenHealth => "listen-health",
            Self::Series => "series",
        }
    }
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It does not apply here, or could not be tried; the detail says why.
    NotTried,
    /// As it should be.
    Well,
    /// Not as it should be; the agent does what it can without.
    Warning,
    /// Something that the agent needs fails.
    Failure,
}

impl Outcome {
    /// Every outcome, the best first.
    pub const ALL: [Self; 4] = [Self::Well, Self::NotTried, Self::Warning, Self::Failure];

    /// Its word, for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotTried => "not_tried",
            Self::Well => "well",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }

    /// Its word, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotTried => "not tried",
            other => other.as_str(),
        }
    }
}

/// The result of one check, about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub check: Check,
    /// How it went.
    pub outcome: Outcome,
    /// What was seen, on one line.
    pub detail: String,
    /// What to do, on one line; `None` if there is nothing to do.
    pub next_step: Option<String>,
}

impl Finding {
    /// It is as it should be.
    pub(super) fn well(check: Check, detail: impl AsRef<str>) -> Self {
        Self { check, outcome: Outcome::Well, detail: one_line(detail.as_ref()), next_step: None }
    }

    /// It was not tried, for this reason.
    pub(super) fn not_tried(check: Check, reason: impl AsRef<str>) -> Self {
        Self { outcome: Outcome::NotTried, ..Self::well(check, reason) }
    }

    /// It is not as it should be.
    pub(super) fn warning(check: Check, detail: impl AsRef<str>, next_step: impl AsRef<str>) -> Self {
        Self { outcome: Outcome::Warning, ..Self::well(check, detail) }.next(next_step)
    }

    /// It fails.
    pub(super) fn failure(check: Check, detail: impl AsRef<str>, next_step: impl AsRef<str>) -> Self {
        Self { outcome: Outcome::Failure, ..Self::well(check, detail) }.next(next_step)
    }

    /// With something to do.
    pub(super) fn next(self, next_step: impl AsRef<str>) -> Self {
        Self { next_step: Some(one_line(next_step.as_ref())), ..self }
    }
}

/// A number of things, such as `1 VM` and `2 VMs`.
pub(super) fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A text that may come from outside, without what could break a line or steer a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if disturbs(char) { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_word_of_its_own_and_its_place() {
        let words: BTreeSet<&str> = Check::ALL.into_iter().map(Check::as_str).collect();
        assert_eq!(words.len(), Check::ALL.len());
        assert!(Check::ALL.is_sorted());
    }

    #[test]
    fn what_a_guest_is_called_cannot_break_the_line() {
        let finding = Finding::warning(Check::VmReadings, "web\n\u{1b}[2Jdb", "do\r\nthis");
        assert_eq!(finding.detail, "web  [2Jdb");
        assert_eq!(finding.next_step.as_deref(), Some("do  this"));
    }

    #[test]
    fn a_failure_is_worse_than_a_warning_and_that_than_all_else() {
        assert!(Outcome::Failure > Outcome::Warning && Outcome::Warning > Outcome::Well);
        assert!(Outcome::Well > Outcome::NotTried);
    }
}
