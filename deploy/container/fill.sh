#!/bin/sh
# Fills a folder with what the image is to hold: fill.sh FOLDER. Runs in the Dockerfile's build stage, in Debian.
#
# SOURCE_DATE_EPOCH is the time that all files get, VERSION the version that the agent must say it has.
set -eu

image=$1
binary=/target/release/virt-otel
umask 022

fail() {
    echo "fill.sh: $*" >&2
    exit 1
}

# put FILE PLACE: a file of the image, whatever its mode and its links were.
put() { install -D -m 644 "$1" "$image$2"; }

[ "$("$binary" --version)" = "virt-otel $VERSION" ] || fail "$("$binary" --version) is not version $VERSION"
readelf --sections --wide "$binary" | grep -q ' \.dep-v0 ' || fail "the binary has no list of its dependencies"
install -D -m 755 "$binary" "$image/usr/local/bin/virt-otel"

# The libraries, and the loader, under the names by which the binary finds them. glibc looks names up in files and DNS
# without others since 2.34.
ldd "$binary" | grep -o '/[^ ]*' >/tmp/libraries
! grep libvirt /tmp/libraries || fail "the binary links one of libvirt's libraries"
while read -r library; do install -D -m 755 "$library" "$image$library"; done </tmp/libraries
mkdir -p "$image/etc" "$image/run" "$image/var"
# Sockets are mounted at either.
ln -s /run "$image/var/run"
echo 'hosts: files dns' >"$image/etc/nsswitch.conf"

# Certificate authorities for a Collector behind https://.
put /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt

# Which packages these files are of, where scanners look for it, and their licences.
put /etc/os-release /etc/os-release
for package in libc6 libgcc-s1 ca-certificates; do
    mkdir -p "$image/var/lib/dpkg/status.d"
    dpkg-query --status "$package" >"$image/var/lib/dpkg/status.d/$package"
    put "/usr/share/doc/$package/copyright" "/usr/share/doc/$package/copyright"
done
put LICENSE /usr/share/doc/virt-otel/LICENSE
put NOTICE /usr/share/doc/virt-otel/NOTICE

# What the binary is made of: the crates, as CycloneDX.
CARGO_NET_OFFLINE=true cargo cyclonedx --format json --spec-version 1.5 --describe binaries
put virt-otel_bin.cdx.json /usr/share/doc/virt-otel/virt-otel.cdx.json

find "$image" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
