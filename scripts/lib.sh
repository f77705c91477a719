# What the scripts share; sourced, not run. Everything they say goes to stderr.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# step NAME COMMAND...: runs a command under a headline and says how long it took. A failure ends the script (set -e).
step() {
    step_name=$1
    step_started=$SECONDS
    shift
    step_command=$*
    printf '\n==> %s\n' "$step_name" >&2
    # Not behind an "if": that would let a function go on after the command that fails.
    "$@"
    printf '==> %s: done in %d s\n' "$step_name" $((SECONDS - step_started)) >&2
    step_name=
}

# step_failed STATUS: for the trap on EXIT: names the step that was not finished.
step_failed() {
    if [ "$1" -ne 0 ] && [ -n "${step_name:-}" ]; then
        printf '\n==> %s: FAILED after %d s (%s)\n' "$step_name" $((SECONDS - step_started)) "$step_command" >&2
    fi
}

need_cargo() {
    command -v cargo >/dev/null || fail "'cargo' is missing: install Rust with its installer from https://rustup.rs"
}

# need_root TARGET: the lab cannot do without.
need_root() {
    [ "$(id -u)" -eq 0 ] || fail "the lab starts daemons in namespaces of their own: run as root (sudo -E make $1)"
}

# Where the source can be had; nothing as long as nobody knows. tests/documents.rs holds who else says it.
source_url() { sed -n 's/^repository = "\(.*\)"$/\1/p' "$root/Cargo.toml"; }

# prepare_packages [PART...]: the Debian packages of the lab, and of the judge unless the parts are named.
prepare_packages() {
    [ "$#" -gt 0 ] || set -- packages judge
    step "packages" "$root/tests/lab/prepare.sh" "$@"
}

# Cargo unites the features of everything that it builds at once, and tests ask for more of some packages than the agent
# does. So what the tests run is built as users build it, by itself, and kept where no other build puts its own.
the_agent_alone() {
    cargo build --locked --bin virt-otel
    cp -f target/debug/virt-otel target/lab/virt-otel
    export VIRT_OTEL_TEST_BINARY=$root/target/lab/virt-otel
}

# programs DIRECTORY ARGUMENT...: the test programs that cargo makes of these arguments, with where they run.
programs() {
    local directory=$1
    shift
    cargo test --locked --no-run --message-format=json "$@" 2>/dev/null |
        sed -n '/"profile":{[^}]*"test":true}/s/.*"executable":"\([^"]*\)".*/\1/p' | sed "s|^|$directory |"
}

# begin_results KIND: where runs of this commit are counted: sets commit, folder (target/KIND) and results, its file.
begin_results() {
    commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
    git diff --quiet HEAD 2>/dev/null || commit=$commit-changed
    folder=$root/target/$1
    results=$folder/$commit.txt
    mkdir -p "$folder"
    touch "$results"
}

# write_support NAME: docs/support.md has what comes in, between the markers of this name.
write_support() {
    local text
    text=$(mktemp)
    cat >"$text"
    sed -i -e "/<!-- $1 -->/,/<!-- end -->/{/<!-- end -->/!{/<!-- $1 -->/!d}}" -e "/<!-- $1 -->/r $text" \
        "$root/docs/support.md"
    rm -f "$text"
    say "docs/support.md has the result: commit it"
}

# buildah_in FOLDER ARGUMENT...: buildah with a store of its own in a folder, and without what it needs of control groups
# and networks otherwise.
buildah_in() {
    local folder=$1
    shift
    BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot} buildah --root "$folder/store" --runroot "$folder/store.run" \
        --storage-driver "${STORAGE_DRIVER:-overlay}" "$@"
}

# unmount_store FOLDER: a build that failed leaves its container, and buildah its store, mounted: the folder could not be
# removed.
unmount_store() {
    [ -d "$1/store" ] || return 0
    buildah_in "$1" rm --all >/dev/null 2>&1 || true
    umount "$1/store/overlay" 2>/dev/null || true
}

# inside ROOT COMMAND...: runs it with another root of the lab; "here": with this machine's.
inside() {
    local name=$1
    shift
    if [ "$name" = here ]; then "$@"; else "$root/tests/lab/in-root.sh" "$root/target/lab/roots/$name" "$@"; fi
}

# lab_program: the built program with the lab's tests.
lab_program() {
    local program
    program=$(programs "$root" -p virt-otel --test lab)
    [ -n "$program" ] || fail "the lab's tests are not built: cargo test --no-run says why"
    printf '%s\n' "${program#* }"
}

# Which of the lab's tests depend on libvirt's version. Most of the time they wait: make test-versions runs six at a time.
libvirt_tests=(hung:: numbers:: lifecycle:: faults:: kubevirt_sockets:: migration:: sidecar:: throttled::
    addresses::a_user_is_let_in_by_polkit addresses::the_read_only_socket)

# lab_in ROOT PROGRAM TEST...: the lab's tests whose name has one of these texts, inside this root.
lab_in() {
    local name=$1 program=$2
    shift 2
    # Ignored are those that want what a root has.
    [ "$name" = here ] || set -- "$@" --include-ignored
    inside "$name" "$program" --test-threads="${lab_threads:-2}" "$@"
}
