# The last of them goes: it ends first.
if [ "$1" -eq 0 ] && [ -x /usr/bin/systemctl ]; then
    systemctl --no-reload disable --now virt-otel.service >/dev/null 2>&1 || :
fi
