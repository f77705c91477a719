//! The most of everything that is taken from an object. Kubernetes enforces most of these limits itself, but a KubeVirt
//! object also has free text from guests and users. What is longer is left out, never cut: half a name is another name.

/// A namespace is a DNS label.
pub(super) const NAMESPACE: usize = 63;

/// A name is a DNS subdomain. So are the names of nodes and most other things.
pub(super) const NAME: usize = 253;

/// A UID is a UUID, 36 bytes; the API does not promise it.
pub(super) const UID: usize = 64;

/// A resource version is an etcd revision, 20 digits; the API does not promise it.
pub(super) const RESOURCE_VERSION: usize = 64;

/// A label's value.
pub(super) const LABEL_VALUE: usize = 63;

/// A label's key: a DNS subdomain, a slash and a name of 63 bytes.
pub(super) const LABEL_KEY: usize = 253 + 1 + 63;

/// Labels that are read: VMIs have ten. Which of them are used is decided later.
pub(super) const LABELS: usize = 512;

/// Free text: a guest system's pretty name, an annotation. It is on every series that carries it.
pub(super) const FREE_TEXT: usize = 256;

/// A short value: a phase, a model, a machine type, the name of a binding.
pub(super) const WORD: usize = 64;

/// An IP address: 45 bytes for the longest, and a zone.
pub(super) const ADDRESS: usize = 64;

/// Addresses of one interface. IPv6 gives a few each; each is a series.
pub(super) const ADDRESSES: usize = 16;

/// Interfaces of a VMI: there are no more PCI slots.
pub(super) const INTERFACES: usize = 32;

/// Volumes of a VMI: KubeVirt admits no more.
pub(super) const VOLUMES: usize = 256;

/// Pods of a VMI that are read: one, two in a migration, and those of failed migrations until they are deleted.
pub(super) const PODS_READ: usize = 256;

/// Pods of a VMI that are kept, those of this node first.
pub(super) const PODS_KEPT: usize = 16;

/// Conditions that are read: KubeVirt 1.9 has 17.
pub(super) const CONDITIONS: usize = 64;

/// An RFC 3339 timestamp with nanoseconds and an offset has 35 bytes.
pub(super) const MOMENT: usize = 40;

/// A quantity: more digits than any amount of bytes has.
pub(super) const QUANTITY: usize = 64;
