#!/usr/bin/env bash
# OpenTelemetry's weaver judges otel/registry, and what the agent really sends by it. Also: make weaver
#
#   WEAVER=FILE               the program, if it is not on PATH (https://github.com/open-telemetry/weaver/releases)
#   WEAVER_CONVENTIONS=DIR    the folder `model` of the semantic conventions that the registry's manifest names, if
#                             weaver cannot fetch them
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

if ! command -v "${WEAVER:-weaver}" >/dev/null; then
    fail "${WEAVER:-weaver} is missing: get it from https://github.com/open-telemetry/weaver/releases, and put it on PATH or name it in WEAVER"
fi
need_cargo
need_root weaver
prepare_packages
"$root/tests/lab/prepare.sh" guest apiserver
the_agent_alone
cargo test --locked --test lab -- --test-threads=1 --ignored weaver:: --nocapture
