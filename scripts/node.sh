#!/usr/bin/env bash
# Installs the agent on real Kubernetes nodes and tries it there. Also: make test-node
#
#   ONLY="sidecar:: probes::"   only the tests whose name has one of these texts
#   KEEP=1                      leaves the cluster as it is: tests/node/cluster.sh says how to look at it and to end it
#
# It builds Kubernetes, containerd and CoreDNS (needs Go), makes root file systems and images without a registry, and
# starts two nodes in namespaces of their own: all of it in target/, and nothing is left running. The first time takes
# more than half an hour. When every test has passed and nothing is uncommitted, the result in docs/support.md is written
# anew.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

cluster=$root/tests/node/cluster.sh
results=$root/target/node-tests.txt

# What a cluster must not leave on this machine.
leftovers() {
    local found
    found=$(
        pgrep -af "$root/(tests/node/machine.sh|target/node/)" || true
        find /sys/fs/cgroup -maxdepth 2 -name 'virt-otel-node*' 2>/dev/null
        find "$root/target/node" -mindepth 1 -maxdepth 1 -name 'node*' 2>/dev/null
    )
    [ -z "$found" ] || fail "left behind: $found"
}

end() {
    local status=$?
    trap - EXIT
    step_failed "$status"
    if [ "${KEEP:-}" = 1 ]; then
        say "the cluster is left as it is; to end it: tests/node/cluster.sh down"
    else
        "$cluster" down
        leftovers
    fi
    exit "$status"
}

# The image's archive; scripts/image.sh makes it anew only if something has changed.
image() {
    scripts/image.sh
    archive=$(ls target/image/virt-otel-*.tar)
}

# timed: each line of a result with the seconds since the one before. One test acts on the cluster at a time; the one
# that waits for a token has the seconds of the whole.
timed() {
    local line before=$SECONDS
    while IFS= read -r line; do
        case $line in
            "test "*" ... "*)
                line=${line#test }
                printf '%s | %d\n' "${line/ ... / | }" $((SECONDS - before)) | tee -a "$results" >&2
                before=$SECONDS
                ;;
            *) printf '%s\n' "$line" >&2 ;;
        esac
    done
}

run_tests() {
    local program
    program=$(programs "$root" -p virt-otel --test node)
    : >"$results"
    # Two at a time: the second is the one that waits for a token.
    # Unquoted on purpose: a list of texts.
    nsenter --net="/proc/$(cat target/node/node1/pid)/ns/net" \
        "${program#* }" --ignored --test-threads=2 ${ONLY:-} 2>&1 | timed
}

# module_version NAME: the version of what tests/node/programs/NAME is there for: the first that its go.mod requires.
module_version() { sed -n 's/^.*require .* v\([0-9.]*\).*/\1/p; s/^\t.* v\([0-9.]*\)$/\1/p' "tests/node/programs/$1/go.mod" | head -n 1; }

# The versions and the tests, for docs/support.md.
write_result() {
    local name state seconds
    {
        printf 'On %s, commit %s, kernel %s: Kubernetes %s, containerd %s, CoreDNS %s, kube-router %s, libvirt %s of Debian 13. ' \
            "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$(uname -r)" \
            "$(target/lab/bin/kubelet --version | sed 's/.* v//')" \
            "$(module_version containerd)" "$(module_version coredns)" "$(module_version network-policy)" \
            "$(inside debian-13 virsh --version)"
        printf '%d s with everything prepared.\n\n' "$1"
        printf '| Test | Seconds |\n|---|---|\n'
        while IFS='|' read -r name state seconds; do
            case $state in *ok*) printf '| %s | %s |\n' "$(sed 's/.*:://; s/_/ /g; s/ *$//' <<<"$name")" "${seconds# }" ;; esac
        done <"$results"
    } | write_support test-node
}

need_cargo
need_root test-node
prepare_packages packages buildah collector prometheus apiserver helm kubernetes containerd coredns device-plugin \
    network-policy node debian-13
step "the agent's image" image
step "the other images" tests/node/images.sh
step "the tests" cargo test --locked --no-run --test node
warm=$SECONDS
"$cluster" down
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
step "two nodes" "$cluster" up node1 node2
step "images, names and a Collector" "$cluster" furnish "$archive"
step "the tests on the nodes" run_tests
if [ -z "${ONLY:-}" ] && git diff --quiet HEAD; then write_result $((SECONDS - warm)); fi
printf '\n==> everything passed in %d s\n' "$SECONDS" >&2
