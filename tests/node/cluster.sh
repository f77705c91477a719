#!/usr/bin/env bash
# A Kubernetes cluster of real nodes, each on a machine of machine.sh. The first one has the control plane, too.
#
#   tests/node/cluster.sh up NODE...            starts what does not run yet, and waits until the nodes are ready
#   tests/node/cluster.sh furnish FILE...       gives every node these images (archives) and the lab's own, and the cluster
#                                               its names, a Collector, and a token for the tests
#   tests/node/cluster.sh stop NODE SERVICE...  ends services, such as kubelet; "up" starts them again
#   tests/node/cluster.sh kubectl ARGUMENT...   kubectl, as the administrator
#   tests/node/cluster.sh helm ARGUMENT...      the same for Helm
#   tests/node/cluster.sh down                  ends everything and removes every file
#
# tests/lab/prepare.sh makes what it runs. What it writes is in NODE_STATE, target/node by default.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
programs=$repository/target/lab/bin
images=$repository/target/lab/images
state=${NODE_STATE:-$repository/target/node}
keys=$state/keys
export NODE_STATE=$state

# Addresses of pods (node N has the N-th part) and of Services.
pods=10.244
services=10.96.0.0/16
dns=10.96.0.10

say() { printf 'cluster: %s\n' "$*" >&2; }

machine() { "$here/machine.sh" "$@"; }

# The nodes that were started, the first one first.
nodes() { cat "$state/nodes" 2>/dev/null || true; }
first() { nodes | head -n 1; }
number() { nodes | grep -nx "$1" | cut -d: -f1; }
address() { cat "$state/$1/address"; }

# In the first node's network, and with this machine's files.
beside() { nsenter -t "$(cat "$state/$(first)/pid")" -n -- env -i PATH="$programs:$PATH" HOME="$state" "$@"; }
kubectl() { beside KUBECONFIG="$keys/super-admin.conf" kubectl "$@"; }

# within SECONDS COMMAND...: repeats it until it succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            say "in vain: $*"
            return 1
        fi
        sleep 0.3
    done
}

# service NODE NAME COMMAND...: in the background, unless it runs; its log and its process id are in the node's folder.
service() {
    local node=$1 name=$2
    shift 2
    if kill -0 "$(cat "$state/$node/$name.pid" 2>/dev/null)" 2>/dev/null; then return; fi
    setsid "$here/machine.sh" run "$node" "$@" </dev/null >>"$state/$node/$name.log" 2>&1 &
    echo $! >"$state/$node/$name.pid"
}

stop() {
    local node=$1 name pid waited
    shift
    for name; do
        # nsenter waits for its child in the node, which is the service.
        pid=$(cat "$state/$node/$name.pid")
        pkill -TERM -P "$pid" || true
        for ((waited = 0; waited < 200; waited++)); do
            kill -0 "$pid" 2>/dev/null || break
            # An API server waits a minute for those who watch.
            if [ "$waited" -eq 100 ]; then pkill -KILL -P "$pid" || true; fi
            sleep 0.1
        done
    done
}

# The cluster's keys, certificates and kubeconfigs.
make_keys() {
    if [ -e "$keys/super-admin.conf" ]; then return; fi
    mkdir -p "$keys"
    cat >"$keys/kubeadm.yaml" <<YAML
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: { advertiseAddress: $(address "$(first)"), bindPort: 6443 }
nodeRegistration: { name: $(first), criSocket: unix:///run/containerd/containerd.sock }
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $("$programs/kubelet" --version | sed 's/.* //')
certificatesDir: $keys
encryptionAlgorithm: ECDSA-P256
apiServer: { certSANs: [127.0.0.1] }
networking: { serviceSubnet: $services, podSubnet: $pods.0.0/16 }
YAML
    "$programs/kubeadm" init phase certs all --config "$keys/kubeadm.yaml" >"$keys/kubeadm.log" 2>&1
    "$programs/kubeadm" init phase kubeconfig all --config "$keys/kubeadm.yaml" --kubeconfig-dir "$keys" \
        >>"$keys/kubeadm.log" 2>&1
    user kube-proxy system:kube-proxy
    user kube-router kube-router kubeadm:cluster-admins
}

# user FILE NAME [GROUP]: a kubeconfig.
user() {
    "$programs/kubeadm" kubeconfig user --config "$keys/kubeadm.yaml" --client-name "$2" ${3:+--org "$3"} \
        >"$keys/$1.conf" 2>>"$keys/kubeadm.log"
}

# give NODE FOLDER: what the node finds in /etc/kubernetes.
give() {
    machine run "$1" mkdir -p /etc/kubernetes
    tar -C "$2" -c . | machine run "$1" tar -C /etc/kubernetes -x
}

# bind NAME ROLE WHOM: who may do what, as kubeadm has it.
bind() {
    kubectl create clusterrolebinding "$1" --clusterrole="$2" "$3" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
}

control_plane() {
    local node=$1 k=/etc/kubernetes
    make_keys
    mkdir -p "$keys/control-plane"
    cp "$keys"/*.crt "$keys"/*.key "$keys"/*.pub "$keys"/{controller-manager,scheduler}.conf "$keys/control-plane/"
    give "$node" "$keys/control-plane"
    service "$node" etcd etcd --data-dir /var/lib/etcd --log-level warn --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
    service "$node" kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 \
        --advertise-address "$(address "$node")" --secure-port 6443 --allow-privileged \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --service-cluster-ip-range "$services" --client-ca-file $k/ca.crt \
        --tls-cert-file $k/apiserver.crt --tls-private-key-file $k/apiserver.key \
        --kubelet-client-certificate $k/apiserver-kubelet-client.crt \
        --kubelet-client-key $k/apiserver-kubelet-client.key --kubelet-preferred-address-types InternalIP \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file $k/sa.pub \
        --service-account-signing-key-file $k/sa.key
    within 90 kubectl get --raw /readyz
    bind administrators cluster-admin --group=kubeadm:cluster-admins
    bind kubelet-api system:kubelet-api-admin --user=kube-apiserver-kubelet-client
    service "$node" kube-controller-manager kube-controller-manager --kubeconfig $k/controller-manager.conf \
        --authentication-kubeconfig $k/controller-manager.conf --authorization-kubeconfig $k/controller-manager.conf \
        --root-ca-file $k/ca.crt --service-account-private-key-file $k/sa.key --use-service-account-credentials \
        --cluster-signing-cert-file $k/ca.crt --cluster-signing-key-file $k/ca.key --leader-elect=false
    service "$node" kube-scheduler kube-scheduler --kubeconfig $k/scheduler.conf --leader-elect=false \
        --authentication-kubeconfig $k/scheduler.conf --authorization-kubeconfig $k/scheduler.conf
}

# The files of a node's services.
configure() {
    local node=$1 folder=$keys/$1
    if [ -e "$folder" ]; then return; fi
    mkdir -p "$folder"
    user "$node/kubelet" "system:node:$node" system:nodes
    mkdir "$folder/cni"
    cp "$keys/ca.crt" "$keys"/kube-{proxy,router}.conf "$folder/"
    cat >"$folder/cni/bridge.conflist" <<JSON
{ "cniVersion": "1.0.0", "name": "pods", "plugins": [ {
    "type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "$pods.$(number "$node").0/24" }]],
              "routes": [{ "dst": "0.0.0.0/0" }] } } ] }
JSON
    # Neither containerd nor the kubelet may lower a score: that takes a right that not even root has everywhere.
    cat >"$folder/containerd.toml" <<TOML
version = 3
oom_score = 0
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "/etc/kubernetes/cni"
TOML
    cat >"$folder/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: /etc/kubernetes/ca.crt } }
authorization: { mode: Webhook }
clusterDomain: cluster.local
clusterDNS: [$dns]
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
# The disk is the whole machine's, and belongs to others.
evictionHard: { memory.available: 1Mi, nodefs.available: 1%, imagefs.available: 1% }
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
YAML
    cat >"$folder/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: { kubeconfig: /etc/kubernetes/kube-proxy.conf }
clusterCIDR: $pods.0.0/16
# These are the whole machine's.
conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }
YAML
    give "$node" "$folder"
}

worker() {
    local node=$1 other k=/etc/kubernetes
    configure "$node"
    service "$node" containerd containerd --config $k/containerd.toml
    within 30 machine run "$node" ctr version
    import "$node" "$images/pause.tar"
    service "$node" kubelet kubelet --config $k/kubelet.yaml --kubeconfig $k/kubelet.conf \
        --node-ip "$(address "$node")" --hostname-override "$node"
    service "$node" kube-proxy kube-proxy --config $k/kube-proxy.yaml --hostname-override "$node"
    # The kubelet removes the sockets of device plugins when it starts, and kube-router ends where it does not find its node.
    within 60 kubectl get "node/$node"
    service "$node" device-plugin device-plugin
    service "$node" kube-router kube-router --kubeconfig $k/kube-router.conf --hostname-override "$node" \
        --run-firewall=true --run-router=false --run-service-proxy=false --run-loadbalancer=false --enable-cni=false \
        --service-cluster-ip-range "$services"
    for other in $(nodes); do
        if [ "$other" = "$node" ] || [ ! -e "$state/$other/address" ]; then continue; fi
        machine run "$node" ip route replace "$pods.$(number "$other").0/24" via "$(address "$other")"
        machine run "$other" ip route replace "$pods.$(number "$node").0/24" via "$(address "$node")"
    done
}

# import NODE FILE: an image, once.
import() {
    local name
    name=$(basename "$2")
    if [ -e "$state/$1/$name" ]; then return; fi
    machine run "$1" ctr -n k8s.io images import --local - <"$2" >>"$state/$1/images.log" 2>&1
    touch "$state/$1/$name"
}

up() {
    local node
    mkdir -p "$state"
    for node; do
        if ! nodes | grep -qx "$node"; then echo "$node" >>"$state/nodes"; fi
    done
    for node in $(nodes); do machine up "$node" "$(number "$node")"; done
    control_plane "$(first)"
    for node in $(nodes); do worker "$node"; done
    for node in $(nodes); do within 120 kubectl wait --for=condition=Ready "node/$node" --timeout=1s; done
}

furnish() {
    local node file
    for node in $(nodes); do
        for file in "$images"/*.tar "$@"; do import "$node" "$file"; done
    done
    kubectl apply -f "$here/manifests/coredns.yaml" -f "$here/manifests/collector.yaml" >/dev/null
    kubectl -n kube-system create serviceaccount tests --dry-run=client -o yaml | kubectl apply -f - >/dev/null
    bind tests cluster-admin --serviceaccount=kube-system:tests
    kubectl -n kube-system create token tests --duration=24h >"$keys/token"
    kubectl -n kube-system rollout status deployment/coredns --timeout=120s >/dev/null
    kubectl -n opentelemetry rollout status deployment/otel-collector --timeout=120s >/dev/null
}

down() {
    local node
    # The first one last: the others' cables end in it.
    for node in $(nodes | tac); do machine down "$node"; done
    rm -rf "$keys" "$state/nodes"
}

what=${1:-}
[ "$#" -eq 0 ] || shift
case $what in
    up) up "$@" ;;
    furnish) furnish "$@" ;;
    stop) stop "$@" ;;
    kubectl) kubectl "$@" ;;
    helm) beside KUBECONFIG="$keys/super-admin.conf" helm "$@" ;;
    down) down ;;
    *)
        sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
