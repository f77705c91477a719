//! From flags and variables to settings that can be used as they are.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use globset::GlobSet;

use super::error::{ConfigError, Given, Origin};
use super::flags::{
    self, CheckFlags, ExportFlags, LogFlags, ReadingFlags, RunFlags, SelectFlags, SnapshotFlags, SourceFlags, TopFlags,
};
use super::layers::{Layers, split};
use super::otlp::{Signal, otlp};
use super::service_manager::service_manager;
use super::source::source;
use super::values::{duration, file, globs, listen, milliseconds, pairs, switch, word};
use super::web::web;
use super::{
    Check, CheckFormat, Colours, Identity, Listen, LogFormat, Logs, Own, ReadSettings, Run, Snapshot, SnapshotFormat,
    Top, standard::STANDARD,
};
use crate::catalog::{Profile, Selected, Selection, Vocabulary};
use crate::model::Group;

/// A VM is read at most once a second, whatever happens to it; and Prometheus shows a series without a new value for
/// just under five minutes.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(299);
/// How often metrics may be pushed: at most as often as VMs are read, at least every five minutes.
const EXPORT_INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(299);
/// How long one push may take.
const EXPORT_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);
/// The specification's default.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);
/// The service.name of the agent itself.
const OWN_SERVICE_NAME: &str = "virt-otel";

/// What `run` logs unless told otherwise.
pub(super) const RUN_LOGS: &str = "info";

/// The settings of `run`, which logs this unless told otherwise.
pub(super) fn run(flags: &RunFlags, layers: Layers<'_>, level: &str) -> Result<Run, ConfigError> {
    let mut warnings = unknown_variables(layers);
    let source = source(&flags.source, layers, &mut warnings)?;
    let reading = reading(&flags.reading, layers)?;
    let (with_otlp, with_prometheus) = exporters(&flags.export, layers)?;
    let vocabulary = source.vms.vocabulary();
    let globs = Globs::of(&flags.select, layers, vocabulary, &mut warnings)?;
    let served = profile(SERVED, flags.source.pod.metrics_profile.as_ref(), vocabulary, layers)?;
    let pushed = profile(PUSHED, flags.source.pod.otlp_metrics_profile.as_ref(), vocabulary, layers)?;
    if with_prometheus {
        globs.warn_of_emptied(served, SERVED, &mut warnings);
    }
    if with_otlp {
        globs.warn_of_emptied(pushed, PUSHED, &mut warnings);
    }
    let logs = logs(&flags.log, layers, level)?;
    let identity = identity(cluster(&flags.source, layers, vocabulary)?, layers)?;
    let disabled = layers.variable("OTEL_SDK_DISABLED").map(|given| switch(&given)).transpose()?.unwrap_or(false);
    let headers_file = headers_file(&flags.export, layers)?;
    let otlp = |signal| otlp(layers, signal, headers_file.clone());
    let otlp_metrics = if with_otlp && !disabled { Some(otlp(Signal::Metrics)?) } else { None };
    let logs_exporter = layers.one("logs-exporter", flags.export.logs_exporter.as_ref(), &["OTEL_LOGS_EXPORTER"]);
    let with_logs = match logs_exporter {
        Some(given) => word(&given, &[("otlp", true), ("none", false)])?,
        None => false,
    };
    let mut otlp_logs = if with_logs && !disabled { Some(otlp(Signal::Logs)?) } else { None };
    if let (Some(metrics), Some(logs)) = (&otlp_metrics, &mut otlp_logs)
        && metrics.endpoint == logs.endpoint
        && metrics.gzip == logs.gzip
    {
        // One receiver, and one answer to whether it takes gzip.
        logs.gzip = metrics.gzip.clone();
    }
    if let Some(given) = layers.variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")
        && !word(&given, &[("cumulative", true), ("delta", false), ("lowmemory", false)])?
    {
        warnings.push(format!(
            "{} is {}, but sums are always cumulative; let the Collector's cumulativetodelta processor make deltas",
            given.origin, given.value
        ));
    }
    let export_interval = layers
        .variable("OTEL_METRIC_EXPORT_INTERVAL")
        .map(|given| milliseconds(&given, &EXPORT_INTERVALS))
        .transpose()?
        .unwrap_or(reading.interval);
    let export_timeout = layers
        .variable("OTEL_METRIC_EXPORT_TIMEOUT")
        .map(|given| milliseconds(&given, &EXPORT_TIMEOUTS))
        .transpose()?
        .unwrap_or(EXPORT_TIMEOUT);
    let listen = listen_address(&flags.export, layers)?;
    let health_listen = health_address(&flags.export, layers, &listen)?;
    let web = web(&flags.export, layers, &source.vms, (&listen, health_listen.is_some()), &mut warnings)?;
    let service_manager = service_manager(layers, std::process::id(), &mut warnings);
    Ok(Run {
        source,
        reading,
        served: globs.selection(served),
        pushed: globs.selection(pushed),
        identity,
        otlp_metrics,
        export_interval,
        export_timeout,
        otlp_logs,
        prometheus: with_prometheus,
        listen,
        health_listen,
        web,
        service_manager,
        own: if disabled { Own::Off } else { Own::On },
        logs,
        warnings,
    })
}

/// The settings of `check`: those of the agent whose preconditions it tries.
pub(super) fn check(flags: &CheckFlags, layers: Layers<'_>) -> Result<Check, ConfigError> {
    let format = match flags.format.as_deref() {
        Some("json") => CheckFormat::Json,
        _ => CheckFormat::Text,
    };
    // What goes wrong is in the report.
    Ok(Check { format, run: run(&flags.run, layers, "error")? })
}

/// The settings of `snapshot`.
pub(super) fn snapshot(flags: &SnapshotFlags, layers: Layers<'_>) -> Result<Snapshot, ConfigError> {
    let format = match layers.one("format", flags.format.as_ref(), &[]) {
        Some(given) => word(
            &given,
            &[
                ("table", SnapshotFormat::Table),
                ("prometheus", SnapshotFormat::Prometheus),
                ("otlp-json", SnapshotFormat::OtlpJson),
            ],
        )?,
        None => SnapshotFormat::Table,
    };
    let mut warnings = unknown_variables(layers);
    let source = source(&flags.source, layers, &mut warnings)?;
    let vocabulary = source.vms.vocabulary();
    let globs = Globs::of(&flags.select, layers, vocabulary, &mut warnings)?;
    // What is printed is what would be served or pushed.
    let (way, given) = match format {
        SnapshotFormat::OtlpJson => (PUSHED, &flags.source.pod.otlp_metrics_profile),
        SnapshotFormat::Table | SnapshotFormat::Prometheus => (SERVED, &flags.source.pod.metrics_profile),
    };
    let profile = profile(way, given.as_ref(), vocabulary, layers)?;
    let cluster = cluster(&flags.source, layers, vocabulary)?;
    globs.warn_of_emptied(profile, way, &mut warnings);
    Ok(Snapshot {
        format,
        source,
        selection: globs.selection(profile),
        identity: identity(cluster, layers)?,
        // A person waits for the table: a successful connection is no news.
        logs: logs(&flags.log, layers, "warn")?,
        warnings,
    })
}

/// The settings of `top`.
pub(super) fn top(flags: &TopFlags, layers: Layers<'_>) -> Result<Top, ConfigError> {
    let mut warnings = unknown_variables(layers);
    // https://no-color.org: whatever it is set to.
    let plain = layers.environment.get("NO_COLOR").is_some() || layers.environment.get("TERM") == Some("dumb");
    Ok(Top {
        source: source(&flags.source, layers, &mut warnings)?,
        reading: reading(&flags.reading, layers)?,
        colours: if plain { Colours::Off } else { Colours::On },
        logs: logs(&flags.log, layers, "warn")?,
        warnings,
    })
}

fn reading(flags: &ReadingFlags, layers: Layers<'_>) -> Result<ReadSettings, ConfigError> {
    let given = layers.required("interval", flags.interval.as_ref(), &[])?;
    let interval = duration(&given, &INTERVALS)?;
    let mut groups: BTreeMap<Group, Duration> = Group::ALL.into_iter().map(|group| (group, interval)).collect();
    let mut seen = Vec::new();
    for given in layers.many("group-interval", &flags.group_interval) {
        let (group, length) = group_interval(&given)?;
        if seen.contains(&group) {
            return Err(given.wrong("names a group for the second time", "give each group once"));
        }
        seen.push(group);
        groups.insert(group, length);
    }
    Ok(ReadSettings { interval, groups })
}

fn group_interval(given: &Given) -> Result<(Group, Duration), ConfigError> {
    let Some((name, value)) = given.value.split_once('=') else {
        return Err(given.wrong("is not GROUP=DURATION", "give one such as block=60s"));
    };
    let Some(group) = Group::ALL.into_iter().find(|group| group.as_str() == name.trim()) else {
        let names = Group::ALL.map(Group::as_str).join(", ");
        return Err(given.wrong("names no group of statistics", format!("the groups are {names}")));
    };
    Ok((group, duration(&given.part(value.trim()), &INTERVALS)?))
}

/// A way to publish: the option that has its profile, and where the metrics then are.
#[derive(Clone, Copy)]
struct Way {
    option: &'static str,
    place: &'static str,
}

const SERVED: Way = Way { option: "metrics-profile", place: "at /metrics" };
const PUSHED: Way = Way { option: "otlp-metrics-profile", place: "over OTLP" };

/// The profile of a way to publish. In mode libvirt there is no KubeVirt beside which it could be.
fn profile(
    way: Way,
    flag: Option<&String>,
    vocabulary: Vocabulary,
    layers: Layers<'_>,
) -> Result<Profile, ConfigError> {
    match vocabulary {
        Vocabulary::Libvirt => Ok(Profile::Full),
        Vocabulary::Kubevirt => word(&layers.required(way.option, flag, &[])?, &Profile::WORDS),
    }
}

/// `--metrics-include` and `--metrics-exclude`, over the names of a vocabulary.
struct Globs {
    vocabulary: Vocabulary,
    include: Vec<Given>,
    exclude: Vec<Given>,
    included: GlobSet,
    excluded: GlobSet,
}

impl Globs {
    /// Refuses what leaves nothing of all metrics, and warns of what matches none of them.
    fn of(
        flags: &SelectFlags,
        layers: Layers<'_>,
        vocabulary: Vocabulary,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let include = layers.many("metrics-include", &flags.metrics_include);
        let exclude = layers.many("metrics-exclude", &flags.metrics_exclude);
        let (included, excluded) = (globs(&include, "*.cpu.*")?, globs(&exclude, "*.cpu.*")?);
        let all = Self { vocabulary, include, exclude, included, excluded };
        let everything = Selection::everything(vocabulary);
        for given in all.include.iter().chain(&all.exclude) {
            if !matches_any(given, &everything)? {
                warnings.push(format!(
                    "{}: `{}` matches no metric; `virt-otel metrics` lists them",
                    given.origin, given.value
                ));
            }
        }
        match all.include.first().or(all.exclude.first()) {
            Some(given) if all.selection(Profile::Full).is_empty() => {
                Err(given.wrong("leaves no metric", "`virt-otel metrics` lists what there is"))
            }
            _ => Ok(all),
        }
    }

    fn want(&self, row: &Selected) -> bool {
        (self.include.is_empty() || matches(&self.included, &row.name)) && !matches(&self.excluded, &row.name)
    }

    /// What a profile has and they leave.
    fn selection(&self, profile: Profile) -> Selection {
        Selection::new(self.vocabulary, |row| profile.has(row.metric) && self.want(row))
    }

    /// Warns of what would be included if the profile had anything of it.
    fn warn_of_emptied(&self, profile: Profile, way: Way, warnings: &mut Vec<String>) {
        let everything = Selection::everything(self.vocabulary);
        let left = Selection::new(self.vocabulary, |row| profile.has(row.metric));
        for given in &self.include {
            // What is no glob has been refused.
            let of = |selection| matches_any(given, selection).unwrap_or(false);
            if of(&everything) && !of(&left) {
                warnings.push(format!(
                    "{}: KubeVirt has all that `{}` matches, so the profile {} leaves it out {}; give the \
                     profile full, or leave this out",
                    given.origin,
                    given.value,
                    profile.as_str(),
                    way.place
                ));
            }
        }
    }
}

/// Whether one glob matches the name of a row.
fn matches_any(given: &Given, selection: &Selection) -> Result<bool, ConfigError> {
    let one = globs(std::slice::from_ref(given), "*.cpu.*")?;
    Ok(selection.vm.iter().chain(&selection.daemon).any(|row| matches(&one, &row.name)))
}

/// Whether a name matches as OpenTelemetry spells it, or with underscores for its dots.
fn matches(globs: &GlobSet, name: &str) -> bool {
    globs.is_match(name) || globs.is_match(name.replace('.', "_"))
}

/// Whether metrics go to OTLP and to Prometheus.
fn exporters(flags: &ExportFlags, layers: Layers<'_>) -> Result<(bool, bool), ConfigError> {
    #[derive(Clone, Copy, PartialEq)]
    enum To {
        Otlp,
        Prometheus,
        Nowhere,
    }
    let list = layers.required("exporters", flags.exporters.as_ref(), &["OTEL_METRICS_EXPORTER"])?;
    let words = [("otlp", To::Otlp), ("prometheus", To::Prometheus), ("none", To::Nowhere)];
    let parts = split(&list);
    let to = parts.iter().map(|given| word(given, &words)).collect::<Result<Vec<_>, _>>()?;
    if to.is_empty() || (to.contains(&To::Nowhere) && to.len() > 1) {
        return Err(list.wrong("is not a list of exporters", "give otlp, prometheus, otlp,prometheus or none"));
    }
    Ok((to.contains(&To::Otlp), to.contains(&To::Prometheus)))
}

fn listen_address(flags: &ExportFlags, layers: Layers<'_>) -> Result<Listen, ConfigError> {
    let given = layers.required("listen", flags.listen.as_ref(), &[])?;
    let mut address = listen(&given)?;
    if given.origin == Origin::Default {
        if let Some(host) = layers.variable("OTEL_EXPORTER_PROMETHEUS_HOST") {
            // An IPv6 address has no brackets here.
            let text =
                if host.value.contains(':') { format!("[{}]:0", host.value) } else { format!("{}:0", host.value) };
            let parsed = listen(&host.part(&text));
            address.host = parsed.map_err(|_| host.wrong("is not a host", "give a host name or an IP address"))?.host;
        }
        if let Some(port) = layers.variable("OTEL_EXPORTER_PROMETHEUS_PORT") {
            address.port =
                port.value.parse().map_err(|_| port.wrong("is not a port", "give a number from 0 to 65535"))?;
        }
    }
    Ok(address)
}

fn health_address(flags: &ExportFlags, layers: Layers<'_>, other: &Listen) -> Result<Option<Listen>, ConfigError> {
    let Some(given) = layers.one("health-listen", flags.health_listen.as_ref(), &[]) else { return Ok(None) };
    let address = listen(&given)?;
    if address.overlaps(other) {
        return Err(given.wrong(format!("is taken by --listen ({other})"), "give another port"));
    }
    Ok(Some(address))
}

/// The headers' file, if it can be opened.
fn headers_file(flags: &ExportFlags, layers: Layers<'_>) -> Result<Option<PathBuf>, ConfigError> {
    let given = layers.one("otlp-headers-file", flags.otlp_headers_file.as_ref(), &[]);
    given.map(|given| file(&given, "give the path of a file with one `name: value` a line")).transpose()
}

/// Libraries that log nothing unless the user's list names them: the watch of the Kubernetes API logs once, in words,
/// what they repeat at every attempt, with a whole page of objects.
const MUTE: &str = "kube_client=off,kube_runtime=off";

fn logs(flags: &LogFlags, layers: Layers<'_>, default: &str) -> Result<Logs, ConfigError> {
    let format = match layers.one("log-format", flags.log_format.as_ref(), &[]) {
        Some(given) => word(&given, &[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
        None => LogFormat::Text,
    };
    let given = layers
        .one("log-level", flags.log_level.as_ref(), &["OTEL_LOG_LEVEL"])
        .unwrap_or_else(|| Given { value: default.to_owned(), origin: Origin::Default });
    let filter = match given.value.to_ascii_lowercase().as_str() {
        "off" | "none" => "off".to_owned(),
        level @ ("error" | "warn" | "info" | "debug" | "trace") => {
            // Libraries log only warnings and errors, and no more than was asked for.
            let others = if level == "error" { "error" } else { "warn" };
            format!("{others},{MUTE},virt_otel={level}")
        }
        _ => given.value.clone(),
    };
    let parsed = tracing_subscriber::EnvFilter::builder().parse(&filter);
    parsed.map_err(|_| {
        given.wrong(
            "is not a log filter",
            "give error, warn, info, debug, trace, off or a list such as warn,virt_otel=debug",
        )
    })?;
    Ok(Logs { format, filter })
}

/// The name of the cluster, where there is one.
fn cluster(flags: &SourceFlags, layers: Layers<'_>, vocabulary: Vocabulary) -> Result<Option<String>, ConfigError> {
    match (vocabulary, layers.one("cluster-name", flags.pod.cluster_name.as_ref(), &[])) {
        (Vocabulary::Kubevirt, Some(given)) if given.value.trim().is_empty() => {
            Err(given.wrong("is empty", "give the cluster's name, or leave it out"))
        }
        (Vocabulary::Kubevirt, given) => Ok(given.map(|given| given.value)),
        (Vocabulary::Libvirt, _) => Ok(None),
    }
}

/// The attribute that has the name of the cluster (semantic conventions, k8s registry).
const CLUSTER: &str = "k8s.cluster.name";

fn identity(cluster: Option<String>, layers: Layers<'_>) -> Result<Identity, ConfigError> {
    let mut attributes =
        layers.variable("OTEL_RESOURCE_ATTRIBUTES").map(|given| pairs(&given)).transpose()?.unwrap_or_default();
    if let Some(cluster) = cluster {
        attributes.retain(|(key, _)| key != CLUSTER);
        attributes.insert(0, (CLUSTER.to_owned(), cluster));
    }
    let name = layers.variable("OTEL_SERVICE_NAME").map(|given| given.value);
    let of_attributes =
        || attributes.iter().rev().find(|(key, _)| key == "service.name").map(|(_, value)| value.clone());
    let own_service_name = name.or_else(of_attributes).unwrap_or_else(|| OWN_SERVICE_NAME.to_owned());
    let (service, common): (Vec<_>, Vec<_>) = attributes.into_iter().partition(|(key, _)| key.starts_with("service."));
    let own_attributes = service.into_iter().filter(|(key, _)| key != "service.name").collect();
    Ok(Identity { own_service_name, own_attributes, common_attributes: common })
}

/// A variable with our prefix that does not exist is a typing mistake, and would have no effect.
///
/// Kubernetes gives every pod variables about the services around it: those of one called `virt-otel` are no mistake.
fn unknown_variables(layers: Layers<'_>) -> Vec<String> {
    let known: Vec<String> =
        flags::command().get_arguments().filter_map(|arg| arg.get_long()).map(flags::variable).collect();
    let from_kubernetes = |name: &str| {
        let rest = name.trim_start_matches(flags::VARIABLE_PREFIX);
        rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_")
    };
    let ours = layers.environment.names().filter(|name| name.starts_with(flags::VARIABLE_PREFIX));
    let mistaken = ours.filter(|name| !known.iter().any(|known| known == name) && !from_kubernetes(name));
    let mut warnings: Vec<String> =
        mistaken.map(|name| format!("{name}: there is no such variable; docs/configuration.md lists them")).collect();
    let heads = ["OTEL_EXPORTER_OTLP_", "OTEL_METRIC_"];
    let standard = |name: &str| {
        STANDARD.iter().any(|row| {
            let general = row.name.replace('*', "");
            name == general || ["METRICS_", "LOGS_"].iter().any(|signal| name == row.name.replace('*', signal))
        })
    };
    let traces = |name: &str| name.starts_with("OTEL_EXPORTER_OTLP_TRACES_");
    let ignored = layers
        .environment
        .names()
        .filter(|name| heads.iter().any(|head| name.starts_with(head)) && !standard(name) && !traces(name));
    warnings.extend(ignored.map(|name| format!("{name}: is not used; docs/configuration.md lists what is")));
    warnings
}
