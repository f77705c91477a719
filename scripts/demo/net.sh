# A little HTTP in bash: a fresh machine has no curl. Sourced by demo.sh.
# shellcheck shell=bash

# http PORT PATH: the whole answer of a GET, headers included; nothing when there is none.
http() {
    # HTTP/1.0: the answer ends with the connection and is not in chunks.
    timeout 10 bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf "GET %s HTTP/1.0\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\n\r\n" "$2" >&3
        cat <&3
    ' http "$1" "$2" 2>/dev/null || true
}

http_status() { http "$1" "$2" | awk 'NR == 1 { print $2 } { next }'; }

http_body() { http "$1" "$2" | awk 'body { print } /^\r?$/ { body = 1 }'; }

# free_port WANTED: this port of the loopback address, or the next one above it that nobody listens on.
free_port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    printf '%s\n' "$port"
}
