//! Where a daemon is.

use std::path::PathBuf;
use std::sync::Arc;

/// Where a daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// At this URI.
    Uri(libvirt_remote::Address),
    /// In a launcher pod of this node.
    Launcher(LauncherSocket),
    /// At this socket, given by its absolute path: the launcher's own, seen from a container of the same pod. Its last
    /// component must not be a symbolic link.
    Socket(PathBuf),
    /// In libvirt's own library, with the driver of this URI: `test:///default`.
    #[cfg(feature = "virt")]
    Library(Arc<str>),
}

/// The socket of the virtqemud in a launcher pod, as it is seen from the node:
/// `<pods_dir>/<pod_uid>/volumes/kubernetes.io~empty-dir/libvirt-runtime/virtqemud-sock`.
///
/// Everything below the pod's directory belongs to the pod, and so to an attacker who has broken out of its VM. The
/// path is walked again for every connection, no symbolic link is followed, and the file must be a socket with the
/// right owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LauncherSocket {
    /// The kubelet's directory of pods.
    pub pods_dir: PathBuf,
    /// The pod's UID, from `status.activePods` of the VMI. Anything else is refused.
    pub pod_uid: Arc<str>,
    /// The user that the launcher runs as, from `status.runtimeUser` of the VMI. The socket must be that user's; root's
    /// (0) launcher has libvirt's system driver, any other the session driver. `None` accepts any owner, and the owner
    /// determines the driver.
    pub runtime_user: Option<u32>,
}
