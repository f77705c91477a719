# What `make demo ONCE=1` holds against what was shown. Sourced by demo.sh.
# shellcheck shell=bash

# The page of metrics that is looked at.
page=

# check WHAT COMMAND...: says whether it holds, and counts when it does not.
check() {
    local what=$1
    shift
    if "$@"; then
        printf '  ok      %s\n' "$what"
    else
        printf '  WRONG   %s\n' "$what"
        wrong=$((wrong + 1))
    fi
}

# series NAME LABEL="VALUE"...: the lines of the page that have all of these.
series() {
    local lines label
    lines=$(grep "^$1{" <<<"$page" || true)
    shift
    for label in "$@"; do lines=$(grep -F -- "$label" <<<"$lines" || true); done
    printf '%s\n' "$lines"
}

value() { series "$@" | awk 'NF { print $NF; exit }'; }

# equals WANTED NAME LABEL...
equals() { [ "$(value "${@:2}")" = "$1" ]; }

hypervisor() { equals 1 libvirt_domain_hypervisor_info "domain=\"$1\"" "hypervisor_type=\"$2\""; }

state() { equals 1 libvirt_domain_state "domain=\"$1\"" "=\"$2\""; }

in_table() { grep -q -- "$1" "$logs/snapshot.txt"; }

refresh() { page=$(http_body "$port" /metrics); }

cpu_moved() {
    refresh
    local now
    now=$(value libvirt_domain_cpu_usage_seconds_total 'domain="demo-linux"')
    [ -n "$cpu_before" ] && [ -n "$now" ] && awk -v a="$cpu_before" -v b="$now" 'BEGIN { exit !(b > a) }'
}

# Asked until it holds: two readings are 5 s apart.
cpu_moves() {
    local until=$((SECONDS + 20))
    until cpu_moved; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.5
    done
}

none_stuck() { [ -z "$(series libvirt_domain_collection_stuck | awk 'NF && $NF != 0')" ]; }

three_vms() { [ "$(series libvirt_domain_hypervisor_info | grep -c .)" = 3 ]; }

received_all() {
    local until=$((SECONDS + 30))
    until vm_received demo-linux && vm_received demo-kvm && vm_received demo-paused; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.5
    done
}

verify() {
    local wrong=0 fast_type=kvm name
    if [ "$fast" != kvm ]; then fast_type=qemu-tcg; fi
    headline "Verifying"
    refresh
    for name in demo-linux demo-kvm demo-paused; do check "the table of virt-otel snapshot has $name" in_table "$name"; done
    check "the endpoint has three VMs" three_vms
    check "libvirt answers (libvirt_up 1)" equals 1 libvirt_up
    check "demo-linux runs emulated (qemu-tcg)" hypervisor demo-linux qemu-tcg
    check "demo-kvm is $fast_type" hypervisor demo-kvm "$fast_type"
    check "demo-paused is $fast_type" hypervisor demo-paused "$fast_type"
    check "demo-linux is running" state demo-linux running
    check "demo-paused is paused" state demo-paused paused
    check "no VM is stuck" none_stuck
    cpu_before=$(value libvirt_domain_cpu_usage_seconds_total 'domain="demo-linux"')
    check "the CPU time of demo-linux moves between two scrapes" cpu_moves
    if [ -n "$collector" ]; then
        check "the Collector received a Resource for each of the three VMs" received_all
    else
        say "not verified, as there is no Go to build it with: the Collector"
    fi
    if [ "$wrong" -gt 0 ]; then fail "$wrong of the above are wrong"; fi
    headline "Everything is as it should be"
}
