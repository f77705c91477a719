#!/usr/bin/env bash
# Builds the .deb and the .rpm of the agent for x86-64 and checks them. Also: make package
#
#   TWICE=1            builds the commit a second time, from another folder, and compares
#
# In target/package are then
#   virt-otel_VERSION-1_amd64.deb      for Debian 12, Ubuntu 22.04 and what is newer
#   virt-otel-VERSION-1.x86_64.rpm     for RHEL 9, Fedora, openSUSE Leap 15.6 and what is newer: by its list of what it needs;
#                                      on none of them it was tried
#   virt-otel-VERSION.cdx.json         what the program is made of (CycloneDX), as it is in the packages
#   SHA256SUMS
#   package.txt                        sizes, digests and files
#
# The program needs glibc 2.34 or newer and nothing else. That is what comes out where glibc is at most Debian 12's; on a newer
# system the check fails.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/package/check.sh
source scripts/package/check.sh
trap 'step_failed $?' EXIT

folder=$root/target/package
tools=$root/target/tools
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
deb=virt-otel_$version-1_amd64.deb
rpm=virt-otel-$version-1.x86_64.rpm
bom=virt-otel-$version.cdx.json
results=$folder/package.txt

# The time that every file in the packages has.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || fail "the packages have the commit's time: build them in a clone"
export SOURCE_DATE_EPOCH

# What makes packages, in the versions that were tried; what the image is made with is named there.
install_tools() {
    local tool
    for tool in $(grep -oE 'cargo-(auditable|cyclonedx)@[0-9.]+' deploy/container/Dockerfile) cargo-deb@3.8.0 \
        cargo-generate-rpm@0.21.1; do
        [ -e "$tools/.$tool" ] && continue
        # They run for seconds: not optimised, they compile in half the time.
        CARGO_PROFILE_DEV_DEBUG=false cargo install --debug --quiet --locked --root "$tools" "$tool"
        touch "$tools/.$tool"
    done
}

# compile CLONE: the program, with no path of this machine in it.
compile() {
    (cd "$1" && CARGO_TARGET_DIR=$1/target/package/build \
        RUSTFLAGS="--remap-path-prefix=$1=/virt-otel --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        cargo auditable build --release --locked --bin virt-otel)
}

# describe CLONE: what the program says of itself, and what it is made of.
describe() {
    local program=$1/target/package/build/release/virt-otel files=$1/target/package/files
    rm -rf "$files"
    mkdir -p "$files"
    "$program" man >"$files/virt-otel.1"
    gzip -9nk "$files/virt-otel.1"
    "$program" completions bash >"$files/virt-otel.bash"
    "$program" completions zsh >"$files/_virt-otel"
    "$program" completions fish >"$files/virt-otel.fish"
    {
        printf 'virt-otel (%s-1) unstable; urgency=medium\n\n  * Release %s; CHANGELOG.md of the source tells the changes.\n\n' \
            "$version" "$version"
        printf ' -- %s  %s\n' "$(sed -n 's/^maintainer = "\(.*\)"/\1/p' Cargo.toml)" \
            "$(date -u -d "@$SOURCE_DATE_EPOCH" -R)"
    } >"$files/changelog"
    (cd "$1" && cargo cyclonedx --format json --spec-version 1.5 --describe binaries)
    # Of the crates in the clone it tells the path.
    sed "s|path+file://$1|path+file:///virt-otel|g" "$1/virt-otel_bin.cdx.json" >"$files/virt-otel.cdx.json"
    rm -f "$1/virt-otel_bin.cdx.json"
    # It makes one for each member of the workspace.
    (cd "$1" && git clean -fdqx --exclude=/target -- '*.cdx.json')
}

# pack CLONE: both packages, in its target/package.
pack() {
    local to=$1/target/package
    rm -f "$to/$deb" "$to/$rpm"
    (
        cd "$1"
        export CARGO_TARGET_DIR=$1/target/package/build
        cargo deb --quiet --no-build --no-strip --locked --output "$to/$deb"
        cargo generate-rpm --source-date "$SOURCE_DATE_EPOCH" --output "$to/$rpm"
    )
}

make_packages() {
    compile "$1"
    describe "$1"
    pack "$1"
}

again() {
    local clone=$folder/again
    rm -rf "$clone"
    git clone --quiet "$root" "$clone"
    make_packages "$clone"
    cmp "$folder/build/release/virt-otel" "$clone/target/package/build/release/virt-otel" || fail "another program"
    cmp "$folder/$deb" "$clone/target/package/$deb" || fail "the program is the same, and the .deb is not"
    cmp "$folder/$rpm" "$clone/target/package/$rpm" || fail "the program is the same, and the .rpm is not"
    rm -rf "$clone"
    result twice "the same packages from a clone in another folder"
}

sums() {
    cp -f "$folder/files/virt-otel.cdx.json" "$folder/$bom"
    (cd "$folder" && sha256sum "$deb" "$rpm" "$bom" >SHA256SUMS)
}

result() { printf '%-10s %s\n' "$1" "$2" | tee -a "$results" >&2; }

need_cargo
if [ "${TWICE:-}" = 1 ] && [ -n "$(git status --porcelain)" ]; then
    fail "TWICE is for a commit, and here are changes beside it"
fi
tests/lab/prepare.sh shipping
mkdir -p "$folder"
: >"$results"
export PATH=$tools/bin:$PATH
step "tools" install_tools
step "the packages" make_packages "$root"
step "what is in them" check
[ "${TWICE:-}" != 1 ] || step "the same again" again
step "sums" sums
say "target/package has $deb, $rpm, $bom and SHA256SUMS"
