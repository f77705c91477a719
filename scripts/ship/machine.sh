#!/usr/bin/env bash
# A host with Debian 12 that is started: machine.sh DEB LOG. systemd is the first process of its namespaces, libvirt's daemon
# runs, and the package is installed as an administrator does it. What was found out stands in LOG, on lines that begin with
# "result: ".
#
# systemd takes control groups of this machine's; Debian 12's still knows those of version 1.
set -euo pipefail
cd "$(dirname "$0")/../.."

deb=$1
log=$2
# How long, in seconds, each thing that is waited for may take.
patience=60

export NODE_STATE=$PWD/target/ship/machine MACHINE_ROOT=$PWD/target/lab/roots/host-12
export MACHINE_INIT="/lib/systemd/systemd --show-status=no"

machine() { tests/node/machine.sh "$1" host-12 "${@:2}"; }
on() { machine run "$@"; }

# await WHAT COMMAND...: until the command succeeds.
await() {
    local what=$1 left=$patience
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || wrong "waited $patience s for $what"
        sleep 1
    done
}

result() { printf 'result: %s\n' "$*"; }

# wrong WHAT: says it, and what the unit said.
wrong() {
    on journalctl --no-pager --unit=virt-otel.service --lines=50 || true
    echo "$1"
    exit 1
}

shown() { on systemctl show --value --property="$1" virt-otel.service; }
is() { [ "$(shown "$1")" = "$2" ]; }
restarted() { [ "$(shown NRestarts)" -ge 1 ]; }

install() {
    local since
    on sh -c 'cat >/root/virt-otel.deb' <"$deb"
    since=$(date +%s%N)
    # The unit is of the type notify: this waits for READY=1.
    on env DEBIAN_FRONTEND=noninteractive dpkg --install /root/virt-otel.deb
    is ActiveState active || wrong "the unit is $(shown ActiveState)"
    result "Under systemd $(on systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p') the unit was READY $((($(date +%s%N) - since) / 1000000)) ms after dpkg began."
    # No user of the host: it exists as long as the agent runs.
    [ "$(on stat -c %u "/proc/$(shown MainPID)")" -ge 61184 ] || wrong "it runs as a user of the host"
    on curl --silent --fail --max-time 5 http://localhost:9464/metrics >"$log.page" || wrong "nothing is served"
    grep -q '^libvirt_up{.*} 1$' "$log.page" || wrong "libvirt is not reached: $(grep '^libvirt_up' "$log.page")"
    result "A user that exists only while the agent runs reached libvirt by the read-only socket; the page had $(grep -vc '^#' "$log.page") series."
}

# What its administrator looks at first, beside the service.
looked_at() {
    local since status=0
    since=$(date +%s%N)
    on virt-otel snapshot >"$log.snapshot" || wrong "no snapshot: $(cat "$log.snapshot")"
    grep -q '^qemu:///system: up, host ' "$log.snapshot" || wrong "the snapshot is '$(cat "$log.snapshot")'"
    result "\`virt-otel snapshot\` took $((($(date +%s%N) - since) / 1000000)) ms."
    on virt-otel check --exporters prometheus >"$log.check" || status=$?
    [ "$status" -le 1 ] || wrong "the check ended with $status: $(cat "$log.check")"
    grep -q '^well *libvirt-socket ' "$log.check" || wrong "the check says: $(cat "$log.check")"
    result "\`virt-otel check\` found nothing that fails."
}

# Stopped, it gives no sign of life.
watchdog() {
    on mkdir -p /run/systemd/system/virt-otel.service.d
    on sh -c 'printf "[Service]\nWatchdogSec=12s\n" >/run/systemd/system/virt-otel.service.d/watchdog.conf'
    on systemctl daemon-reload
    on systemctl restart virt-otel.service
    sleep 20
    is NRestarts 0 || wrong "the watchdog ended one that was alive"
    on sh -c "kill -STOP $(shown MainPID)"
    await "the watchdog" restarted
    await "a new start" is ActiveState active
    result "With a watchdog of 12 s it ran on for 20, and was started anew when its process was stopped."
    on rm -r /run/systemd/system/virt-otel.service.d
    on systemctl daemon-reload
}

# A wrong configuration ends it for good.
refused() {
    on sh -c 'echo VIRT_OTEL_INTERVAL=never >>/etc/virt-otel/virt-otel.env'
    on systemctl restart virt-otel.service || true
    await "its end" is ActiveState failed
    is ExecMainStatus 64 || wrong "it ended with $(shown ExecMainStatus)"
    # Longer than RestartSec.
    sleep 7
    is NRestarts 0 || wrong "it was started again"
    result "A wrong configuration ended it with 64, and it was not started again."
}

purge() {
    on dpkg --purge virt-otel
    ! on systemctl cat virt-otel.service >/dev/null 2>&1 || wrong "the unit is still there"
}

trap 'machine down' EXIT
exec >"$log" 2>&1
machine up 1
await "systemd" on systemctl is-active --quiet multi-user.target
await "libvirt's socket" on test -S /run/libvirt/libvirt-sock-ro
install
looked_at
watchdog
refused
purge
