//! Mounts that nobody else sees, wherever the tests run: on a machine, in a container, or in a plain chroot.

use std::process::Command;

/// Turns the mounts of a new mount namespace private and then becomes `sh -c "$@"`.
///
/// In a plain chroot, `/` is no mount of its own and has no propagation that could be changed. There, a copy of the
/// whole tree that is a mount takes its place; it is mounted over `/proc`, which is a mount everywhere.
const MAKE_PRIVATE: &str = "if mount --make-rprivate / 2>/dev/null; then exec sh -c \"$@\"; fi
    mount --make-private /proc && mount --rbind / /proc && mount --make-rprivate /proc && exec chroot /proc sh -c \"$@\"";

/// A command that runs the script behind new namespaces, one of them of mounts, as `unshare` takes them. Arguments that
/// are added are the script's.
pub(crate) fn command(namespaces: &[&str], script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount").args(namespaces).args(["--propagation", "unchanged"]);
    command.args(["sh", "-c", MAKE_PRIVATE, "sh", script, "sh"]);
    command
}
