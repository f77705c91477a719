# What the image is compiled with where Rust's own image cannot be pulled. Sourced by image.sh.
# shellcheck shell=bash

# Debian's packages that Rust's image has, as far as the build needs them, and this machine's toolchain. Cargo gets this
# machine's certificate authorities, in case a proxy is among them; the image gets Debian's.
stand_in() {
    local toolchain container layer=$folder/stand-in.tar
    case $rust_image in *@*) fail "$rust_image cannot be pulled, and nothing stands in for a digest" ;; esac
    say "$rust_image cannot be pulled: a STAND-IN of Debian's packages and this machine's Rust takes its place"
    [ "$(id -u)" -eq 0 ] || fail "the stand-in is made by root"
    command -v mmdebstrap >/dev/null || tests/lab/prepare.sh buildah
    need_cargo
    toolchain=$(rustc --print sysroot)
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
        --aptopt='APT::Install-Recommends "false"' --include=gcc,libc6-dev,make,git,ca-certificates \
        --customize-hook="cp $toolchain/bin/rustc $toolchain/bin/cargo \"\$1/usr/local/bin\"" \
        --customize-hook="cp -R $toolchain/lib \"\$1/usr/local\"" \
        --customize-hook='mkdir "$1/usr/local/cargo"' \
        --customize-hook='cp /etc/ssl/certs/ca-certificates.crt "$1/usr/local/cargo/authorities.crt"' \
        trixie "$layer"
    container=$(store from scratch)
    store add --quiet "$container" "$layer" / >/dev/null
    store config --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env CARGO_HOME=/usr/local/cargo --env CARGO_HTTP_CAINFO=/usr/local/cargo/authorities.crt \
        --label "stand-in=Debian trixie and $(rustc --version)" "$container"
    store commit --quiet --rm "$container" "$rust_image" >/dev/null
    rm -f "$layer"
}

# The digest of what was compiled with, as far as it is known here.
rust_digest() {
    [ "$engine" = buildah ] || return 0
    store inspect --type image --format '{{.FromImageDigest}}' "$rust_image"
}

# What stands in for the image, or nothing.
stood_in() {
    [ "$engine" = buildah ] || return 0
    store inspect --type image --format '{{index .OCIv1.Config.Labels "stand-in"}}' "$rust_image"
}
