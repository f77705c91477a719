#!/usr/bin/env bash
# Builds the image of deploy/container/Dockerfile and checks what came out. Also: make image
#
#   ENGINE=buildah     or docker: which one builds; by default buildah, if it is there
#   RUST_IMAGE=NAME    what is compiled with, by another name or by digest; by default what the Dockerfile names
#   TWICE=1            builds the commit a second time, from another folder and without a cache, and compares
#
# In target/image are then
#   virt-otel-VERSION.tar        the image, for docker load, podman load and ctr images import
#   virt-otel-VERSION.cdx.json   what the binary is made of (CycloneDX), as it is in the image
#   virt-otel-VERSION.txt        the image's size, ID, digests and files
#
# With buildah, images and layers are kept in target/image/store and nowhere else. If it cannot pull RUST_IMAGE, a
# stand-in is made of Debian's packages and this machine's Rust (as root, with mmdebstrap), and said to be one. It stays
# in use until that folder is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/image/stand-in.sh
source scripts/image/stand-in.sh
# shellcheck source=scripts/image/check.sh
source scripts/image/check.sh

# Of the check: the image's files, and the Collector that runs.
files=
collector_pid=
finish() {
    step_failed $?
    [ -z "$collector_pid" ] || kill "$collector_pid" 2>/dev/null || true
    unmount_store "$folder"
}
trap finish EXIT

dockerfile=deploy/container/Dockerfile
folder=$root/target/image
rust_image=${RUST_IMAGE:-$(sed -n 's/^ARG RUST_IMAGE=//p' $dockerfile)}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=docker.io/library/virt-otel:$version
archive=$folder/virt-otel-$version.tar
bom=$folder/virt-otel-$version.cdx.json
results=$folder/virt-otel-$version.txt

# The commit, and its time, which everything in the image gets.
revision=$(git rev-parse HEAD 2>/dev/null) || fail "the image bears its commit: build it in a clone of the repository"
changes=$(git status --porcelain)
[ -z "$changes" ] || revision=$revision-changed
epoch=$(git log -1 --format=%ct)
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
source_url=$(source_url)

store() { buildah_in "$folder" "$@"; }

# build CONTEXT ARCHIVE [OPTION...]
build() {
    local context=$1 file=$2
    shift 2
    set -- --file "$context/$dockerfile" --build-arg "RUST_IMAGE=$rust_image" --build-arg "VERSION=$version" \
        --build-arg "SOURCE_DATE_EPOCH=$epoch" --label "org.opencontainers.image.revision=$revision" \
        --label "org.opencontainers.image.created=$created" "$@"
    [ -z "$source_url" ] || set -- "$@" --label "org.opencontainers.image.source=$source_url"
    rm -f "$file"
    if [ "$engine" = buildah ]; then
        # The time is told by option alone: newer versions refuse it in the environment beside that.
        (unset SOURCE_DATE_EPOCH && store bud --pull-never --layers --timestamp "$epoch" --identity-label=false \
            --tag "$name" "$@" "$context")
        store push --quiet "$name" "docker-archive:$file:$name"
    else
        docker buildx build --provenance=false "$@" \
            --output "type=docker,name=$name,dest=$file,rewrite-timestamp=true,compression=uncompressed" "$context"
    fi
}

pull() {
    if store inspect --type image "$rust_image" >/dev/null 2>&1; then return; fi
    if store pull --quiet "$rust_image" >/dev/null; then return; fi
    stand_in
}

# The same commit again, where nothing of the first build is.
again() {
    rm -rf "$folder/again"
    git clone --quiet "$root" "$folder/again"
    build "$folder/again" "$folder/again.tar" --no-cache
    unpack "$folder/again.tar" "$folder/again.root"
    cmp "$folder/root/usr/local/bin/virt-otel" "$folder/again.root/usr/local/bin/virt-otel" || fail "another binary"
    cmp "$archive" "$folder/again.tar" || fail "the binary is the same, and the image is not"
    rm -rf "$folder"/again*
    result twice "the same image from a clone in another folder, without a cache"
}

result() { printf '%-10s %s\n' "$1" "$2" | tee -a "$results" >&2; }

engine=${ENGINE:-}
if [ -z "$engine" ]; then
    # On Debian, as root; elsewhere it says what is missing.
    command -v buildah >/dev/null || command -v docker >/dev/null || tests/lab/prepare.sh buildah
    engine=docker
    if command -v buildah >/dev/null; then engine=buildah; fi
fi
case $engine in buildah | docker) ;; *) fail "unknown engine '$engine': buildah or docker" ;; esac
command -v "$engine" >/dev/null || fail "'$engine' is missing"
if [ "${TWICE:-}" = 1 ] && [ -n "$changes" ]; then fail "TWICE is for a commit, and here are changes beside it"; fi

mkdir -p "$folder"
: >"$results"
[ "$engine" = docker ] || step "the Rust image" pull
step "the image" build "$root" "$archive"
step "what is in it" check
step "a push over TLS" push_over_tls
[ "${TWICE:-}" != 1 ] || step "the same again" again
printf '%s\n' "$files" >>"$results"
say "target/image has ${archive##*/}, ${bom##*/} and ${results##*/}"
