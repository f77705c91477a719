#!/bin/sh
# Runs in the root that is to have a virtqemud: fetches libvirt's source as it was released, without Debian's patches,
# builds the QEMU driver, and installs it.
set -eu

sed 's/^deb /deb-src /' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get update
cd /usr/src

# The source package's other files are not needed, and not every mirror has them.
release="s/^'\([^']*\)' \([^ ]*\.orig\.tar\.xz\) [0-9]* \(.*\)/\1 \2 \3/p"
apt-get source --print-uris libvirt | sed -n "$release" >source
read -r uri file hash <source
/usr/lib/apt/apt-helper download-file "$uri" "$file" "$hash"
mkdir libvirt
tar -xJf "$file" -C libvirt --strip-components=1
cd libvirt

meson setup build --prefix=/usr --libdir="lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH)" --sysconfdir=/etc \
    --localstatedir=/var -Drunstatedir=/run --buildtype=plain -Dc_args=-O1 -Dauto_features=disabled -Dsystem=true \
    -Ddriver_libvirtd=enabled -Ddriver_qemu=enabled -Ddriver_remote=enabled -Djson_c=enabled -Dlibnl=enabled \
    -Dpolkit=enabled -Ddocs=disabled -Dtests=disabled -Dnls=disabled -Dinit_script=none \
    -Dqemu_user=libvirt-qemu -Dqemu_group=kvm
nice ninja -C build
ninja -C build install
ldconfig

# The QEMU driver cannot be built without libvirtd, and here nobody shall find one.
rm -rf /usr/sbin/libvirtd /usr/src/libvirt "/usr/src/$file" /usr/src/source
# The user of the packages, with a group of his own.
getent group kvm >/dev/null || groupadd --system kvm
groupadd --system --gid 64055 libvirt-qemu
useradd --system --uid 64055 --gid 64055 --groups kvm --no-create-home libvirt-qemu
