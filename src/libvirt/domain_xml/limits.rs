//! The bounds of what is read of an XML document.

/// The longest XML that is read, in bytes: the longest string that libvirt's protocol carries.
pub(super) const MAX_LENGTH: usize = 4 * 1024 * 1024;

/// How deeply elements may be nested. A disk goes a few levels deep, plus one for each file of its backing chain, of
/// which libvirt allows 200.
pub(super) const MAX_DEPTH: u32 = 512;

/// How many elements are read. A disk has about 15: this is enough for
/// [`MAX_DEVICES`](crate::libvirt::decode::MAX_DEVICES) disks and long backing chains, and takes 25 ms at worst.
pub(super) const MAX_ELEMENTS: u32 = 200_000;

/// How many attributes an element that is read may have. libvirt writes 10 at most.
pub(super) const MAX_ATTRIBUTES: usize = 64;

/// The longest accepted value, in bytes: enough for any path in use. A longer one is dropped rather than cut, since a
/// cut name may be another thing's name.
pub(super) const LONGEST_VALUE: usize = 1024;

/// How much of a wrong root's name is repeated in the error, in characters.
pub(super) const LONGEST_FOUND: usize = 64;

/// How much of the reason why XML is not well-formed is repeated in the error, in characters: it may quote the whole
/// document.
pub(super) const LONGEST_REASON: usize = 200;
