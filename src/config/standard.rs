//! The supported standard variables, for the documentation and for warnings about others.

/// A variable that the OpenTelemetry specification defines.
#[derive(Debug)]
pub struct Standard {
    /// Its name; `*` stands for nothing, `METRICS_` or `LOGS_`; the longer name beats the general one.
    pub name: &'static str,
    /// Its default.
    pub default: &'static str,
    /// What it does here.
    pub brief: &'static str,
}

const fn row(name: &'static str, default: &'static str, brief: &'static str) -> Standard {
    Standard { name, default, brief }
}

/// Every supported standard variable.
pub const STANDARD: &[Standard] = &[
    row("OTEL_METRICS_EXPORTER", "`otlp,prometheus`", "The standard name of `--exporters`."),
    row("OTEL_LOGS_EXPORTER", "`none`", "The standard name of `--logs-exporter`."),
    row("OTEL_LOG_LEVEL", "`info`", "The standard name of `--log-level`."),
    row("OTEL_EXPORTER_PROMETHEUS_HOST", "`localhost`", "The host of `--listen`."),
    row("OTEL_EXPORTER_PROMETHEUS_PORT", "`9464`", "The port of `--listen`."),
    row(
        "OTEL_EXPORTER_OTLP_*ENDPOINT",
        "`http://localhost:4317`",
        "The Collector's gRPC address. `https://` is TLS, checked against the system's certificate authorities.",
    ),
    row(
        "OTEL_EXPORTER_OTLP_*PROTOCOL",
        "`grpc`",
        "`grpc` is the only one; anything else ends the start with a sentence, not with silence later.",
    ),
    row("OTEL_EXPORTER_OTLP_*INSECURE", "`false`", "Whether an endpoint without a scheme is `http://`."),
    row(
        "OTEL_EXPORTER_OTLP_*HEADERS",
        "",
        "Sent with every request: `name=value` pairs with commas between, the values percent-encoded. Those of \
         `--otlp-headers-file` beat them.",
    ),
    row(
        "OTEL_EXPORTER_OTLP_*COMPRESSION",
        "`gzip`",
        "`gzip` or `none`. A receiver of metrics that does not take gzip is found out, and gets none.",
    ),
    row("OTEL_EXPORTER_OTLP_*TIMEOUT", "`10000`", "How long one request may take, in milliseconds."),
    row(
        "OTEL_EXPORTER_OTLP_*CERTIFICATE",
        "the system's",
        "A PEM file with the certificate authorities that the Collector's certificate is checked against. It is read \
         again when it changes, as are the files below; as long as a new one cannot be used, the last good one stays.",
    ),
    row(
        "OTEL_EXPORTER_OTLP_*CLIENT_CERTIFICATE",
        "",
        "A PEM file with our own certificate; needs the key. A new certificate is used when its key is there too.",
    ),
    row("OTEL_EXPORTER_OTLP_*CLIENT_KEY", "", "A PEM file with our own certificate's key."),
    row(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "`cumulative`",
        "Sums are always cumulative. `delta` and `lowmemory` are answered by a warning: let the Collector's \
         cumulativetodelta processor make deltas.",
    ),
    row(
        "OTEL_METRIC_EXPORT_INTERVAL",
        "`--interval`",
        "How often metrics are pushed, in milliseconds; state changes are pushed at once. The default is the reading \
         interval and not the specification's 60000, so that every reading is pushed.",
    ),
    row(
        "OTEL_METRIC_EXPORT_TIMEOUT",
        "`30000`",
        "How long one push of everything may take with all its requests, in milliseconds.",
    ),
    row(
        "OTEL_RESOURCE_ATTRIBUTES",
        "",
        "Attributes on every resource, the agent's own and the VMs': `key=value` pairs with commas between. Those \
         that begin with `service.` go on the agent's own only: a VM's are its identity.",
    ),
    row("OTEL_SERVICE_NAME", "`virt-otel`", "The `service.name` of the agent's own resource."),
    row(
        "OTEL_SDK_DISABLED",
        "`false`",
        "`true` turns off everything that is pushed over OTLP and the agent's own metrics; VMs stay at `/metrics`.",
    ),
];
