#!/usr/bin/env bash
# Runs `virt-otel check` in the agent of every node, and prints a report in Markdown that can be pasted into an issue.
#
#   deploy/conformance.sh [option]...
#     -n NAMESPACE    where the agents are; without it, every namespace is searched
#     -l SELECTOR     which pods they are (app.kubernetes.io/name=virt-otel)
#     -c CONTAINER    which of their containers (virt-otel)
#     --context NAME  which cluster of the kubeconfig
#     --names         keep the names of nodes; without it they are numbered
#
# Needs kubectl, and the rights to get pods and nodes and to exec into the agents' pods. Nothing is changed. The image has
# no shell, and none is needed: the agent's own binary is run, with the options and variables of the agent. Names of VMs
# and addresses stay in the report: read it before you paste it.
#
# Exit code: 0 all is well; 1 a node warns; 2 a node fails; 3 a node could not be asked; 64 a wrong option.
set -euo pipefail

# How many agents are asked at a time.
AT_ONCE=8
# How many seconds one may take: more than the check's own deadlines together.
PATIENCE=150

namespace=
selector=app.kubernetes.io/name=virt-otel
container=virt-otel
context=()
names=

say() { printf 'conformance: %s\n' "$*" >&2; }

usage() {
    say "$1; see the head of $0"
    exit 64
}

while [ "$#" -gt 0 ]; do
    case $1 in
        -n | -l | -c | --context) [ "$#" -ge 2 ] || usage "$1 needs a value" ;;
    esac
    case $1 in
        -n) namespace=$2 && shift ;;
        -l) selector=$2 && shift ;;
        -c) container=$2 && shift ;;
        --context) context=(--context "$2") && shift ;;
        --names) names=1 ;;
        *) usage "there is no option $1" ;;
    esac
    shift
done

command -v kubectl >/dev/null || usage "kubectl is missing"

kube() { kubectl ${context[@]+"${context[@]}"} "$@"; }

# limited COMMAND...: ends it after a while, where there is a program for that.
limited() {
    if command -v timeout >/dev/null; then timeout "$PATIENCE" "$@"; else "$@"; fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# namespace, pod, node and phase of each agent, a line each.
agents() {
    local where=(--all-namespaces)
    if [ -n "$namespace" ]; then where=(--namespace "$namespace"); fi
    kube get pods "${where[@]}" --selector "$selector" --sort-by .spec.nodeName --output jsonpath='{range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{"\t"}{.spec.nodeName}{"\t"}{.status.phase}{"\n"}{end}'
}

# The options that the agent of a pod was given on its command line, a line each. Its variables are there anyway.
options() {
    kube get pod --namespace "$1" "$2" \
        --output jsonpath="{range .spec.containers[?(@.name==\"$container\")].args[*]}{@}{\"\\n\"}{end}" |
        grep -vx run || true
}

# ask NUMBER NAMESPACE POD: the report of one agent into a file, its exit code into another.
ask() {
    local given=() option status=0
    while IFS= read -r option; do given+=("$option"); done < <(options "$2" "$3")
    limited kubectl ${context[@]+"${context[@]}"} exec --namespace "$2" "$3" --container "$container" -- \
        virt-otel check --format text ${given[@]+"${given[@]}"} >"$work/$1.text" 2>"$work/$1.errors" || status=$?
    # kubectl's own failures have the exit code 1 as well.
    if ! grep -q '^virt-otel ' "$work/$1.text"; then status=3; fi
    printf '%s\n' "$status" >"$work/$1.status"
}

outcome() {
    case $1 in
        0) echo well ;;
        1) echo warning ;;
        2) echo failure ;;
        *) echo "not asked" ;;
    esac
}

agents >"$work/agents"
if [ ! -s "$work/agents" ]; then
    say "no pod has the label $selector${namespace:+ in the namespace $namespace}; name another with -l or -n"
    exit 3
fi

count=0
while IFS=$'\t' read -r space pod _ _; do
    count=$((count + 1))
    ask "$count" "$space" "$pod" &
    if [ $((count % AT_ONCE)) -eq 0 ]; then wait; fi
done <"$work/agents"
wait

# name, operating system, kernel, container runtime and architecture of each node.
kube get nodes --output jsonpath='{range .items[*]}{.metadata.name}{"\t"}{.status.nodeInfo.osImage}{"\t"}{.status.nodeInfo.kernelVersion}{"\t"}{.status.nodeInfo.containerRuntimeVersion}{"\t"}{.status.nodeInfo.architecture}{"\n"}{end}' \
    >"$work/nodes" 2>/dev/null || : >"$work/nodes"

# about NODE: the columns of a node.
about() {
    awk -F '\t' -v node="$1" '$1 == node { printf "%s | %s | %s | %s", $2, $3, $4, $5; found = 1 }
        END { if (!found) printf "? | ? | ? | ?" }' "$work/nodes"
}

# The names of the agents' nodes and pods with what stands for them, the longest first: one may be the beginning of another.
number=0
while IFS=$'\t' read -r _ pod node _; do
    number=$((number + 1))
    printf '%s\tnode-%02d\n%s\tagent-%02d\n' "$node" "$number" "$pod" "$number"
done <"$work/agents" | awk -F '\t' '{ printf "%d\t%s\n", length($1), $0 }' | sort -rn | cut -f 2- >"$work/stand-ins"

# Without the names of nodes and pods, unless they were asked for.
shown() {
    if [ -n "$names" ]; then cat && return; fi
    awk -F '\t' '
        FNR == NR { from[++count] = $1; to[count] = $2; next }
        {
            line = $0
            for (i = 1; i <= count; i++) {
                if (from[i] == "") continue
                done = ""
                while ((at = index(line, from[i])) > 0) {
                    done = done substr(line, 1, at - 1) to[i]
                    line = substr(line, at + length(from[i]))
                }
                line = done line
            }
            print line
        }' "$work/stand-ins" -
}

first() { sed -n 1p "$1"; }

report() {
    local number=0 status pod node image
    image=$(kube get pods --all-namespaces --selector "$selector" \
        --output jsonpath="{.items[0].spec.containers[?(@.name==\"$container\")].image}" 2>/dev/null) || image=
    echo "### virt-otel check"
    echo
    echo "- image: ${image##*/}"
    echo "- Kubernetes: $(kube version 2>/dev/null | sed -n 's/^Server Version: //p' || true)"
    echo "- KubeVirt: $(kube get kubevirt --all-namespaces --output jsonpath='{.items[*].status.observedKubeVirtVersion}' 2>/dev/null || true)"
    echo "- agents: $count"
    echo
    echo "| node | outcome | operating system | kernel | container runtime | architecture |"
    echo "|---|---|---|---|---|---|"
    while IFS=$'\t' read -r _ _ node _; do
        number=$((number + 1))
        echo "| $node | $(outcome "$(first "$work/$number.status")") | $(about "$node") |"
    done <"$work/agents"
    number=0
    while IFS=$'\t' read -r _ pod node phase; do
        number=$((number + 1))
        status=$(first "$work/$number.status")
        printf '\n<details><summary>%s: %s</summary>\n\n```text\n' "$node" "$(outcome "$status")"
        if [ "$status" = 3 ]; then echo "the pod $pod (${phase:-no phase}) could not be asked:"; fi
        cat "$work/$number.text"
        # What the log and kubectl say.
        cat "$work/$number.errors"
        printf '```\n\n</details>\n'
    done <"$work/agents"
}

report | shown

worst=0
number=0
while [ "$number" -lt "$count" ]; do
    number=$((number + 1))
    status=$(first "$work/$number.status")
    # What it cannot have been asked with is no outcome.
    case $status in 0 | 1 | 2 | 3) ;; *) status=3 ;; esac
    if [ "$status" -gt "$worst" ]; then worst=$status; fi
done
exit "$worst"
