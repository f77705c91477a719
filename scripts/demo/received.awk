# Reads what the Collector's file exporter wrote (OTLP as JSON, one request a line) and prints one VM's Resource: its
# attributes and the latest value of each metric. Usage: awk -v vm=NAME -f received.awk FILE

# One record is one Resource with its metrics.
BEGIN { RS = "[{]\"resource\":[{]"; most = 16 }

index($0, "\"libvirt.domain.name\",\"value\":{\"stringValue\":\"" vm "\"") {
    requests++
    border = index($0, "\"scopeMetrics\":")
    attributes = substr($0, 1, border)
    read_metrics(substr($0, border))
}

# Between quotes behind a key, or a bare number.
function after(text, key,    rest) {
    if (!match(text, key)) return ""
    rest = substr(text, RSTART + RLENGTH)
    if (sub(/^"/, "", rest)) return substr(rest, 1, index(rest, "\"") - 1)
    match(rest, /^[^,}\]]*/)
    return substr(rest, 1, RLENGTH)
}

function read_metrics(text,    count, part, i, name, value) {
    count = split(text, part, /[{]"name":"/)
    for (i = 2; i <= count; i++) {
        name = substr(part[i], 1, index(part[i], "\"") - 1)
        value = after(part[i], "\"as(Double|Int)\":")
        # The scope has a name too; the end of a series has no value.
        if (value == "") continue
        if (!(name in values)) order[++metrics] = name
        values[name] = value
        units[name] = after(part[i], "\"unit\":")
        kinds[name] = part[i] ~ /"isMonotonic":true/ ? "counter" : part[i] ~ /"sum":/ ? "up-down" : "gauge"
        points[name] = gsub(/"as(Double|Int)":/, "", part[i])
    }
}

END {
    if (!requests) { print "  nothing"; exit 1 }
    count = split(attributes, part, /"key":/)
    for (i = 2; i <= count; i++) {
        key = substr(part[i], 2, index(substr(part[i], 2), "\"") - 1)
        printf "  %-24s %s\n", key, after(part[i], "\"(string|int|double|bool)Value\":")
    }
    print ""
    for (i = 1; i <= metrics && i <= most; i++) {
        name = order[i]
        printf "  %-44s %-8s %18s %-12s %s\n", name, kinds[name], values[name], units[name], (points[name] > 1 ? "(first of " points[name] ")" : "")
    }
    if (metrics > most) printf "  … and %d more metrics, in %d requests so far\n", metrics - most, requests
}
