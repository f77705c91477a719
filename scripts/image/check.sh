# Whether the image is what it is said to be. Sourced by image.sh.
# shellcheck shell=bash

# All files of the image together.
most_bytes=40000000
user=107:107

# unpack ARCHIVE FOLDER: what the image's container would see.
unpack() {
    local layer config
    rm -rf "$2" "$2.config"
    mkdir -p "$2"
    tar -xOf "$1" manifest.json >"$2.manifest"
    for layer in $(sed 's/.*"Layers":\[\([^]]*\)\].*/\1/' "$2.manifest" | tr -d '"' | tr ',' ' '); do
        # Not through a pipe: tar is to find out how it is compressed.
        tar -xOf "$1" "$layer" >"$2.layer"
        tar -xf "$2.layer" -C "$2"
    done
    config=$(sed 's/.*"Config":"\([^"]*\)".*/\1/' "$2.manifest")
    tar -xOf "$1" "$config" >"$2.config"
    rm "$2.manifest" "$2.layer"
}

# inside_image COMMAND...: runs it as a runtime would: by the image's own search path and user, with the machine's
# network, /proc and names of hosts. With limit=SECONDS it is told to end then; endpoint=URL is the Collector's;
# authorities=FILE takes the place of the image's certificate authorities. Who is not root cannot be another user there.
inside_image() {
    local new=(--mount) as=(--userspec="$user")
    if [ "$(id -u)" -ne 0 ]; then new=(--mount --user --map-root-user) as=(); fi
    unshare "${new[@]}" --propagation private sh -c '
        set -eu
        root=$1 authorities=$2 limit=$3 endpoint=$4
        shift 4
        mkdir -p "$root/proc"
        mount --rbind /proc "$root/proc"
        for file in hosts resolv.conf; do
            touch "$root/etc/$file"
            mount --bind "/etc/$file" "$root/etc/$file"
        done
        [ -z "$authorities" ] || mount --bind "$authorities" "$root/etc/ssl/certs/ca-certificates.crt"
        exec timeout "$limit" env -i PATH="$PATH" OTEL_EXPORTER_OTLP_ENDPOINT="$endpoint" "$@"
    ' sh "$folder/root" "${authorities:-}" "${limit:-60}" "${endpoint:-}" chroot "${as[@]}" "$folder/root" "$@"
}

# has TEXT: the image's configuration says it.
has() { grep -qF "$1" "$folder/root.config" || fail "the image's configuration has no $1"; }

# label NAME [TEXT]: it has this label of the OCI's, which begins with this text.
label() { has "\"org.opencontainers.image.$1\":\"${2:-}"; }

check() {
    local image=$folder/root bytes libraries said
    unpack "$archive" "$image"
    files=$(cd "$image" && find . -type f -printf '%10s /%P\n' | sort -rn)
    bytes=$(awk '{ sum += $1 } END { print sum }' <<<"$files")
    [ "$bytes" -le "$most_bytes" ] || fail "the image has $bytes bytes, more than $most_bytes: $files"

    said=$(inside_image virt-otel --version)
    [ "$said" = "virt-otel $version" ] || fail "the image's binary says '$said'"
    libraries=$(inside_image "$(cd "$image" && find lib* -name 'ld-*' -printf '/%p')" --list /usr/local/bin/virt-otel)
    case $libraries in *libvirt* | *"not found"*) fail "the binary wants $libraries" ;; esac
    grep -aqF .dep-v0 "$image/usr/local/bin/virt-otel" || fail "the binary has no list of its dependencies (.dep-v0)"
    [ -s "$image/etc/ssl/certs/ca-certificates.crt" ] || fail "the image has no certificate authorities"

    has "\"User\":\"$user\""
    has '"Entrypoint":["virt-otel"]'
    label title virt-otel\"
    label description
    label version "$version\""
    label licenses Apache-2.0\"
    label revision "$revision\""
    label created "$created\""
    [ -z "$source_url" ] || label source "$source_url\""

    cp "$image/usr/share/doc/virt-otel/virt-otel.cdx.json" "$bom"
    for said in '"bomFormat": "CycloneDX"' "pkg:cargo/virt-otel@$version" pkg:cargo/tokio@; do
        grep -qF "$said" "$bom" || fail "${bom#"$root"/} does not say $said"
    done

    result image "$name"
    result revision "$revision"
    result rust "$rust_image $(rust_digest)"
    said=$(stood_in)
    [ -z "$said" ] || result stand-in "$said in that image's place: for trying out, not for publishing"
    result engine "$("$engine" --version)"
    result unpacked "$bytes bytes"
    result id "sha256:$(sha256sum <"$image.config" | cut -d' ' -f1)"
    result archive "sha256:$(sha256sum <"$archive" | cut -d' ' -f1)"
    result binary "sha256:$(sha256sum <"$image/usr/local/bin/virt-otel" | cut -d' ' -f1)"
    result crates "$(grep -c '"type": "library"' "$bom")"
}

# The agent in the image pushes to a Collector behind https:// whose authority is among the image's, and to no other.
push_over_tls() {
    local work=$folder/tls collector=${COLLECTOR:-$root/target/lab/bin/otelcol-lab} port=$((20000 + RANDOM % 10000))
    local endpoint=https://localhost:$port server=$work/server
    if [ ! -x "$collector" ] || ! command -v openssl >/dev/null; then
        say "not tried: it needs openssl, and the Collector that tests/lab/prepare.sh collector builds"
        return
    fi
    rm -rf "$work"
    mkdir -p "$work"
    certificate "$work/authority" -addext basicConstraints=critical,CA:TRUE
    certificate "$server" -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost \
        -CA "$work/authority.pem" -CAkey "$work/authority.key"
    cat "$folder/root/etc/ssl/certs/ca-certificates.crt" "$work/authority.pem" >"$work/authorities.pem"
    cat >"$work/collector.yaml" <<CONFIG
receivers:
  otlp: {protocols: {grpc: {endpoint: "localhost:$port", tls: {cert_file: $server.pem, key_file: $server.key}}}}
exporters:
  file: {path: $work/received.jsonl, flush_interval: 200ms}
service:
  pipelines: {metrics: {receivers: [otlp], exporters: [file]}}
  telemetry: {metrics: {level: none}}
CONFIG
    "$collector" --config "$work/collector.yaml" >"$work/collector.log" 2>&1 &
    collector_pid=$!
    try_push "a stranger's certificate was taken" grep -q UnknownIssuer "$work/agent.log"
    [ ! -s "$work/received.jsonl" ] || fail "a Collector whose authority is not in the image got metrics"
    authorities=$work/authorities.pem try_push "the Collector got no metrics" test -s "$work/received.jsonl"
    kill "$collector_pid"
    wait "$collector_pid" || true
    collector_pid=
    # With the keys.
    rm -r "$work"
    result push "over TLS, to a Collector whose authority is in the image's file, and to no other"
}

# try_push WHAT COMMAND...: lets the agent push for some seconds, and for more if the Collector starts late, until the
# command succeeds.
try_push() {
    local what=$1 attempt
    shift
    for attempt in 1 2 3 4 5 6; do
        limit=$((attempt * 3)) inside_image virt-otel run --exporters otlp --interval 1s --listen localhost:0 \
            >"$work/agent.log" 2>&1 || true
        if "$@"; then return; fi
    done
    tail -n 5 "$work/agent.log" >&2
    fail "$what"
}

# certificate PLACE OPTION...: makes PLACE.pem and PLACE.key.
certificate() {
    local place=$1
    shift
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj "/CN=${place##*/}" \
        -keyout "$place.key" -out "$place.pem" "$@" 2>"$place.log" || fail "openssl: $(cat "$place.log")"
}
