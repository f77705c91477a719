#!/usr/bin/env bash
# Makes the images that the cluster runs beside the agent's, as archives in target/lab/images, with buildah and without a
# registry: pause, coredns, collector and launcher. Each is made again when what it holds has changed.
set -euo pipefail

cd "$(dirname "$0")/../.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

lab=$root/target/lab
images=$lab/images

build() { buildah_in "$images" "$@"; }

# image NAME STATE FILE PATH ENTRYPOINT [OPTION...]: an image of one file, or of the tree in a tar file at "/".
image() {
    local name=$1 made_from=$2 file=$3 path=$4 entrypoint=$5 container
    shift 5
    if [ "$(cat "$images/$name.stamp" 2>/dev/null)" = "$made_from" ] && [ -s "$images/$name.tar" ]; then return; fi
    say "making $name"
    container=$(build from scratch)
    build add --quiet "$container" "$file" "$path" >/dev/null
    build config --entrypoint "$entrypoint" "$@" "$container"
    build commit --quiet --rm "$container" "localhost/$name:1" >/dev/null
    rm -f "$images/$name.tar"
    build push --quiet "localhost/$name:1" "docker-archive:$images/$name.tar:localhost/$name:1"
    printf '%s' "$made_from" >"$images/$name.stamp"
}

# program NAME FILE [ARGUMENT]: an image of one static program, with the argument before those of a pod.
program() {
    local path=/${2##*/}
    image "$1" "$(sha256sum <"$2")" "$2" "$path" "[\"$path\"${3:+,\"$3\"}]"
}

# libvirt and QEMU of Debian 13, and the user that KubeVirt's image has.
launcher() {
    local tree=$images/launcher.tree.tar users=$images/users made_from
    made_from=$(cat "$lab/.root-debian-13.stamp" tests/node/images.sh | sha256sum)
    if [ "$(cat "$images/launcher.stamp" 2>/dev/null)" = "$made_from" ]; then return; fi
    say "packing the launcher's root"
    mkdir -p "$users/etc"
    cat "$lab/roots/debian-13/etc/passwd" - >"$users/etc/passwd" <<<'qemu:x:107:107::/:/bin/bash'
    cat "$lab/roots/debian-13/etc/group" - >"$users/etc/group" <<<'qemu:x:107:'
    tar -C "$lab/roots/debian-13" --exclude ./proc/* --exclude ./sys/* --exclude ./dev/* --exclude ./var/cache/apt/* \
        --exclude ./var/lib/apt/lists/* --exclude ./usr/share/doc/* --exclude ./usr/share/locale/* \
        --exclude ./work -cf "$tree" .
    # Behind the others of these names, which they replace.
    tar -C "$users" -rf "$tree" ./etc/passwd ./etc/group
    image launcher "$made_from" "$tree" / '["/bin/bash"]' --env PATH=/usr/sbin:/usr/bin:/sbin:/bin
    rm -rf "$tree" "$users"
}

# What buildah keeps is not needed again.
end() {
    unmount_store "$images"
    rm -rf "$images/store" "$images/store.run"
}
trap end EXIT
mkdir -p "$images"
program pause "$lab/roots/node/usr/bin/catatonit" -P
program coredns "$lab/bin/coredns"
program collector "$lab/bin/otelcol-lab"
launcher
