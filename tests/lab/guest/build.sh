#!/bin/sh
# Builds the lab's guest into the folder given: Debian's cloud kernel, unpacked and not installed, and an initramfs of
# busybox, our init and the modules it loads. No disk image, no root, no mount: it boots in seconds even emulated.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=$1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The meta package names the kernel that is current; only that one has a kernel inside.
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
if [ -z "$kernel" ]; then
    echo "apt does not know linux-image-cloud-amd64: run apt-get update, on Debian 12 with its main archive" >&2
    exit 1
fi
# apt fetches as its own user where it can, which needs a folder that this user can write.
chmod 755 "$work"
mkdir "$work/deb" && chmod 777 "$work/deb"
(cd "$work/deb" && apt-get download "$kernel")
dpkg-deb -x "$work/deb"/*.deb "$work/kernel"

initramfs=$work/initramfs
mkdir -p "$initramfs/bin" "$initramfs/sbin" "$initramfs/modules" "$initramfs/etc" "$initramfs/proc" \
    "$initramfs/sys" "$initramfs/dev" "$initramfs/tmp" "$initramfs/cgroup"
cp /bin/busybox "$initramfs/bin/busybox"
ln -s busybox "$initramfs/bin/sh"
cp "$here/init" "$initramfs/init"
chmod 755 "$initramfs/init"

# Drivers for the devices that libvirt counts; button and evdev make the power button work; zsmalloc and zram are swap.
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_balloon virtio_blk \
    failover net_failover virtio_net button evdev lzo_compress lzo-rle zsmalloc zram; do
    found=$(find "$work/kernel/lib/modules" -name "$module.ko" | head -n 1)
    # Built into some kernels: then there is no file, and nothing to load.
    if [ -n "$found" ]; then cp "$found" "$initramfs/modules/"; fi
done

mkdir -p "$target"
(cd "$initramfs" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --owner 0:0 | gzip -1) >"$target/initramfs.new"
cp "$work/kernel/boot"/vmlinuz-* "$target/vmlinuz.new"
# World-readable: QEMU may run as another user.
chmod 644 "$target/initramfs.new" "$target/vmlinuz.new"
mv "$target/vmlinuz.new" "$target/vmlinuz"
mv "$target/initramfs.new" "$target/initramfs"
