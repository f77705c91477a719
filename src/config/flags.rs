//! The command line as clap sees it: all values are text.

use crate::catalog::Profile;
use crate::model::{Group, MetadataKey};
use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command, CommandFactory, Parser, Subcommand};

/// The prefix of a flag's variable.
pub(super) const VARIABLE_PREFIX: &str = "VIRT_OTEL_";

/// The defaults, as written on the command line: they are validated like a user's values. The help says what a flag
/// without a default does.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("mode", "libvirt"),
    ("deadline", "3s"),
    ("libvirt-uri", "qemu:///system"),
    ("pods-dir", "/pods"),
    ("metrics-profile", "full"),
    ("otlp-metrics-profile", "full"),
    ("streaming-lists", "false"),
    ("push-beside-sidecar", "false"),
    ("socket", "/var/run/libvirt/virtqemud-sock"),
    ("interval", "15s"),
    ("exporters", "otlp,prometheus"),
    ("logs-exporter", "none"),
    ("listen", "localhost:9464"),
    ("log-format", "text"),
    ("format", "table"),
];

const LONG_ABOUT: &str = "\
Telemetry of virtual machines run by libvirt, on its own or under KubeVirt, for OpenTelemetry and Prometheus.

virt-otel reads every VM over a read-only libvirt connection and publishes what it read twice: pushed as OTLP to an \
OpenTelemetry Collector, and served for Prometheus at http://localhost:9464/metrics. Without a command it does `run`.

--mode says who names the VMs: `libvirt` is any libvirt host, `kubevirt` one agent on each node of a Kubernetes \
cluster, `sidecar` one agent in one virt-launcher pod. An option that belongs to one mode is listed under it.";

const EXAMPLES: &str = "\
Examples:
  virt-otel snapshot
  virt-otel top --interval 2s
      Read every VM of this host once and print a table.
  virt-otel check
      Is everything there that the agent needs? Each line that is not well says what to do.
  virt-otel
      Read every 15 s, push to a Collector at localhost:4317, serve http://localhost:9464/metrics.
  virt-otel run --exporters prometheus --listen :9464
      For Prometheus alone, reachable from other machines.
  OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example.com:4317 virt-otel run --exporters otlp
      For a Collector elsewhere, over TLS.
  virt-otel run --libvirt-uri qemu:///system --group-interval block=120s --metrics-exclude 'libvirt.domain.network.*'
      Read disks less often, and leave out the network.
  virt-otel run --mode kubevirt --node-name worker-1 --listen :9464 --vmi-labels app,team
      Every VMI of one Kubernetes node, as a pod with the kubelet's pods directory at /pods; deploy/ has the Helm chart.
  virt-otel run --mode kubevirt --node-name worker-1 --metrics-profile beside-kubevirt
      Where Prometheus scrapes KubeVirt too: serve only what KubeVirt has not. In the Helm chart this is the default.
  virt-otel snapshot --mode kubevirt --node-name worker-1 --kubeconfig ~/.kube/config --pods-dir /var/lib/kubelet/pods
      The same once, as a table, as root on the node itself.

Every option can be given as a variable too (VIRT_OTEL_<OPTION>); an option beats its variable. The standard OTEL_* \
variables mean what the OpenTelemetry specification says; docs/configuration.md lists them.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "virt-otel",
    version,
    about = "Telemetry of virtual machines run by libvirt, on its own or under KubeVirt, for OpenTelemetry and Prometheus",
    long_about = LONG_ABOUT,
    after_long_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 120
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Cmd>,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

#[derive(Debug, Subcommand)]
pub(super) enum Cmd {
    /// Read and publish until told to stop (the default)
    #[command(after_long_help = EXAMPLES)]
    Run(Box<RunFlags>),
    /// Read every VM once, print, and exit with 0 if every one answered
    Snapshot(Box<SnapshotFlags>),
    /// Show every VM live, with what it does per second
    ///
    /// Reads as `snapshot` does, no more often than --interval, and may run beside an agent. Needs a terminal.
    Top(Box<TopFlags>),
    /// Try everything that the agent needs, name what is wrong, and say what to do about it
    ///
    /// Takes the options and variables of `run`, so that it judges the same configuration. It changes nothing, may run
    /// beside an agent, and exits with 0 if all is well, 1 if something is not as it should be, 2 if something fails.
    Check(Box<CheckFlags>),
    /// Print the catalogue: every metric with its unit, kind and attributes
    Metrics(MetricsFlags),
    /// Print the completions for a shell
    Completions {
        /// The shell
        #[arg(value_parser = clap::value_parser!(clap_complete::Shell))]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    pub(super) source: SourceFlags,
    #[command(flatten)]
    pub(super) reading: ReadingFlags,
    #[command(flatten)]
    pub(super) select: SelectFlags,
    #[command(flatten)]
    pub(super) export: ExportFlags,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

#[derive(Debug, Args)]
pub(super) struct SnapshotFlags {
    /// How to print it
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(["table", "prometheus", "otlp-json"]))]
    pub(super) format: Option<String>,
    #[command(flatten)]
    pub(super) source: SourceFlags,
    #[command(flatten)]
    pub(super) select: SelectFlags,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

#[derive(Debug, Args)]
pub(super) struct TopFlags {
    #[command(flatten)]
    pub(super) source: SourceFlags,
    #[command(flatten)]
    pub(super) reading: ReadingFlags,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

#[derive(Debug, Args)]
pub(super) struct CheckFlags {
    /// How to print it
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(["text", "json"]))]
    pub(super) format: Option<String>,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

#[derive(Debug, Args)]
pub(super) struct MetricsFlags {
    /// How to print it
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(["markdown", "json"]))]
    pub(super) format: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which VMs")]
pub(super) struct SourceFlags {
    /// Who says which VMs exist: libvirt, kubevirt or sidecar
    ///
    /// `libvirt`: every domain of the daemons named by --libvirt-uri. `kubevirt`: every VMI that the Kubernetes API
    /// places on --node-name, each read from its virt-launcher pod; one agent a node. `sidecar`: the one VMI of the
    /// virt-launcher pod that the agent was injected into, without the API. Options of another mode are refused.
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(["libvirt", "kubevirt", "sidecar"]))]
    pub(super) mode: Option<String>,
    /// Read only VMs whose name matches; may be given several times
    ///
    /// A glob over the names of domains, such as `web-*`, in mode kubevirt over NAMESPACE/NAME, such as `shop/*`. The others
    /// are neither read nor counted. In mode sidecar there is nothing to choose.
    #[arg(long, value_name = "GLOB", action = clap::ArgAction::Append)]
    pub(super) vm_include: Vec<String>,
    /// Do not read VMs whose name matches; may be given several times, and beats --vm-include
    #[arg(long, value_name = "GLOB", action = clap::ArgAction::Append)]
    pub(super) vm_exclude: Vec<String>,
    /// How long one call into libvirt may take before the VM counts as stuck
    ///
    /// From 100ms to 60s. A VM that does not answer in time never holds up the others.
    #[arg(long, value_name = "DURATION")]
    pub(super) deadline: Option<String>,
    /// The service.name of the VMs' OpenTelemetry resources
    ///
    /// Without it, libvirt-domain, and kubevirt-vmi in the modes kubevirt and sidecar. The agent's own is set by
    /// OTEL_SERVICE_NAME.
    #[arg(long, value_name = "NAME")]
    pub(super) vm_service_name: Option<String>,
    #[command(flatten)]
    pub(super) libvirt: LibvirtFlags,
    #[command(flatten)]
    pub(super) pod: PodFlags,
    #[command(flatten)]
    pub(super) kubevirt: KubevirtFlags,
    #[command(flatten)]
    pub(super) sidecar: SidecarFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Mode libvirt")]
pub(super) struct LibvirtFlags {
    /// A libvirt daemon to read; may be given several times
    ///
    /// A libvirt URI of a driver that a daemon serves, over a UNIX socket, +ssh, +tls or +tcp; or an alias of
    /// libvirt.conf. The connection is always read-only.
    #[arg(long, value_name = "URI", action = clap::ArgAction::Append)]
    pub(super) libvirt_uri: Vec<String>,
    /// What of a domain's metadata each of its series at /metrics has as a label, with commas between; none unless given
    ///
    /// Of {metadata}: the title, the operating
    /// system's name in libosinfo, and what OpenStack calls the instance. `project_name` is the label
    /// metadata_project_name, as it was when the VM was first seen running. Over OTLP all of them are on the VM's Resource.
    #[arg(long, value_name = "KEYS")]
    pub(super) metadata_labels: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Modes kubevirt and sidecar")]
pub(super) struct PodFlags {
    /// The name of the node that the agent is on
    ///
    /// Needed in both modes. In a pod, set the variable from the field spec.nodeName (downward API).
    #[arg(long, value_name = "NAME")]
    pub(super) node_name: Option<String>,
    /// The name of the cluster, which Kubernetes itself does not know
    ///
    /// It is the attribute k8s.cluster.name of everything that is pushed, and beats the one in OTEL_RESOURCE_ATTRIBUTES. On
    /// scraped series, Prometheus puts it as an external label of its own.
    #[arg(long, value_name = "NAME")]
    pub(super) cluster_name: Option<String>,
    /// Which metrics /metrics has: full, or beside-kubevirt
    ///
    /// `beside-kubevirt` leaves out what KubeVirt has under the same name: a Prometheus that scrapes KubeVirt as well would
    /// count it twice, and so would KubeVirt's own recording rules and alerts. docs/compatibility.md lists what is left.
    /// --metrics-include and --metrics-exclude then choose among it.
    #[arg(long, value_name = "PROFILE", value_parser = PossibleValuesParser::new(PROFILES))]
    pub(super) metrics_profile: Option<String>,
    /// The same of what is pushed over OTLP
    ///
    /// Set beside-kubevirt if that reaches a Prometheus that scrapes KubeVirt as well.
    #[arg(long, value_name = "PROFILE", value_parser = PossibleValuesParser::new(PROFILES))]
    pub(super) otlp_metrics_profile: Option<String>,
}

/// The words of [`Profile::WORDS`].
const PROFILES: [&str; 2] = [Profile::WORDS[0].0, Profile::WORDS[1].0];

#[derive(Debug, Args)]
#[command(next_help_heading = "Mode kubevirt")]
pub(super) struct KubevirtFlags {
    /// A kubeconfig file that says how the Kubernetes API is reached; for development
    ///
    /// Without it, the service account of the agent's pod.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<String>,
    /// Where the kubelet's pods directory is mounted; read-only is enough
    ///
    /// On the node it is /var/lib/kubelet/pods, unless the kubelet was given another root.
    #[arg(long, value_name = "DIR")]
    pub(super) pods_dir: Option<String>,
    /// Which labels of a VMI are published, as keys with commas between; none unless given
    ///
    /// At most 16, such as `app,app.kubernetes.io/part-of`. They are attributes of the VMI's Resource and labels of its
    /// series at /metrics, as they were when it was first seen running.
    #[arg(long, value_name = "KEYS")]
    pub(super) vmi_labels: Option<String>,
    /// Read only VMIs with these labels
    ///
    /// A label selector of Kubernetes, such as `app=shop,tier!=test`. One that no longer matches is left as if it had gone.
    #[arg(long, value_name = "SELECTOR")]
    pub(super) vmi_selector: Option<String>,
    /// Get the first list of VMIs as a stream
    ///
    /// Saves the API server memory if many VMIs are on one node. Needs an API server with the feature WatchList; if
    /// that refuses, the agent warns and asks for plain lists.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) streaming_lists: Option<String>,
    /// Push VMs that a sidecar pushes, too
    ///
    /// Without it, a VM whose virt-launcher pod has a container called `virt-otel` is served at /metrics and left to
    /// that sidecar over OTLP: a backend would have it twice, as two Resources of the same service.instance.id.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) push_beside_sidecar: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Mode sidecar")]
pub(super) struct SidecarFlags {
    /// The socket of the pod's virtqemud
    ///
    /// In the volume libvirt-runtime of the pod, mounted where the virt-launcher has it.
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<String>,
    /// The UID of the agent's pod
    ///
    /// Needed. Set the variable from the field metadata.uid.
    #[arg(long, value_name = "UID")]
    pub(super) pod_uid: Option<String>,
    /// The namespace of the agent's pod, which is the VMI's
    ///
    /// Needed. Set the variable from the field metadata.namespace.
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// The name of the VMI
    ///
    /// Without it, the domain's name says it. A pod of a new KubeVirt has it in the label vmi.kubevirt.io/id (field
    /// metadata.labels['vmi.kubevirt.io/id']), but shortened there if it has more than 63 characters.
    #[arg(long, value_name = "NAME")]
    pub(super) vmi_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How often")]
pub(super) struct ReadingFlags {
    /// How often each VM is read
    ///
    /// From 1s to just under 5m: Prometheus forgets a series after five minutes.
    #[arg(long, value_name = "DURATION")]
    pub(super) interval: Option<String>,
    /// How often one group of statistics is read; may be given several times
    ///
    /// GROUP is one of {groups}: libvirt's names, as in
    /// `virsh domstats`. Groups that are not named are read at --interval. Disks (block) cost libvirt the most.
    #[arg(long, value_name = "GROUP=DURATION", action = clap::ArgAction::Append)]
    pub(super) group_interval: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which metrics")]
pub(super) struct SelectFlags {
    /// Publish only metrics whose name matches; may be given several times
    ///
    /// A glob over OpenTelemetry names, such as `libvirt.domain.cpu.*`, or `kubevirt.vmi.cpu.*` in the modes kubevirt
    /// and sidecar. Dots may be written as underscores. Beside KubeVirt's own monitoring see --metrics-profile.
    #[arg(long, value_name = "GLOB", action = clap::ArgAction::Append)]
    pub(super) metrics_include: Vec<String>,
    /// Do not publish metrics whose name matches; may be given several times, and beats --metrics-include
    #[arg(long, value_name = "GLOB", action = clap::ArgAction::Append)]
    pub(super) metrics_exclude: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
pub(super) struct ExportFlags {
    /// Where metrics go: otlp, prometheus, both with a comma between, or none
    ///
    /// Also OTEL_METRICS_EXPORTER. `otlp` pushes to OTEL_EXPORTER_OTLP_ENDPOINT (http://localhost:4317 by default).
    #[arg(long, value_name = "LIST")]
    pub(super) exporters: Option<String>,
    /// Where the agent's own logs go, besides standard error: otlp or none
    ///
    /// Also OTEL_LOGS_EXPORTER.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(["otlp", "none"]))]
    pub(super) logs_exporter: Option<String>,
    /// A file with headers that are sent with everything that is pushed over OTLP, such as a token
    ///
    /// One `name: value` a line, the value as it is sent, without percent-encoding; blank lines and those that begin with #
    /// do not count. They are sent besides those of OTEL_EXPORTER_OTLP_HEADERS and beat them. When the file changes it is
    /// read again; as long as it cannot be used, the last good headers stay.
    #[arg(long, value_name = "FILE")]
    pub(super) otlp_headers_file: Option<String>,
    /// Where /metrics, /livez and /readyz are served
    ///
    /// `:9464` is every address of this machine; port 0 is a free port, which the log names. Also
    /// OTEL_EXPORTER_PROMETHEUS_HOST and OTEL_EXPORTER_PROMETHEUS_PORT.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Option<String>,
    /// Where /livez and /readyz are served instead, with connections of their own
    ///
    /// Clients that fill the connections of --listen then hold up no probe, and the port for people can be closed to
    /// the network without closing this one. It must be another address than --listen. Without it, --listen serves the
    /// probes.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) health_listen: Option<String>,
    /// A file that says who may use --listen: TLS, certificates of clients, users with passwords
    ///
    /// In the format of Prometheus' exporter-toolkit; docs/endpoint.md lists the fields. It and what it names are read
    /// again when they change. It guards every path of --listen, the probes among them unless --health-listen is set.
    #[arg(long, value_name = "FILE")]
    pub(super) web_config_file: Option<String>,
    /// Who else says whether a client may use --listen: kubernetes; in mode kubevirt
    ///
    /// `kubernetes`: the API reviews a client's bearer token (TokenReview), and whether its owner may `get` the
    /// nonResourceURL /metrics (SubjectAccessReview). Needs TLS in --web-config-file, and the right to create both.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(["kubernetes"]))]
    pub(super) web_auth: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Logs")]
pub(super) struct LogFlags {
    /// How log lines look on standard error
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(["text", "json"]))]
    pub(super) log_format: Option<String>,
    /// What is logged: error, warn, info, debug, trace or off; or a list such as `warn,virt_otel::libvirt=debug`
    ///
    /// A single word is about virt-otel itself; libraries then log warnings only. Without it, info; warn for `snapshot`,
    /// error for `check`. Also OTEL_LOG_LEVEL.
    #[arg(long, value_name = "FILTER")]
    pub(super) log_level: Option<String>,
}

/// An option, as the documentation has it.
pub(super) struct Documented<'a> {
    /// The heading that begins with it, if one does.
    pub(super) heading: Option<&'a str>,
    /// The option itself.
    pub(super) arg: &'a Arg,
    /// Its name.
    pub(super) flag: &'a str,
    /// What it does, in paragraphs, without its default and its variable.
    pub(super) help: String,
}

/// The options of `run`, in order.
pub(super) fn documented(command: &Command) -> impl Iterator<Item = Documented<'_>> {
    let mut before = None;
    command.get_arguments().filter_map(move |arg| {
        let flag = arg.get_long().filter(|flag| *flag != "help" && *flag != "version")?;
        let heading = arg.get_help_heading().unwrap_or("Others");
        let heading = (before.replace(heading) != Some(heading)).then_some(heading);
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        // Both stand at the end of the help.
        let help = help.split("[default: ").next().unwrap_or_default().split("[env: ").next().unwrap_or_default();
        Some(Documented { heading, arg, flag, help: help.trim_end().to_owned() })
    })
}

/// The variable of a flag: `--libvirt-uri` is `VIRT_OTEL_LIBVIRT_URI`.
#[must_use]
pub(super) fn variable(flag: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

/// A flag's default, in the spelling of the command line.
#[must_use]
pub(super) fn default(flag: &str) -> Option<&'static str> {
    DEFAULTS.iter().find(|(name, _)| *name == flag).map(|(_, value)| *value)
}

/// The command line for clap, with each option's variable and default in its help.
#[must_use]
pub fn command() -> Command {
    let mut command = described(Cli::command());
    for name in ["run", "snapshot", "top", "check", "metrics"] {
        command = command.mut_subcommand(name, described);
    }
    command
}

fn described(command: Command) -> Command {
    let format = match command.get_name() {
        "metrics" => Some("markdown"),
        "check" => Some("text"),
        _ => default("format"),
    };
    command.mut_args(|arg| {
        let Some(flag) = arg.get_long().map(str::to_owned).filter(|flag| flag != "help" && flag != "version") else {
            return arg;
        };
        let default = if flag == "format" { format } else { default(&flag) };
        let default = default.map(|value| format!(" [default: {value}]")).unwrap_or_default();
        // `--format` means different things to different commands and so has no variable.
        let variable = if flag == "format" { String::new() } else { format!(" [env: {}]", variable(&flag)) };
        let notes = format!("{default}{variable}");
        let help = arg.get_help().map(|help| format!("{help}{notes}"));
        let long = arg.get_long_help().map(|help| {
            let help = help.to_string().replace("{groups}", &Group::WORDS.join(", "));
            let help = help.replace("{metadata}", &MetadataKey::WORDS.join(", "));
            format!("{help}\n\n{}", notes.trim_start())
        });
        let arg = match help {
            Some(help) => arg.help(help),
            None => arg,
        };
        match long {
            Some(long) => arg.long_help(long),
            None => arg,
        }
    })
}
