//! A socket whose path was walked and checked, held by a descriptor that nobody can replace.
//!
//! The pod may change the path below its directory at any moment, so it is used once: openat2 walks it from the
//! directory of pods without following a link or leaving that directory, type and owner are read from the resulting
//! descriptor, and the connection is made through the descriptor's name under /proc.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use super::SocketError;
use crate::libvirt::endpoint::address::LauncherSocket;
use crate::libvirt::limits;

/// The path from a pod's directory to its virtqemud: the `emptyDir` volume that KubeVirt mounts at `/var/run/libvirt`.
const IN_POD: [&str; 4] = ["volumes", "kubernetes.io~empty-dir", "libvirt-runtime", "virtqemud-sock"];

/// Longest UID of a pod. Kubernetes gives UUIDs, of 36 characters.
const POD_UID_MAX: usize = 64;

/// A descriptor that names a file without opening it: nothing is read, and a FIFO does not block.
pub(super) const NAME: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Stay inside the directory and follow no link, not even those under /proc.
pub(super) const CONFINED: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// See the module. Its descriptor, closed on drop, is only needed until the socket is connected to.
#[derive(Debug)]
pub(in crate::libvirt::endpoint) struct VerifiedSocket {
    descriptor: OwnedFd,
    path: PathBuf,
    /// Its owner: root's daemon has the system driver, any other the session driver.
    owner: u32,
}

impl VerifiedSocket {
    /// Walks to a launcher's socket.
    pub(super) fn of_launcher(launcher: &LauncherSocket) -> Result<Self, SocketError> {
        let pod = pod_directory(&launcher.pod_uid)?;
        let way: PathBuf = [pod].into_iter().chain(IN_POD).collect();
        let path = launcher.pods_dir.join(&way);
        let pods = open(&launcher.pods_dir, NAME | OFlags::DIRECTORY, Mode::empty())
            .map_err(|errno| pods_error(&launcher.pods_dir, errno))?;
        let descriptor = openat2(&pods, &way, NAME, Mode::empty(), CONFINED)
            .map_err(|errno| explain(errno, &pods, &launcher.pods_dir, &way))?;
        Self::checked(descriptor, path, launcher.runtime_user)
    }

    /// Walks to a socket by its path, whose last component must not be a link.
    pub(super) fn at(path: &Path) -> Result<Self, SocketError> {
        let descriptor = open(path, NAME | OFlags::NOFOLLOW, Mode::empty()).map_err(|errno| walk_error(path, errno))?;
        Self::checked(descriptor, path.to_owned(), None)
    }

    fn checked(descriptor: OwnedFd, path: PathBuf, expected: Option<u32>) -> Result<Self, SocketError> {
        let status = fstat(&descriptor).map_err(|errno| walk_error(&path, errno))?;
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::Socket => None,
            FileType::Symlink => return Err(SocketError::Symlink { component: path }),
            FileType::RegularFile => Some("a regular file"),
            FileType::Directory => Some("a directory"),
            FileType::Fifo => Some("a FIFO"),
            _ => Some("a device"),
        };
        if let Some(kind) = kind {
            return Err(SocketError::NotSocket { path, kind });
        }
        let owner = status.st_uid;
        match expected {
            Some(expected) if expected != owner => Err(SocketError::Owner { path, owner, expected }),
            _ => Ok(Self { descriptor, path, owner }),
        }
    }

    /// A path to connect to while this lives: always this very socket, however long its own path.
    pub(super) fn place(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.descriptor.as_raw_fd()))
    }

    /// Where it was found, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The driver that its daemon has.
    pub(super) const fn driver_uri(&self) -> &'static str {
        if self.owner == 0 { "qemu:///system" } else { "qemu:///session" }
    }
}

/// Whether paths below the directory of pods can be walked as that to a socket is: the directory is there, and the
/// kernel has openat2 and lets this process use it.
pub(in crate::libvirt::endpoint) fn walk(pods_dir: &Path) -> Result<(), SocketError> {
    let folder = NAME | OFlags::DIRECTORY;
    let pods = open(pods_dir, folder, Mode::empty()).map_err(|errno| pods_error(pods_dir, errno))?;
    openat2(&pods, ".", folder, Mode::empty(), CONFINED).map_err(|errno| walk_error(pods_dir, errno))?;
    Ok(())
}

/// Where a launcher's socket should be.
pub(super) fn launcher_path(launcher: &LauncherSocket) -> PathBuf {
    let way: PathBuf = [&*launcher.pod_uid].into_iter().chain(IN_POD).collect();
    launcher.pods_dir.join(way)
}

/// A pod's UID as its directory's name. Refuses anything that could be a path.
pub(super) fn pod_directory(uid: &str) -> Result<&str, SocketError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=POD_UID_MAX).contains(&uid.len()) && uid.bytes().all(plain) {
        Ok(uid)
    } else {
        Err(SocketError::PodUid { uid: uid.chars().take(POD_UID_MAX).collect() })
    }
}

fn pods_error(path: &Path, errno: Errno) -> SocketError {
    match errno {
        Errno::MFILE | Errno::NFILE => walk_error(path, errno),
        _ => SocketError::PodsDirectory { path: path.to_owned(), cause: errno.into() },
    }
}

/// Why the walk failed, according to a second, step-by-step one. If something changes between the two, only the message
/// suffers.
fn explain(errno: Errno, pods: &OwnedFd, pods_dir: &Path, way: &Path) -> SocketError {
    match errno {
        Errno::NOENT => {
            let pod: PathBuf = way.components().take(1).collect();
            if exists(pods, &pod) {
                walk_error(&pods_dir.join(way), errno)
            } else {
                SocketError::NoPod { path: pods_dir.join(pod) }
            }
        }
        Errno::LOOP => {
            let steps = (1..=way.components().count()).map(|count| way.components().take(count).collect::<PathBuf>());
            let link = steps.into_iter().find(|step| is_link(pods, step));
            SocketError::Symlink { component: pods_dir.join(link.as_deref().unwrap_or(way)) }
        }
        _ => walk_error(&pods_dir.join(way), errno),
    }
}

/// Opens the last component itself, even if it is a link.
fn name(pods: &OwnedFd, step: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(pods.as_fd(), step, NAME | OFlags::NOFOLLOW, Mode::empty(), CONFINED)
}

fn exists(pods: &OwnedFd, step: &Path) -> bool {
    !matches!(name(pods, step), Err(Errno::NOENT))
}

fn is_link(pods: &OwnedFd, step: &Path) -> bool {
    let found = name(pods, step).and_then(fstat);
    found.is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Symlink)
}

/// What the kernel's refusal to walk to `path` means.
pub(super) fn walk_error(path: &Path, errno: Errno) -> SocketError {
    let path = path.to_owned();
    let cause = io::Error::from(errno);
    match errno {
        Errno::NOENT => SocketError::Absent { path },
        Errno::NOTDIR => SocketError::NotDirectory { path },
        Errno::ACCESS => SocketError::Permission { path },
        // Some seccomp profiles refuse calls that they do not know with EPERM.
        Errno::NOSYS | Errno::PERM => SocketError::Kernel { path, cause },
        Errno::MFILE | Errno::NFILE => SocketError::Descriptors { path, limit: limits::open_files() },
        _ => SocketError::Walk { path, cause },
    }
}

#[cfg(test)]
mod tests;
