#!/usr/bin/env bash
# Repeats the built test programs, to find tests that fail now and then. Also: make flicker N=20 STRESS=4
#
#   N=20             how many runs there shall be in all
#   STRESS=0         how many processors' worth of load stress-ng makes meanwhile
#   LAB_THREADS=2    how many of the lab's tests run at the same time
#   ONLY=TEXT        only the tests whose name has this text
#
# It neither lints nor builds more than what a change made stale. Each run is one line in target/flicker/COMMIT.txt; the
# output of a program that failed stays beside it. Stopped with Ctrl-C, it goes on where it was when started again.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

runs=${N:-20}
stress=${STRESS:-0}
lab_threads=${LAB_THREADS:-2}
only=${ONLY:-}
stress_pid=

stop_stress() {
    if [ -n "$stress_pid" ]; then
        kill "$stress_pid" 2>/dev/null || true
        wait "$stress_pid" 2>/dev/null || true
    fi
}
trap stop_stress EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need_cargo
need_root flicker
if [ "$stress" -gt 0 ] && ! command -v stress-ng >/dev/null; then
    step "stress-ng" apt-get install -y --no-install-recommends stress-ng
fi
[ -d "$root/target/lab" ] || fail "the lab is not prepared: run make test once, or tests/lab/prepare.sh all"

step "the agent alone" the_agent_alone
list=$(
    programs "$root/crates/libvirt-remote" -p libvirt-remote --all-features
    programs "$root" -p virt-otel --lib --bins --tests
    programs "$root/tests/judge" -p judge
)
[ -n "$list" ] || fail "nothing to run: cargo test --no-run says why"

begin_results flicker

if [ "$stress" -gt 0 ]; then
    stress-ng --cpu "$stress" --quiet &
    stress_pid=$!
fi

failed=0
for ((run = $(wc -l <"$results") + 1; run <= runs; run++)); do
    began=$SECONDS
    broken=
    while read -r directory program; do
        name=$(basename "$program")
        log=$folder/$commit.$run.$name.log
        if (cd "$directory" && "$program" --test-threads="$lab_threads" ${only:+"$only"}) >"$log" 2>&1 </dev/null; then
            rm -f "$log"
        else
            tests=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | tr '\n' ' ')
            broken="$broken ${name%-*}: ${tests:-it ended without a result}"
        fi
    done <<<"$list"
    line="run $run, stress $stress, $((SECONDS - began)) s: ${broken:-passed}"
    printf '%s\n' "$line" | tee -a "$results" >&2
    [ -z "$broken" ] || failed=$((failed + 1))
done
say "$(grep -c ': passed$' "$results" || true) of $(wc -l <"$results") runs passed; the lines are in ${results#"$root"/}"
[ "$failed" -eq 0 ]
