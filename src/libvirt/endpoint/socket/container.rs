//! Which containers a pod has, by what the kubelet keeps of them on the node.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat2};

use super::verified::{CONFINED, NAME, pod_directory};

/// Where the kubelet keeps a folder for each container of a pod, within the pod's directory.
const CONTAINERS: &str = "containers";

/// Whether the kubelet has started a container of this name in a pod. It makes the container's folder, for its
/// termination message, just before it first starts the container, init containers and native sidecars included, and
/// keeps it until it removes the pod's directory.
///
/// The path is walked as that to a socket is: beneath the directory of pods and through no link. What cannot be walked
/// to is not there.
#[must_use]
pub fn has_container(pods_dir: &Path, pod_uid: &str, name: &str) -> bool {
    let Ok(pod) = pod_directory(pod_uid) else { return false };
    let way: PathBuf = [pod, CONTAINERS, name].into_iter().collect();
    let folder = NAME | OFlags::DIRECTORY;
    open(pods_dir, folder, Mode::empty()).and_then(|pods| openat2(&pods, &way, folder, Mode::empty(), CONFINED)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const POD: &str = "0b5c2f6e-8a3d-4b1c-9e7f-1d2c3b4a5968";
    const NAMED: &str = "virt-otel";

    #[test]
    fn a_container_is_known_by_its_folder_and_by_nothing_else() {
        let pods = tempfile::tempdir().unwrap();
        let has = || has_container(pods.path(), POD, NAMED);
        assert!(!has(), "no pod");
        let containers = pods.path().join(POD).join(CONTAINERS);
        fs::create_dir_all(containers.join("compute")).unwrap();
        assert!(!has(), "another container");
        fs::write(containers.join(NAMED), "").unwrap();
        assert!(!has(), "a file");
        fs::remove_file(containers.join(NAMED)).unwrap();
        fs::create_dir(containers.join(NAMED)).unwrap();
        assert!(has());
        assert!(!has_container(&pods.path().join("missing"), POD, NAMED));
    }

    #[test]
    fn a_link_leads_to_no_container() {
        for link in [&[][..], &[CONTAINERS], &[CONTAINERS, NAMED]] {
            let (pods, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let real: PathBuf = [POD, CONTAINERS, NAMED].iter().collect();
            fs::create_dir_all(elsewhere.path().join(&real)).unwrap();
            let step: PathBuf = [POD].iter().chain(link).collect();
            fs::create_dir_all(pods.path().join(&step).parent().unwrap()).unwrap();
            symlink(elsewhere.path().join(&step), pods.path().join(&step)).unwrap();
            assert!(pods.path().join(&real).is_dir(), "it would be found if links were followed");
            assert!(!has_container(pods.path(), POD, NAMED), "{}", step.display());
        }
    }

    #[test]
    fn what_is_no_uid_of_a_pod_has_no_containers() {
        let pods = tempfile::tempdir().unwrap();
        fs::create_dir_all(pods.path().join("pods")).unwrap();
        fs::create_dir_all(pods.path().join(CONTAINERS).join(NAMED)).unwrap();
        for uid in ["", ".", "..", "../x", "pods/..", "/etc"] {
            assert!(!has_container(&pods.path().join("pods"), uid, NAMED), "{uid:?}");
        }
    }
}
