#!/usr/bin/env bash
# Runs the configurations of otel/collector/backends and otel/collector/fleet: in a Collector with vendors' exporters, whose
# requests a server in the test catches, and with a real VictoriaMetrics. Also: make test-backends
#
# It builds both once, into target/lab (needs Go; a quarter of an hour on a small machine). When everything has passed and
# nothing is uncommitted, the result in docs/support.md is written anew.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

folder=$root/target/backends

finish() { step_failed $?; }
trap finish EXIT

# version MODULE GO.MOD: which version of a module is pinned.
version() { sed -n "s|^.*$1 v\([0-9.]*\)$|\1|p" "$root/tests/lab/$2/go.mod" | head -n 1; }

run_tests() { cargo test --locked --test lab -- --test-threads=2 --include-ignored backends:: 2>&1 | tee "$folder/tests.log" >&2; }

write_result() {
    local passed contrib datadog victoria
    passed=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$folder/tests.log")
    contrib=$(version go.opentelemetry.io/collector/otelcol collector-contrib)
    datadog=$(version 'exporter/datadogexporter' collector-contrib)
    victoria=$(version 'github.com/VictoriaMetrics/VictoriaMetrics' victoriametrics)
    printf 'On %s, commit %s, in %d s: %s tests passed, with a Collector %s, the exporter for Datadog %s and VictoriaMetrics %s.\n' \
        "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$SECONDS" "$passed" "$contrib" "$datadog" "$victoria" |
        write_support test-backends
}

need_cargo
mkdir -p "$folder"
prepare_packages collector collector-contrib victoriametrics
step "backends and fleets" run_tests
if git diff --quiet HEAD; then write_result; fi
