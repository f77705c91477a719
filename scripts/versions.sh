#!/usr/bin/env bash
# Runs the lab's tests that touch libvirt against each libvirt that can be had here. Also: make test-versions N=5
#
#   VERSIONS="debian-13 virtqemud unstable"   which roots of tests/lab/prepare.sh; "here" is this machine's libvirt, which
#                    make test has tried
#   N=1              how many runs there shall be in all of this commit; it goes on where it was when started again
#   LAB_THREADS=6    how many tests run at the same time: most of them wait
#
# Each run of a version is one line in target/versions/COMMIT.txt, and its output stays beside it if it failed. When
# every version of a run has passed and nothing is uncommitted, the table in docs/support.md is written anew.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

all="debian-13 virtqemud unstable"
versions=${VERSIONS:-$all}
runs=${N:-1}
lab_threads=${LAB_THREADS:-6}

for version in $versions; do
    case " here $all " in *" $version "*) ;; *) fail "unknown version '$version': here $all" ;; esac
done
need_cargo
need_root test-versions
roots=${versions//here/}
# Unquoted on purpose: a list of parts.
prepare_packages packages guest collector apiserver $roots
step "the agent alone" the_agent_alone
step "the lab's tests" cargo test --locked --no-run --test lab
program=$(lab_program)

begin_results versions

# what VERSION: the versions that were tried, as a row of the table has them.
what() {
    local distribution libvirt qemu daemon=libvirtd
    distribution=$(inside "$1" sh -c '. /etc/os-release && printf %s "$PRETTY_NAME"')
    libvirt=$(inside "$1" virsh --version)
    qemu=$(inside "$1" qemu-system-x86_64 --version | sed -n 's/.*version \([0-9.]*\).*/\1/p')
    if [ "$1" = virtqemud ]; then daemon=virtqemud; fi
    printf '%s | %s %s | %s' "$distribution" "$daemon" "$libvirt" "$qemu"
}

failed=0
for ((run = 1; run <= runs; run++)); do
    for version in $versions; do
        if grep -q "^run $run, $version," "$results"; then continue; fi
        began=$SECONDS
        log=$folder/$commit.$run.$version.log
        tried=$(what "$version")
        say "run $run of $runs, $version: ${tried//|/,}"
        status=0
        extra=()
        if [ "$version" = debian-13 ]; then extra=(podman::); fi
        lab_in "$version" "$program" "${libvirt_tests[@]}" "${extra[@]}" >"$log" 2>&1 </dev/null || status=$?
        passed=$(sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' "$log")
        if [ "$status" -eq 0 ] && [ "${passed:-0}" -gt 0 ]; then
            outcome="passed $passed"
            rm -f "$log"
        else
            failed=$((failed + 1))
            outcome="FAILED $(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | tr '\n' ' ')"
        fi
        printf 'run %d, %s, %d s, %s: %s\n' "$run" "$version" $((SECONDS - began)) "$tried" "$outcome" |
            tee -a "$results" >&2
    done
done
say "$(grep -c ': passed ' "$results" || true) of $(wc -l <"$results") runs passed; the lines are in ${results#"$root"/}"
[ "$failed" -eq 0 ] || exit 1

# The table of the last run, between its markers.
if [ "$versions" = "$all" ] && [ "${commit%-changed}" = "$commit" ] && ! grep -qv ': passed ' "$results"; then
    {
        printf '| Distribution | libvirt | QEMU | tests passed | time |\n|---|---|---|---|---|\n'
        sed -n 's/^run \([0-9]*\), [^,]*, \([0-9]* s\), \(.*\): passed \([0-9]*\)$/\1 | \3 | \4 | \2 |/p' "$results" |
            sed -n "s/^$runs | /| /p"
        printf '\nOn %s, commit %s, kernel %s, %d runs of each, all passed.\n' \
            "$(date -u +%F)" "$commit" "$(uname -r)" "$runs"
    } | write_support test-versions
fi
