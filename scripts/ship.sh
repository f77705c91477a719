#!/usr/bin/env bash
# Installs the packages of target/package as users do, on hosts that are made of namespaces: with Debian 12 and 13 the .deb, and
# starts the unit there; the .rpm into a database of its own. Also: make test-ship
#
# When everything has passed and nothing is uncommitted, the result in docs/support.md is written anew.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

folder=$root/target/ship
packages=$root/target/package
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
deb=$packages/virt-otel_$version-1_amd64.deb
rpm=$packages/virt-otel-$version-1.x86_64.rpm
merged=

finish() {
    step_failed $?
    drop_host
}
trap finish EXIT

# new_host NAME: a root of the lab, of which nothing is changed by what is done in it: sets merged.
new_host() {
    merged=$folder/$1/root
    rm -rf "${folder:?}/$1"
    mkdir -p "$merged" "$folder/$1/changed" "$folder/$1/work"
    mount -t overlay "$1" -o "lowerdir=$root/target/lab/roots/$1,upperdir=$folder/$1/changed,workdir=$folder/$1/work" "$merged"
}

drop_host() {
    [ -n "$merged" ] || return 0
    umount "$merged" 2>/dev/null || true
    rm -rf "${merged%/root}"
    merged=
}

# on_host COMMAND...
on_host() { "$root/tests/lab/in-root.sh" "$merged" "$@"; }

# files: what is on the host, without what dpkg and rpm note of themselves.
files() {
    (cd "$merged" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp \
        -o -path "./${root#/}" -o -path ./var/lib/dpkg -o -path ./var/lib/rpm -o -path ./var/log -o -path ./var/cache \) -prune \
        -o -print | sort)
}

# The same program in a package that is newer.
next_deb() {
    rm -rf "$folder/next"
    mkdir -p "$folder/next"
    dpkg-deb --raw-extract "$deb" "$folder/next/files"
    sed -i "s/^Version: .*/Version: $version-2/" "$folder/next/files/DEBIAN/control"
    printf '\n# Another comment.\n' >>"$folder/next/files/etc/virt-otel/virt-otel.env"
    dpkg-deb --root-owner-group --build "$folder/next/files" "$folder/next/virt-otel.deb" >/dev/null
}

# What apt would say on a terminal is not asked.
install_deb() { on_host env DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install "$1" >"$folder/dpkg.log" 2>&1 || fail "$(cat "$folder/dpkg.log")"; }

same_files() {
    local changed
    changed=$(diff "$folder/before" "$folder/after") || fail "$1 leaves something behind: $changed"
}

# try_deb HOST: installed, changed by its user, upgraded, removed, purged.
try_deb() {
    local said
    new_host "$1"
    files >"$folder/before"
    install_deb "$deb"
    said=$(on_host virt-otel --version)
    [ "$said" = "virt-otel $version" ] || fail "installed it says '$said'"
    on_host man --where virt-otel >/dev/null || fail "its manual page is not found"
    [ -L "$merged/etc/systemd/system/multi-user.target.wants/virt-otel.service" ] || fail "the unit is not enabled"
    echo 'VIRT_OTEL_INTERVAL=20s' >>"$merged/etc/virt-otel/virt-otel.env"
    install_deb "$folder/next/virt-otel.deb"
    grep -q '^VIRT_OTEL_INTERVAL=20s' "$merged/etc/virt-otel/virt-otel.env" || fail "the upgrade changed the configuration"
    on_host dpkg --remove virt-otel >/dev/null 2>&1
    [ -e "$merged/etc/virt-otel/virt-otel.env" ] || fail "removing took the configuration"
    [ ! -e "$merged/usr/bin/virt-otel" ] || fail "removing left the program"
    on_host dpkg --purge virt-otel >/dev/null 2>&1
    files >"$folder/after"
    same_files "purging"
    drop_host
}

# Debian's rpm says that Debian's packages are others.
in_database() { rpm --root "$merged" --dbpath /var/lib/rpm "$@" 2>"$folder/rpm.log" || fail "$(cat "$folder/rpm.log")"; }

# Without what it depends on: there is no distribution of rpm packages here.
try_rpm() {
    new_host host-13
    # What a distribution of rpm packages has itself.
    mkdir -p "$merged"/{var/lib/rpm,usr/share/licenses,usr/share/zsh/site-functions}
    files >"$folder/before"
    in_database --initdb
    in_database --install --nodeps "$rpm"
    [ "$(chroot "$merged" virt-otel --version)" = "virt-otel $version" ] || fail "installed it does not run"
    in_database --erase virt-otel
    files >"$folder/after"
    same_files "erasing"
    drop_host
}

# The host is started: systemd is its first process, libvirt runs, and the package is installed.
try_unit() {
    scripts/ship/machine.sh "$deb" "$folder/unit.log" || fail "$(tail -n 40 "$folder/unit.log")"
    sed -n 's/^result: //p' "$folder/unit.log" >"$folder/unit.txt"
    cat "$folder/unit.txt" >&2
}

write_result() {
    {
        printf 'On %s, commit %s, in %d s: installed, upgraded, removed and purged on Debian 12 and Debian 13; the .rpm installed into an empty database without what it depends on, and erased. ' \
            "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$SECONDS"
        printf 'The .deb has %s bytes, the .rpm %s. ' "$(stat -c %s "$deb")" "$(stat -c %s "$rpm")"
        tr '\n' ' ' <"$folder/unit.txt"
        printf '\n'
    } | write_support test-ship
}

need_root test-ship
prepare_packages shipping host-12 host-13
[ -e "$deb" ] && [ -e "$rpm" ] || step "the packages" scripts/package.sh
mkdir -p "$folder"
step "a newer package" next_deb
step "the .deb on Debian 12" try_deb host-12
step "the .deb on Debian 13" try_deb host-13
step "the .rpm" try_rpm
step "the unit on Debian 12" try_unit
if git diff --quiet HEAD; then write_result; fi
