//! The kubelet's directory of pods: whether it is there, mounted as it should be, and can be walked without following a
//! link.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use uuid::Uuid;

use super::finding::{Check, Finding};
use crate::libvirt::endpoint;

/// Entries of the directory that are looked at: a node has a few hundred pods at most.
const LOOKED_AT: usize = 4_096;

/// Looks at a directory of pods.
pub(super) fn probe(pods_dir: &Path) -> Vec<Finding> {
    let shown = pods_dir.display();
    let entries = match pods_dir.read_dir() {
        Ok(entries) => entries,
        Err(error) => {
            return vec![
                Finding::failure(
                    Check::PodsDirectory,
                    format!("{shown} cannot be read ({error})"),
                    "mount the kubelet's pods directory there (a hostPath volume), or say with --pods-dir where it is",
                ),
                not_tried(Check::PodsMount),
                not_tried(Check::Openat2),
            ];
        }
    };
    let names = entries.take(LOOKED_AT).filter_map(Result::ok).map(|entry| entry.file_name());
    // Static pods have a hash without hyphens, which is read as a UUID too.
    let pods = names.filter(|name| name.to_str().is_some_and(|name| Uuid::try_parse(name).is_ok())).count();
    vec![directory(pods_dir, pods), mount(pods_dir), walk(pods_dir)]
}

fn not_tried(check: Check) -> Finding {
    Finding::not_tried(check, "there is no directory of pods to try it on")
}

fn directory(pods_dir: &Path, pods: usize) -> Finding {
    let shown = pods_dir.display();
    if pods > 0 {
        return Finding::well(Check::PodsDirectory, format!("{shown} has {pods} pods"));
    }
    Finding::warning(
        Check::PodsDirectory,
        format!("{shown} has no directory that is named by a pod's UID"),
        "is it the kubelet's? With another --root-dir (k0s, MicroK8s) set the chart's kubeletDir, or the volume's path",
    )
}

fn mount(pods_dir: &Path) -> Finding {
    let shown = pods_dir.display();
    match statvfs(pods_dir) {
        Ok(file_system) => judge_mount(&shown.to_string(), file_system.f_flag.contains(StatVfsMountFlags::RDONLY)),
        Err(errno) => {
            Finding::not_tried(Check::PodsMount, format!("{shown} does not tell how it is mounted ({errno})"))
        }
    }
}

fn judge_mount(shown: &str, read_only: bool) -> Finding {
    if read_only {
        return Finding::well(Check::PodsMount, format!("{shown} is mounted read-only"));
    }
    Finding::warning(
        Check::PodsMount,
        format!("{shown} is writable, and the agent writes nothing there"),
        "mount it with `readOnly: true`: sockets are reached all the same",
    )
}

fn walk(pods_dir: &Path) -> Finding {
    match endpoint::walk(pods_dir) {
        Ok(()) => Finding::well(Check::Openat2, "the kernel walks to a file without following links (openat2)"),
        Err(error) => Finding::failure(
            Check::Openat2,
            error.to_string(),
            "allow openat2 in the container's seccomp profile (RuntimeDefault does), on Linux 5.6 or newer",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;

    fn outcomes(findings: &[Finding]) -> Vec<(Check, Outcome)> {
        findings.iter().map(|finding| (finding.check, finding.outcome)).collect()
    }

    #[test]
    fn a_directory_of_pods_is_known_by_their_uids() {
        let pods = tempfile::tempdir().unwrap();
        let of = |findings: &[Finding]| (findings[0].outcome, findings[2].outcome);
        std::fs::create_dir(pods.path().join("lost+found")).unwrap();
        assert_eq!(of(&probe(pods.path())), (Outcome::Warning, Outcome::Well));
        for uid in ["0b5c2f6e-8a3d-4b1c-9e7f-1d2c3b4a5968", "0b5c2f6e8a3d4b1c9e7f1d2c3b4a5968"] {
            std::fs::create_dir(pods.path().join(uid)).unwrap();
        }
        let findings = probe(pods.path());
        assert_eq!(of(&findings), (Outcome::Well, Outcome::Well));
        assert!(findings[0].detail.ends_with("has 2 pods"), "{findings:?}");
    }

    #[test]
    fn one_that_is_not_there_fails_and_nothing_else_is_tried() {
        assert_eq!(
            outcomes(&probe(Path::new("/nonexistent/pods"))),
            [
                (Check::PodsDirectory, Outcome::Failure),
                (Check::PodsMount, Outcome::NotTried),
                (Check::Openat2, Outcome::NotTried)
            ]
        );
    }

    #[test]
    fn a_writable_mount_is_more_than_is_needed() {
        assert_eq!(judge_mount("/pods", true).outcome, Outcome::Well);
        assert_eq!(judge_mount("/pods", false).outcome, Outcome::Warning);
    }
}
