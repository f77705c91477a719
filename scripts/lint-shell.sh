#!/usr/bin/env bash
# Every shell script of the repository parses, stops at the first error, and can be run. Needs nothing but bash and git.
set -euo pipefail
cd "$(dirname "$0")/.."

wrong=0
complain() {
    printf 'lint-shell: %s\n' "$*" >&2
    wrong=1
}

while IFS= read -r file; do
    # A file in the index that was removed, or that holds no shell script.
    [ -f "$file" ] || continue
    read -r first <"$file" || true
    case $first in
        '#!'*bash) shell=bash strict='^set -euo pipefail$' ;;
        '#!'*/sh) shell=sh strict='^set -eu$' ;;
        *)
            # Sourced by others, which have set what they need.
            case $file in *.sh) bash -n "$file" || complain "$file does not parse" ;; esac
            continue
            ;;
    esac
    "$shell" -n "$file" || complain "$file does not parse"
    # The guest's init runs on when a command fails: there is nobody who could start it again.
    case $file in tests/lab/guest/init) continue ;; esac
    grep -q "$strict" "$file" || complain "$file has no line '${strict//[\^$]/}'"
    [ -x "$file" ] || [ "$shell" = sh ] || complain "$file is not executable: chmod +x $file"
done < <(git ls-files --cached --others --exclude-standard)

exit "$wrong"
