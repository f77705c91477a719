#!/usr/bin/env bash
# A machine for a Kubernetes node, made of namespaces: it has a root file system, processes, a network, a host name and
# control groups of its own, and ends without a trace on the machine that it runs on.
#
#   tests/node/machine.sh up NAME NUMBER       starts it; machine 1 has the bridge that the others are connected to
#   tests/node/machine.sh run NAME COMMAND...  runs a command in it
#   tests/node/machine.sh down NAME            ends it with every process in it, and removes its files
#
# What it writes is in NODE_STATE, target/node by default. None of them can reach the outside. MACHINE_ROOT is another root than a
# node's, and MACHINE_INIT its first process.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
lab=$repository/target/lab
state=${NODE_STATE:-$repository/target/node}
# The machines' network; the last part is the machine's number.
network=10.77.0
base=${MACHINE_ROOT:-$lab/roots/node}
init=${MACHINE_INIT:-catatonit -P}
path=/opt/node:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

usage() {
    sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

[ "$#" -ge 2 ] || usage
what=$1
name=$2
shift 2
folder=$state/$name

# The control groups that this process is in, one for each hierarchy of cgroup v1 and of a hybrid.
hierarchies() {
    local controllers group
    while IFS=: read -r _ controllers group; do
        case $controllers in
            "") group=/sys/fs/cgroup/unified ;;
            name=*) group=/sys/fs/cgroup/${controllers#name=} ;;
            *) group=/sys/fs/cgroup/$controllers ;;
        esac
        if [ -d "$group" ]; then printf '%s\n' "$group/virt-otel-$name"; fi
    done </proc/self/cgroup
}

make_control_groups() {
    local group
    [ ! -e /sys/fs/cgroup/cgroup.controllers ] ||
        { echo "$name: the machines know control groups of version 1 (or hybrid), this host has version 2 alone" >&2; exit 1; }
    for group in $(hierarchies); do
        mkdir -p "$group"
        if [ -e "$group/cpuset.cpus" ]; then
            # Empty ones admit no process, here and in the groups below.
            cat "${group%/*}/cpuset.cpus" >"$group/cpuset.cpus"
            cat "${group%/*}/cpuset.mems" >"$group/cpuset.mems"
            echo 1 >"$group/cgroup.clone_children"
        fi
    done
}

join_control_groups() {
    local group
    for group in $(hierarchies); do echo "$BASHPID" >"$group/cgroup.procs"; done
}

remove_control_groups() {
    local group
    for group in $(hierarchies); do
        if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} +; fi
    done
}

pid() { cat "$folder/pid" 2>/dev/null; }

alive() { [ -n "$(pid)" ] && kill -0 "$(pid)" 2>/dev/null; }

# Runs in the new namespaces, and becomes their init: $1 the machine's folder, $2 its name, $3 the root below, $4 the
# programs of the lab, $5 where programs are, $6 the first one.
inside='
set -euo pipefail
folder=$1 name=$2 base=$3 programs=$4 path=$5 init=$6
new=$folder/root
mount --make-rprivate /
mount -t overlay "$name" -o "lowerdir=$base,upperdir=$folder/changed,workdir=$folder/work" "$new"
# containerd stacks overlays of its own in there.
[ ! -e "$folder/lib" ] || mount --bind "$folder/lib" "$new/var/lib"
mount -t proc proc "$new/proc"
mount -t sysfs sysfs "$new/sys"
mount -t tmpfs -o mode=755 cgroup "$new/sys/fs/cgroup"
for group in /sys/fs/cgroup/*/; do
    group=$(basename "$group")
    mkdir "$new/sys/fs/cgroup/$group"
    case $group in
        unified) mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup/$group" ;;
        systemd) mount -t cgroup -o none,name=systemd cgroup "$new/sys/fs/cgroup/$group" ;;
        *) mount -t cgroup -o "$group" cgroup "$new/sys/fs/cgroup/$group" ;;
    esac
done
mount -t tmpfs -o mode=755 dev "$new/dev"
mkdir "$new"/dev/{pts,shm,mqueue,net}
# Files of its own: an owner or a mode that somebody sets stays in here.
for device in null zero full random urandom tty kmsg kvm net/tun; do
    if [ -c "/dev/$device" ]; then
        mknod -m 666 "$new/dev/$device" c "0x$(stat -c %t "/dev/$device")" "0x$(stat -c %T "/dev/$device")"
    fi
done
mount -t devpts -o newinstance,ptmxmode=666 devpts "$new/dev/pts"
ln -s pts/ptmx "$new/dev/ptmx"
ln -s /proc/self/fd "$new/dev/fd"
mount -t tmpfs shm "$new/dev/shm"
mount -t mqueue mqueue "$new/dev/mqueue"
mount -t tmpfs -o mode=755 run "$new/run"
mount -t tmpfs tmp "$new/tmp"
chmod 1777 "$new/tmp"
mkdir -p "$new/run/lock" "$new/opt/node"
mount --bind "$programs" "$new/opt/node"
# The kubelet sets these, and they belong to the whole machine: it finds files with the values that it wants.
mkdir "$new/run/sysctl"
while read -r key value; do
    [ -e "$new/proc/sys/$key" ] || continue
    file=$new/run/sysctl/${key//\//.}
    echo "$value" >"$file"
    mount --bind "$file" "$new/proc/sys/$key"
done <<VALUES
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
VALUES
hostname "$name"
printf "127.0.0.1 localhost\n" >"$new/etc/hosts"
# Pods without names of the cluster ask this one, where nobody answers.
printf "nameserver 127.0.0.1\n" >"$new/etc/resolv.conf"
ip link set lo up
echo 1 >"$new/proc/sys/net/ipv4/ip_forward"
# What a Service translates must pass the same rules on its way back, also from one pod to another on the same bridge.
[ ! -e "$new/proc/sys/net/bridge" ] || echo 1 >"$new/proc/sys/net/bridge/bridge-nf-call-iptables"
cd "$new"
mkdir -p .before
pivot_root . .before
cd /
umount -l /.before
rmdir /.before
mount --make-rshared /
# Unquoted on purpose: with its arguments.
exec env -i PATH="$path" HOME=/root container=virt-otel $init
'

# connect NUMBER: the first machine has a bridge, the others a cable to it.
connect() {
    local number=$1 first
    if [ "$number" -eq 1 ]; then
        "$0" run "$name" ip link add machines type bridge
    else
        first=$(cat "$(dirname "$(grep -lx "$network.1" "$state"/*/address)")/pid")
        nsenter -t "$first" -n ip link add "to-$name" type veth peer name machines netns "$(pid)"
        nsenter -t "$first" -n ip link set "to-$name" master machines up
    fi
    "$0" run "$name" ip address add "$network.$number/24" dev machines
    "$0" run "$name" ip link set machines up
    printf '%s\n' "$network.$number" >"$folder/address"
}

up() {
    local number=$1 waited
    if alive; then return; fi
    make_control_groups
    mkdir -p "$folder"/{changed,work,root}
    [ -n "${MACHINE_ROOT:-}" ] || mkdir -p "$folder"/lib/{kubelet,containerd}
    (
        # Before the namespace of control groups is made: it begins where the process is then.
        join_control_groups
        exec setsid unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child \
            bash -c "$inside" bash "$folder" "$name" "$base" "$lab/bin" "$path" "$init"
    ) </dev/null >"$folder/machine.log" 2>&1 &
    for ((waited = 0; waited < 100; waited++)); do
        sleep 0.1
        cat "/proc/$!/task/$!/children" 2>/dev/null | tr -d ' ' >"$folder/pid" || true
        if [ "$(cat "/proc/$(pid)/comm" 2>/dev/null)" = "$(basename "${init%% *}")" ]; then
            connect "$number"
            return
        fi
    done
    cat "$folder/machine.log" >&2
    echo "$name did not start" >&2
    exit 1
}

run() {
    join_control_groups
    exec nsenter -t "$(pid)" -m -u -i -n -p -C -r -w -- env -i PATH="$path" HOME=/root "$@"
}

down() {
    local waited
    if alive; then
        kill -TERM "$(pid)" || true
        for ((waited = 0; waited < 100; waited++)); do
            alive || break
            sleep 0.1
        done
        if alive; then kill -KILL "$(pid)"; fi
    fi
    # The last processes of a namespace end some time after its init.
    for ((waited = 0; waited < 300; waited++)); do
        remove_control_groups 2>/dev/null && break
        sleep 0.1
    done
    remove_control_groups
    rm -rf --one-file-system "$folder"
}

case $what in
    up) [ "$#" -eq 1 ] || usage; up "$1" ;;
    run) [ "$#" -ge 1 ] || usage; run "$@" ;;
    down) down ;;
    *) usage ;;
esac
