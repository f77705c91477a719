# The demo's host: a libvirtd in namespaces of its own, and its guests. Sourced by demo.sh, which sets $work and $logs.
# shellcheck shell=bash

holder=

# Whether KVM can be used: the device must open for reading and writing. VIRT_OTEL_LAB_NO_KVM=1 says no, to try that.
kvm_usable() { [ "${VIRT_OTEL_LAB_NO_KVM:-}" != 1 ] && [ -c /dev/kvm ] && (exec 3<>/dev/kvm) 2>/dev/null; }

vsh() { virsh --quiet --connect "$uri" "$@"; }

libvirt_answers() { vsh version >/dev/null 2>&1; }

namespace_ready() { [ -e "$work/ready" ]; }

start_host() {
    mkdir -p "$work"/{run,lib,cache,etc,log,images}
    cat >"$work/etc/libvirtd.conf" <<CONF
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0777"
log_outputs = "3:stderr"
CONF
    # No virtlogd, no security labels, no control groups of the machine: QEMU is a plain child of the daemon.
    cat >"$work/etc/qemu.conf" <<'CONF'
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
CONF
    # Process 1 of the namespace: when it goes, the kernel ends everything in there. It must take in ended QEMUs, which
    # ignoring SIGCHLD does; a shell refuses to ignore it, env does not.
    setsid unshare --mount --net --uts --pid --fork --kill-child --mount-proc --propagation private \
        bash -c '
            set -eu
            for pair in run:/run/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt etc:/etc/libvirt log:/var/log/libvirt; do
                mkdir -p "${pair#*:}"
                mount --bind "$1/${pair%%:*}" "${pair#*:}"
            done
            ip link set lo up
            hostname demo-host.test
            : >"$1/ready"
            exec env --ignore-signal=CHLD sleep infinity
        ' holder "$work" >"$logs/namespace.log" 2>&1 </dev/null &
    holder=$!
    wait_for 20 "the namespaces (log: target/demo/namespace.log)" namespace_ready
    inner=$(cut -d' ' -f1 "/proc/$holder/task/$holder/children")
    start libvirtd nsenter --target "$inner" --mount --net --uts --pid -- libvirtd
    uri="qemu+unix:///system?socket=$work/run/libvirt-sock"
    wait_for 30 "libvirtd (log: target/demo/libvirtd.log)" libvirt_answers
}

# Ends the namespaces, and with them libvirtd and every QEMU.
end_host() {
    [ -n "$holder" ] || return 0
    kill -KILL "$holder" 2>/dev/null
    wait "$holder" 2>/dev/null
    holder=
}

# domain NAME TYPE MEMORY_MIB: the definition of a guest; demo-linux has a kernel, a disk and a NIC.
domain() {
    local os='' devices=''
    if [ "$1" = demo-linux ]; then
        os="<kernel>$work/images/vmlinuz</kernel><initrd>$work/images/initramfs</initrd><cmdline>console=ttyS0 quiet</cmdline>"
        devices="
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='$work/images/demo-linux.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='ethernet'><model type='virtio'/><rom enabled='no'/></interface>
    <serial type='file'><source path='$work/images/demo-linux.console'/></serial>"
    fi
    cat <<XML
<domain type='$2'>
  <name>$1</name>
  <memory unit='MiB'>$3</memory>
  <vcpu>1</vcpu>
  <features><acpi/></features>
  <os><type arch='x86_64' machine='pc'>hvm</type>$os</os>
  <devices>
    <controller type='usb' model='none'/>$devices
    <memballoon model='virtio'><stats period='2'/></memballoon>
  </devices>
</domain>
XML
}

# create NAME TYPE MEMORY_MIB [virsh options]
create() {
    domain "$1" "$2" "$3" >"$work/$1.xml"
    vsh create "$work/$1.xml" "${@:4}"
}

linux_booted() { grep -q "lab guest: ready" "$work/images/demo-linux.console" 2>/dev/null; }

start_guests() {
    cp target/lab/guest/vmlinuz target/lab/guest/initramfs "$work/images/"
    truncate -s 64M "$work/images/demo-linux.img"
    fast=kvm
    if ! kvm_usable; then
        fast=qemu
        say "/dev/kvm cannot be used here: the domains demo-kvm and demo-paused are emulated instead (type qemu-tcg)"
    fi
    # A Linux under emulation, for everything that moves; an idle machine; and one that waits for its first instruction.
    create demo-linux qemu 192
    create demo-kvm "$fast" 16
    create demo-paused "$fast" 16 --paused
    wait_for 120 "demo-linux to boot" linux_booted
}

# The process id of a guest's QEMU, as it is outside of the namespace.
qemu_pid() {
    local inside status
    inside=$(cat "$work/run/qemu/$1.pid")
    for status in /proc/[0-9]*/status; do
        if [ "$(readlink "${status%status}ns/pid" 2>/dev/null)" = "$(readlink "/proc/$inner/ns/pid")" ] &&
            grep -q "^NSpid:.*[[:space:]]$inside\$" "$status" 2>/dev/null; then
            status=${status%/status}
            printf '%s\n' "${status#/proc/}"
            return
        fi
    done
}
