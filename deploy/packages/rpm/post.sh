# After an installation, a preset decides whether the unit is enabled; an upgrade changes nothing of that.
if [ "$1" -eq 1 ] && [ -x /usr/bin/systemctl ]; then
    systemctl --no-reload preset virt-otel.service >/dev/null 2>&1 || :
fi
