#!/bin/bash
# What virt-launcher does with libvirt, in a pod like its own: starts the daemon, then the domain, waits until the domain
# has ended, and ends with it. On SIGTERM it ends the domain.
#
#   DOMAIN    the domain's name
#   TYPE      its type: kvm, qemu; or incoming: another launcher sends it by a migration
#   VMI_UID   the UID of its VirtualMachineInstance
set -euo pipefail

configuration=$XDG_CONFIG_HOME/libvirt
sockets=$XDG_RUNTIME_DIR/libvirt
socket=$sockets/virtqemud-sock
disk=/var/run/kubevirt-ephemeral-disks/root.raw

mkdir -p "$configuration"
printf 'security_driver = "none"\nnamespaces = []\ncgroup_controllers = []\nstdio_handler = "file"\n' \
    >"$configuration/qemu.conf"
# A migration comes by TCP here; virt-handler brings it through sockets of its own.
printf 'log_outputs = "3:stderr"\nlisten_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\n' >"$configuration/libvirtd.conf"
libvirtd --listen &
daemon=$!
until [ -S "$sockets/libvirt-sock" ]; do sleep 0.1; done
# Under the name that the modular daemon's has.
ln "$sockets/libvirt-sock" "$socket"

virsh() { command virsh -q -c "qemu+unix:///session?socket=$socket" "$@"; }
running() { virsh domstate "$DOMAIN" >/dev/null 2>&1; }

head -c 4M /dev/zero >"$disk"
trap 'virsh destroy "$DOMAIN" || true' TERM

if [ "$TYPE" = incoming ]; then
    until running; do sleep 0.2; done
else
    cat >/tmp/domain.xml <<XML
<domain type='$TYPE'>
  <name>$DOMAIN</name>
  <metadata><kubevirt xmlns='http://kubevirt.io'><uid>$VMI_UID</uid></kubevirt></metadata>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source file='$disk'/>
      <target dev='vda' bus='virtio'/>
      <alias name='ua-rootdisk'/>
    </disk>
    <interface type='user'><model type='virtio'/><alias name='ua-default'/></interface>
    <memballoon model='virtio'/>
  </devices>
</domain>
XML
    # KVM gets no instruction to run: not every machine on which these tests run can do that inside a VM.
    paused=()
    if [ "$TYPE" = kvm ]; then paused=(--paused); fi
    virsh create /tmp/domain.xml "${paused[@]}"
fi
while running; do
    sleep 0.5 &
    wait $! || true
done
echo "the domain has ended"
kill "$daemon"
wait "$daemon" || true
