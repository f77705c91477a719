#!/usr/bin/env bash
# The whole product on one machine: a private libvirtd with three guests, an OpenTelemetry Collector, and virt-otel
# between them. Shows what comes out, and stays until Ctrl-C. Also: make demo
#
#   ONCE=1                verify everything that is shown, and end: exit 0, or say what is wrong
#   VIRT_OTEL=PATH        use this binary instead of building one
#
# As root on Debian 12 with Rust. Packages that are missing are installed. Nothing of the machine's own libvirt is
# touched, and nothing is left running: guests and daemon live in namespaces that end with this script.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/demo/host.sh
source scripts/demo/host.sh
# shellcheck source=scripts/demo/net.sh
source scripts/demo/net.sh

ONCE=${ONCE:-}
binary=${VIRT_OTEL:-$root/target/quick/virt-otel}
logs=$root/target/demo
work=
building=
pids=()

# A short folder: a socket's path may have 107 bytes. QEMU's files are in it as well.
make_folder() {
    work=$(mktemp -d /tmp/virt-otel-demo.XXXXXX)
    chmod 755 "$work"
    mkdir -p "$logs"
    rm -f "$logs"/*
}

# start NAME COMMAND...: in the background, in a session of its own so that Ctrl-C reaches us and not it.
start() {
    local name=$1
    shift
    setsid "$@" >"$logs/$name.log" 2>&1 </dev/null &
    pids+=($!)
}

clean_up() {
    local status=$? at
    trap - EXIT INT TERM
    set +e
    step_failed "$status"
    # Last started, first ended: the agent says goodbye to the Collector before that goes.
    for ((at = ${#pids[@]} - 1; at >= 0; at--)); do
        kill -TERM "${pids[at]}" 2>/dev/null
        wait_end "${pids[at]}" 100 || kill -KILL "${pids[at]}" 2>/dev/null
        wait "${pids[at]}" 2>/dev/null
    done
    end_host
    if [ -n "$building" ]; then
        kill "$building" 2>/dev/null
        wait "$building" 2>/dev/null
    fi
    if [ -n "$work" ]; then rm -rf "$work"; fi
    if [ "$status" -ne 0 ] && [ "$status" -ne 130 ]; then say "the logs are in target/demo"; fi
    exit "$status"
}

# wait_end PID TENTHS: whether a process ends within this time.
wait_end() {
    local left=$2
    while kill -0 "$1" 2>/dev/null; do
        ((left-- > 0)) || return 1
        sleep 0.1
    done
}

# Whether everything that was started still runs.
all_run() {
    local pid
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done
}

# wait_for SECONDS WHAT COMMAND...: asks until the command succeeds.
wait_for() {
    local until=$((SECONDS + $1)) what=$2 shown=$SECONDS
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || fail "waited in vain for $what"
        all_run || fail "ended instead of getting ready: $what"
        if [ $((SECONDS - shown)) -ge 5 ]; then
            say "still waiting for $what"
            shown=$SECONDS
        fi
        sleep 0.2
    done
}

prepare() {
    need_cargo
    need_root demo
    prepare_packages packages
    step "guest" tests/lab/prepare.sh guest
    # The Collector is built while Rust compiles.
    mkdir -p "$logs"
    tests/lab/prepare.sh collector >"$logs/prepare-collector.log" 2>&1 &
    building=$!
    if [ -z "${VIRT_OTEL:-}" ]; then step "virt-otel" cargo build --profile quick --locked; fi
    [ -x "$binary" ] || fail "$binary is not there"
    step "the Collector" wait_for_collector
}

wait_for_collector() {
    local status=0
    collector=yes
    wait "$building" || status=$?
    building=
    case $status in
        0) ;;
        3) collector= && say "going on without a Collector: building one needs Go 1.26 or newer" ;;
        *)
            tail -n 20 "$logs/prepare-collector.log" >&2
            fail "the Collector could not be built; the whole log is target/demo/prepare-collector.log"
            ;;
    esac
}

collector_ready() { [ "$(http_status "$health_port" /)" = 200 ]; }

start_collector() {
    received=$work/received.jsonl
    grpc_port=$(free_port 4317)
    health_port=$(free_port 13133)
    start collector env \
        OTLP_GRPC_ENDPOINT="127.0.0.1:$grpc_port" OTLP_HTTP_ENDPOINT="127.0.0.1:$(free_port 4318)" \
        HEALTH_ENDPOINT="127.0.0.1:$health_port" \
        COLLECTOR_METRICS_HOST=127.0.0.1 COLLECTOR_METRICS_PORT="$(free_port 8888)" OUTPUT_FILE="$received" \
        target/lab/bin/otelcol-lab --config otel/collector/debug.yaml
    wait_for 30 "the Collector (log: target/demo/collector.log)" collector_ready
}

agent_ready() { [ "$(http_status "$port" /readyz)" = 200 ]; }

start_agent() {
    local exporters=prometheus
    port=$(free_port 9464)
    if [ -n "$collector" ]; then exporters=otlp,prometheus; fi
    start agent env OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:${grpc_port:-4317}" OTEL_METRIC_EXPORT_INTERVAL=5000 \
        "$binary" run --libvirt-uri "$uri" --listen "127.0.0.1:$port" --exporters "$exporters" \
        --interval 5s --group-interval block=10s
    wait_for 30 "virt-otel's first round (log: target/demo/agent.log)" agent_ready
}

headline() {
    if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n\n' "$*"; else printf '\n%s\n\n' "$*"; fi
}

vm_received() { grep -q "\"libvirt.domain.name\",\"value\":{\"stringValue\":\"$1\"" "$received" 2>/dev/null; }

show() {
    headline "virt-otel snapshot"
    "$binary" snapshot --libvirt-uri "$uri" | tee "$logs/snapshot.txt" ||
        fail "virt-otel snapshot failed, or a VM did not answer it (see above)"
    headline "What Prometheus scrapes: http://127.0.0.1:$port/metrics, of demo-linux"
    http_body "$port" /metrics | grep 'domain="demo-linux"' |
        grep -E '^libvirt_domain_(hypervisor_info|state|cpu_usage|memory_(resident|usable)|network_receive_bytes|storage_(iops_write|write_traffic)|collection_stuck)' |
        grep -v '_state{.* 0$' || true
    if [ -n "$collector" ]; then
        wait_for 30 "the Collector to receive demo-linux" vm_received demo-linux
        headline "What the Collector received, of demo-linux: one Resource"
        awk -v vm=demo-linux -f scripts/demo/received.awk "$received"
    fi
}

stay() {
    headline "Running until Ctrl-C"
    cat <<TEXT
  metrics          http://127.0.0.1:$port/metrics
  landing page     http://127.0.0.1:$port/
  health           http://127.0.0.1:$port/livez  http://127.0.0.1:$port/readyz
  libvirt          virsh --connect '$uri' list --all
  another reading  $binary snapshot --libvirt-uri '$uri'
  pause a VM       virsh --connect '$uri' suspend demo-linux
  freeze one       kill -STOP $(qemu_pid demo-linux)     (heal it: kill -CONT …; look at libvirt_domain_collection_stuck)
TEXT
    if [ -n "$collector" ]; then printf '  Collector        OTLP at 127.0.0.1:%s, receives into %s\n' "$grpc_port" "$received"; fi
    printf '  logs             %s\n\n' "$logs"
    # Until Ctrl-C, or until one of them ends.
    wait -n "${pids[@]}" || true
    fail "a part of the demo has ended by itself"
}

# shellcheck source=scripts/demo/verify.sh
source scripts/demo/verify.sh

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

prepare
make_folder
step "libvirtd" start_host
step "guests" start_guests
if [ -n "$collector" ]; then step "Collector" start_collector; fi
step "virt-otel" start_agent
show
if [ -n "$ONCE" ]; then verify; else stay; fi
