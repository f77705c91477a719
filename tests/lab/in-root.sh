#!/bin/sh
# Runs a command with another root: one of those that tests/lab/prepare.sh makes in target/lab/roots.
#
#   tests/lab/in-root.sh ROOT COMMAND [ARGUMENT...]
#
# The command sees this repository at its own path, this machine's devices, processes and control groups, and a /tmp
# and /run of its own; everything else is the root's. Mounts end with it. With PLAIN=1 the root is no mount of its own,
# as in a chroot that was made by hand.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)

[ "$#" -ge 2 ] || { sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }
new=$(cd "$1" && pwd)
shift

# What runs behind the new mounts: $1 is the root, $2 the repository, $3 whether the root becomes a mount.
enter='
set -eu
new=$1 repository=$2 plain=$3
shift 3
[ "$plain" = 1 ] || mount --bind "$new" "$new"
for part in dev proc sys; do mount --rbind "/$part" "$new/$part"; done
for part in tmp run; do mount -t tmpfs -o mode=755 tmpfs "$new/$part"; done
chmod 1777 "$new/tmp"
mkdir -p "$new$repository"
mount --bind "$repository" "$new$repository"
exec chroot "$new" env -C "$repository" TMPDIR=/tmp PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
'
exec unshare --mount --propagation private sh -c "$enter" sh "$new" "$repository" "${PLAIN:-0}" "$@"
