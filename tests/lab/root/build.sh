#!/bin/sh
# Makes a root with a libvirt and a QEMU of its own, for tests/lab/in-root.sh: build.sh NAME FOLDER
#
#   debian-13   Debian 13's libvirtd, and podman
#   unstable    Debian unstable's, the newest that there is
#   node        what a Kubernetes node has beside Kubernetes and containerd
#   arm64       Debian unstable's Rust, which compiles for arm64, and QEMU to run what it has made
#   host-12     a host with Debian 12: systemd and libvirt
#   host-13     one with Debian 13: systemd
#   virtqemud   libvirt 11.3 as it was released, from the source of Debian 13's package: the modular daemon alone
#
# Nothing is installed on this machine, and nothing but the folder is left behind.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
name=$1
target=$2
new=$target.new

# What the lab's tests use, beside what is essential.
common=procps,iproute2,openssh-client,openssh-server,netcat-openbsd,dbus,polkitd
packaged=libvirt-daemon-driver-qemu,libvirt-daemon-system,libvirt-clients
emulator=qemu-system-x86,qemu-utils
containers=podman,runc
# What containerd, the kubelet, kube-proxy and the firewall of NetworkPolicies call, and an init.
node=runc,containernetworking-plugins,iptables,ipset,nftables,conntrack,iproute2,kmod,mount,util-linux,procps
node=$node,ca-certificates,catatonit
# What a host has that packages are installed on.
host=systemd,systemd-sysv,libnss-systemd,dbus,iproute2,curl,man-db
# Of the other architecture only what a program is compiled and run with.
cross=rustc,cargo,ca-certificates,gcc-aarch64-linux-gnu,qemu-user,libstd-rust-dev:arm64,libc6-dev:arm64,libgcc-s1:arm64
# What libvirt's own build wants for the QEMU driver, and for what this driver does not start without.
compilers=build-essential,meson,ninja-build,pkgconf,gettext,xsltproc,libxml2-utils,python3,python3-docutils,xz-utils
libraries=libglib2.0-dev,libxml2-dev,libgnutls28-dev,libtirpc-dev,libjson-c-dev,libnl-3-dev,libnl-route-3-dev

# make SUITE PACKAGES [OPTION...]: the first option lets a Release file be used that a mirror has not renewed in time; the
# second bears a mirror that does not answer once.
make() {
    suite=$1
    packages=$2
    shift 2
    mmdebstrap --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
        --aptopt='APT::Install-Recommends "false"' --include="$packages" "$@" "$suite" "$new" >"$log" 2>&1
}

rm -rf "$new"
log=$target.log
status=0
case $name in
    debian-13) make trixie "$common,$packaged,$emulator,$containers" || status=$? ;;
    node) make trixie "$node" || status=$? ;;
    host-12) make bookworm "$host,polkitd,$packaged" || status=$? ;;
    host-13) make trixie "$host" || status=$? ;;
    unstable) make sid "$common,$packaged,$emulator" || status=$? ;;
    arm64)
        make sid "$cross" --architectures=amd64,arm64 \
            --customize-hook='printf "127.0.0.1 localhost\n::1 localhost\n" >"$1/etc/hosts"' || status=$?
        ;;
    virtqemud)
        # virsh comes with the packages, and is then replaced by the one of this build.
        make trixie "$common,libvirt-clients,$emulator,$compilers,$libraries" \
            --customize-hook="copy-in $here/virtqemud.sh /usr/src" \
            --customize-hook='chroot "$1" sh /usr/src/virtqemud.sh' || status=$?
        ;;
    *)
        echo "unknown root '$name': debian-13, unstable, virtqemud, node, host-12, host-13 or arm64" >&2
        exit 2
        ;;
esac
if [ "$status" -ne 0 ]; then
    rm -rf "$new"
    tail -n 20 "$log" >&2
    echo "the root $name could not be made; the whole log is $log, and its errors are:" >&2
    grep '^E: ' "$log" >&2 || echo "none of apt's" >&2
    exit "$status"
fi
rm -rf "$target" "$log"
mv "$new" "$target"
