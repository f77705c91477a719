//! Nodes with virt-launcher pods, reduced to their libvirt.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::domain::Domain;
use super::layout::qemu_user;
use super::libvirtd::{Kind, Libvirtd, LibvirtdOptions, VIRTQEMUD_SOCKET};
use super::proxy::{Proxy, Rewrite};
use super::uuid;

/// The volumes of a pod that live as long as it does, within the pod's folder.
const EMPTY_DIRS: &str = "volumes/kubernetes.io~empty-dir";
/// The volume in which a launcher's libvirt has its sockets.
const LIBVIRT_VOLUME: &str = "libvirt-runtime";

/// A node of a cluster: its name, and the folder in which its kubelet keeps the pods.
#[derive(Clone)]
pub struct Node {
    name: String,
    pods_dir: PathBuf,
    // Shared with the launchers, in whichever order a test drops them.
    _folder: Arc<TempDir>,
}

/// Where a VirtualMachineInstance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub node: String,
    pub pod_uid: String,
    /// The user that the launcher runs as.
    pub user: u32,
}

impl Node {
    pub fn new(name: &str) -> Node {
        let folder = pods_folder();
        Node { name: name.to_owned(), pods_dir: folder.path().to_owned(), _folder: Arc::new(folder) }
    }

    /// [`new`](Self::new), with a folder in which the path of a launcher's socket has this many bytes.
    #[track_caller]
    pub fn with_paths_of(bytes: usize, name: &str) -> Node {
        let mut node = Node::new(name);
        let now = node.sockets_of(&uuid()).join(VIRTQEMUD_SOCKET).as_os_str().len();
        // One for the slash.
        let missing = bytes.checked_sub(now + 1).expect("paths that are shorter without a folder more");
        node.pods_dir.push("p".repeat(missing));
        fs::create_dir(&node.pods_dir).expect("a folder more");
        fs::set_permissions(&node.pods_dir, fs::Permissions::from_mode(0o750)).expect("a folder that only root enters");
        node
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the agent is given as `--pods-dir`.
    pub fn pods_dir(&self) -> &Path {
        &self.pods_dir
    }

    /// A pod with a libvirtd in it that has no guest yet.
    #[track_caller]
    pub fn launcher(&self) -> Launcher {
        self.launcher_with(LibvirtdOptions::new(Kind::Session))
    }

    /// [`launcher`](Self::launcher) with options for its libvirtd.
    #[track_caller]
    pub fn launcher_with(&self, options: LibvirtdOptions) -> Launcher {
        self.launcher_at(self.place(), options)
    }

    /// [`launcher_with`](Self::launcher_with) in an existing place.
    #[track_caller]
    pub fn launcher_at(&self, place: Place, mut options: LibvirtdOptions) -> Launcher {
        options.launcher = Some(self.make_pod(&place.pod_uid));
        let libvirtd = Libvirtd::start(options);
        let user = place.user.to_string();
        // With udev everybody may use it; in some containers only root.
        fs::set_permissions("/dev/net/tun", fs::Permissions::from_mode(0o666)).expect("a device for taps");
        // KubeVirt creates them too, so that QEMU needs no permission.
        for tap in ["tap0", "tap1"] {
            libvirtd.namespace().run("ip", &["tuntap", "add", "dev", tap, "mode", "tap", "user", &user]);
            libvirtd.namespace().run("ip", &["link", "set", tap, "up"]);
        }
        Launcher { libvirtd, place, node: self.clone() }
    }

    /// A place for a pod on this node, without any folder yet.
    pub fn place(&self) -> Place {
        Place { node: self.name.clone(), pod_uid: uuid(), user: qemu_user().0 }
    }

    /// The folder of a pod's sockets, existing or not.
    pub fn sockets_of(&self, pod_uid: &str) -> PathBuf {
        self.pods_dir().join(pod_uid).join(EMPTY_DIRS).join(LIBVIRT_VOLUME)
    }

    /// Makes the folders of a pod as a kubelet does, and returns the one for libvirt's sockets.
    #[track_caller]
    pub fn make_pod(&self, pod_uid: &str) -> PathBuf {
        let sockets = self.sockets_of(pod_uid);
        fs::create_dir_all(&sockets).expect("the folders of a pod");
        let above = sockets.ancestors().skip(1).take_while(|folder| *folder != self.pods_dir());
        for folder in above {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).expect("a folder that only root enters");
        }
        fs::set_permissions(&sockets, fs::Permissions::from_mode(0o777)).expect("a folder for the launcher's user");
        sockets
    }

    /// Makes the folder of a container, as a kubelet does just before it starts the container.
    #[track_caller]
    pub fn make_container(&self, pod_uid: &str, name: &str) {
        let containers = self.pods_dir().join(pod_uid).join("containers");
        let folder = containers.join(name);
        fs::create_dir_all(&folder).expect("the folder of a container");
        for folder in [containers, folder] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).expect("a folder that only root enters");
        }
    }

    /// Removes a pod's folders, as a kubelet does some time after its end.
    #[track_caller]
    pub fn remove_pod(&self, pod_uid: &str) {
        fs::remove_dir_all(self.pods_dir().join(pod_uid)).expect("the folders of a pod");
    }
}

/// A virt-launcher pod: a libvirtd of a plain user whose socket is where a virtqemud's is. It ends with its QEMU when
/// dropped, and its folders stay until the node goes or [`Node::remove_pod`] removes them.
///
/// It can do everything that a [`Libvirtd`] can.
pub struct Launcher {
    libvirtd: Libvirtd,
    place: Place,
    node: Node,
}

impl Launcher {
    /// Where it is, for the VirtualMachineInstance.
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    pub fn pod_uid(&self) -> &str {
        &self.place.pod_uid
    }

    /// The socket, at its full length under the pods directory.
    pub fn pod_socket(&self) -> PathBuf {
        self.node.sockets_of(&self.place.pod_uid).join(VIRTQEMUD_SOCKET)
    }

    /// Starts the guest of a VirtualMachineInstance, by its namespace and name: KVM with nothing to boot.
    #[track_caller]
    pub fn start_kvm(&self, namespace: &str, name: &str) -> Domain {
        self.start_guest(Domain::kvm(&domain_name(namespace, name)))
    }

    /// [`start_kvm`](Self::start_kvm), emulated.
    #[track_caller]
    pub fn start_tcg(&self, namespace: &str, name: &str) -> Domain {
        self.start_guest(Domain::tcg(&domain_name(namespace, name)))
    }

    /// [`start_tcg`](Self::start_tcg) with a Linux in which every figure moves, and waits until it does.
    #[track_caller]
    pub fn start_linux(&self, namespace: &str, name: &str) -> Domain {
        let guest = self.start_guest(Domain::tcg_linux(&domain_name(namespace, name), 1, 1));
        self.wait_booted(&guest);
        guest
    }

    #[track_caller]
    fn start_guest(&self, guest: Domain) -> Domain {
        let guest = guest.like_kubevirt();
        self.create(&guest);
        guest
    }

    /// Puts a proxy in place of the daemon's socket, which counts the traffic and may change the daemon's answers. Our
    /// own `virsh` uses it too. The daemon must not be started again after this.
    #[track_caller]
    pub fn intercept(&self, rewrite: Option<Rewrite>) -> Proxy {
        let (socket, behind) = (self.socket(), self.socket().with_file_name("behind-the-proxy"));
        fs::rename(&socket, &behind).expect("another name for the daemon's socket");
        let proxy = Proxy::at(&socket, &behind, rewrite);
        std::os::unix::fs::chown(&socket, Some(self.place.user), None).expect("a socket of the launcher's user");
        proxy
    }

    /// Ends the pod: its guest, its libvirtd, and the folders, as when a VM is stopped and its pod deleted.
    #[track_caller]
    pub fn remove(self) {
        let Launcher { libvirtd, place, node } = self;
        drop(libvirtd);
        node.remove_pod(&place.pod_uid);
    }

    /// Ends the pod and leaves its folders with a socket that nobody answers on, as a completed pod does for a while.
    #[track_caller]
    pub fn complete(self) -> Place {
        self.place.clone()
    }
}

impl Deref for Launcher {
    type Target = Libvirtd;

    fn deref(&self) -> &Libvirtd {
        &self.libvirtd
    }
}

impl DerefMut for Launcher {
    fn deref_mut(&mut self) -> &mut Libvirtd {
        &mut self.libvirtd
    }
}

fn pods_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("lab-pods-").tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).expect("a folder that only root enters");
    folder
}

/// What KubeVirt calls the domain of a VirtualMachineInstance.
pub fn domain_name(namespace: &str, name: &str) -> String {
    format!("{namespace}_{name}")
}
