//! Whether this machine has KVM.

use super::finding::{Check, Finding};
use super::system::System;

/// What is visible of KVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kvm {
    device: bool,
    module: bool,
}

impl Kvm {
    /// Looks, without opening the device.
    pub(super) fn on(system: &System) -> Self {
        Self { device: system.has("dev/kvm"), module: system.has("sys/module/kvm") }
    }

    /// Whether VMs can run on it, as far as can be seen.
    pub(super) const fn is_there(self) -> bool {
        self.device || self.module
    }

    /// `in_a_pod`: the agent is in a container that has no need of the device.
    pub(super) fn judge(self, in_a_pod: bool) -> Finding {
        match self {
            Self { device: true, .. } => Finding::well(Check::Kvm, "/dev/kvm is there"),
            Self { module: true, .. } if in_a_pod => Finding::well(
                Check::Kvm,
                "the kernel has KVM; its device is not in this container, which does not need it",
            ),
            Self { module: true, .. } => Finding::warning(
                Check::Kvm,
                "the kernel has KVM, and /dev/kvm is not there",
                "`modprobe kvm_intel` or `modprobe kvm_amd`; `virt-host-validate qemu` says what is missing",
            ),
            Self { .. } => Finding::warning(
                Check::Kvm,
                "the kernel shows no KVM: VMs of this machine run emulated (qemu-tcg)",
                "enable virtualization in the firmware, or nested virtualization where this is a VM itself, and load \
                 the module kvm",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;
    use crate::check::system::tests::machine;

    #[test]
    fn a_container_needs_the_module_and_a_host_the_device() {
        for (files, in_a_pod, outcome) in [
            (&[("dev/kvm", ""), ("sys/module/kvm/refcnt", "1")][..], false, Outcome::Well),
            (&[("dev/kvm", "")], true, Outcome::Well),
            (&[("sys/module/kvm/refcnt", "1")], true, Outcome::Well),
            (&[("sys/module/kvm/refcnt", "1")], false, Outcome::Warning),
            (&[], true, Outcome::Warning),
        ] {
            let (_root, system) = machine(files);
            let finding = Kvm::on(&system).judge(in_a_pod);
            assert_eq!(finding.outcome, outcome, "{files:?}: {finding:?}");
            assert_eq!(Kvm::on(&system).is_there(), !files.is_empty());
        }
    }
}
