//! What really runs a VM.

/// What really runs a VM, from the `type` attribute of the running domain's XML.
///
/// The set is closed: it is a label on `hypervisor_info`. The raw attribute is kept beside it in
/// [`Description`](super::Description).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HypervisorType {
    /// Hardware virtualization by KVM: `<domain type='kvm'>`.
    Kvm,
    /// QEMU's own emulation (TCG): `<domain type='qemu'>`.
    QemuTcg,
    /// The Microsoft Hypervisor: `<domain type='hyperv'>`.
    Hyperv,
    /// The type could not be read, or is none of the above.
    Unknown,
}

impl HypervisorType {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Kvm, Self::QemuTcg, Self::Hyperv, Self::Unknown];

    /// The type that a domain's `type` attribute stands for.
    #[must_use]
    pub fn from_domain_type(domain_type: &str) -> Self {
        match domain_type {
            "kvm" => Self::Kvm,
            "qemu" => Self::QemuTcg,
            "hyperv" => Self::Hyperv,
            _ => Self::Unknown,
        }
    }

    /// The value of the label `hypervisor_type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::QemuTcg => "qemu-tcg",
            Self::Hyperv => "hyperv",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change to this mapping is a breaking change.
    #[test]
    fn maps_the_domain_type_as_promised() {
        for (domain_type, expected) in [
            ("kvm", "kvm"),
            ("qemu", "qemu-tcg"),
            ("hyperv", "hyperv"),
            ("xen", "unknown"),
            ("test", "unknown"),
            ("KVM", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(HypervisorType::from_domain_type(domain_type).as_str(), expected, "{domain_type:?}");
        }
    }
}
