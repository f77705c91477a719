//! The rules as tables: which module may know which, and which libvirt calls are allowed.

/// Which module may know which: the arrows of docs/architecture.md, outermost last.
///
/// A module that is missing here fails `every_arrow_points_inwards`: add it, with as few modules as it needs.
pub(crate) const ARROWS: &[(&str, &[&str])] = &[
    // Data types and what is made of them: pure except for the clock.
    ("model", &[]),
    ("clock", &["model"]),
    ("heartbeat", &[]),
    ("backoff", &[]),
    ("follow", &["heartbeat"]),
    ("catalog", &["model"]),
    ("collector", &["heartbeat", "follow", "catalog"]),
    ("snapshot", &["model"]),
    ("source", &["model"]),
    ("join", &["model"]),
    ("rates", &["model", "snapshot"]),
    ("web", &["model", "heartbeat", "follow", "catalog"]),
    ("config", &["model", "catalog", "collector", "web"]),
    // The stages. They do not know each other: `agent` connects them.
    ("watch", &["model", "heartbeat", "catalog"]),
    ("libvirt", &["model", "backoff", "clock", "heartbeat", "catalog", "source"]),
    ("observe", &["model", "backoff", "clock", "heartbeat", "catalog", "source", "snapshot"]),
    ("export", &["model", "backoff", "clock", "heartbeat", "catalog", "collector", "snapshot"]),
    ("admin", &["model", "clock", "heartbeat", "catalog", "snapshot", "web"]),
    ("telemetry", &["model", "clock", "heartbeat", "catalog", "collector", "snapshot"]),
    // The modules that connect the stages.
    (
        "agent",
        &[
            "model",
            "clock",
            "heartbeat",
            "catalog",
            "collector",
            "snapshot",
            "source",
            "config",
            "join",
            "web",
            "watch",
            "libvirt",
            "observe",
            "export",
            "admin",
            "telemetry",
        ],
    ),
    (
        "check",
        &[
            "model",
            "clock",
            "catalog",
            "collector",
            "snapshot",
            "config",
            "watch",
            "libvirt",
            "export",
            "admin",
            "agent",
        ],
    ),
    ("commands", &["model", "catalog", "snapshot", "config", "export", "telemetry", "agent", "check"]),
    ("main", &["config", "commands", "agent", "telemetry"]),
    ("lib", &[]),
];

/// Which module may name a crate that talks to the outside. Any module may use crates that are not here.
pub(crate) const OUTSIDE: &[(&str, &[&str])] = &[
    ("virt", &["libvirt"]),
    ("libvirt_remote", &["libvirt", "config"]),
    ("quick_xml", &["libvirt"]),
    ("kube", &["watch"]),
    ("k8s_openapi", &["watch"]),
    ("jiff", &["watch"]),
    ("serde", &["watch", "web"]),
    ("serde_saphyr", &["web"]),
    ("rustls", &["web", "collector"]),
    ("tokio_rustls", &["web"]),
    ("ring", &["web"]),
    ("x509_cert", &["web"]),
    ("bcrypt", &["web"]),
    ("base64", &["web"]),
    ("http", &["watch"]),
    ("http_body", &["watch"]),
    ("tower", &["watch"]),
    ("prost", &["export"]),
    ("tonic", &["export", "telemetry", "config", "collector"]),
    ("tonic_types", &["export"]),
    ("opentelemetry_proto", &["export", "commands"]),
    ("opentelemetry", &["telemetry", "agent"]),
    ("opentelemetry_sdk", &["telemetry", "agent"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_prometheus", &["telemetry"]),
    ("opentelemetry_appender_tracing", &["telemetry"]),
    ("prometheus", &["telemetry", "export"]),
    ("tracing_subscriber", &["telemetry", "config"]),
    ("axum", &["admin"]),
    ("tower_http", &["admin"]),
    ("hyper", &["admin"]),
    ("hyper_util", &["admin"]),
    ("serde_json", &["export", "commands", "watch", "check"]),
    ("clap", &["config", "commands"]),
    ("clap_complete", &["config", "commands"]),
    ("clap_mangen", &["commands"]),
    ("globset", &["config"]),
    ("percent_encoding", &["config"]),
    ("backon", &["backoff"]),
];

/// Where unsafe code calls libvirt's own library: a file and the folder of the same name.
pub(crate) const LIBRARY: &str = "src/libvirt/library";

/// The functions of libvirt's library that are called directly: all of them read, or maintain our own connection. The
/// other calls go through the methods of the crate `virt`.
///
/// Before you add a name: if the function changes, probes, wakes or waits for a guest, or writes anything on the host,
/// it does not belong here, whatever it returns.
pub(crate) const LIBVIRT_FUNCTIONS: &[&str] = &[
    "virConnectDomainEventRegisterAny",
    "virConnectDomainEventDeregisterAny",
    "virDomainGetState",
    "virDomainGetJobStats",
    "virDomainListGetStats",
    "virDomainStatsRecordListFree",
    "virTypedParamsFree",
];

/// The procedures of libvirt's protocol that the crate `libvirt-remote` can call, by number. The same rule holds for
/// them.
pub(crate) const PROCEDURES: &[(u32, &str)] = &[
    // Our own connection: authentication, opening (read-only) and closing, events.
    (1, "virConnectOpenReadOnly"),
    (2, "virConnectClose"),
    (66, "virConnectOpenReadOnly"),
    (70, "virConnectOpenReadOnly"),
    (316, "virConnectDomainEventRegisterAny"),
    // The daemon.
    (3, "virConnectGetType"),
    (4, "virConnectGetVersion"),
    (7, "virConnectGetCapabilities"),
    (59, "virConnectGetHostname"),
    (60, "virConnectSupportsFeature"),
    (110, "virConnectGetURI"),
    (157, "virConnectGetLibVersion"),
    // Its domains.
    (14, "virDomainGetXMLDesc"),
    (212, "virDomainGetState"),
    (273, "virConnectListAllDomains"),
    (298, "virDomainGetJobStats"),
    (344, "virDomainListGetStats"),
];

/// The libvirt types that are named, `*` for any prefix. They call nothing.
pub(crate) const LIBVIRT_TYPES: &[&str] = &["*Ptr", "virDomainStatsRecord", "virTypedParameter"];

/// Methods of the crate `virt` that change something: none may be called in `src/libvirt`.
pub(crate) const CHANGING_METHODS: &[&str] = &[
    "open_auth",
    "create_domain_xml",
    "create_with_flags",
    "create_snapshot_xml",
    "define_domain_xml",
    "define_domain_xml_flags",
    "undefine",
    "undefine_flags",
    "destroy",
    "destroy_flags",
    "shutdown_flags",
    "suspend",
    "resume",
    "reboot",
    "rename",
    "migrate",
    "migrate2",
    "migrate3",
    "migrate_to_uri",
    "migrate_to_uri2",
    "migrate_to_uri3",
    "migrate_set_max_speed",
    "migrate_set_max_downtime",
    "migrate_set_compression_cache",
    "managed_save",
    "managed_save_remove",
    "save_image_define_xml",
    "restore_domain",
    "restore_domain_flags",
    "core_dump",
    "core_dump_with_format",
    "attach_device",
    "attach_device_flags",
    "detach_device",
    "detach_device_flags",
    "update_device_flags",
    "set_memory",
    "set_memory_flags",
    "set_memory_parameters",
    "set_memory_stats_period",
    "set_max_memory",
    "set_numa_parameters",
    "set_scheduler_parameters",
    "set_scheduler_parameters_flags",
    "set_lifecycle_action",
    "set_user_password",
    "set_vcpus",
    "set_vcpus_flags",
    "set_autostart",
    "set_metadata",
    "set_time",
    "set_block_threshold",
    "block_resize",
    "pin_vcpu",
    "pin_vcpu_flags",
    "pin_emulator",
    "send_key",
    "pm_wakeup",
    "qemu_monitor_command",
    "qemu_agent_command",
    "open_console",
    "open_channel",
    "open_graphics",
    "open_graphics_fd",
    "screenshot",
];

/// The same for common names, which other types have too: forbidden only where the library is called. (In libvirt 9,
/// the library crashes when its keepalives come at the wrong time.)
pub(crate) const CHANGING_METHODS_OF_A_COMMON_NAME: &[&str] = &["create", "shutdown", "reset", "set_keep_alive"];

/// Lints that no shipped code may switch off.
pub(crate) const LINTS: &[&str] = &[
    "missing_docs",
    "unwrap_used",
    "expect_used",
    "panic",
    "print_stdout",
    "print_stderr",
    "undocumented_unsafe_blocks",
    "todo",
    "unimplemented",
    "exit",
    "mem_forget",
];
