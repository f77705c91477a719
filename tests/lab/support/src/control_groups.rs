//! The control groups of guests, which outlive the guests unless somebody removes them.

use std::fs;
use std::path::{Path, PathBuf};

/// The groups, over all hierarchies, that libvirt made for the guests among these processes.
pub fn of_guests(pids: &[u32]) -> Vec<PathBuf> {
    let mut groups: Vec<PathBuf> = pids.iter().flat_map(|&pid| of_guest(pid)).collect();
    groups.sort();
    groups.dedup();
    groups
}

fn of_guest(pid: u32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            // Threads have groups below the guest's own: `…/qemu-1-NAME.libvirt-qemu/emulator`.
            let end = path.find(".libvirt-qemu")? + ".libvirt-qemu".len();
            let path = path[1..end].to_owned();
            // Version 1 has a hierarchy for each controller, or a few; version 2 has one, mounted at one of two places.
            let hierarchy = match controllers {
                "" => "unified",
                named => named.strip_prefix("name=").unwrap_or(named),
            };
            let top = Path::new("/sys/fs/cgroup");
            let places = [top.join(hierarchy), top.to_owned()];
            places.into_iter().map(|place| place.join(&path)).find(|group| group.exists())
        })
        .collect()
}

/// Removes a group and those in it; they must no longer hold a process.
pub fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
