#!/bin/sh
# Prepares what the lab's tests and the demo run against: real daemons, a real guest, a real Collector, a real
# Prometheus, a real Kubernetes API server, a real Helm. Everything is built once into target/lab and built again only
# when its inputs change.
#
#   tests/lab/prepare.sh [PART]...   (default: all)
#   all         the parts up to helm, without judge
#
#   packages    libvirt, QEMU and the small tools, from Debian; needs root only when something is missing
#   judge       libvirt's headers, from Debian: for the judge and for the Cargo feature virt, and for nothing else
#   guest       target/lab/guest/{vmlinuz,initramfs}: a Linux that boots in seconds without a disk
#   collector   target/lab/bin/otelcol-lab: an OpenTelemetry Collector; needs Go
#   prometheus  target/lab/bin/{prometheus,promtool}: Prometheus 3, and exporter-toolkit's examples; needs Go
#   apiserver   target/lab/bin/{kube-apiserver,etcd}: Kubernetes' API and its store; needs Go
#   helm        target/lab/bin/helm: what the chart is checked and rendered with; needs Go
#   debian-13   target/lab/roots/debian-13: a root with Debian 13's libvirt and QEMU
#   unstable    target/lab/roots/unstable: one with Debian unstable's
#   virtqemud   target/lab/roots/virtqemud: one with a virtqemud of libvirt 11 alone, built from source
#   kubernetes  target/lab/bin/{kubelet,kubectl,kubeadm,kube-controller-manager,kube-scheduler,kube-proxy}: what a node
#               runs beside its API server; needs Go
#   containerd, coredns, device-plugin, network-policy   target/lab/bin: the rest of a node, from tests/node/programs
#   buildah     buildah and what a stand-in for a base image is made with, from Debian
#   node        target/lab/roots/node: the root file system of a Kubernetes node
#   shipping    what builds packages, and judges them, from Debian
#   host-12, host-13   target/lab/roots/host-{12,13}: hosts with Debian 12 and a libvirt, and with Debian 13, to install on
#   browser     Chromium, from Debian: for make pictures
#   perses      target/lab/perses/panels.js: Perses' components, which draw dashboards, from npm: for the same
#   arm64       target/lab/roots/arm64: Debian unstable's Rust for arm64, and QEMU's emulation of one process
#   collector-contrib  target/lab/bin/otelcol-contrib-lab: a Collector with vendors' exporters, for make test-backends;
#               needs Go, 4 GB of disk and a quarter of an hour on a small machine
#   victoriametrics    target/lab/bin/victoria-metrics, for the same; needs Go
#   peers       target/lab/peers: Debian's prometheus-libvirt-exporter, for `make bench`
#
# A root keeps the versions that it was made with: remove its folder for newer ones.
#
# Exit codes: 0 ready, 1 something failed and was said, 2 wrong usage, 3 Go is missing (nothing else was wrong).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
lab=$root/target/lab

go_hint="Go 1.26 or newer is needed to build this part and no 'go' is in PATH: install it from https://go.dev/dl/"

# What a bare Debian 12 lacks. Each line: a package and what it is there for.
packages="
libvirt-daemon-system   libvirtd
libvirt-clients         virsh
qemu-system-x86         the hypervisor
qemu-utils              disk images
g++                     compiles the fuzzer behind the fuzz targets
busybox-static          the guest's userland
cpio                    packs the guest's initramfs
iproute2                addresses for the guests' network interfaces
openssh-client          the other end of +ssh, as the agent starts it
openssh-server          an sshd of our own on the loopback address; systemd starts the machine's own with it
netcat-openbsd          what takes the place of virt-ssh-helper behind ssh
dbus                    a system bus of our own, over which libvirtd asks polkit
polkitd                 polkit, which lets users who are not root read
ca-certificates         downloads
systemd                 judges the unit
tmux                    a terminal for what is drawn on one
curl                    what the documents ask with
"

# What a build with libvirt's own library needs beside.
judge_packages="
libvirt-dev             headers and the library to link
pkg-config              finds them
"

kubernetes_programs="kubelet kubectl kubeadm kube-controller-manager kube-scheduler kube-proxy"

# What makes the roots.
root_packages="
mmdebstrap              a root of another Debian
debian-archive-keyring  the keys of its packages
"

# What makes images.
image_packages="
buildah                 builds them without a daemon
mmdebstrap              stands in for a base that cannot be pulled
debian-archive-keyring  the keys of its packages
"

# What packages are made of and judged with.
shipping_packages="
binutils                reads programs
dpkg-dev                finds out what a program depends on
xz-utils                compresses
lintian                 judges a .deb
rpm                     reads an .rpm, and installs it into a database of its own
rpmlint                 judges it
"

# What draws pages.
browser_packages="
chromium                a browser without a screen
nodejs                  bundles what it draws dashboards with
npm                     gets that
"

say() { printf 'lab: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# One preparation at a time: two would build the same thing over each other.
lock() {
    mkdir -p "$lab/bin"
    exec 9>"$lab/.lock"
    if ! flock -n 9; then
        say "another preparation is running, waiting for it"
        flock 9
    fi
}

# The hash of files, by content: it names a state of the inputs and is the same in every clone.
hash_of() { cat "$@" | sha256sum | cut -d' ' -f1; }

# is_fresh NAME HASH OUTPUT...: the outputs exist and were made from these inputs.
is_fresh() {
    stamp=$lab/.$1.stamp
    wanted=$2
    shift 2
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] || return 1
    for output in "$@"; do [ -e "$output" ] || return 1; done
}

# with_progress WHAT COMMAND...: runs quietly with the seconds shown, and prints the log only when it failed.
with_progress() {
    what=$1
    shift
    log=$lab/progress.log
    started=$(date +%s)
    "$@" >"$log" 2>&1 &
    job=$!
    trap 'kill "$job" 2>/dev/null || true' EXIT INT TERM
    beat=0
    while kill -0 "$job" 2>/dev/null; do
        sleep 1
        beat=$((beat + 1))
        if [ -t 2 ]; then
            printf '\rlab: %s: %d s ' "$what" "$(($(date +%s) - started))" >&2
        elif [ "$((beat % 15))" -eq 0 ]; then
            say "$what: $(($(date +%s) - started)) s"
        fi
    done
    trap - EXIT INT TERM
    if [ -t 2 ]; then printf '\r' >&2; fi
    if ! wait "$job"; then
        tail -n 40 "$log" >&2
        fail "$what failed; the whole log is target/lab/progress.log"
    fi
    say "$what: done in $(($(date +%s) - started)) s"
}

# install_packages LIST: installs what is missing of a list of packages.
install_packages() {
    missing=$(printf '%s' "$1" | while read -r package _; do
        [ -n "$package" ] || continue
        state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
        case $state in ii*) ;; *) printf '%s ' "$package" ;; esac
    done)
    if [ -n "$missing" ]; then
        how="apt-get install -y --no-install-recommends $missing"
        if ! command -v apt-get >/dev/null; then
            fail "missing: $missing- this script installs them on Debian only; install them with your package manager"
        fi
        if [ "$(id -u)" -ne 0 ]; then
            fail "missing: $missing- run as root: apt-get update && $how"
        fi
        say "installing $missing"
        export DEBIAN_FRONTEND=noninteractive
        # Another apt may hold the lock on a fresh machine (unattended upgrades): waiting is right, failing is not.
        wait_lock="-o DPkg::Lock::Timeout=600"
        with_progress "apt-get update" apt-get $wait_lock update
        with_progress "installing packages" apt-get $wait_lock install -y --no-install-recommends $missing
    fi
}

prepare_packages() {
    install_packages "$packages"
    # Some machines give /dev/kvm to root alone; QEMU under a session daemon runs as another user.
    if [ -c /dev/kvm ] && [ "$(id -u)" -eq 0 ] && [ "$(stat -c %G /dev/kvm)" != kvm ]; then
        chgrp kvm /dev/kvm && chmod 660 /dev/kvm && say "gave /dev/kvm to the group kvm"
    fi
    say "packages: ready"
}

prepare_judge() {
    install_packages "$judge_packages"
    say "judge: ready"
}

need() {
    command -v "$1" >/dev/null || fail "'$1' is missing: install it with: apt-get install -y $2"
}

prepare_guest() {
    need dpkg-deb dpkg
    need apt-get apt
    need cpio cpio
    need gzip gzip
    [ -x /bin/busybox ] || fail "busybox is missing: install it with: apt-get install -y busybox-static"
    inputs=$(hash_of "$here/guest/build.sh" "$here/guest/init")
    if ! is_fresh guest "$inputs" "$lab/guest/vmlinuz" "$lab/guest/initramfs"; then
        with_progress "building the guest" sh "$here/guest/build.sh" "$lab/guest"
        printf '%s' "$inputs" >"$lab/.guest.stamp"
    fi
    say "guest: ready"
}

# go_build NAME OUTPUT... -- PACKAGE...: builds packages of the module tests/lab/NAME, or of the one in go_module, into
# target/lab/bin. Without C: the programs are static and run in any root, and Go compiles what they share once.
go_build() {
    name=$1
    module=${go_module:-$here/$name}
    shift
    if ! command -v go >/dev/null; then
        say "$go_hint"
        exit 3
    fi
    outputs=""
    # The version that the program says it has, where it says one.
    version=${go_version:-}
    while [ "$1" != -- ]; do
        outputs="$outputs $lab/bin/$1"
        shift
    done
    shift
    inputs=$(hash_of "$module"/*)
    # Unquoted on purpose: a list of paths under target/lab/bin.
    if ! (cd "$lab/bin" && is_fresh "$name" "$inputs" $outputs); then
        say "building $name: minutes on a small machine the first time"
        # -mod=mod without 'go mod tidy': tidy asks for test-only modules which a restricted proxy may not have.
        # The copy keeps whatever Go writes into go.mod and go.sum out of the working tree.
        rm -rf "$lab/$name-src"
        cp -r "$module" "$lab/$name-src"
        with_progress "building $name" sh -c '
            cd "$1" && version=$2 && out=$3 && shift 3 &&
            exec nice -n 5 env CGO_ENABLED=0 go build -mod=mod -trimpath -buildvcs=false -ldflags="-s -w $version" -o "$out" "$@"
        ' sh "$lab/$name-src" "$version" "$lab/bin/" "$@"
        rm -rf "$lab/$name-src"
        printf '%s' "$inputs" >"$lab/.$name.stamp"
    fi
    say "$name: ready"
}

prepare_collector() { go_build collector otelcol-lab -- .; }

# Vendors' exporters are a thousand packages, some of them huge: two at a time, so that it fits into memory.
prepare_contrib() { GOFLAGS=-p=2 go_build collector-contrib otelcol-contrib-lab -- .; }

prepare_perses() {
    pictures=$root/scripts/pictures
    hash=$(hash_of "$pictures/package.json" "$pictures/panels.jsx" "$pictures/build.sh")
    if ! is_fresh perses "$hash" "$lab/perses/panels.js"; then
        with_progress "bundling Perses' components" "$pictures/build.sh" "$lab/perses"
        printf '%s' "$hash" >"$lab/.perses.stamp"
    fi
    say "perses: ready"
}

prepare_victoriametrics() {
    v=github.com/VictoriaMetrics/VictoriaMetrics
    version=$(sed -n 's/^require github\.com\/VictoriaMetrics\/VictoriaMetrics \(v[0-9.]*\)$/\1/p' "$here/victoriametrics/go.mod")
    go_version="-X $v/lib/buildinfo.Version=victoria-metrics-$version"
    GOFLAGS=-p=2 go_build victoriametrics victoria-metrics -- $v/app/victoria-metrics
    go_version=
}

prepare_prometheus() {
    # Without it Prometheus' metrics and user agent name no version.
    go_version="-X github.com/prometheus/common/version.Version=3.14.0"
    go_build prometheus prometheus promtool -- \
        github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/promtool
    go_version=
    # The examples of the format of --web-config-file, which a test reads from Go's cache.
    version=$(sed -n 's/^const MODULE: &str = "\(.*\)";$/\1/p' "$here/endpoint/toolkit.rs")
    (cd / && go mod download "$version")
}

# Debian's etcd, unpacked and not installed: the package would start a daemon that this machine did not ask for.
unpack_etcd() {
    work=$(mktemp -d)
    # apt fetches as its own user where it can, which needs a folder that this user can write.
    chmod 755 "$work"
    mkdir "$work/deb" && chmod 777 "$work/deb"
    (cd "$work/deb" && apt-get download etcd-server) && dpkg-deb -x "$work/deb"/*.deb "$work/etcd" &&
        mv "$work/etcd/usr/bin/etcd" "$lab/bin/etcd"
    status=$?
    rm -rf "$work"
    return "$status"
}

prepare_apiserver() {
    need dpkg-deb dpkg
    need apt-get apt
    [ -x "$lab/bin/etcd" ] || with_progress "unpacking etcd" unpack_etcd
    kubernetes_version
    go_build apiserver kube-apiserver -- .
    go_version=
}

# The version that the programs of Kubernetes say they have: that of their module. The API server tells it to every
# client, and computes from it which API groups are served.
kubernetes_version() {
    version=$(sed -n 's/^\tk8s\.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$here/apiserver/go.mod")
    minor=${version#v1.}
    v=k8s.io/component-base/version
    go_version="-X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*}"
}

# What a node runs beside its API server, of the same version.
prepare_kubernetes() {
    kubernetes_version
    go_module=$here/apiserver
    commands=
    for program in $kubernetes_programs; do commands="$commands k8s.io/kubernetes/cmd/$program"; done
    # Unquoted on purpose: two lists.
    go_build kubernetes $kubernetes_programs -- $commands
    go_module=
    go_version=
}

# prepare_program NAME OUTPUT... -- PACKAGE...: programs of tests/node/programs/NAME.
prepare_program() {
    go_module=$here/../node/programs/$1
    go_build "$@"
    go_module=
}

prepare_containerd() {
    c=github.com/containerd/containerd/v2/cmd
    # Without the snapshotters that want libraries or devices of their own.
    GOFLAGS=-tags=no_btrfs,no_zfs,no_devmapper,no_aufs \
        prepare_program containerd containerd containerd-shim-runc-v2 ctr -- \
        $c/containerd $c/containerd-shim-runc-v2 $c/ctr
}

prepare_helm() {
    # Rendering asks it for its version.
    go_version="-X helm.sh/helm/v4/internal/version.version=v4.3.1"
    go_build helm helm -- helm.sh/helm/v4/cmd/helm
    go_version=
}

# prepare_root NAME WHAT: a root file system.
prepare_root() {
    inputs=$(hash_of "$here/root"/*)
    if ! is_fresh "root-$1" "$inputs" "$lab/roots/$1"; then
        install_packages "$root_packages"
        [ "$(id -u)" -eq 0 ] || fail "a root is made by root"
        mkdir -p "$lab/roots"
        with_progress "making a root with $2" sh "$here/root/build.sh" "$1" "$lab/roots/$1"
        printf '%s' "$inputs" >"$lab/.root-$1.stamp"
    fi
    say "root $1: ready"
}

# Unpacked and not installed: as a package it would start serving on this machine.
prepare_peers() {
    need dpkg-deb dpkg
    need apt-get apt
    if [ ! -x "$lab/peers/usr/bin/prometheus-libvirt-exporter" ]; then
        with_progress "fetching prometheus-libvirt-exporter" sh -c '
            set -eu
            work=$(mktemp -d)
            # apt fetches as its own user where it can, which needs a folder that this user can write.
            chmod 777 "$work"
            (cd "$work" && apt-get download prometheus-libvirt-exporter)
            rm -rf "$1" && dpkg-deb -x "$work"/*.deb "$1"
            rm -rf "$work"
        ' sh "$lab/peers"
    fi
    say "peers: ready"
}

[ "$#" -gt 0 ] || set -- all
for part in "$@"; do
    case $part in
        packages | judge | guest | collector | prometheus | apiserver | helm | peers | all) ;;
        collector-contrib | victoriametrics) ;;
        debian-13 | unstable | virtqemud | node | arm64 | host-12 | host-13 | shipping | browser | perses) ;;
        buildah | kubernetes | containerd | coredns | device-plugin | network-policy) ;;
        -h | --help) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
        *)
            say "unknown part '$part': see $0 --help"
            exit 2
            ;;
    esac
done
lock
for part in "$@"; do
    case $part in
        packages) prepare_packages ;;
        judge) prepare_judge ;;
        guest) prepare_guest ;;
        collector) prepare_collector ;;
        collector-contrib) prepare_contrib ;;
        victoriametrics) prepare_victoriametrics ;;
        prometheus) prepare_prometheus ;;
        apiserver) prepare_apiserver ;;
        helm) prepare_helm ;;
        peers) prepare_peers ;;
        debian-13) prepare_root debian-13 "Debian 13's libvirt" ;;
        unstable) prepare_root unstable "Debian unstable's libvirt" ;;
        virtqemud) prepare_root virtqemud "virtqemud" ;;
        buildah) install_packages "$image_packages"; say "buildah: ready" ;;
        kubernetes) prepare_kubernetes ;;
        containerd) prepare_containerd ;;
        coredns | device-plugin) prepare_program "$part" "$part" -- . ;;
        network-policy) prepare_program "$part" kube-router -- github.com/cloudnativelabs/kube-router/v2/cmd/kube-router ;;
        node) prepare_root node "what a Kubernetes node has" ;;
        shipping) install_packages "$shipping_packages"; say "shipping: ready" ;;
        perses) prepare_perses ;;
        browser) install_packages "$browser_packages"; say "browser: ready" ;;
        host-12) prepare_root host-12 "Debian 12's systemd and libvirt" ;;
        host-13) prepare_root host-13 "Debian 13's systemd" ;;
        arm64) prepare_root arm64 "Rust for arm64" ;;
        all) prepare_packages; prepare_guest; prepare_collector; prepare_prometheus; prepare_apiserver; prepare_helm ;;
    esac
done
