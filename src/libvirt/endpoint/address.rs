//! Where a daemon is.

use std::path::PathBuf;
use std::sync::Arc;

/// Where a daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Where a URI says.
    Uri(libvirt_remote::Address),
    /// In a launcher pod of this node.
    Launcher(LauncherSocket),
    /// Behind this socket, given by its absolute path: the launcher's own, seen from a container of the same pod. Its
    /// last part may not be a symbolic link.
    Socket(PathBuf),
    /// In libvirt's own library, which has the driver of this URI: `test:///default`.
    #[cfg(feature = "virt")]
    Library(Arc<str>),
}

/// The socket of the virtqemud in a launcher pod, as it is seen from the node:
/// `<pods_dir>/<pod_uid>/volumes/kubernetes.io~empty-dir/libvirt-runtime/virtqemud-sock`.
///
/// What is below the pod's directory belongs to the pod, and so to whoever may have broken out of its VM. It is walked
/// anew for every connection, no symbolic link is followed, and what is found must be a socket of the right owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LauncherSocket {
    /// The kubelet's directory of pods.
    pub pods_dir: PathBuf,
    /// The pod's UID, from `status.activePods` of the VMI. Anything that is not one is refused.
    pub pod_uid: Arc<str>,
    /// The user that the launcher runs as, from `status.runtimeUser` of the VMI. The socket must be that user's, and a
    /// launcher of root (0) has libvirt's system driver, any other the session driver. Without it any owner is taken,
    /// and it is the owner that tells the driver.
    pub runtime_user: Option<u32>,
}
