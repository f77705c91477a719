//! Amounts that need a unit to be read. Times are [`std::time::Duration`]s.

/// An amount of data or memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

impl Bytes {
    /// From kibibytes, the unit of libvirt's memory figures; saturates.
    #[must_use]
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1024))
    }

    /// From mebibytes, the unit of libvirt's dirty rate; saturates.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1024 * 1024))
    }

    /// From gibibytes, the unit of OpenStack's disks; saturates.
    #[must_use]
    pub const fn from_gib(gib: u64) -> Self {
        Self(gib.saturating_mul(1024 * 1024 * 1024))
    }
}
