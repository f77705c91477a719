#!/usr/bin/env bash
# Compiles the agent for arm64 on an x86-64 machine and runs its tests that need no other program, under QEMU's emulation
# of one process. Also: make test-arm64
#
# Debian unstable's rustc compiles, with its standard library for arm64 and its cross compiler, in a root of its own. That
# shows what the compiler, byte order, sizes and alignments could break. It shows nothing of a kernel, a libvirt or a KVM on
# arm64. When every test has passed and nothing is uncommitted, the result in docs/support.md is written anew.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
trap 'step_failed $?' EXIT

folder=$root/target/arm64
triple=aarch64-unknown-linux-gnu

# The crates of Cargo.lock, once: the root has no access to a registry.
vendor() {
    if cmp -s Cargo.lock "$folder/vendored.lock"; then return; fi
    cargo vendor --locked "$folder/vendor" 2>"$folder/vendor.log" >"$folder/config.toml"
    cp Cargo.lock "$folder/vendored.lock"
}

# cross COMMAND ARGUMENT...: cargo for arm64, in the root.
cross() {
    inside arm64 env CARGO_HOME="$folder/cargo" CARGO_TARGET_DIR="$folder/target" CARGO_NET_OFFLINE=true \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64 CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
        cargo --config "$folder/config.toml" "$1" --locked --profile quick --target $triple "${@:2}"
}

# Not those that start the agent: the kernel would have to know that QEMU runs it. Nor the one that starts a program that is
# not there: QEMU says yes before it knows. Nor those of OTLP against a receiver, nor the one in which two dozen launchers send
# as much as they can: they have deadlines, and the emulation is an order of magnitude slower.
run_tests() {
    cross test --no-fail-fast --lib --bins --test bounds --test contract -- \
        --skip a_program_that_is_not_there_is_named --skip launchers_that_hoard_share_the_room 2>&1 | tee "$folder/tests.txt" >&2
}

# The program itself starts.
start() { inside arm64 qemu-aarch64 "$folder/target/$triple/quick/virt-otel" --version >&2; }

write_result() {
    printf 'On %s, commit %s: rustc %s, QEMU %s, %d tests passed in %d s.\n' \
        "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$(inside arm64 rustc --version | cut -d' ' -f2)" \
        "$(inside arm64 qemu-aarch64 --version | sed -n 's/.*version \([0-9.]*\).*/\1/p')" \
        "$(awk '/^test result: ok\./ { passed += $4 } END { print passed }' "$folder/tests.txt")" "$SECONDS" |
        write_support test-arm64
}

need_cargo
need_root test-arm64
prepare_packages arm64
mkdir -p "$folder"
step "the crates" vendor
step "the agent for arm64" cross build --bin virt-otel
step "it starts" start
step "the tests" run_tests
if git diff --quiet HEAD; then write_result; fi
