#!/usr/bin/env bash
# Installs what the tests need and runs all of them: what must pass before a change goes in. Also: make test
#
#   LAB_THREADS=2    how many of the lab's tests run at the same time; of those of libvirt twice as many
#
# It installs Debian packages (as root, only those that are missing), builds a Collector, a Prometheus, a Kubernetes API
# server, Helm and a root with Debian 13's libvirt into target/lab (needs Go; minutes the first time, in the background
# while Rust compiles), and cargo-deny into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

lab_threads=${LAB_THREADS:-2}
tools=$root/target/tools
lab_log=$root/target/lab/prepare.log
lab_pid=

# Ends the preparation when we end first; it ends what it started.
stop_preparing() {
    local status=$?
    step_failed "$status"
    if [ -n "$lab_pid" ]; then
        kill "$lab_pid" 2>/dev/null || true
        wait "$lab_pid" 2>/dev/null || true
    fi
    exit "$status"
}
trap stop_preparing EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_deny() {
    if ! command -v cargo-deny >/dev/null && [ ! -x "$tools/bin/cargo-deny" ]; then
        say "cargo-deny is missing: it is built once, into target/tools (minutes)"
        # It runs for seconds: not optimised, it compiles in half the time.
        CARGO_PROFILE_DEV_DEBUG=false cargo install --debug --locked --root "$tools" cargo-deny
    fi
}

# lab_of_libvirt ROOT TEST...: twice as many at a time as of the others, since these wait most of the time.
lab_of_libvirt() { lab_threads=$((2 * lab_threads)) lab_in "$1" "$program" "${@:2}"; }

# Every test crate but the lab, which wants its daemons prepared first, and those that want a cluster.
test_crates() {
    local file name
    for file in tests/*.rs tests/*/main.rs; do
        name=${file#tests/}
        name=${name%/main.rs}
        name=${name%.rs}
        case $name in lab | node) continue ;; esac
        if [ -f "$file" ]; then printf -- '--test\n%s\n' "$name"; fi
    done
}

# They are only built: to run one is a matter of hours. Every crate has the agent's own version; the fuzzer's come on top.
fuzz_targets() {
    cp Cargo.lock fuzz/Cargo.lock
    cargo build --manifest-path fuzz/Cargo.toml --target-dir target
}

documentation() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace --exclude judge --exclude lab-support --all-features; }

wait_for_lab() {
    local status=0
    [ -n "$lab_pid" ] || return 0
    if kill -0 "$lab_pid" 2>/dev/null; then
        say "the lab is still being prepared; its last words:"
        # Shows what it says until it ends.
        tail -n 3 -f --pid="$lab_pid" "$lab_log" >&2
    fi
    wait "$lab_pid" || status=$?
    lab_pid=
    if [ "$status" -eq 3 ]; then
        say "the lab's Collector, Prometheus, API server and Helm need Go 1.26 or newer: install it from https://go.dev/dl/ and run again"
        return 1
    elif [ "$status" -ne 0 ]; then
        tail -n 40 "$lab_log" >&2
        say "the lab could not be prepared; the whole log is target/lab/prepare.log"
        return 1
    fi
}

need_cargo
need_root test
prepare_packages

mkdir -p "$root/target/lab"
"$root/tests/lab/prepare.sh" guest collector prometheus apiserver helm debian-13 >"$lab_log" 2>&1 &
lab_pid=$!

# What is tried on a newer libvirt, too; everything is with make test-versions.
on_newer_libvirt=(hung:: numbers:: throttled:: podman::)

export PATH=$PATH:$tools/bin
mapfile -t crates < <(test_crates)

step "shell" scripts/lint-shell.sh
step "format" cargo fmt --all --check
step "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
step "clippy with libvirt's library" cargo clippy --locked --all-targets --features virt -- -D warnings
step "rustdoc" documentation
step "cargo-deny" install_deny
step "licences, bans, sources" cargo deny --locked check licenses bans sources
step "the agent alone" the_agent_alone
step "tests of the protocol" cargo test --locked -p libvirt-remote --all-features
step "tests" cargo test --locked --lib --bins "${crates[@]}"
step "tests with libvirt's library" cargo test --locked --features virt --lib --bins --test architecture
step "examples in documentation" cargo test --locked --doc
step "fuzz targets" fuzz_targets
step "lab: preparation" wait_for_lab
step "the judge" cargo test --locked -p judge -- --test-threads="$lab_threads"
step "the lab's tests" cargo test --locked --no-run --test lab
program=$(lab_program)
step "lab: libvirt" lab_of_libvirt here "${libvirt_tests[@]}"
step "lab: libvirt of Debian 13" lab_of_libvirt debian-13 "${on_newer_libvirt[@]}"
step "lab: the rest" lab_in here "$program" "${libvirt_tests[@]/#/--skip=}"

printf '\n==> everything passed in %d s\n' "$SECONDS" >&2
