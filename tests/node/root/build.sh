#!/bin/sh
# Makes the root file system of a Kubernetes node: build.sh NAME FOLDER
#
# It has what containerd, the kubelet, kube-proxy and the firewall of NetworkPolicies call, and an init.
set -eu

name=$1
target=$2
new=$target.new
log=$target.log
packages=runc,containernetworking-plugins,iptables,ipset,nftables,conntrack,iproute2,kmod,mount,util-linux,procps
packages=$packages,ca-certificates,catatonit

rm -rf "$new"
if ! mmdebstrap --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
    --aptopt='APT::Install-Recommends "false"' --include="$packages" trixie "$new" >"$log" 2>&1; then
    rm -rf "$new"
    tail -n 20 "$log" >&2
    echo "the root $name could not be made; the whole log is $log" >&2
    exit 1
fi
rm -rf "$target" "$log"
mv "$new" "$target"
