# What runs is the old program until the unit is started again.
if [ -d /run/systemd/system ] && [ -x /usr/bin/systemctl ]; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart virt-otel.service >/dev/null 2>&1 || :
    fi
fi
# Folders belong to no package that is made this way: those of its own go when they are empty.
if [ "$1" -eq 0 ]; then
    rmdir /etc/virt-otel /usr/share/doc/virt-otel /usr/share/licenses/virt-otel 2>/dev/null || :
fi
